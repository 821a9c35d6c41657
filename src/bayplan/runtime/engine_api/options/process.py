"""Options of the process that a container runs."""

from __future__ import annotations

import math
import signal
from typing import Any

from bayplan.models import Container, Duration, ImageReference, Ulimit
from bayplan.runtime.engine_api.options.option import UNREADABLE, Inherited, Option, Plain, build, same
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen


@frozen
class Image(Option):
    """The reference; a container that was made from an image's id does not say which name that had."""

    def write(self, wanted: Container, body: Body) -> None:
        """As it was declared."""
        body.config["Image"] = wanted.image

    def read(self, shape: Shape) -> Any:
        """The whole reference."""
        found = str(shape.config.get("Image") or "")
        if not found or found.startswith("sha256:"):
            return UNREADABLE
        try:
            return str(ImageReference.parse(found))
        except ValueError:
            return found


@frozen
class Entrypoint(Option):
    """The program. The API takes one empty word for none at all."""

    def write(self, wanted: Container, body: Body) -> None:
        """Its words."""
        if wanted.entrypoint is not None:
            body.config["Entrypoint"] = list(wanted.entrypoint) or [""]

    def read(self, shape: Shape) -> Any:
        """Unset where it is the image's."""
        found = tuple(shape.config.get("Entrypoint") or ())
        return None if found == tuple(shape.image.get("Entrypoint") or ()) else found


@frozen
class Command(Option):
    """The arguments. None at all can only be said together with the program: the API takes it for the image's."""

    def write(self, wanted: Container, body: Body) -> None:
        """Its words."""
        if wanted.command is None:
            return
        body.config["Cmd"] = list(wanted.command)
        if not wanted.command and wanted.entrypoint is None and body.image.get("Entrypoint"):
            body.config["Entrypoint"] = list(body.image["Entrypoint"])

    def read(self, shape: Shape) -> Any:
        """Unset where it is the image's; another program drops that."""
        found, image = tuple(shape.config.get("Cmd") or ()), tuple(shape.image.get("Cmd") or ())
        if (shape.config.get("Entrypoint") or []) != (shape.image.get("Entrypoint") or []):
            return found or None
        return None if found == image else found


@frozen
class Environment(Option):
    """Variables over the image's."""

    def write(self, wanted: Container, body: Body) -> None:
        """As NAME=VALUE."""
        if wanted.environment:
            body.config["Env"] = [f"{name}={value}" for name, value in wanted.environment.items()]

    def read(self, shape: Shape) -> Any:
        """Those that are not the image's."""
        image = set(shape.image.get("Env") or ())
        pairs = (entry.partition("=") for entry in shape.config.get("Env") or () if entry not in image)
        return {name: value for name, _, value in pairs}


@frozen
class Hostname(Plain):
    """Host name inside: by default the id's beginning, the host's own, or that of whose network is shared."""

    def read(self, shape: Shape) -> Any:
        """Unset for a default."""
        found, mode = shape.config.get("Hostname") or None, str(shape.host.get("NetworkMode", ""))
        shared = mode.startswith("container:") or (
            (mode == "host" or shape.host.get("UTSMode") == "host") and found == shape.engine.host
        )
        return None if shared or found == shape.id[:12] else found


@frozen
class Ulimits(Option):
    """Limits of getrlimit(2)."""

    def write(self, wanted: Container, body: Body) -> None:
        """By name."""
        if wanted.ulimits:
            body.host["Ulimits"] = [
                {"Name": name, "Soft": limit.soft, "Hard": limit.hard} for name, limit in wanted.ulimits.items()
            ]

    def read(self, shape: Shape) -> Any:
        """By name. The engine shows them in any order, in another one each time."""
        found = sorted(shape.host.get("Ulimits") or (), key=lambda one: str(one["Name"]))
        return {one["Name"]: build(Ulimit, soft=one["Soft"], hard=one["Hard"]) for one in found}

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """Without those that nobody declared: a start adds the engine's own default ones."""
        wanted = self.read(own)
        seen = {name: limit for name, limit in self.read(found).items() if name in wanted}
        return declared if seen == wanted else seen


def signal_name(text: str) -> str:
    """Any spelling of a signal as SIGNAME."""
    name = signal.Signals(int(text)).name if text.isdigit() else text.upper()
    return name if name.startswith("SIG") else f"SIG{name}"


def grace_seconds(grace: Duration) -> int:
    """Whole seconds, as the API counts: never less than asked for."""
    return math.ceil(grace.total_seconds())


OPTIONS: tuple[Option, ...] = (
    Image("image"),
    Entrypoint("entrypoint"),
    Command("command"),
    Environment("environment"),
    Inherited("working_dir", place="config", key="WorkingDir", defaults=("/",)),
    Inherited("user", place="config", key="User", defaults=("0", "root", "0:0")),
    Plain("group_add", key="GroupAdd", to=list, back=tuple),
    Hostname("hostname", place="config", key="Hostname"),
    Plain("domainname", place="config", key="Domainname"),
    Ulimits("ulimits"),
    Plain("tty", place="config", key="Tty", back=bool),
    Plain("stdin_open", place="config", key="OpenStdin", back=bool),
    Plain("stdin_once", place="config", key="StdinOnce", back=bool),
    Plain("init", key="Init", back=bool),
    Plain("oom_score_adj", key="OomScoreAdj", to=same),
    Inherited("stop_signal", place="config", key="StopSignal", to=str, back=signal_name, defaults=("SIGTERM",)),
    Plain(
        "stop_grace_period",
        place="config",
        key="StopTimeout",
        to=grace_seconds,
        back=lambda found: Duration(seconds=found),
        defaults=(10,),
    ),
)
