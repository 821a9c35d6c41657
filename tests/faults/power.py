"""The power goes at a random moment of a first apply, a replacement or a rollback; then the host boots.

The state root is on a disk of its own. With its power go the processes, namespaces, rules and links of the core, and
its run root. What must hold then: no record and no generation is torn, none has become another, what a volume had on
the disk is there to the byte, an apply converges and the one after is empty.
"""

import random
import secrets
import time
import traceback
from contextlib import closing
from pathlib import Path

from bayplan.record.generations import Generations
from bayplan.record.journal import Journal
from faults.core import Core, add_image, steps
from faults.disk import FLUSHED, LOST, Disk

CUTS_A_DISK = 10
"""Then all is destroyed and nothing may stay; the first of them cuts a first apply."""
_PROJECT = "shop"


class PowerSweep:
    """Cuts of one subject (``sweep.small_stack``). ``say`` gets a line for each that fails."""

    def __init__(self, subject, seed, say=print):
        self.subject, self.seed, self.say = subject, seed, say
        self.cuts, self.torn, self.strays, self.failures, self.durations = 0, 0, 0, [], {}

    def run(self, cuts):
        """Gives whether every one of them held."""
        while self.cuts < cuts:
            self._on_one_disk(min(CUTS_A_DISK, cuts - self.cuts))
        good = self.cuts - len(self.failures)
        self.say(
            f"power cuts {self.cuts}, torn {self.torn}, converged {good},"
            f" directories without a record {self.strays}, seed {self.seed}"
        )
        return not self.failures

    def _on_one_disk(self, cuts):
        top = Path(f"/var/lib/bayplan-tests/p{secrets.token_hex(3)}")
        disk = Disk(top, self.subject.file.parent / "disk", 96 << 20)
        try:
            core = Core(self.subject.file, dict(self.subject.variables), state_root=top / "state")
            try:
                add_image(core.settings.state_root / "images")
                self._measure(core)
                for number in range(cuts):
                    self._try(core, disk, "first apply" if number == 0 else "")
                self._clean(core)
            finally:
                core.remove()
        finally:
            disk.remove()
            disk.file.unlink()
            top.rmdir()

    def _clean(self, core):
        """Nothing stays but directories whose record went with the power: ``check`` names each (docs/repair.md)."""
        core.call("destroy", "--volumes")
        if left := core.left():
            said = core.call("check", code=1)
            self.strays += len(left)
            other = [item for item in left if f"directory {item}: no record names it" not in said]
            if other:
                self._failed(f"destroy after cut {self.cuts}", f"left on the host: {other}")

    def _measure(self, core):
        """How long whole changes take, once."""
        for name, verb, edit in (("first apply", ("apply",), {}), ("change", ("apply",), self.subject.edit)):
            if name not in self.durations:
                began = time.monotonic()
                core.call(*verb, **edit)
                self.durations[name] = time.monotonic() - began
        core.call("destroy", "--volumes")

    def _try(self, core, disk, scenario):
        draw = random.Random(f"{self.seed}/{self.cuts}")
        self.cuts += 1
        edit = draw.choice(({}, self.subject.edit))
        scenario = scenario or draw.choice(("apply", "apply", "rollback"))
        moment = draw.random() * self.durations["first apply" if scenario == "first apply" else "change"]
        journal = draw.choice((FLUSHED, LOST, LOST))
        shown = f"cut {self.cuts}: {scenario} after {moment:.2f} s, journal {journal}, edited {bool(edit)}"
        try:
            self._cut(core, disk, scenario, edit, moment, journal)
        except AssertionError as error:
            self._failed(shown, str(error))
        except Exception:
            self._failed(shown, traceback.format_exc())
        if self.cuts % 10 == 0:
            self.say(f"{self.cuts} power cuts, {self.torn} torn, {len(self.failures)} failed")

    def _failed(self, shown, text):
        self.failures.append(shown)
        self.say(f"FAILED {shown}\n{text}")

    def _cut(self, core, disk, scenario, edit, moment_s, journal):
        before, marker = {}, ""
        if scenario != "first apply":
            # The change begins at the other declaration, with a marker that the disk has been told to keep.
            other = {} if edit else self.subject.edit
            core.call("apply", **other)
            marker = self._marked(core) or self._mark(core)
            before = self._generations(core)
        verb = ("rollback",) if scenario == "rollback" and len(before) > 1 else ("apply",)
        process = core.start(*verb, **edit)
        time.sleep(moment_s)
        disk.cut(journal)
        process.kill()
        process.wait()
        process.output.unlink()
        core.lose_host()
        disk.again()
        self._look(core, before)
        core.call("resume")
        core.call("apply", **edit)
        again = core.call("apply", "--json", **edit)
        assert again["changed"] is False, f"a second apply changed: {steps(again)}"
        answer, wanted = self.subject.ask(self.subject.port), self.subject.answers[bool(edit)]
        assert answer == wanted, f"answered {answer!r}, not {wanted!r}"
        assert not marker or self._marked(core) == marker, "the volume's content is not what it was"

    def _look(self, core, before):
        """Every verb that reads must read; generations are whole, in turn, and what they were."""
        try:
            after = self._generations(core)
            core.call("history", "--json")
            core.call("status", "--json")
        except Exception:
            self.torn += 1
            raise
        assert list(after) == list(range(min(after, default=1), max(after, default=0) + 1)), f"a gap: {list(after)}"
        other = [number for number in after.keys() & before.keys() if after[number] != before[number]]
        assert not other, f"generations {other} are not what they were"

    def _generations(self, core):
        """Number to what it says; raises for one that is torn."""
        with closing(Journal(core.settings.state_root / "record.db", to_read=True)) as journal:
            kept = Generations(journal)
            return {number: kept.get(_PROJECT, number).model_dump_json() for number in kept.numbers(_PROJECT)}

    def _mark(self, core):
        service, path = self.subject.marker
        text = secrets.token_hex(5000)
        core.call("exec", "-T", service, "sh", "-c", f"echo {text} > {path}; sync")
        return self._marked(core)

    def _marked(self, core):
        path = core.settings.state_root / "volumes/shop_data/_data/marker"
        return path.read_text() if path.exists() else ""
