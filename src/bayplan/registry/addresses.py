"""Addresses that a registry names: made absolute, and refused where it may not send us."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from urllib.parse import urljoin, urlsplit

from bayplan.errors import UnavailableError
from bayplan.registry.mirrors import Endpoint


def joined(base: str, address: str, end: Endpoint) -> str:
    """An address that a registry named, made absolute. Raises UnavailableError for one that is not to be used."""
    try:
        found = urljoin(base, address)
        parts = urlsplit(found)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError as error:
        raise UnavailableError(f"it named a malformed address: {error}", where=f"registry {end.host}") from error
    if not usable:
        raise UnavailableError(f"it named a malformed address: {address[:100]!r}", where=f"registry {end.host}")
    if parts.scheme != "https" and not end.insecure:
        raise UnavailableError(f"redirected to plain HTTP: {found}", where=f"registry {end.host}")
    if is_link_local(found) and parts.netloc != end.host:
        raise UnavailableError(f"it named a link-local address: {found}", where=f"registry {end.host}")
    return found


def is_link_local(url: str) -> bool:
    """Where clouds serve a machine's own credentials (169.254.169.254): no place a registry may send us to."""
    host = (urlsplit(url).hostname or "").partition("%")[0]
    try:
        # 2852039166 and 0xa9.0xfe.43518 are addresses too, to whoever connects (inet_aton(3)).
        found = ip_address(host) if ":" in host else ip_address(socket.inet_aton(host))
    except (ValueError, OSError):
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_link_local
