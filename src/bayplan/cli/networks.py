"""``bayplan network``: what there is, removal, and containers put on and off by hand."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from pydantic import ValidationError

from bayplan import app
from bayplan.app.unused import networks, remove
from bayplan.bridge.request import said
from bayplan.cli import making
from bayplan.cli.common import lock_timeout, opened, quiet_option, say, show, show_list
from bayplan.cli.formatted import formatted
from bayplan.cli.template import render
from bayplan.errors import DeclarationError, InUseError, NotFoundError
from bayplan.models import Endpoint, Kind, Network
from bayplan.reconcile.verbs import Command
from bayplan.runtime.protocol import Observed


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verbs and their options."""
    parser = sub.add_parser("network", help="list, inspect, remove, connect and disconnect networks")
    verbs = parser.add_subparsers(dest="network_verb", required=True, metavar="VERB")

    def verb(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.add_argument("--json", action="store_true", help="print JSON instead of text")
        made.set_defaults(run=run)
        return made

    joining = verb("connect", connect, "put a container on a network; an apply sees that as drift")
    joining.add_argument("--ip", metavar="ADDRESS", help="IPv4 address; the next free one")
    joining.add_argument("--ip6", metavar="ADDRESS", help="IPv6 address, on a network that has IPv6")
    joining.add_argument("--alias", action="append", default=[], metavar="NAME", help="a further name on this network")
    joining.add_argument("--mac-address", metavar="MAC", help="MAC address; one made of the address")
    joining.add_argument("--link-local-ip", action="append", default=[], metavar="ADDRESS", help="a further address")
    joining.add_argument("--gw-priority", type=int, default=0, metavar="N", help="the way out is by the highest one; 0")
    leaving = verb("disconnect", disconnect, "take a container off a network; an apply sees that as drift")
    leaving.add_argument("-f", "--force", action="store_true", help="also when its published ports close with that")
    for parser in (joining, leaving):
        parser.add_argument("network", help="name of the network")
        parser.add_argument("container", help="name of the container")
        parser.add_argument("--lock-timeout", metavar="DURATION", help="wait at most this long for another change")
    making.network_options(verb("create", making.network, "make a network, which projects name as external"))
    listed = verb("ls", ls, "list networks")
    listed.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Name}}', json")
    quiet_option(listed)
    shown = verb("inspect", inspect, "show networks whole, shaped as `docker network inspect`")
    shown.add_argument("--format", metavar="TEMPLATE", help="such as '{{.Driver}}'")
    shown.add_argument("name", nargs="+")
    verb("rm", rm, "remove networks that no container uses").add_argument("name", nargs="+")
    pruned = verb("prune", prune, "remove every network of ours that no container uses")
    pruned.add_argument("--dry-run", action="store_true", help="only list them")
    pruned.add_argument("-f", "--force", action="store_true", help="do not ask")


def ls(options: Namespace) -> int:
    """One line for each network."""
    with opened(options) as (runtime, _):
        found = runtime.networks_there()
    if options.format:
        say(formatted(options.format, [_fields(item) for item, _ in found], ("ID", "Name", "Driver", "Scope")))
        return 0
    data = [_as_json(item, users) for item, users in found]
    show_list(options, data, ("NAME", "PROJECT", "SUBNETS", "USED BY", "DEFECTS"), [_row(*item) for item in found])
    return 0


def _row(item: Observed, users: Sequence[str]) -> tuple[str, ...]:
    ranges = ", ".join(value for key, value in item.status.addresses.items() if key.endswith("subnet"))
    return (item.id.name, item.project or "-", ranges, ", ".join(users) or "unused", "; ".join(item.defects))


def inspect(options: Namespace) -> int:
    """JSON in any case."""
    with opened(options) as (runtime, _):
        found = [dict(runtime.inspect_network(name)) for name in options.name]
    if options.format:
        print("\n".join(render(options.format, item) for item in found))
    else:
        print(json.dumps(found, indent=None if options.json else 2))
    return 0


def rm(options: Namespace) -> int:
    """All of them or, when one is used or unknown, none."""
    with opened(options) as (runtime, _), runtime.lock("removal of networks"):
        found = {item.id.name: users for item, users in runtime.networks_there()}
        for name in options.name:
            if name not in found:
                raise NotFoundError(f"network {name} does not exist", hint="see `bayplan network ls`")
            if found[name]:
                users = ", ".join(found[name])
                raise InUseError(f"network {name} is used by containers {users}", hint="remove those first")
        remove(Kind.NETWORK, options.name, runtime)
    show(options, {"removed": options.name}, "\n".join(options.name))
    return 0


def connect(options: Namespace) -> int:
    """On a running container its processes go on."""
    given = {"ipv4_address": options.ip, "ipv6_address": options.ip6}
    mac = options.mac_address.lower() if options.mac_address else None
    further = {"link_local_ips": tuple(options.link_local_ip), "gw_priority": options.gw_priority}
    return _carry_out(options, {**given, **further, "mac_address": mac, "aliases": tuple(options.alias)})


def disconnect(options: Namespace) -> int:
    """The same the other way."""
    return _carry_out(options, {})


def _carry_out(options: Namespace, values: dict[str, Any]) -> int:
    try:
        endpoint = Endpoint.model_validate({"network": options.network, **values})
    except ValidationError as error:
        raise DeclarationError(said(error)) from error
    asked = Command(options.network_verb, force=getattr(options, "force", False), endpoint=endpoint)
    timeout = lock_timeout(options)
    with opened(options) as (runtime, settings):
        done = app.command(asked, [options.container], runtime, settings, lock_timeout=timeout)
    for failure in done.failed.values():
        raise failure
    show(options, {"verb": asked.verb, "done": list(done.names), "network": options.network}, options.container)
    return 0


def prune(options: Namespace) -> int:
    """What ``--dry-run`` lists is what is removed: asked for and removed under one lock, which is a change itself."""
    lock = "removal of unused networks"
    with opened(options) as (runtime, _), nullcontext() if options.dry_run else runtime.lock(lock):
        unused = networks(runtime)
        if unused and not options.dry_run:
            _confirm(options, unused)
            remove(Kind.NETWORK, unused, runtime)
    show(
        options,
        {"removed": [] if options.dry_run else unused, "unused": unused},
        "\n".join(unused) or "Nothing to remove.",
    )
    return 0


def _confirm(options: Namespace, names: list[str]) -> None:
    if options.force:
        return
    if not sys.stdin.isatty():
        raise DeclarationError(
            f"{len(names)} networks would be removed", hint="--dry-run lists them, --force removes them"
        )
    print("\n".join(names), file=sys.stderr)
    if input("Remove these networks? [y/N] ").strip().lower() not in ("y", "yes"):
        raise KeyboardInterrupt


def _as_json(item: Observed, users: tuple[str, ...]) -> dict[str, Any]:
    network = item.actual
    assert isinstance(network, Network)
    driver = {"name": network.name, "driver": network.driver, "internal": network.internal, "bridge": item.handle}
    live = {"addresses": dict(item.status.addresses), "users": list(users), "defects": list(item.defects)}
    return {**driver, "project": item.project, "labels": dict(network.labels), **live}


def _fields(item: Observed) -> dict[str, object]:
    """Those of a template, as docker network ls names them."""
    declared = item.actual
    assert isinstance(declared, Network)
    return {
        "ID": item.handle,
        "Name": declared.name,
        "Driver": declared.driver,
        "Scope": "local",
        "IPv4": declared.enable_ipv4,
        "IPv6": declared.enable_ipv6,
        "Internal": declared.internal,
        "Labels": dict(declared.labels),
    }
