"""The provider's configuration as it comes from Pulumi: read, checked, and made the place that a session is for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from bayplan.errors import DeclarationError
from bayplan.models import Duration, Settings
from bayplan.pulumi import checking, names, secrecy
from bayplan.pulumi.configuration import Configuration
from bayplan.pulumi.failures import Wrong
from bayplan.pulumi.place import Place
from bayplan.pulumi.values import is_known, plain
from bayplan.pulumi.verdict import Verdict, Way
from bayplan.system.ssh import Remote

HOST_VARIABLE = "BAYPLAN_HOST"
_LOCAL = "local"
_MEMBERS = names.members(Configuration)
_BESIDE = ("version", "pluginDownloadURL")
"""What Pulumi itself puts among the inputs of a provider."""
_ELSEWHERE = ("host", "engine", "engineAddress", "engineContext", "stateRoot")
"""Another value of these is another host or engine: nothing of before is there."""


def read(args: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration by its fields. What is no text comes as JSON; secrets are taken out of their wrapping."""
    given = {name: value for name, value in plain(args).items() if name not in _BESIDE}
    return dict(names.fields(Configuration, {name: _parsed(name, value) for name, value in given.items()}))


def marked(args: Mapping[str, Any]) -> dict[str, Any]:
    """As it came, with what is secret marked: nothing of it is marked when it is checked."""
    return secrecy.wrapped(Configuration, args)


def wrong(values: Mapping[str, Any]) -> list[Wrong]:
    """What is wrong with it, by the paths of its properties."""
    found = checking.of_model(Configuration, values)
    host = values.get("host")
    if isinstance(host, str) and host != _LOCAL:
        try:
            Remote.parse(host)
        except DeclarationError as error:
            found.append(Wrong("host", str(error)))
    return found


def place(values: Mapping[str, Any]) -> Place:
    """Where a session is, with what the environment says of a host that is not given. Raises DeclarationError."""
    host = values.get("host") or os.environ.get(HOST_VARIABLE) or _LOCAL
    registries = {one["registry"]: one for one in values.get("registries") or ()}
    return Place(
        remote=None if host == _LOCAL else Remote.parse(host),
        command=values.get("remote_command") or "",
        ssh_options=tuple(values.get("ssh_options") or ()),
        settings={name: value for name, value in values.items() if name in Settings.model_fields},
        credentials={
            name: {"username": one["username"], "password": one["password"]} for name, one in registries.items()
        },
        connect_timeout_s=_seconds(values.get("connect_timeout"), Place.connect_timeout_s),
        timeout_s=_seconds(values.get("timeout"), Place.timeout_s),
        lock_timeout=values.get("lock_timeout") or Place.lock_timeout,
    )


def differing(olds: Mapping[str, Any], news: Mapping[str, Any]) -> Verdict:
    """What a change of it means: another host or engine has none of the resources, so that all are made anew there."""
    verdict = Verdict()
    for name in sorted({*olds, *news} - set(_BESIDE)):
        old, new = plain(olds.get(name)), plain(news.get(name))
        if old == new and is_known(new):
            continue
        way = Way.ADD if old is None else Way.DELETE if new is None else Way.UPDATE
        verdict.add(name, way, replaces=name in _ELSEWHERE and is_known(new) and not _is_same(name, old, new))
    return verdict


def _is_same(name: str, old: Any, new: Any) -> bool:
    """Whether it is one host, reached by another user or port."""
    if name != "host":
        return False
    hosts = [_LOCAL if one in (None, _LOCAL) else Remote.parse(str(one)).host for one in (old, new)]
    return hosts[0] == hosts[1]


def _parsed(name: str, value: Any) -> Any:
    """A list of the schema that came as JSON; a number is read from its text by the model."""
    of = next((info.annotation for field, info in _MEMBERS.items() if names.camel(field) == name), None)
    if not isinstance(value, str) or names.items(of) is None:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _seconds(given: Any, usual: float) -> float:
    return Duration.parse(given).total_seconds() if given is not None else usual
