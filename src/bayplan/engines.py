"""Settings, and the engine that they name: which one it is, and how it is opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bayplan.errors import BayplanError, DeclarationError, UnsupportedError
from bayplan.models import Settings
from bayplan.record import engines as recorded
from bayplan.runtime.protocol import Runtime
from bayplan.system.probes import probe

if TYPE_CHECKING:
    from bayplan.runtime.engine_api.images.lent import LentBuilder

CONFIG_FILE = Path("/etc/bayplan/config.toml")
_PREFIX = "BAYPLAN_"
_OTHERS = frozenset(_PREFIX + name for name in ("CONFIG", "COMMAND", "LAB", "ENGINES", "SUPERVISOR_UNIT", "VM"))
"""Variables that are no settings: where those are, and what our playbooks, units and tests are told."""
_log = logging.getLogger("bayplan.settings")
_KINDS = ("native", "docker", "podman", "swarm")
_SOCKETS = {"docker": Path("/var/run/docker.sock"), "podman": Path("/run/podman/podman.sock")}


def load_settings(environ: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Settings from the file (``BAYPLAN_CONFIG`` names another), the environment, and ``overrides``, later ones win.

    Raises DeclarationError naming the setting and where it stands.
    """
    environ = os.environ if environ is None else environ
    path = Path(environ.get("BAYPLAN_CONFIG", str(CONFIG_FILE)))
    values: dict[str, object] = {}
    if probe(path).is_file():
        import tomllib

        try:
            values.update(tomllib.loads(path.read_text()))
        except tomllib.TOMLDecodeError as error:
            raise DeclarationError(f"not TOML: {error}", where=str(path)) from error
    _check_names(values, str(path), environ)
    for name in Settings.model_fields:
        given = environ.get(_PREFIX + name.upper())
        if given is not None:
            values[name] = tuple(given.split(":")) if name == "registries_conf" else given
    values.update(overrides or {})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = "settings" if first["loc"][0] in (overrides or {}) else f"{path} or {_PREFIX}{name.upper()}"
        raise DeclarationError(f"setting {name}: {first['msg']}", where=where) from error


def _check_names(values: Iterable[str], where: str, environ: Mapping[str, str]) -> None:
    """Raise DeclarationError for a setting of the file that is none; warn of a variable that is one but for a slip."""
    known = Settings.model_fields
    variables = [name for name in environ if name.startswith(_PREFIX) and name not in _OTHERS]
    slips = [name for name in variables if name.removeprefix(_PREFIX).lower() not in known]
    strange = [name for name in values if name not in known]
    if not slips and not strange:
        return
    from difflib import get_close_matches

    for name in strange:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        raise DeclarationError(f"there is no setting {name}", where=where, hint=hint)
    for name in slips:
        if near := get_close_matches(name.removeprefix(_PREFIX).lower(), known, n=1, cutoff=0.8):
            _log.warning("%s is no setting, and is ignored: did you mean %s%s?", name, _PREFIX, near[0].upper())


def sockets() -> list[str]:
    """Kinds of engines whose usual sockets are there to be used."""
    return [kind for kind, socket in _SOCKETS.items() if os.access(socket, os.R_OK | os.W_OK)]


def chosen(settings: Settings, project: Callable[[], str] = str) -> Settings:
    """The settings with one engine: the one they name; for ``auto`` who has the project, else the core of this host.

    An address or context that is named says it too: whoever answers there. ``project`` gives a name, or an empty one
    for what is in none; it is asked only when that matters.
    """
    engine: str = settings.engine
    if engine == "auto":
        engine = _found(settings, project)
    update: dict[str, object] = {"engine": engine}
    if engine != "native" and os.geteuid() != 0 and "state_root" not in settings.model_fields_set:
        # What is kept of another engine's resources needs no root, as that engine may not.
        home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
        update["state_root"] = Path(home) / "bayplan"
    return settings.model_copy(update=update)


def _found(settings: Settings, project: Callable[[], str]) -> str:
    if settings.engine_address or settings.engine_context:
        from bayplan.runtime.engine_api.looking import kind_of

        kind = kind_of(settings)
        name = project() if kind == "docker" else ""
        return (_holder(settings, kind, name) if name else None) or kind
    record = settings.state_root / "record.db"
    kinds = sockets()
    name = project() if kinds or os.access(record, os.R_OK) else ""
    noted = recorded.engine_of(record, name)
    if noted in _KINDS:
        return noted
    there = (_holder(settings, kind, name) for kind in kinds if name)
    return next(filter(None, there), "native")


def _holder(settings: Settings, kind: str, project: str) -> str | None:
    from bayplan.runtime.engine_api.looking import holder

    try:
        return holder(settings, kind, project)
    except BayplanError:
        return None  # an engine that does not answer has not been chosen by anybody


@contextmanager
def open_runtime(settings: Settings) -> Iterator[Runtime]:
    """The engine that the settings name; closed at the end.

    Raises UnsupportedError when the native core is asked for without root; UnavailableError, AccessDeniedError and
    UnsupportedError for another engine that does not answer, may not be used or is too old.
    """
    runtime = _made(chosen(settings))
    try:
        yield runtime
    finally:
        runtime.close()


def _made(settings: Settings) -> Runtime:
    if settings.engine == "native":
        if os.geteuid() != 0:
            raise UnsupportedError("the native core needs root", hint="run as root, with sudo; Ansible: become: true")
        from bayplan.runtime.native.runtime import NativeRuntime

        return NativeRuntime(settings)
    lent = _lender(settings)
    if settings.engine == "docker":
        from bayplan.runtime.docker import DockerRuntime

        return DockerRuntime(settings, lent=lent)
    if settings.engine == "podman":
        from bayplan.runtime.podman import PodmanRuntime

        return PodmanRuntime(settings, lent=lent)
    if settings.engine == "swarm":
        from bayplan.runtime.swarm.runtime import SwarmRuntime

        return SwarmRuntime(settings)
    raise UnsupportedError(f"engine {settings.engine} is not built yet")


def _lender(settings: Settings) -> LentBuilder | None:
    """Bayplan's own builder for another engine, when the settings ask for it; made at its first use."""
    if settings.builder != "bayplan":
        return None
    from bayplan.runtime.engine_api.images.lent import LentBuilder

    return LentBuilder(lambda: _made(settings.model_copy(update={"engine": "native"})))
