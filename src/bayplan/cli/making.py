"""``network create`` and ``volume create``: what a project then names as external."""

from __future__ import annotations

import argparse
from argparse import Namespace
from typing import Any

from pydantic import ValidationError

from bayplan import app
from bayplan.bridge import networks as spelled
from bayplan.bridge.request import said
from bayplan.cli.common import opened
from bayplan.cli.converging import carry_out
from bayplan.errors import ConflictError, DeclarationError
from bayplan.models import Network, Stack, Volume
from bayplan.reconcile.plan import Plan
from bayplan.runtime.protocol import Scope


def network_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``network create``, as `docker network create` names them."""
    parser.add_argument("-d", "--driver", default="bridge", help="bridge, macvlan or ipvlan; bridge")
    parser.add_argument("--subnet", action="append", default=[], metavar="RANGE", help="address range; one of the pool")
    parser.add_argument("--gateway", action="append", default=[], metavar="ADDRESS", help="of the subnet at its place")
    parser.add_argument("--ip-range", action="append", default=[], metavar="RANGE", help="of the subnet at its place")
    parser.add_argument("--internal", action="store_true", help="without a way out")
    parser.add_argument("--ipv6", action="store_true", help="with IPv6")
    _common(parser)


def volume_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``volume create``, as `docker volume create` names them."""
    _common(parser)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--opt", action="append", default=[], metavar="KEY=VALUE", help="option of the driver")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="label")
    parser.add_argument("name")


def network(options: Namespace) -> int:
    """Make a network of no project. Raises ConflictError for a name that is taken, DeclarationError."""
    longest = max(map(len, (options.subnet, options.gateway, options.ip_range)))
    pools = [
        {
            key: given[place]
            for key, given in (("subnet", options.subnet), ("gateway", options.gateway), ("iprange", options.ip_range))
            if place < len(given)
        }
        for place in range(longest)
    ]
    given = {"name": options.name, "driver": options.driver, "internal": options.internal, "enable_ipv6": options.ipv6}
    values = spelled.read({**given, "ipam_config": pools, "driver_options": _pairs(options.opt)})
    return _make(options, Stack(name="", networks=(_valid(Network, {**values, "labels": _pairs(options.label)}),)))


def volume(options: Namespace) -> int:
    """Make a volume of no project. Raises as ``network``."""
    values = {"name": options.name, "driver_opts": _pairs(options.opt), "labels": _pairs(options.label)}
    return _make(options, Stack(name="", volumes=(_valid(Volume, values),)))


def _make(options: Namespace, wanted: Stack) -> int:
    (resource,) = wanted.resources()
    with opened(options) as (runtime, settings):

        def make() -> Plan:
            if runtime.observe(Scope(names=(resource.id,))).get(resource.id) is not None:
                kind = resource.kind.value
                raise ConflictError(f"{resource.id} exists", hint=f"see `bayplan {kind} inspect {resource.name}`")
            return app.plan_single(wanted, runtime)

        return carry_out(options, make, runtime, settings)


def _valid(model: Any, values: dict[str, Any]) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise DeclarationError(said(error)) from error


def _pairs(given: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in given)}
