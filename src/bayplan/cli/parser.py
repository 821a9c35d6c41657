"""The options of every verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayplan import __version__
from bayplan.cli import colour

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """Takes options by their whole names: ``--vol`` may be what removes volumes. Those of its verbs are of its kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; ``options.run`` is the verb. Ends the process for help and for what is wrong."""
    verb = _verb_of(arguments)
    if verb is not None and verb not in _ROOMS:
        from bayplan.cli import elsewhere

        print(f"Error: there is no verb {verb!r} ({elsewhere.hint(verb, _ROOMS)})", file=sys.stderr)
        raise SystemExit(2)
    return build_parser(verb).parse_args(arguments)


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command, or of one verb alone: all take 40 ms, which a short verb would notice."""
    parser: argparse.ArgumentParser = Parser(
        prog="bayplan", description="Make this host match a declaration of containers."
    )
    parser.add_argument("--version", action="version", version=f"bayplan {__version__}")
    _project_options(parser)
    sub = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for room in dict.fromkeys([_ROOMS[verb]] if verb in _ROOMS else _ROOMS.values()):
        room(sub)
    return parser


def _verb_of(arguments: Sequence[str]) -> str | None:
    """The verb, when it can be told."""
    parser = Parser(add_help=False, exit_on_error=False)
    _project_options(parser)
    parser.add_argument("verb", nargs="?")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    try:
        verb: str | None = parser.parse_known_args(arguments)[0].verb
    except (argparse.ArgumentError, SystemExit):
        return None
    return verb


def _project(sub: Subparsers) -> None:
    from bayplan.cli import locks, parts, verbs
    from bayplan.cli.common import quiet_option

    plan = _verb(sub, "plan", verbs.plan, "show what apply would do; change nothing")
    plan.add_argument("--detailed-exitcode", action="store_true", help="exit with 5 when there are changes")
    plan.add_argument("--out", type=Path, metavar="FILE", help="keep the plan in a file for `apply FILE`")
    apply = _verb(sub, "apply", verbs.apply, "make the host match")
    apply.add_argument("plan", nargs="?", type=Path, metavar="FILE", help="only if it is still the plan in this file")
    apply.add_argument(
        "--on-failure",
        choices=("rollback", "keep"),
        help="go back to the generation before when it fails on the way, or leave what was done; rollback",
    )
    apply.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change to end")
    for verb in (plan, apply):
        locks.options_of(verb)
        parts.options_of(verb)
    quiet_option(_verb(sub, "status", verbs.status, "show what the project has on this host"))
    destroy = _verb(sub, "destroy", verbs.destroy, "remove the project's containers and networks")
    destroy.add_argument("--volumes", action="store_true", help="remove its volumes too: their data is lost")
    destroy.add_argument("--images", action="store_true", help="remove the images it declares too")
    execute = _verb(sub, "exec", verbs.execute, "run a command in a running container")
    execute.add_argument("-u", "--user", help="user[:group] in the container")
    execute.add_argument("-w", "--workdir", help="directory the command starts in")
    execute.add_argument("-e", "--env", action="append", default=[], metavar="KEY=VALUE", help="environment variable")
    execute.add_argument("--privileged", action="store_true", help="with every capability that this host can give")
    execute.add_argument("-d", "--detach", action="store_true", help="do not wait for its end")
    execute.add_argument("--detach-keys", default="ctrl-p,ctrl-q", metavar="KEYS", help="ctrl-p,ctrl-q; empty for none")
    execute.add_argument("-i", "--interactive", action=argparse.BooleanOptionalAction, default=True, help="pass stdin")
    execute.add_argument("-t", "--tty", action="store_true", help="a terminal even when the caller has none")
    execute.add_argument("-T", "--no-tty", action="store_true", help="no terminal even when there is one")
    execute.add_argument("service", help="service or container")
    execute.add_argument("command", nargs=argparse.REMAINDER, help="command and its arguments")
    pull = _verb(sub, "pull", verbs.pull, "fetch the project's images, or those that are named")
    pull.add_argument("image", nargs="*", help="image references")
    for parser in (plan, apply, destroy, pull):
        colour.add_option(parser)


def _past(sub: Subparsers) -> None:
    from bayplan.cli import history

    _verb(sub, "history", history.history, "list the generations of the project that can be gone back to")
    rollback = _verb(sub, "rollback", history.rollback, "go back to a generation")
    rollback.add_argument("generation", nargs="?", type=int, metavar="N", help="its number; the one before the last")
    rollback.add_argument("--dry-run", action="store_true", help="show the plan; change nothing")
    rollback.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change to end")
    drift = _verb(sub, "drift", history.drift, "show what differs from what was applied last")
    drift.add_argument("--detailed-exitcode", action="store_true", help="exit with 5 when there is drift")
    drift.add_argument("--heal", action="store_true", help="put it back, from what is recorded")
    drift.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change to end")
    for parser in (rollback, drift):
        colour.add_option(parser)


def _lock(sub: Subparsers) -> None:
    from bayplan.cli import locks

    locks.add(sub)


def _parity(sub: Subparsers) -> None:
    from bayplan.cli import parity

    parity.add(sub)


def _bundle(sub: Subparsers) -> None:
    from bayplan.cli import bundles

    bundles.add(sub)


def _logs(sub: Subparsers) -> None:
    from bayplan.cli import log_lines

    logs = _verb(sub, "logs", log_lines.logs, "show what containers wrote, in order of time")
    logs.add_argument("service", nargs="*", help="services or containers; all when none is named")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as more is written")
    logs.add_argument("-n", "--tail", type=_lines, metavar="N", help="only the last N lines of each; all")
    logs.add_argument("--since", metavar="TIME", help="RFC 3339, seconds since 1970, or a duration back from now")
    logs.add_argument("--until", metavar="TIME", help="like --since")
    logs.add_argument("-t", "--timestamps", action="store_true", help="with the time of each line")
    logs.add_argument("--no-log-prefix", action="store_true", help="without the container's name")


def _lines(text: str) -> int | None:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines, nor all")
    return None if text == "all" else min(int(text), sys.maxsize)


def _containers(sub: Subparsers) -> None:
    from bayplan.cli.container_options import add_container_verbs, add_looking_verbs, add_stream_verbs

    add_container_verbs(partial(_verb, sub))
    add_looking_verbs(partial(_verb, sub))
    add_stream_verbs(partial(_verb, sub))


def _images(sub: Subparsers) -> None:
    from bayplan.cli import image_parser

    image_parser.add(sub)


def _builds(sub: Subparsers) -> None:
    from bayplan.cli import build_verbs

    build_verbs.add(sub)


def _volumes(sub: Subparsers) -> None:
    from bayplan.cli import volumes

    volumes.add(sub)


def _networks(sub: Subparsers) -> None:
    from bayplan.cli import networks

    networks.add(sub)


def _swarm(sub: Subparsers) -> None:
    from bayplan.cli import swarm

    swarm.add(sub)


def _kept(sub: Subparsers) -> None:
    from bayplan.cli import kept_files

    kept_files.add(sub)


def _prune(sub: Subparsers) -> None:
    from bayplan.cli import prune

    prune.add(sub)


def _adopt(sub: Subparsers) -> None:
    from bayplan.cli import adopt

    adopt.add(sub)


def _graph(sub: Subparsers) -> None:
    from bayplan.cli import graph

    graph.add(sub)


def _host(sub: Subparsers) -> None:
    from bayplan.cli import host, login_verbs, repair

    _verb(sub, "check", host.check, "look whether all that is recorded is there and whole; change nothing")
    _verb(sub, "repair", repair.repair, "make damaged or lost records anew, of what runs and lies on disk")
    resume = _verb(sub, "resume", host.resume, "start again what a reboot ended")
    resume.add_argument("--print-unit", action="store_true", help="print a unit for systemd that does so at each boot")
    resume.add_argument("--print-supervisor-unit", action="store_true", help="print the supervisor's unit")
    login = _verb(sub, "login", login_verbs.login, "keep credentials for a registry, after it accepted them")
    login.add_argument("registry", help="host[:port]")
    login.add_argument("-u", "--username", required=True, help="user")
    login.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    logout = _verb(sub, "logout", login_verbs.logout, "forget the credentials for a registry")
    logout.add_argument("registry", help="host[:port]")
    sub.add_parser(
        "bridge", help="answer a JSON request on standard input (Ansible), or with --serve as many as come (Pulumi)"
    )


_LIVES = ("start", "stop", "kill", "pause", "unpause", "restart", "rm", "rename", "wait")
_LOOKS = ("top", "stats", "inspect", "ps", "cp", "events", "attach")
_BY_SERVICE = ("create", "run", "update", "port", "diff", "export", "commit")
_ROOMS: dict[str, Callable[[Subparsers], None]] = {
    **dict.fromkeys(("plan", "apply", "status", "destroy", "exec", "pull"), _project),
    "logs": _logs,
    **dict.fromkeys(("history", "rollback", "drift"), _past),
    "lock": _lock,
    "bundle": _bundle,
    "parity": _parity,
    **dict.fromkeys((*_LIVES, *_LOOKS, *_BY_SERVICE), _containers),
    "prune": _prune,
    "adopt": _adopt,
    "graph": _graph,
    "image": _images,
    **dict.fromkeys(("build", "builder"), _builds),
    "volume": _volumes,
    "network": _networks,
    "swarm": _swarm,
    **dict.fromkeys(("secret", "config"), _kept),
    **dict.fromkeys(("check", "repair", "resume", "login", "logout", "bridge"), _host),
}
"""Who adds a verb. One that is not here is found among all."""


def _verb(sub: Subparsers, name: str, run: object, text: str) -> argparse.ArgumentParser:
    parser = sub.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)
    return parser


def _project_options(parser: argparse.ArgumentParser) -> None:
    colour.add_option(parser, default=None)
    parser.add_argument("-f", "--file", action="append", default=[], type=Path, metavar="FILE", help="Compose file")
    parser.add_argument("-p", "--project-name", metavar="NAME", help="project name")
    parser.add_argument("--project-directory", type=Path, metavar="DIR", help="directory for relative paths")
    parser.add_argument("--env-file", action="append", default=[], type=Path, metavar="FILE", help="instead of .env")
    parser.add_argument("--profile", action="append", default=[], metavar="NAME", help="profile to switch on")
    parser.add_argument("--engine", choices=("native", "docker", "podman", "swarm", "auto"), help="who runs containers")
    parser.add_argument("-H", "--engine-address", metavar="URL", help="unix://, ssh:// or tcp:// address of the engine")
    parser.add_argument("--context", dest="engine_context", metavar="NAME", help="Docker context of the engine")
