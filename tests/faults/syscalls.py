"""Kill -9 at every system call that changes the host, of a first apply, a replacement and a rollback.

A call is a point: the process ends as it is about to make it, so that all calls before it were made, and none after.
Or the call fails: each that writes by ENOSPC or EIO, each that makes something durable by EIO.
"""

import hashlib
from collections import Counter

from faults import tracing
from faults.laps import SCENARIOS as ON_ONE_CORE
from faults.laps import Laps
from faults.sweep import Sweep

SCENARIOS = ("first apply", "edit", "rollback")
FAILING = {
    "ENOSPC": frozenset((*tracing.WRITES, *tracing.FILES.split())),
    "EIO": frozenset((*tracing.WRITES, *tracing.DURABLE.split())),
}
SAID = {
    "ENOSPC": ("no space", "is full", "disk i/o error"),
    "EIO": ("input/output error", "disk i/o error"),
}
"""What the command says then; SQLite has words of its own, and takes some full disks for broken ones."""


class SyscallSweep(Sweep):
    """Rounds of the sweep (see ``Sweep.round``); a volume must be the same to the byte, names and owners too."""

    error = ""

    def run_calls(self, step=1, offset=0, error="", scenarios=SCENARIOS):
        """The sweep over every ``step``-th call, killed at it or with an ``error`` of it. Gives whether all held."""
        number, swept, self.elsewhere, self.error = 0, 0, Counter(), error
        for scenario in scenarios:
            found, missed = self.calls(scenario)
            self.say(
                f"{scenario}: {len(found)} calls that change the host, {missed} more that cannot be met one by one"
            )
            numbered = [(f"call {n}", point) for n, point in enumerate(found, number) if n % step == offset % step]
            numbered = [item for item in numbered if int(item[0].split()[1]) >= offset]
            number, swept = number + len(found), swept + len(numbered)
            if scenario in ON_ONE_CORE:
                Laps(self, scenario).run(numbered)
                continue
            for name, point in numbered:
                self._try(name, scenario, "process", point=point)
        if self.elsewhere:
            self.say(f"ended at another call than was foreseen: {dict(self.elsewhere)}")
        return self._report(swept)

    def calls(self, scenario):
        """See ``tracing.points``."""
        core, log = self._core(scenario), self.subject.file.parent / "calls"
        try:
            before, verb, edit = self._plan(scenario)
            for earlier, variables in before:
                core.call(*earlier, **variables)
            core.call(*verb, command=tracing.counting(log), **edit)
            return tracing.points(log, FAILING.get(self.error, tracing.CALLS))
        finally:
            core.call("destroy", "--volumes")
            core.remove()

    def _kill(self, core, verb, edit, victim, moment_s, point):
        log = self.subject.file.parent / "killed"
        effect = f"error={self.error}" if self.error else "signal=KILL"
        process = core.start(*verb, command=point.command(log, effect), **edit)
        code, said = process.wait(), process.output.read_text()
        process.output.unlink()
        if self.error:
            # Where it is not needed for the change, a write may fail and nobody be told.
            assert "Traceback" not in said, said
            assert code == 0 or any(one in said.lower() for one in SAID[self.error]), f"exit code {code}\n{said}"
            core.call("history", "--json")
            return
        found = tracing.met(log)
        if found != point.name:
            self.elsewhere[f"{point.name}: {found or 'none'}"] += 1

    def _marked(self, core):
        """All that is below the volumes, as bytes of a digest."""
        top = core.settings.state_root / "volumes"
        digest = hashlib.sha256()
        for path in sorted(top.rglob("*")):
            entry = path.lstat()
            digest.update(f"{path.relative_to(top)} {entry.st_mode} {entry.st_uid} {entry.st_gid}\n".encode())
            if path.is_file() and not path.is_symlink():
                digest.update(path.read_bytes())
        return digest.hexdigest()
