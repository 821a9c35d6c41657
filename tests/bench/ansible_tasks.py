"""What tasks of the collection take: ``ansible_tasks.py [--runs N] [--count N] [--community DIR]``.

In turn, each the whole ansible-playbook: an empty play, ``stack`` of ``count`` containers (20) from nothing and with
nothing to do, a play of one and of eleven tasks on single resources, local and over pipelined SSH (an sshd of its own
on loopback). With ``--community``, a directory that holds ``ansible_collections/community/docker`` (the distribution
``ansible`` of PyPI has it), the same through a Docker engine of its own, by both collections. Needs root. No bar is
asserted.
"""

import argparse
import os
import secrets
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import engines
from bench import core as own_core
from busybox import add_busybox
from plays import Plays, verdict
from sshd import sshd

MORE = 10
SLEEP = {"image": "lab/busybox", "command": ["sleep", "3600"], "stop_grace_period": "0s"}


def definition(count):
    """A Compose file's content."""
    return {"services": {f"s{number}": SLEEP for number in range(count)}}


def volumes(count, **options):
    """Tasks on single resources, each another."""
    return [{"bayplan.containers.volume": {"name": f"bench-{number}", **options}} for number in range(count)]


def defaults(settings):
    """Keywords of a play whose tasks reach this core."""
    return {"module_defaults": {"group/bayplan.containers.all": {"settings": settings}}}


def ours(plays, count, settings, where, *, empty):
    """One round of all plays on the native core."""
    stack = {"definition": definition(count), "project_name": "bench"}
    known = defaults(settings)
    plays.run(f"{where}: empty play", empty)
    plays.run(f"{where}: stack of {count}, first up", [{"bayplan.containers.stack": stack}], **known)
    plays.run(f"{where}: stack of {count}, nothing to do", [{"bayplan.containers.stack": stack}], **known)
    down = {"project_name": "bench", "state": "absent"}
    plays.run(f"{where}: stack of {count}, down", [{"bayplan.containers.stack": down}], **known)
    plays.run("(made)", volumes(MORE + 1), **known)
    for number in (1, MORE + 1):
        plays.run(f"{where}: {number} volumes, nothing to do", volumes(number), **known)
    plays.run("(gone)", volumes(MORE + 1, state="absent"), **known)


def community(plays, count, engine, state):
    """One round through Docker, by both collections."""
    address = {"docker_host": engine.socket}
    one = {"image": "lab/busybox", "command": ["sleep", "3600"], "stop_timeout": 0, **address}
    loop = {
        "community.docker.docker_container": {**one, "name": "peer-{{ item }}", "state": "{{ wanted }}"},
        "loop": list(range(count)),
    }
    for wanted, case in (("started", "first up"), ("started", "nothing to do"), ("absent", "down")):
        plays.run(f"docker: community.docker, {count} in a loop, {case}", [loop], vars={"wanted": wanted})
    known = defaults({"state_root": str(state)})
    through = {"engine": "docker", "engine_address": engine.socket, "project_name": "bench"}
    up = {"bayplan.containers.stack": {**through, "definition": definition(count)}}
    down = {"bayplan.containers.stack": {**through, "state": "absent"}}
    for task, case in ((up, "first up"), (up, "nothing to do"), (down, "down")):
        plays.run(f"docker: bayplan stack of {count}, {case}", [task], **known)
    for number in (1, MORE + 1):
        theirs = [{"community.docker.docker_volume": {"name": f"b{item}", **address}} for item in range(number)]
        plays.run(f"docker: community.docker, {number} volumes", theirs)
        options = {"engine": "docker", "engine_address": engine.socket}
        plays.run(f"docker: bayplan, {number} volumes", volumes(number, **options), **known)


def further(plays, name):
    """Seconds of each further task: of eleven, without what one takes."""
    return (plays.median(name.format(MORE + 1)) - plays.median(name.format(1))) / MORE


def main():
    """Measure, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--community", type=Path)
    parser.add_argument("--python", default=sys.executable, help="interpreter of the targets, which has the package")
    options = parser.parse_args()
    count, root = options.count, Path("/var/lib/bayplan-bench") / secrets.token_hex(4)
    root.mkdir(parents=True)
    with ExitStack() as held:
        held.callback(shutil.rmtree, root, ignore_errors=True)
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="bp")))
        address, path = held.enter_context(sshd(folder / "sshd"))
        settings = held.enter_context(own_core())
        add_busybox(settings.state_root / "images")
        engine = held.enter_context(engines.serve("docker", root)) if options.community else None
        plays = Plays(folder, also=options.community or "", path=path, python=options.python)
        local = {"localhost": {"ansible_connection": "local"}}
        remote = {"remote": {"ansible_host": "127.0.0.1", "ansible_port": int(address.rpartition(":")[2])}}
        given = settings.model_dump(mode="json", exclude_unset=True)
        for _ in range(options.runs):
            plays.inventory(local)
            ours(plays, count, given, "local", empty=[])
            plays.inventory(remote)
            ours(plays, count, given, "ssh", empty=[{"ansible.builtin.ping": {}}])
            if engine:
                plays.inventory(local)
                community(plays, count, engine, root / "state")
    print(plays.table())
    nothing, first = (plays.median(f"local: stack of {count}, {case}") for case in ("nothing to do", "first up"))
    print(
        verdict(f"stack of {count}, nothing to do, times an empty play", nothing / plays.median("local: empty play"), 2)
    )
    print(verdict(f"stack of {count}, first up, s", first, 1.5))
    print(verdict("each further task, local, s", further(plays, "local: {} volumes, nothing to do"), 0.25))
    print(verdict("each further task, ssh, s", further(plays, "ssh: {} volumes, nothing to do"), 0.35))


if __name__ == "__main__":
    main()
