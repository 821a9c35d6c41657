"""The hand-given verbs (``bayplan.runtime.verbs``) over Docker's API."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from bayplan.errors import ConflictError, StoppedError
from bayplan.models import Duration, Endpoint
from bayplan.runtime.engine_api import connecting
from bayplan.runtime.engine_api.client import told
from bayplan.runtime.engine_api.lives import Lives
from bayplan.runtime.engine_api.readings import LIVE, EngineReadings
from bayplan.runtime.engine_api.status import status_of
from bayplan.runtime.protocol import ExecResult, State, never
from bayplan.system import signals

if TYPE_CHECKING:
    from bayplan.runtime.engine_api.streams import Connection

_POLL_S = 0.1


class EngineVerbs(EngineReadings):
    """The half of ``EngineRuntime`` that people's verbs need."""

    @cached_property
    def lives(self) -> Lives:
        """Changes of containers."""
        return Lives(self.containers, self.images, self.settings, self.exec)

    def kill(self, name: str, signal: str = "SIGKILL") -> None:
        """Send a signal; SIGKILL, and the one that asks it to end, are a wish to have it ended."""
        number = signals.signal_number(signal)
        found = self._running(name)
        own = (found.get("Config") or {}).get("StopSignal") or "SIGTERM"
        ends = number in (signals.signal_number("SIGKILL"), signals.signal_number(str(own)))
        if ends:
            self.declarations.note_stop(str(found["Id"]))
        with told(f"container {name}"):
            self.send_signal(found, number, ends=ends)
        if number == signals.signal_number("SIGKILL"):
            self.await_end(name)

    def send_signal(self, found: Mapping[str, Any], number: int, *, ends: bool) -> None:
        """The call itself; ``ends``: a paused one goes on, so that it can end. Raises AnswerError."""
        self.client.call("POST", f"/containers/{found['Id']}/kill", query={"signal": number})

    def pause(self, name: str) -> None:
        """Freeze it."""
        found = self._running(name)
        if status_of(found).state is not State.PAUSED:
            with told(f"container {name}"):
                self.client.call("POST", f"/containers/{found['Id']}/pause")

    def unpause(self, name: str) -> None:
        """Let it go on."""
        found = self._running(name)
        if status_of(found).state is State.PAUSED:
            with told(f"container {name}"):
                self.client.call("POST", f"/containers/{found['Id']}/unpause")

    def rename(self, name: str, new_name: str) -> None:
        """Give it another name."""
        found = self._found(name)
        if self.containers.inspect(new_name) is not None:
            raise ConflictError(f"a container named {new_name} exists", hint="remove or rename it first")
        with told(f"container {name}"):
            self.client.call("POST", f"/containers/{found['Id']}/rename", query={"name": new_name})

    def connect(self, name: str, endpoint: Endpoint) -> None:
        """Put it on a network."""
        found = self._found(name)
        if endpoint.network in _places(found):
            raise ConflictError(f"container {name} is on network {endpoint.network}")
        mode = str((found.get("HostConfig") or {}).get("NetworkMode") or "")
        if mode == "host" or mode.startswith("container:"):
            raise ConflictError(f"container {name} has no network of its own: its network_mode is {mode}")
        connecting.connect(self.client, self.engine, str(found["Id"]), endpoint)

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Take it off a network."""
        found = self._found(name)
        places = _places(found)
        self.inspect_network(network)
        if network not in places:
            raise ConflictError(f"container {name} is not on network {network}")
        published = [item for item in ((found.get("HostConfig") or {}).get("PortBindings") or {}).values() if item]
        if published and not force and len(places) == 1:
            raise ConflictError(
                f"container {name} would lose its published ports with network {network}", hint="force it"
            )
        connecting.disconnect(self.client, str(found["Id"]), network, force=force)

    def await_end(self, name: str, *, stopped: Callable[[], bool] | None = None) -> int:
        """Wait for its end."""
        stopped = stopped or never
        while True:
            found = self._found(name)
            status = status_of(found)
            if status.state not in (*LIVE, State.RESTARTING):
                return status.exit_code or 0
            if stopped():
                raise StoppedError(f"no longer waiting for container {name}")
            time.sleep(_POLL_S)

    # -- streams and files -------------------------------------------------------------------------------------

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
        """Run a command in it."""
        from bayplan.runtime.engine_api import execute

        return execute.run(
            self.client,
            self._running(name),
            command,
            user=user,
            environment=environment,
            working_dir=working_dir,
            tty=tty,
            stdin=stdin,
            capture=capture,
            detach=detach,
            privileged=privileged,
            detach_keys=detach_keys,
            timeout=timeout,
        )

    def attach(
        self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11", sig_proxy: bool = True
    ) -> int | None:
        """Join the caller's streams to its own."""
        found = self._running(name)
        with told(f"container {name}"), self._joined(found, detach_keys, stdin=stdin) as connection:
            return self._carry(name, found, connection, stdin=stdin, keys=detach_keys, sig_proxy=sig_proxy)

    def start_attached(self, name: str, *, stdin: bool = True, detach_keys: bytes = b"\x10\x11") -> int | None:
        """Start it with the caller's streams joined."""
        found = self._found(name)
        if status_of(found).state in LIVE:
            raise ConflictError(f"container {name} is running", hint="attach to it")
        with told(f"container {name}"), self._joined(found, detach_keys, stdin=stdin) as connection:
            with self.lock(f"start of {name}"):
                self.lives.start(name)
            return self._carry(name, found, connection, stdin=stdin, keys=detach_keys, sig_proxy=True)

    def _joined(self, found: Mapping[str, Any], keys: bytes, *, stdin: bool) -> Connection:
        from bayplan.runtime.engine_api.streams import Connection

        query = {"stream": 1, "stdout": 1, "stderr": 1, "stdin": int(stdin), "detachKeys": _spelled(keys)}
        path = f"/containers/{found['Id']}"
        # Input that stays open has no end to tell, and Docker would end the output with it (moby, stream/attach.go).
        ends = bool((found.get("Config") or {}).get("StdinOnce"))
        return Connection(
            self.client, f"{path}/attach", tty=_has_tty(found), sized=f"{path}/resize", query=query, ends=ends
        )

    def _carry(
        self,
        name: str,
        found: Mapping[str, Any],
        connection: Connection,
        *,
        stdin: bool,
        keys: bytes,
        sig_proxy: bool,
    ) -> int | None:
        from bayplan.system import terminal

        tty = _has_tty(found)

        def tell(number: int) -> None:
            self.client.call("POST", f"/containers/{found['Id']}/kill", query={"signal": number})

        # With a terminal the keys themselves go on, and its own driver makes signals of them.
        ended = terminal.join(connection, tty=tty, stdin=stdin, keys=keys, tell=tell if sig_proxy and not tty else None)
        return self.await_end(name) if ended else None

    def copy_out(self, name: str, path: str, target: str | None, sink: IO[bytes], *, follow: bool = False) -> None:
        """Copy a path of it to the host."""
        from bayplan.runtime.engine_api import archives

        archives.copy_out(self.client, self._found(name), path, target, sink, follow=follow)

    def copy_in(self, name: str, source: str | None, path: str, stream: IO[bytes], *, follow: bool = False) -> None:
        """Copy from the host to a path of it."""
        from bayplan.runtime.engine_api import archives

        archives.copy_in(self.client, self._found(name), source, path, stream, follow=follow)


def _places(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return (found.get("NetworkSettings") or {}).get("Networks") or {}


def _has_tty(found: Mapping[str, Any]) -> bool:
    return bool((found.get("Config") or {}).get("Tty"))


def _spelled(keys: bytes) -> str:
    """Keys as the engine spells them. It must not see others than we do, so that none means some nobody types."""
    signs = [f"ctrl-{chr(key + 64).lower()}" if key < 32 else chr(key) for key in keys]
    return ",".join(signs or ["ctrl-_"] * 8)
