"""Verbs of single containers, which a swarm does not have: its tasks are its own to start, stop and move."""

from __future__ import annotations

from typing import Any, NoReturn

from bayplan.errors import UnsupportedError
from bayplan.models import Container
from bayplan.runtime.protocol import Report, silent
from bayplan.runtime.verbs import Finding, Happening


def _refuse(verb: str) -> NoReturn:
    raise UnsupportedError(
        f"a swarm's tasks cannot be asked to {verb}",
        hint="change the declaration; or see to the container on its node, with engine: docker",
    )


class OfOneHost:
    """Refuses each with one clear message. Nothing is changed."""

    def prepare(self, container: Container, *, digest: str = "", report: Report = silent) -> None:
        """Nodes pull by themselves."""

    def start(self, name: str) -> None:
        """Refused."""
        _refuse("start")

    def stop(self, name: str, grace: object = None) -> None:
        """Refused."""
        _refuse("stop")

    def supersede(self, name: str) -> NoReturn:
        """Refused."""
        _refuse("make way")

    def restore(self, aside: str, name: str) -> None:
        """Refused."""
        _refuse("come back")

    def create_beside(self, container: Container, **_: Any) -> NoReturn:
        """Refused."""
        _refuse("make way")

    def take_over(self, beside: str, name: str) -> NoReturn:
        """Refused."""
        _refuse("make way")

    def drain(self, name: str) -> None:
        """Refused."""
        _refuse("make way")

    def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Refused."""
        _refuse("end")

    def pause(self, name: str) -> None:
        """Refused."""
        _refuse("pause")

    def unpause(self, name: str) -> None:
        """Refused."""
        _refuse("go on")

    def rename(self, name: str, new_name: str) -> None:
        """Refused."""
        _refuse("change their names")

    def connect(self, name: str, endpoint: object) -> None:
        """Refused."""
        _refuse("join a network")

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Refused."""
        _refuse("leave a network")

    def exec(self, name: str, *_: Any, **__: Any) -> NoReturn:
        """Refused: the container is on some node."""
        _refuse("run a command")

    def attach(self, name: str, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        _refuse("be attached to")

    def start_attached(self, name: str, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        _refuse("be attached to")

    def await_end(self, name: str, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        _refuse("be waited for")

    def processes(self, name: str) -> NoReturn:
        """Refused."""
        _refuse("show their processes")

    def usage(self, name: str) -> NoReturn:
        """Refused."""
        _refuse("show what they use")

    def copy_out(self, name: str, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        _refuse("give files")

    def copy_in(self, name: str, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        _refuse("take files")

    def export_volume(self, name: str, out: object) -> None:
        """Refused: each node has volumes of its own."""
        _refuse("give a volume's content")

    def import_volume(self, name: str, source: object, *, replace: bool = False) -> None:
        """Refused: each node has volumes of its own."""
        _refuse("take a volume's content")

    def happened(self) -> tuple[Happening, ...]:
        """Nothing is kept of containers."""
        return ()

    def damaged(self) -> tuple[Finding, ...]:
        """The managers keep what they know whole among themselves."""
        return ()
