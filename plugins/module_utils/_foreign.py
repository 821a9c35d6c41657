# Copyright: the Bayplan contributors. Apache-2.0
"""Options that every module of community.docker or containers.podman has, and ours have not: what to do instead.

A value that asks for what happens anyway is taken. ``docker_host`` is an alias of C(engine_address).
"""

from __future__ import annotations

from typing import Any

ANY = object()
TLS = "engine_tls names the directory of ca.pem, cert.pem and key.pem"
OPTIONS: dict[str, tuple[tuple[Any, ...], str]] = {
    "api_version": (("auto",), "the version is agreed on with the engine"),
    **dict.fromkeys(("ca_path", "ca_cert", "cacert_path", "tls_ca_cert"), ((), TLS)),
    **dict.fromkeys(("client_cert", "cert_path", "tls_client_cert"), ((), TLS)),
    **dict.fromkeys(("client_key", "key_path", "tls_client_key"), ((), TLS)),
    **dict.fromkeys(("tls", "tls_verify", "validate_certs"), ((False,), TLS)),
    "debug": ((ANY,), ""),
    "executable": (("podman",), "engine and engine_address say who runs the containers, and where"),
    "timeout": ((ANY,), ""),
    "tls_hostname": ((), "the certificate must be that of engine_address"),
    "use_ssh_client": ((ANY,), ""),
}
"""Option to the values that are taken, and what to do instead of others."""


def taken_out(params: dict[str, Any], known: dict[str, Any]) -> tuple[str, str] | None:
    """Take foreign options out of ``params``; the first that asks for something else, as a sentence and a hint."""
    found = None
    for option in [name for name in params if name in OPTIONS and name not in known]:
        taken, instead = OPTIONS[option]
        value = params.pop(option)
        if found is None and ANY not in taken and value not in taken:
            found = f"{option} of other collections is not taken here", instead
    return found
