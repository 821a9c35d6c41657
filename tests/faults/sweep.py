"""Kill -9 of an apply or a destroy at any moment, then apply again: it converges, and nothing is left.

    python -m faults.sweep [ROUNDS] [--demo] [--seed N] [--points [STEP] | --syscalls [STEP] | --power [N]]

The stack is one of three busybox services, or with ``--demo`` the shop of ``examples/shop`` on the lab's images, built
and pulled anew in every round that brings it up first.

Each round brings a stack up through the command, with one change of it killed; see ``Sweep.round`` for what must hold
then. Rounds of the random sweep kill at a moment drawn evenly from the time a clean run takes; ``--points`` kills
instead at every STEP-th change of the host, before and after each (``points.py``); ``--syscalls`` at every STEP-th
system call that changes the host (``syscalls.py``), and with ``--fail`` that call fails instead. The same seed draws
the same rounds.
Zero failures in n random rounds mean at most 3/n at 95 %.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from faults.core import COMPOSE, Core, add_image, ask, free_port, steps

SCENARIOS = ("first apply", "edit", "start-first edit", "destroy", "destroy with volumes")
VICTIMS = ("process", "process", "group", "everything")
"""Who is killed: the process alone, its process group, or that and every monitor and runtime of the core too."""
POINTS = Path(__file__).with_name("points.py")


@dataclass(frozen=True)
class Subject:
    """The stack that is swept. ``edit`` are variables that make an edited declaration of it."""

    file: Path
    variables: dict
    edit: dict
    port: int
    answers: tuple = (b"", b"")
    """What the published port says before and after the edit; empty: any answer will do."""
    marker: tuple = ("store", "/data/marker")
    """A service and a path on one of its volumes."""
    ask: object = ask
    """Called with the port, gives what it says."""
    prepare: object = None
    """Called with the core and the scenario before the first verb: puts images in place."""


def small_stack(directory):
    """Three services of busybox, two networks, a volume, a published port; no registry is needed."""
    file = directory / "compose.yaml"
    file.write_text(COMPOSE)
    port = free_port()
    return Subject(
        file,
        {"PORT": str(port)},
        {"GREETING": "bonjour"},
        port,
        (b"hello\n", b"bonjour\n"),
        prepare=lambda core, _: add_image(core.settings.state_root / "images"),
    )


def demo_stack(directory):
    """The demo's shop. Only first applies pull and build; the others begin with what one apply left of images."""
    top = Path(__file__).resolve().parents[2]
    lab = subprocess.run([sys.executable, top / "tests/lab/lab.py", "up"], capture_output=True, text=True, check=True)
    shutil.copytree(top / "examples/shop", directory / "shop")
    port, kept = free_port(), directory / "kept"
    variables = {"SHOP_PORT": str(port), "BAYPLAN_REGISTRIES_CONF": lab.stdout.strip()}

    def prepare(core, scenario):
        root = core.settings.state_root
        if not kept.exists():
            core.call("apply")
            core.call("destroy", "--volumes")
            kept.mkdir()
            for name in ("images", "layers", "build-cache"):
                subprocess.run(["cp", "-a", "--", root / name, kept / name], check=True)
        elif scenario != "first apply":
            root.mkdir(parents=True, mode=0o700)
            for item in kept.iterdir():
                subprocess.run(["cp", "-a", "--", item, root / item.name], check=True)

    def greeting(at):
        with urllib.request.urlopen(f"http://127.0.0.1:{at}/", timeout=10) as reply:
            return json.load(reply)["greeting"].encode()

    return Subject(
        directory / "shop/compose.yaml",
        variables,
        {"GREETING": "Fair winds"},
        port,
        (b"Welcome aboard", b"Fair winds"),
        ask=greeting,
        prepare=prepare,
    )


@dataclass
class Sweep:
    """Rounds over one subject. ``say`` gets a line for each."""

    subject: Subject
    seed: int
    say: object = print
    durations: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)
    leaks: int = 0
    done: int = 0

    def run(self, rounds):
        """The random sweep. Gives whether every round held."""
        self.measure()
        for number in range(rounds):
            draw = random.Random(f"{self.seed}/{number}")
            scenario = SCENARIOS[number % len(SCENARIOS)]
            moment = draw.random() * self.durations[scenario]
            self._try(number, scenario, draw.choice(VICTIMS), moment_s=moment)
        return self._report(rounds)

    def run_points(self, step=1, offset=0):
        """The sweep over every ``step``-th change of the host. Gives whether every round held."""
        counts = {scenario: self._count(scenario) for scenario in SCENARIOS}
        self.say(f"points: {counts}")
        everyone = [(scenario, n) for scenario in SCENARIOS for n in range(1, counts[scenario] + 1)]
        chosen = everyone[offset::step]
        for scenario, point in chosen:
            self._try(f"point {point}", scenario, "process" if point % 3 else "group", point=point)
        return self._report(len(chosen))

    def measure(self):
        """How long a clean run of each scenario takes."""
        core = self._core(SCENARIOS[0])
        try:
            for scenario in SCENARIOS:
                before, verb, edit = self._plan(scenario)
                for earlier, variables in before:
                    core.call(*earlier, **variables)
                began = time.monotonic()
                core.call(*verb, **edit)
                self.durations[scenario] = time.monotonic() - began
                core.call("destroy", "--volumes")
        finally:
            core.remove()

    def round(self, scenario, victim, moment_s=None, point=None):
        """Kill one change, then: apply again exits with 0, a further apply changes nothing, the service answers, the
        volume's content is the same; after destroy --volumes nothing of the core is left on the host.
        """
        core = self._core(scenario)
        try:
            before, verb, edit = self._plan(scenario)
            for earlier, variables in before:
                core.call(*earlier, **variables)
            marker = self._mark(core) if before else None
            self._kill(core, verb, edit, victim, moment_s, point)
            if scenario == "destroy with volumes":
                core.call("destroy", "--volumes")
                self._clean(core)
                marker = None
            core.call("apply", **edit)
            again = core.call("apply", "--json", **edit)
            assert again["changed"] is False, f"a second apply changed: {steps(again)}"
            wanted = self.subject.answers[bool(edit)]
            answer = self.subject.ask(self.subject.port)
            assert not wanted or answer == wanted, f"answered {answer!r}, not {wanted!r}"
            assert marker is None or self._marked(core) == marker, "the volume's content is not what it was"
            core.call("destroy", "--volumes")
            self._clean(core)
        finally:
            core.remove()

    # -- parts -------------------------------------------------------------------------------------------------

    def _core(self, scenario):
        core = Core(self.subject.file, dict(self.subject.variables))
        if self.subject.prepare:
            self.subject.prepare(core, scenario)
        return core

    def _plan(self, scenario):
        """What comes before, the verb that is killed, and the variables it and the applies after it have."""
        up = (("apply",), {})
        if scenario == "first apply":
            return [], ("apply",), {}
        if scenario == "edit":
            return [up], ("apply",), self.subject.edit
        if scenario == "start-first edit":
            return [up], ("apply",), {**self.subject.edit, "ORDER": "start-first"}
        if scenario == "rollback":
            return [up, (("apply",), self.subject.edit)], ("rollback", "1"), {}
        return [up], ("destroy", *(["--volumes"] if "volumes" in scenario else [])), {}

    def _kill(self, core, verb, edit, victim, moment_s, point):
        if point is not None:
            command = (sys.executable, str(POINTS), str(point), str(self.subject.file.parent / "count"))
            process = core.start(*verb, command=command, **edit, BAYPLAN_WORKERS="1")
            code = process.wait()
            assert code in (0, -signal.SIGKILL), process.output.read_text()
        else:
            process = core.start(*verb, **edit)
            time.sleep(moment_s)
            if victim == "process":
                process.kill()
        if victim != "process":
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if victim == "everything":
            core.kill_all()
        process.output.unlink()

    def _count(self, scenario):
        core, place = self._core(scenario), self.subject.file.parent / "count"
        try:
            before, verb, edit = self._plan(scenario)
            for earlier, variables in before:
                core.call(*earlier, **variables)
            command = (sys.executable, str(POINTS), "0", str(place))
            core.call(*verb, command=command, **edit, BAYPLAN_WORKERS="1")
            return int(place.read_text())
        finally:
            core.call("destroy", "--volumes")
            core.remove()

    def _mark(self, core):
        service, path = self.subject.marker
        text = "".join(f"{random.getrandbits(64):016x}\n" for _ in range(200))
        core.call("exec", "-T", service, "sh", "-c", f"echo '{text}' > {path}")
        return self._marked(core)

    def _marked(self, core):
        service, path = self.subject.marker
        return core.call("exec", "-T", service, "cat", path)

    def _clean(self, core):
        left = core.left()
        self.leaks += len(left)
        assert left == [], f"left on the host: {left}"

    def _try(self, number, scenario, victim, **moment):
        shown = json.dumps({"round": number, "scenario": scenario, "victim": victim, **moment}, default=vars)
        try:
            self.round(scenario, victim, **moment)
        except AssertionError as error:
            self.failures.append(shown)
            self.say(f"FAILED {shown}\n{error}")
        except Exception:
            self.failures.append(shown)
            self.say(f"FAILED {shown}\n{traceback.format_exc()}")
        self.done += 1
        if self.done % 10 == 0:
            self.say(f"{self.done} rounds, {len(self.failures)} failed")

    def _report(self, rounds):
        good = rounds - len(self.failures)
        self.say(f"rounds {rounds}, converged {good}, leaks {self.leaks}, seed {self.seed}")
        return not self.failures


def main():
    """The verb ``./run sweep``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="?", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--points", nargs="?", type=int, const=1, help="instead: at every STEP-th change of the host")
    parser.add_argument("--syscalls", nargs="?", type=int, const=1, help="instead: at every STEP-th such system call")
    parser.add_argument("--scenario", help="with --syscalls: just this one of them")
    parser.add_argument("--fail", default="", choices=["ENOSPC", "EIO"], help="with --syscalls: the call fails so")
    parser.add_argument("--offset", type=int, default=0, help="the first of these changes")
    parser.add_argument("--power", nargs="?", type=int, const=200, help="instead: N power cuts of the state's disk")
    parser.add_argument("--demo", action="store_true", help="sweep the demo's shop")
    options = parser.parse_args()
    # Ended from outside it still removes its core.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as directory:
        subject = (demo_stack if options.demo else small_stack)(Path(directory))
        if options.power:
            from faults.power import PowerSweep

            return 0 if PowerSweep(subject, options.seed).run(options.power) else 1
        if options.syscalls:
            from faults.syscalls import SCENARIOS as EVERY
            from faults.syscalls import SyscallSweep

            swept, chosen = SyscallSweep(subject, options.seed), (options.scenario,) if options.scenario else EVERY
            return 0 if swept.run_calls(options.syscalls, options.offset, options.fail, chosen) else 1
        sweep = Sweep(subject, options.seed)
        good = sweep.run_points(options.points, options.offset) if options.points else sweep.run(options.rounds)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
