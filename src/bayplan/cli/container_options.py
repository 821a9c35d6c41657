"""The options of the verbs that are given to containers by hand, as Docker and Compose name them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bayplan.cli import changing, happened, history, image_archives, listing, lives, looking, one_offs, streams

Add = Callable[[str, object, str], argparse.ArgumentParser]

_LIVES = {
    "start": "start containers that are there; unpause paused ones",
    "stop": "ask containers to end, kill them after their grace period",
    "kill": "send a signal to containers",
    "pause": "freeze containers",
    "unpause": "let paused containers go on",
    "restart": "stop and start containers",
    "rm": "remove stopped containers",
}


def add_container_verbs(add: Add) -> None:
    """Add them all; ``add`` makes the parser of one verb from name, function and help."""
    made = {name: add(name, lives.change, text) for name, text in _LIVES.items()}
    for name in ("stop", "restart"):
        made[name].add_argument("-t", "--timeout", type=_seconds, metavar="SECONDS", help="before SIGKILL; 0: at once")
    made["kill"].add_argument("-s", "--signal", default="SIGKILL", help="name or number; SIGKILL")
    made["rm"].add_argument("-f", "--force", action="store_true", help="running ones too")
    made["rm"].add_argument("-v", "--volumes", action="store_true", help="the volumes too that nobody named")
    made["rename"] = add("rename", lives.rename, "give a container another name; an apply sees that as drift")
    for parser in made.values():
        parser.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change")
    made["update"] = _update(add)
    create = add("create", changing.create, "make what is declared without starting it; what runs stays as it is")
    for parser in (made["update"], create):
        parser.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change")
    waiting = add("wait", lives.wait, "wait until containers have ended and print their exit codes")
    for name, parser in (*made.items(), ("wait", waiting)):
        if name == "rename":
            parser.add_argument("service", help="service or container")
            parser.add_argument("new_name", help="its new name")
        else:
            _services(parser, some=name in ("wait", "update"))


def _update(add: Add) -> argparse.ArgumentParser:
    made = add("update", changing.update, "change limits of containers; an apply sees that as drift")
    for name in changing.LIMITS:
        option = f"--{name.replace('_', '-')}"
        made.add_argument(option, metavar="VALUE", help="as Compose has it; 0 is no limit")
    made.add_argument("--restart", metavar="POLICY", help="no, always, on-failure[:N] or unless-stopped")
    return made


def add_looking_verbs(add: Add) -> None:
    """top, stats, inspect and ps."""
    _services(add("top", looking.top, "show the processes of containers, numbers as the host sees them"))
    stats = add("stats", looking.stats, "show what containers use")
    stats.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Name}} {{.MemUsage}}', json, or table")
    stats.add_argument("--no-stream", action="store_true", help="once, not every second")
    _services(stats)
    inspect = add("inspect", looking.inspect, "print all that is known of containers, shaped as docker inspect")
    inspect.add_argument("--format", metavar="TEMPLATE", help="such as '{{.State.Status}}'")
    _services(inspect)
    ps = add("ps", listing.ps, "list containers")
    ps.add_argument("-a", "--all", action="store_true", help="those that do not run too")
    ps.add_argument("-q", "--quiet", action="store_true", help="ids only")
    ps.add_argument("--services", action="store_true", help="services only")
    ps.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help="such as status=exited")
    ps.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Name}} {{.Status}}', json, or table TEMPLATE")
    _services(ps)
    port = add("port", listing.port, "print where published ports are reached on this host")
    port.add_argument("service", help="service or container")
    port.add_argument("port", nargs="?", help="port in the container, with /udp for another protocol than tcp")


def add_stream_verbs(add: Add) -> None:
    """Those that carry streams, and the file system of one container as archives."""
    diff = add("diff", history.diff, "show what a container added (A), changed (C), deleted (D), or a generation")
    export = add("export", image_archives.export, "write a container's file system as a plain tar")
    export.add_argument("-o", "--output", default="-", metavar="PATH", help="where to; - is standard output")
    commit = add("commit", image_archives.commit, "make an image of a container")
    commit.add_argument("-m", "--message", default="", help="comment for the image's history")
    for parser in (diff, export, commit):
        parser.add_argument("service", help="service or container")
    diff.add_argument("other", nargs="?", help="with the numbers of two generations: what differs between them")
    commit.add_argument("name", help="the image's name")
    copying = add("cp", streams.copy, "copy files between a container and this host; owners are kept")
    copying.add_argument("-a", "--archive", action="store_true", help="owners are kept (they always are)")
    copying.add_argument("-L", "--follow-link", action="store_true", help="when the source is a link, what it leads to")
    copying.add_argument("source", help="SERVICE:PATH, PATH, or - for a tar from standard input")
    copying.add_argument("target", help="PATH, SERVICE:PATH, or - for a tar to standard output")
    copying.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change")
    events = add("events", happened.events, "print what happened and happens to the project")
    events.add_argument("--since", metavar="TIME", help="RFC 3339, seconds since 1970, or a duration back from now")
    events.add_argument("--until", metavar="TIME", help="like --since; without it, go on")
    events.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help="event= or container=")
    one_offs.add(add("run", one_offs.run, "run one command in a container of its own, beside those of the service"))
    attach = add("attach", streams.attach, "join this terminal to a running container")
    attach.add_argument("--no-stdin", action="store_true", help="output only")
    text = "pass signals on to a container without a terminal"
    attach.add_argument("--sig-proxy", action=argparse.BooleanOptionalAction, default=True, help=text)
    attach.add_argument("--detach-keys", default="ctrl-p,ctrl-q", metavar="KEYS", help="ctrl-p,ctrl-q")
    attach.add_argument("service", help="service or container")


def _services(parser: argparse.ArgumentParser, *, some: bool = False) -> None:
    text = "services or containers" + ("" if some else "; all when none is named")
    parser.add_argument("service", nargs="+" if some else "*", help=text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 10**9:
        raise argparse.ArgumentTypeError("a number of seconds, zero or more")
    return value
