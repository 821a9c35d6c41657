"""What an apply with nothing to do has read, noted so that the next one like it need not plan (``cli.unchanged``).

Files are heard of by audit events (PEP 578) while the plan is made: whatever opens one, it is on the list, with the
folder that it lies in, so that a file that comes beside it is noticed. What only asks whether a file is there says so
by an event of ours, as an engine's client does of each answer. Anything that cannot be asked again - a registry, a
program, a warning - leaves no note.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from bayplan import app, engines
from bayplan.cli import common, parts, unchanged
from bayplan.cli.colour import style
from bayplan.errors import BayplanError
from bayplan.models import BindMount, Settings, Stack
from bayplan.reconcile import render
from bayplan.reconcile.plan import Part
from bayplan.runtime.protocol import Runtime
from bayplan.system.files import atomic_write, private_directory
from bayplan.system.probes import ANSWER, PROBE, probe

if TYPE_CHECKING:
    from bayplan.runtime.docker.kernel import Looked
    from bayplan.runtime.engine_api.runtime import EngineRuntime

_KEPT = 64
"""Commands that are known at a time: each is a small file."""
_ELSEWHERE = ("/proc/", "/sys/", "/dev/")
_READS_RULES = frozenset({"iptables-save", "ip6tables-save"})
_EVENTS = frozenset(
    {"open", "os.listdir", "os.scandir", PROBE, ANSWER, "socket.connect", "subprocess.Popen", "os.system", "os.fork"}
)
_RECORDS = ("record.db", "engines.db")
"""Of the state root: whose a project is, and what was declared of what there is."""


class Watch(logging.Handler):
    """Hears what is read from its making to ``over``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.files: dict[str, list[int] | None] = {}
        self.probed: dict[str, bool] = {}
        self.answers: set[tuple[str, bytes]] = set()
        """What engines were asked, and what they said: once, however often a wait has asked it."""
        self.sockets: set[str] = set()
        self.is_plain = True
        """Whether everything that was heard can be looked at again."""
        self._hears = True
        sys.addaudithook(self._heard)  # there is no way to take one off
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """A warning has to be printed each time."""
        self.is_plain = False

    def over(self) -> None:
        """Hear nothing more."""
        self._hears = False
        logging.getLogger().removeHandler(self)

    def _heard(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._hears or event not in _EVENTS or _is_import(sys._getframe(1)):
            return
        if event in ("open", "os.listdir", "os.scandir"):
            written = event == "open" and (given[2] or 0) & (os.O_WRONLY | os.O_RDWR)
            if not written:
                self._note(event, given[0])
        elif event == PROBE:
            self.probed.setdefault(given[0], os.path.exists(given[0]))  # noqa: PTH110 - no event of its own
        elif event == ANSWER:
            self.answers.add((given[0], given[1]))
        elif event == "socket.connect":
            if isinstance(given[1], str):
                self.sockets.add(given[1])
            else:
                self.is_plain = False
        else:
            self.is_plain &= event == "subprocess.Popen" and os.path.basename(str(given[0])) in _READS_RULES  # noqa: PTH119

    def _note(self, event: str, path: str | bytes | int | None) -> None:
        if isinstance(path, int):
            # A file that was opened by its name before; but a folder that is listed so has names that nobody hears of.
            self.is_plain &= event == "open"
            return
        whole = os.path.abspath(os.fsdecode(path or "."))  # noqa: PTH100 - of each file that is opened
        if not whole.startswith(_ELSEWHERE) and whole not in self.files:
            self.files[whole] = unchanged.signature(whole)
            folder = os.path.dirname(whole)  # noqa: PTH120
            self.files.setdefault(folder, unchanged.signature(folder))


def _is_import(frame: FrameType) -> bool:
    """Modules are found by listing each folder of ``sys.path``, that of the caller among them; ours are noted."""
    return frame.f_code.co_filename.startswith("<frozen importlib")


def begin(options: Namespace) -> Watch | None:
    """Hear what this apply reads; None where no note could come of it."""
    engine = options.engine or os.environ.get("BAYPLAN_ENGINE", "auto")
    another = engine in unchanged.ENGINES or (engine == "auto" and engines.sockets())
    of_all = options.plan is None and parts.asked(options) == Part()
    return Watch() if another and not options.json and of_all else None


def end(watch: Watch, options: Namespace, runtime: Runtime) -> None:
    """Note what an apply that went well has read.

    After one that changed something all is read and planned once more: whether that was it, and what another one would
    read.
    """
    made = options.made
    try:
        if options.settings.engine not in unchanged.ENGINES or not watch.is_plain:
            return
        if made.changed or made.noted:
            watch.over()
            watch = Watch()
            del options.stack
            with common.opened(options) as (runtime, settings):  # noqa: PLR1704 - the next one asks anew as well
                made = app.plan(common.stack(options), runtime, settings=settings)
        _probe_binds(options.stack)
        watch.over()
        if not (made.changed or made.noted or made.meanwhile):
            output = render.as_text(made, style(options)) + "\n"
            keep(watch, sys.argv[1:], cast("EngineRuntime", runtime), options.settings, output)
    except (BayplanError, OSError):
        return  # what was asked for is done: the next apply will say what is the matter
    finally:
        watch.over()


def keep(watch: Watch, arguments: Sequence[str], runtime: EngineRuntime, settings: Settings, output: str) -> None:
    """Note what the plan that is over has read. It had nothing to do and printed ``output``.

    Nothing is noted where something cannot be asked again, or was changed while it was read. Raises OSError.
    """
    client, root = runtime.client, Path(unchanged.state_root())
    one_engine = client.place.scheme == "unix" and watch.sockets <= {client.place.socket}
    if not (watch.is_plain and one_engine and client.only_looked and settings.state_root == root):
        return
    if settings.builder == "bayplan":
        return  # the core's builder opens files beneath folders, by other names than their own
    databases = [f"{root}/{name}{end}" for name in _RECORDS for end in ("", "-wal")]
    within = (str(root), *databases)  # its own notes come and go there
    files = {path: found for path, found in watch.files.items() if path not in within}
    if any(unchanged.signature(path) != found for path, found in files.items()):
        return
    # Ours: closing a database writes its log back. Who wrote into it meanwhile has changed the engine as well.
    files |= {path: unchanged.signature(path) for path in databases}
    files |= {path: unchanged.signature(path) for path in _modules()}
    looked: Looked | None = getattr(runtime, "looked", None)  # Docker's alone
    note = {
        "format": unchanged.FORMAT,
        "output": output,
        "socket": client.place.socket,
        "files": sorted(files.items()),
        "there": sorted(watch.probed.items()),
        "kernel": looked and _kernel(looked),
        "answers": sorted({(question, unchanged.steady(question, answer)) for question, answer in watch.answers}),
    }
    file = Path(unchanged.place(list(arguments)))
    private_directory(file.parent)
    atomic_write(file, json.dumps(note).encode(), durable=False)
    for old in sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)


def _kernel(looked: Looked) -> list[Any]:
    """In the form of ``unchanged.kernel``: what is asked for, and what it said."""
    tables = [table for rules in looked.rules.values() for table in (rules.filter, rules.nat)]
    said = [list(map(list, looked.links.values())), [unchanged.digest(repr(table).encode()) for table in tables]]
    return [list(looked.links), list(looked.rules), said]


def _modules() -> list[str]:
    """Our own: another version may plan otherwise."""
    ours = (module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "bayplan")
    return [str(file) for module in ours if (file := getattr(module, "__file__", None))]


def _probe_binds(stack: Stack) -> None:
    """A plan refuses a bind of what is not there."""
    for container in stack.containers:
        for mount in container.mounts:
            if isinstance(mount, BindMount):
                probe(mount.source)
