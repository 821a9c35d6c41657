"""Answers to challenges: Basic, and the tokens of the Docker registry token specification (with identity tokens)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

from bayplan.errors import UnavailableError
from bayplan.registry.addresses import joined
from bayplan.registry.auth import Challenge, Credentials, credentials_for
from bayplan.registry.mirrors import Endpoint

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_TOKEN = re.compile(r"[\x21-\x7e]+")
_MAX_ANSWER = 1 << 20
_CLIENT = "bayplan"


@dataclass(frozen=True)
class Scope:
    """What a request needs: actions on its repository, and reading from another for a mount."""

    repository: str
    actions: str = "pull"
    source: str = ""

    @property
    def texts(self) -> list[str]:
        """As the token specification writes them."""
        found = [f"repository:{self.repository}:{self.actions}"] if self.repository else []
        return found + ([f"repository:{self.source}:pull"] if self.source else [])


class Sender(Protocol):
    """What the transport lends: requests to one address, and whole bodies."""

    def send(
        self,
        end: Endpoint,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        safe: bool = False,
    ) -> BaseHTTPResponse:
        """No redirects. Raises UnavailableError."""

    def document(self, response: BaseHTTPResponse, limit: int) -> bytes:
        """A body of at most ``limit`` bytes, and one more. Raises UnavailableError."""


class Tokens:
    """Authorization values by registry and scope. Thread-safe: a value is looked up and set whole.

    The transport is lent to each call, not kept: in a cycle its sockets would wait for the garbage collector.
    """

    def __init__(self, given: Credentials | None = None) -> None:
        self.given = given
        self._kept: dict[tuple[str, Scope], str] = {}

    def known(self, end: Endpoint, scope: Scope) -> str | None:
        """What was last accepted for it."""
        return self._kept.get((end.host, scope))

    def answer(
        self, transport: Sender, end: Endpoint, scope: Scope, challenges: Sequence[Challenge], refused: str | None
    ) -> str | None:
        """A value for the Authorization header; None when there is none to give, or only the one just refused."""
        known = self.given or credentials_for(end.host, scope.repository)
        for challenge in challenges:
            value = None
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                value = self._token(transport, end, scope, challenge.parameters, known)
            elif challenge.scheme == "basic" and known and known.user:
                value = known.basic
            if value and value != refused:
                self._kept[(end.host, scope)] = value
                return value
        return None

    def _token(
        self,
        transport: Sender,
        end: Endpoint,
        scope: Scope,
        parameters: Mapping[str, str],
        known: Credentials | None,
    ) -> str | None:
        realm = _realm(parameters["realm"], end)
        wanted = scope.texts or ([parameters["scope"]] if parameters.get("scope") else [])
        service = [("service", parameters["service"])] if "service" in parameters else []
        if known and not known.user:
            response = _refreshed(transport, end, realm, [*service, ("scope", " ".join(wanted))], known)
        else:
            query = urlencode([*service, *(("scope", text) for text in wanted)])
            headers = {"Authorization": known.basic} if known else {}
            response = transport.send(end, "GET", f"{realm}{'&' if '?' in realm else '?'}{query}", headers)
        try:
            text = transport.document(response, _MAX_ANSWER) if response.status == 200 else b"{}"
            answer = json.loads(text)
        except UnavailableError as error:
            raise UnavailableError(f"its token service: {error.what}", where=f"registry {end.host}") from error
        except (ValueError, RecursionError):
            answer = {}
        finally:
            response.close()
        token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
        return f"Bearer {token}" if isinstance(token, str) and _TOKEN.fullmatch(token) else None


def _refreshed(
    transport: Sender, end: Endpoint, realm: str, wanted: list[tuple[str, str]], known: Credentials
) -> BaseHTTPResponse:
    """OAuth2 with an identity token as refresh token (Docker registry, "OAuth 2 Token Authentication")."""
    fields = [("grant_type", "refresh_token"), ("client_id", _CLIENT), *wanted, ("refresh_token", known.password)]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return transport.send(end, "POST", realm, headers, urlencode(fields).encode(), safe=True)


def _realm(address: str, end: Endpoint) -> str:
    where = f"registry {end.host}"
    if address.startswith("http:") and not end.insecure:
        raise UnavailableError("its token service speaks plain HTTP", where=where)
    return joined("", address, end)
