"""Whether a registry of this host answers."""

from __future__ import annotations

import http.client
import ssl
import time

from bayplan.errors import UnavailableError

_PAUSE_S = 0.1
_ONE_TRY_S = 5.0


def await_answer(host: str, port: int, *, tls: bool, seconds: float) -> None:
    """Ask for ``/v2/`` until it is answered with 200, or with 401 by one that wants credentials.

    Whose certificate it is does not matter here: nothing is sent, and nothing of the answer is used. Raises
    UnavailableError, saying what came of the last try, when the time has passed.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = _asked(host, port, tls=tls)
        if found in ("200", "401") or (tls and found.startswith("certificate required")):
            return
        if time.monotonic() >= deadline:
            raise UnavailableError(f"it does not answer after {seconds:g} s: {found}", where=f"registry {host}:{port}")
        time.sleep(_PAUSE_S)


def _asked(host: str, port: int, *, tls: bool) -> str:
    """The status, or what went wrong."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=_ONE_TRY_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_ONE_TRY_S)
    try:
        connection.request("GET", "/v2/")
        return str(connection.getresponse().status)
    except ssl.SSLError as error:
        # A server that wants a certificate of ours says so; it answers all the same (RFC 8446, 6.2).
        wanted = "CERTIFICATE_REQUIRED" in (error.reason or "")
        return "certificate required" if wanted else str(error)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
