"""The hand-given verbs of the native core (``bayplan.runtime.verbs``), over its containers and networks."""

from __future__ import annotations

from collections.abc import Callable

from bayplan.errors import ConflictError
from bayplan.runtime.native.containers import Containers
from bayplan.runtime.native.containers import verbs as hand
from bayplan.runtime.native.networks import Networks
from bayplan.runtime.protocol import never


class NativeVerbs:
    """The half of ``NativeRuntime`` that people's verbs need."""

    containers: Containers
    networks: Networks

    def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Send a signal."""
        hand.kill(self.containers, self._id(name), signal)

    def pause(self, name: str) -> None:
        """Freeze it."""
        hand.pause(self.containers, self._id(name))

    def unpause(self, name: str) -> None:
        """Let it go on."""
        hand.unpause(self.containers, self._id(name))

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name; hosts files and the name server follow at the end of the change."""
        container_id = self._id(name)
        if self.containers.find(new_name) is not None:
            raise ConflictError(f"a container named {new_name} exists", hint="remove or rename it first")
        self.containers.rename(container_id, new_name)
        self.networks.names.changed()

    def await_end(self, name: str, *, stopped: Callable[[], bool] | None = None) -> int:
        """Wait for its end."""
        return hand.await_end(self.containers, self._id(name), stopped or never)

    def _id(self, name: str) -> str:
        raise NotImplementedError  # pragma: no cover - NativeRuntime has it
