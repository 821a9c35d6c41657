"""A project as the bridge is asked for it: by a definition, or by files of the program's directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.pulumi.files import Tree, placed
from bayplan.pulumi.session import Session

_AS_GIVEN = ("profiles", "scale", "locked")
_READ = frozenset(("env_file", "label_file", "extends"))
"""Parts of a service that stand in files of the host, which has them when it is applied."""


class Project:
    """One project on the host of a session. ``values`` are the fields of ``bayplan.pulumi.given.Declaration``."""

    def __init__(self, session: Session, values: Mapping[str, Any]) -> None:
        self._session, self._values = session, values

    @property
    def alone(self) -> dict[str, Any] | None:
        """The request for it where no file belongs to it; None where one may."""
        definition = self._values.get("definition")
        if definition is None or self._values.get("directory") is not None or _names_files(definition):
            return None
        return self._stack()[0]

    def plan(self, *, text: bool = False) -> dict[str, Any]:
        """The plan of it; ``text`` as the command prints it. Changes nothing."""
        return self._ask("plan", {"text": text}, self._session.connection.place.timeout_s)

    def apply(self, options: Mapping[str, Any], *, timeout_s: float | None) -> dict[str, Any]:
        """Bring the host to it."""
        return self._ask("apply", options, timeout_s)

    def destroy(self, *, volumes: bool, images: bool, timeout_s: float | None) -> None:
        """Remove what the host has of it. Of images only the declaration knows which they are."""
        options = {"volumes": volumes, "images": images}
        if images:
            self._ask("destroy", options, timeout_s)
            return
        stack = {"project_name": self._values["project"]}
        self._session.connection.ask("destroy", options, timeout_s=timeout_s, stack=stack)

    def _ask(self, verb: str, options: Mapping[str, Any], timeout_s: float | None) -> dict[str, Any]:
        stack, tree = self._stack()
        if tree is None:
            return self._session.connection.ask(verb, options, timeout_s=timeout_s, stack=stack)
        stack["sent"] = tree.request(str(self._values.get("project") or tree.top.name))
        ask = self._session.connection.ask
        return self._session.with_files(tree, lambda: ask(verb, options, timeout_s=timeout_s, stack=stack))

    def _stack(self) -> tuple[dict[str, Any], Tree | None]:
        values = self._values
        stack = {name: values[name] for name in _AS_GIVEN if values.get(name)}
        stack |= {"project_name": values.get("project"), "env": values.get("environment") or {}}
        if values.get("definition") is not None:
            stack["definition"] = values["definition"]
        elif values.get("files"):
            stack["files"] = list(values["files"])
        if values.get("definition") is not None and values.get("directory") is None:
            return stack, None
        top = Path(placed(values.get("directory") or ".", self._session.directory))
        if self._session.is_remote:
            return stack, Tree(top)
        return {**stack, "project_src": str(top)}, None


def _names_files(definition: Mapping[str, Any]) -> bool:
    services = definition.get("services")
    each = services.values() if isinstance(services, Mapping) else ()
    return "include" in definition or any(isinstance(one, Mapping) and not _READ.isdisjoint(one) for one in each)
