"""``image``, ``build``, ``pull_policy`` and ``platform`` of services: each image once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.grants import Places, read_build_secrets
from bayplan.load.compose.limits import as_size
from bayplan.load.compose.nodes import Node, as_flag, as_text, check_keys, not_built, pairs, text_map, texts, wrong
from bayplan.load.compose.paths import below
from bayplan.load.compose.service import hosts, ulimits
from bayplan.load.compose.validate import make
from bayplan.models import Build, Duration, Image, ImageReference, PullPolicy
from bayplan.models.git_url import parse

_PERIODS = {"daily": "1d", "weekly": "1w"}
_PART = re.compile(r"(\d+)([wdhms])")
_UNIT_S = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_POLICIES = {"always": "always", "never": "never", "missing": "missing", "if_not_present": "missing", "build": "build"}


@dataclass
class ImageReader:
    """Collects the images of a stack by their full reference."""

    project: str
    places: Places
    secrets: Mapping[str, Node] = field(default_factory=dict)
    """Those declared at the top."""
    found: dict[str, Image] = field(default_factory=dict)

    def read(self, service: Node, key: str) -> str:
        """The service's image, as first spelled in the stack. Raises DeclarationError."""
        given, build = service.get("image"), service.get("build")
        if given is None and build is None:
            raise wrong(service, "has neither an image nor a build")
        name = as_text(given) if given else f"{self.project}-{key}"
        try:
            full = str(ImageReference.parse(name))
        except ValueError as error:
            raise wrong(given or service, str(error)) from error
        values: dict[str, Any] = {"name": name}
        if policy := service.get("pull_policy"):
            values |= _policy(policy)
        if platform := service.get("platform"):
            values["platform"] = as_text(platform)
        if build:
            values["build"] = self._build(build)
            platforms = build.get("platforms") if isinstance(build.value, dict) else None
            if platforms and len(texts(platforms)) == 1:
                values["platform"] = _platform(platforms, values.get("platform"))
        image = make(Image, service, values)
        known = self.found.get(full)
        self.found[full] = _joined(known, image, service) if known else image
        return self.found[full].name

    def mounted(self, node: Node) -> str:
        """An image that is mounted, as first spelled in the stack. Raises DeclarationError."""
        name = as_text(node)
        try:
            full = str(ImageReference.parse(name))
        except ValueError as error:
            raise wrong(node, str(error)) from error
        return self.found.setdefault(full, make(Image, node, {"name": name})).name

    def _build(self, node: Node) -> Build:
        if not isinstance(node.value, dict):
            return Build(context=self._context(node))
        check_keys(node, built=keys.BUILD_BUILT, known=keys.BUILD_KNOWN)
        context = node.get("context")
        values: dict[str, Any] = {"context": self._context(context) if context else str(self.places.directory)}
        readers: dict[str, Callable[[Node], Any]] = {
            **dict.fromkeys(("dockerfile", "dockerfile_inline", "target"), as_text),
            **dict.fromkeys(("no_cache", "pull"), as_flag),
            "entitlements": texts,
            "tags": texts,
            "network": _network,
            "extra_hosts": hosts,
            "shm_size": as_size,
            "ulimits": ulimits,
            "ssh": self._ssh,
        }
        values |= {name: read(found) for name, read in readers.items() if (found := node.get(name))}
        if (platforms := node.get("platforms")) and len(texts(platforms)) > 1:
            values["platforms"] = texts(platforms)
        values["labels"] = text_map(node.get("labels"))
        if wanted := node.get("secrets"):
            values["secrets"] = read_build_secrets(wanted, self.secrets, self.places)
        if args := node.get("args"):
            given = (
                (name, self.places.environment.get(name) if value is None else value) for name, value, _ in pairs(args)
            )
            values["args"] = {name: value for name, value in given if value is not None}
        if "dockerfile" in values and "dockerfile_inline" in values:
            raise wrong(node, "dockerfile and dockerfile_inline exclude each other")
        return make(Build, node, values)

    def _ssh(self, node: Node) -> dict[str, str]:
        """Ids to sockets; one without a path is the caller's own agent."""
        found = {}
        for name, value, place in pairs(node):
            path = value or self.places.environment.get("SSH_AUTH_SOCK", "")
            if not path:
                raise wrong(
                    place, f"no agent for {name}: SSH_AUTH_SOCK is not set", hint="give it a path, or ssh-agent(1)"
                )
            found[name] = os.path.normpath(below(self.places.directory, path, place))
        return found

    def _context(self, node: Node) -> str:
        text = as_text(node)
        try:
            if parse(text):
                return text
        except ValueError as error:
            raise wrong(node, str(error)) from error
        if "://" in text:
            raise not_built(node, f"a build context at {text!r}, which is no Git repository, is not built yet")
        return os.path.normpath(below(self.places.directory, text, node))


def _network(node: Node) -> str:
    found = as_text(node)
    if found not in ("default", "none", "host"):
        raise not_built(node, f"a build on network {found!r} is not built yet: it is default, none or host")
    return found


def _platform(node: Node, declared: Any) -> str:
    """The one platform to build for. Raises DeclarationError."""
    (found,) = texts(node)
    if declared not in (None, found):
        raise wrong(node, f"the service is for platform {declared}, its build for {found}")
    return found


def _policy(node: Node) -> dict[str, Any]:
    """``pull``, or for daily, weekly and every_DURATION ``pull_every``."""
    text = as_text(node)
    period = _PERIODS.get(text, text.removeprefix("every_") if text.startswith("every_") else "")
    if period:
        parts = _PART.findall(period)
        if not parts or "".join(number + unit for number, unit in parts) != period or set(period) <= set("0wdhms"):
            raise wrong(node, f"{text!r} is not every_ and a duration", hint="such as every_12h or every_1d12h")
        return {"pull_every": Duration(seconds=sum(int(number) * _UNIT_S[unit] for number, unit in parts))}
    if text not in _POLICIES:
        raise wrong(node, f"unknown policy {text!r}", hint=", ".join([*_POLICIES, *_PERIODS, "every_DURATION"]))
    return {"pull": PullPolicy(_POLICIES[text])}


def _joined(known: Image, image: Image, service: Node) -> Image:
    """One image wanted by two services: at most one way to build it, the policy that was said goes first."""
    if known.build and image.build and known.build != image.build:
        raise wrong(service, f"image {image.name!r} is built in two ways", hint="give one of them another image name")
    if known.platform and image.platform and known.platform != image.platform:
        raise wrong(service, f"image {image.name!r} is wanted for two platforms")
    pull = image.pull if known.pull is PullPolicy.MISSING else known.pull
    periods = [item.pull_every for item in (known, image) if item.pull_every]
    update = {
        "build": known.build or image.build,
        "platform": known.platform or image.platform,
        "pull": pull,
        "pull_every": min(periods, default=None),
    }
    return known.model_copy(update=update)
