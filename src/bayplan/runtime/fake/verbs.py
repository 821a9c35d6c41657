"""The hand-given verbs (``bayplan.runtime.verbs``) over a dictionary: what has no meaning in memory does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, BinaryIO

from bayplan.errors import NotFoundError
from bayplan.models import Container, Duration, Endpoint, Kind, ResourceId
from bayplan.runtime.fake.memory import Memory
from bayplan.runtime.protocol import ExecResult, Health, LogLine, Observed, State, Status, never
from bayplan.runtime.verbs import Finding, Happening
from bayplan.system.process_table import ProcessRow
from bayplan.system.usage import Usage


@dataclass
class FakeVerbs(Memory):
    """The half of ``FakeRuntime`` that people's verbs need."""

    def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Mark it ended by the signal."""
        self._call("kill", name)
        self._set(name, state=State.EXITED, health=Health.NONE, pid=None, exit_code=137)

    def pause(self, name: str) -> None:
        """Mark it paused."""
        self._call("pause", name)
        self._set(name, state=State.PAUSED)

    def unpause(self, name: str) -> None:
        """Mark it running."""
        self._call("unpause", name)
        self._set(name, state=State.RUNNING)

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name."""
        self._call("rename", name)
        with self._mutex:
            held = self.resources.pop(ResourceId(kind=Kind.CONTAINER, name=name))
            actual = held.actual.model_copy(update={"name": new_name})
            self.resources[actual.id] = held.model_copy(update={"actual": actual, "declared": actual})

    def connect(self, name: str, endpoint: Endpoint) -> None:
        """Put it on a network."""
        self._call("connect", name)
        self._place(name, lambda held: (*held, endpoint))

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Take it off a network."""
        self._call("disconnect", name)
        self._place(name, lambda held: tuple(one for one in held if one.network != network))

    def _place(self, name: str, change: Callable[[tuple[Endpoint, ...]], tuple[Endpoint, ...]]) -> None:
        with self._mutex:
            key = ResourceId(kind=Kind.CONTAINER, name=name)
            held = self.resources[key]
            assert isinstance(held.actual, Container)
            actual = held.actual.model_copy(update={"networks": change(held.actual.networks)})
            self.resources[key] = held.model_copy(update={"actual": actual})

    def await_end(self, name: str, *, stopped: Callable[[], bool] | None = None) -> int:
        """It has ended."""
        self._call("wait", name, record=False)
        return self.resources[ResourceId(kind=Kind.CONTAINER, name=name)].status.exit_code or 0

    def processes(self, name: str) -> Sequence[ProcessRow]:
        """Nothing runs here."""
        return ()

    def usage(self, name: str) -> Usage:
        """Nothing is used."""
        return Usage()

    def inspect(self, name: str) -> Mapping[str, Any]:
        """Its name and state."""
        held = self.resources[ResourceId(kind=Kind.CONTAINER, name=name)]
        return {"Id": held.handle, "Name": f"/{name}", "State": {"Status": held.status.state.value}}

    def attach(
        self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11", sig_proxy: bool = True
    ) -> int | None:
        """It ends at once."""
        return 0

    def copy_out(self, name: str, path: str, target: str | None, sink: IO[bytes], *, follow: bool = False) -> None:
        """There are no files here."""
        raise NotFoundError(f"{path} does not exist")

    def copy_in(self, name: str, source: str | None, path: str, stream: IO[bytes], *, follow: bool = False) -> None:
        """There are no files here."""
        raise NotFoundError(f"{path} does not exist")

    def wait(self, name: str, condition: str, timeout: Duration, *, stopped: Callable[[], bool] = never) -> Status:
        """Everything here is at once what it should be."""
        self._call("wait", name, record=False)
        return self.resources[ResourceId(kind=Kind.CONTAINER, name=name)].status

    def logs(
        self,
        name: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[LogLine]:
        """Nothing was written."""
        return iter(())

    def exec(
        self,
        name: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        working_dir: str | None = None,
        tty: bool = False,
        stdin: bytes | None = None,
        capture: bool = True,
        detach: bool = False,
        privileged: bool = False,
        detach_keys: bytes = b"",
        timeout: Duration | None = None,
    ) -> ExecResult:
        """Pretend success."""
        self._call("exec", name)
        return ExecResult(0)

    def containers_there(self) -> list[Observed]:
        """Those that were made."""
        return [item for item in self.resources.values() if item.actual.kind is Kind.CONTAINER]

    def networks_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Those that were made, each with the containers that declare it."""
        kept = [item.actual for item in self.resources.values() if isinstance(item.actual, Container)]
        return [
            (item, tuple(one.name for one in kept if item.id.name in [place.network for place in one.networks]))
            for item in self.resources.values()
            if item.actual.kind is Kind.NETWORK
        ]

    def inspect_network(self, name: str) -> Mapping[str, Any]:
        """Its name: there is no more to it."""
        return {"Name": name}

    def volumes_there(self) -> list[tuple[Observed, tuple[str, ...]]]:
        """Those that were made; who mounts them is not kept."""
        return [(item, ()) for item in self.resources.values() if item.actual.kind is Kind.VOLUME]

    def export_volume(self, name: str, out: BinaryIO) -> None:
        """There is no content."""
        self._call("export", name)

    def import_volume(self, name: str, source: BinaryIO, *, replace: bool = False) -> None:
        """Forget the content."""
        self._call("import", name)

    def damaged(self) -> Sequence[Finding]:
        """Memory does not rot."""
        return ()

    def happened(self) -> Sequence[Happening]:
        """Nothing is kept."""
        return ()
