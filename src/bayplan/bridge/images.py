"""An image received from another host: a request line, the answer to it, then the blobs that were missing.

Request: one line of JSON, ``{"verb": "image_receive", "name", "manifest", "index", "blobs": [{"digest", "size"}]}``;
``index`` is there for a name of several platforms.
Answer: one line, ``{"missing": [digest, ...]}``. Then each missing blob, in that order, as frames: four bytes of
length, most significant first, and as many bytes; a frame of length 0 ends the blob. Last, one line with ``digest``
and ``received``. In place of either line there may be a failure as the bridge has it. Nothing is collected meanwhile.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from bayplan import engines
from bayplan.errors import DeclarationError, UnavailableError
from bayplan.models import Settings
from bayplan.runtime.images import Blob

VERB = "image_receive"
_MAX_FRAME = 16 << 20
_MAX_BLOBS = 10_000


def receive(request: Mapping[str, Any], settings: Settings, stdin: BinaryIO, stdout: BinaryIO) -> dict[str, Any]:
    """Take one image; returns the last answer. Raises errors of ``bayplan.errors``."""
    name, manifest, blobs = str(request.get("name")), str(request.get("manifest")), request.get("blobs")
    if not isinstance(blobs, list) or len(blobs) > _MAX_BLOBS:
        raise DeclarationError("blobs is a list of digests and sizes", where="request")
    try:
        wanted = [Blob.model_validate(item) for item in blobs]
    except ValueError as error:
        raise DeclarationError(f"blobs is malformed: {error}", where="request") from error

    def ask(missing: Sequence[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        stdout.write(json.dumps({"missing": list(missing)}).encode() + b"\n")
        stdout.flush()
        for digest in missing:
            yield digest, frames(stdin)

    with engines.open_runtime(settings) as runtime:
        received = runtime.image_verbs.receive(name, manifest, wanted, ask, str(request.get("index") or ""))
    return {"digest": manifest, "received": received}


def frames(stream: BinaryIO) -> Iterator[bytes]:
    """The content of one blob. Raises UnavailableError when the stream ends in it."""
    while size := struct.unpack(">I", _exactly(stream, 4))[0]:
        if size > _MAX_FRAME:
            raise DeclarationError(f"a frame of {size} bytes", where="request")
        yield _exactly(stream, size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise UnavailableError("the other side ended in the middle of a blob", hint="copy the image again")
    return data
