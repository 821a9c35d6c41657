"""Rounds of a sweep on one core: one more apply makes again what the next kill begins with.

Making a core and destroying everything is more than half of a round that kills a replacement or a rollback. On one core
it is done once for many kills, and what is there after each is counted instead: as many links, mounts, processes,
directories and records as a change that nobody cut leaves.
"""

import re
import time
import traceback
from collections import Counter

from faults.core import steps

SCENARIOS = ("edit", "rollback")
LAPS = 40
"""On one core, before everything of it is destroyed and nothing may be left."""
_SETTLE_S = 5.0
_NAMES = re.compile(r"[0-9a-f]{8,}|\b\d+\b|(?<=link )\S+")


class Laps:
    """Kills of one scenario of ``sweep``, whose parts it uses."""

    def __init__(self, sweep, scenario):
        self.sweep, self.subject = sweep, sweep.subject
        before, self.verb, self.edit = sweep._plan(scenario)
        self.start = before[-1][1]
        if self.verb[0] == "rollback":
            self.verb = ("rollback",)  # numbers go on from lap to lap

    def run(self, numbered):
        """``numbered``: pairs of a name and a point. A lap that fails ends its core; what is left gets another."""
        rest = list(numbered)
        while rest:
            del rest[: self._on_one_core(rest[:LAPS])]

    def _on_one_core(self, numbered):
        """How many of them are done."""
        core, done, shown = self.sweep._core("edit"), 0, "the begin"
        try:
            marker, whole = self._begin(core)
            for name, point in numbered:
                done, shown = done + 1, f"{self.verb[0]}, {name}: {point}"
                self._lap(core, point, marker, whole)
                self._done()
            shown = f"the destroy after {shown}"
            core.call("destroy", "--volumes")
            self.sweep._clean(core)
        except Exception as error:
            self.sweep.failures.append(shown)
            text = error if isinstance(error, AssertionError) else traceback.format_exc()
            self.sweep.say(f"FAILED {shown}\n{text}")
            if not shown.startswith("the destroy"):
                self._done()
        finally:
            core.remove()
        return max(done, 1)

    def _begin(self, core):
        """What the volumes hold, and the inventory of what the change leads to. The change begins at its ``start``."""
        core.call("apply")
        marker = self.sweep._mark(core)
        if self.edit:
            core.call("apply", **self.edit)
        whole = self._inventory(core)
        for _ in range(10):  # a health check that runs just now is no part of it
            time.sleep(0.1)
            whole &= self._inventory(core)
        core.call("apply", **self.start)
        return marker, whole

    def _lap(self, core, point, marker, whole):
        self.sweep._kill(core, self.verb, self.edit, "process", None, point)
        core.call("apply", **self.edit)
        again = core.call("apply", "--json", **self.edit)
        assert again["changed"] is False, f"a second apply changed: {steps(again)}"
        assert core.call("drift", "--json")["drifted"] is False, "the last generation is not what there is"
        answer, wanted = self.subject.ask(self.subject.port), self.subject.answers[bool(self.edit)]
        assert not wanted or answer == wanted, f"answered {answer!r}, not {wanted!r}"
        assert self.sweep._marked(core) == marker, "the volume's content is not what it was"
        self._nothing_more(core, whole)
        core.call("apply", **self.start)

    def _nothing_more(self, core, whole):
        end = time.monotonic() + _SETTLE_S
        while (found := self._inventory(core)) != whole and time.monotonic() < end:
            time.sleep(0.1)
        self.sweep.leaks += (found - whole).total()
        assert found == whole, f"more: {found - whole}, less: {whole - found}"

    def _inventory(self, core):
        """What there is of the core, by kind: names, numbers and digests are others after each change."""
        return Counter(_NAMES.sub("*", item) for item in core._left())

    def _done(self):
        self.sweep.done += 1
        if self.sweep.done % 10 == 0:
            self.sweep.say(f"{self.sweep.done} rounds, {len(self.sweep.failures)} failed")
