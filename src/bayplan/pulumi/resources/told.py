"""What the host tells of single resources, as the fields of their outputs (``bayplan.pulumi.known``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bayplan.models import ImageReference

_PORT = re.compile(r"(?:\[(?P<six>.*)\]|(?P<host>[^\[\]]*)):(?P<published>\d+)->(?P<target>\d+)/(?P<protocol>\w+)")
"""How a status writes a published port (``bayplan.runtime.protocol.Status``)."""

Row = Mapping[str, Any]
"""An ``observed`` of ``bayplan.bridge.singles``."""


def container(row: Row) -> dict[str, Any]:
    """Of a container."""
    return {**live(row), "defects": list(row["defects"]), "notes": list(row.get("notes") or ())}


def live(row: Row) -> dict[str, Any]:
    """What a container is doing."""
    status = row["status"]
    return {
        "container_id": row["id"],
        "image_digest": row["image_digest"],
        **{name: status[name] for name in ("state", "health", "exit_code", "addresses", "addresses_v6")},
        "bound_ports": [found for text in status["ports"] if (found := bound_port(text))],
    }


def bound_port(text: str) -> dict[str, Any] | None:
    """``ADDRESS:PORT->TARGET/PROTOCOL`` in its parts."""
    found = _PORT.fullmatch(text)
    if found is None:
        return None
    return {
        "host_ip": found["six"] or found["host"] or "",
        "published": int(found["published"]),
        "target": int(found["target"]),
        "protocol": found["protocol"],
    }


def image(row: Row) -> dict[str, Any]:
    """Of an image."""
    name, digest = str(row["fields"]["name"]), str(row["image_digest"])
    return {
        "digest": digest,
        "reference": reference(name, digest),
        "image_id": row.get("image_id", ""),
        "fingerprint": row.get("fingerprint"),
    }


def reference(name: str, digest: str) -> str:
    """A name held to a digest; the name alone as long as it has none."""
    return str(ImageReference.parse(name).with_digest(digest)) if digest.startswith("sha256:") else name


def network(row: Row) -> dict[str, Any]:
    """Of a network."""
    status = row["status"]
    ranges = [status["addresses"], status["addresses_v6"]]
    return {
        "network_id": row["id"],
        "link": row["id"] or None,
        "subnets": [one["subnet"] for one in ranges if one.get("subnet")],
        "gateways": [one["gateway"] for one in ranges if one.get("gateway")],
        "defects": list(row["defects"]),
    }


def volume(row: Row) -> dict[str, Any]:
    """Of a volume."""
    return {"defects": list(row["defects"])}
