"""What a build does: the steps of its stages, and the configuration of the image in the end."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from bayplan.errors import Location
from bayplan.runtime.dockerfile.instructions import Instruction
from bayplan.runtime.native.images.build.bases import Base
from bayplan.runtime.native.images.build.files import Entry, content_key
from bayplan.runtime.native.images.build.modes import Mode
from bayplan.runtime.native.images.build.runmounts import Mount
from bayplan.runtime.native.images.build.select import USUAL, Choice


@dataclass(frozen=True)
class Run:
    """A command. ``hidden`` are variables it gets that do not count for the cache (proxies)."""

    instruction: Instruction
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    hidden: tuple[str, ...]
    user: str
    working_dir: str
    script: str | None = None
    """A heredoc with ``#!``: the file that ``arguments`` name."""
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    """``default`` is one made for the build, ``none`` is loopback alone, ``host`` the host's."""
    insecure: bool = False
    """With all privileges."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Further names, with their addresses."""

    def material(self) -> list[Any]:
        """What decides the result, besides the files it starts on."""
        own: list[Any] = [] if self.script is None else [self.script]
        own += [item.material() for item in self.mounts]
        own += [self.network] if self.network != "default" else []
        own += ["insecure"] if self.insecure else []
        own += [["hosts", self.hosts]] if self.hosts else []
        return ["run", self.arguments, sorted(self.environment), self.user, self.working_dir, *own]


@dataclass(frozen=True)
class Copy:
    """Files from the context (``source`` None; ``groups`` are its files), from a stage or from an image."""

    instruction: Instruction
    source: int | Base | None
    patterns: tuple[str, ...]
    target: str
    into: bool
    chown: str
    chmod: Mode | None
    groups: tuple[tuple[Entry, ...], ...] = ()
    choice: Choice = USUAL
    link: bool = False
    """Into a layer that does not depend on what is below it (``--link``)."""

    def material(self) -> list[Any]:
        """What decides the result, besides what it is copied onto and, from a stage, what that holds."""
        files = content_key(self.groups) if self.source is None else list(self.patterns)
        own: list[Any] = ["link"] if self.link else []
        if self.source is not None:
            own += self.choice.material()
        return ["copy", files, self.target, self.into, self.chown, self.chmod and self.chmod.key, *own]

    @property
    def is_independent(self) -> bool:
        """Whether the layers below do not matter; names of users are looked up in them."""
        return self.link and all(part.isdecimal() for part in self.chown.split(":") if self.chown)


@dataclass(frozen=True)
class MakeDirectory:
    """The directory of WORKDIR, and those above it that are missing: they belong to ``user``, empty for root."""

    instruction: Instruction
    path: str
    user: str = ""

    def material(self) -> list[Any]:
        """What decides the result."""
        return ["directory", self.path, *([self.user] if self.user else [])]


Step = Run | Copy | MakeDirectory


@dataclass
class Stage:
    """One stage: what it starts from (an image, an earlier stage, nothing), its steps and its configuration."""

    index: int
    name: str
    where: Location
    base: Base | int | None
    config: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    history: list[tuple[str, bool]] = field(default_factory=list)
    """Instruction and whether it makes a layer."""
    author: str = ""
    platform: str = ""


@dataclass(frozen=True)
class Fingerprint:
    """What an image is made of, in the three parts a user can change."""

    recipe: str
    context: str
    bases: str
    has_urls: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"{self.recipe}.{self.context}.{self.bases}"

    @property
    def digest(self) -> str:
        """The form in which a plan names an image that has yet to be built."""
        return f"fingerprint:{hashlib.sha256(str(self).encode()).hexdigest()}"

    def why(self, earlier: str) -> str:
        """What differs from the fingerprint an image was built with."""
        old = earlier.split(".")
        if len(old) != 3:
            return "the image under this name was not built from this declaration"
        fetched = "a base image or a file behind a URL" if self.has_urls else "a base image"
        names = ("the Dockerfile or its arguments", "the context", fetched)
        changed = [name for name, was, now in zip(names, old, str(self).split("."), strict=True) if was != now]
        return f"{' and '.join(changed)} changed" if changed else "its layers are gone"


@dataclass(frozen=True)
class Recipe:
    """A whole build. ``stages`` are those the target needs, in order; ``epoch`` is seconds since 1970."""

    stages: tuple[Stage, ...]
    epoch: int
    fingerprint: Fingerprint
    notes: tuple[str, ...] = ()
    """What the user should know, with file and line."""

    @property
    def target(self) -> Stage:
        """The stage that becomes the image."""
        return self.stages[-1]

    @property
    def bases(self) -> tuple[Base, ...]:
        """Every image it needs, each once."""
        sources = [stage.base for stage in self.stages]
        steps = [step for stage in self.stages for step in stage.steps]
        sources += [source for step in steps for source in origins(step)]
        return tuple({item.digest: item for item in sources if isinstance(item, Base)}.values())

    @property
    def unknown(self) -> tuple[str, ...]:
        """URLs whose content is known only after they are fetched."""
        steps = [step for stage in self.stages for step in stage.steps if isinstance(step, Copy)]
        entries = [group[0] for step in steps for group in step.groups]
        fetched = [item for item in entries if item.url and not item.content and item.kind != "directory"]
        return tuple(dict.fromkeys(item.url for item in fetched))


def origins(step: Step) -> list[int | Base]:
    """The stages and images that a step takes files from."""
    if isinstance(step, Copy):
        return [] if step.source is None else [step.source]
    return [item.origin for item in step.mounts if item.origin is not None] if isinstance(step, Run) else []


def digest_of(value: object) -> str:
    """sha256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
