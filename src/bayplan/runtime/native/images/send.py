"""An image sent to another host: over the system's ssh to ``bayplan bridge`` there, only the blobs it lacks."""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from bayplan.errors import DeclarationError, RuntimeFailureError, UnavailableError
from bayplan.runtime.native.images.catalog import Found
from bayplan.runtime.native.images.store import ImageStore
from bayplan.runtime.protocol import Progress, Report
from bayplan.system.ssh import Remote

_PIECE = 1 << 20
_MAX_LINE = 4 << 20
_END_S = 60.0


def send(store: ImageStore, image: Found, remote: Remote, *, bridge: str, report: Report) -> tuple[int, int]:
    """Give another host an image that has a name, all platforms of it; how many blobs went, and how many bytes.

    Raises UnavailableError, and the errors of the other side.
    """
    with store.in_use():
        sizes = {item: store.blob(item).stat().st_size for item in _blobs(store, image)}
        request = {
            "verb": "image_receive",
            "name": str(image.reference),
            "manifest": image.digest,
            **({"index": image.index} if image.index else {}),
            "blobs": [{"digest": item, "size": size} for item, size in sizes.items()],
        }
        with _bridge(remote, bridge) as (into, out):
            into.write(json.dumps(request).encode() + b"\n")
            into.flush()
            missing = _answer(out, remote).get("missing")
            if not isinstance(missing, list) or not set(map(str, missing)) <= set(sizes):
                raise RuntimeFailureError("the other side asked for what was not offered", where=remote.host)
            for item in missing:
                for done in _blob(store, item, into):
                    report(Progress(f"copy {item[7:19]}", done, sizes[item]))
            into.flush()
            _answer(out, remote)
    return len(missing), sum(sizes[item] for item in missing)


def _blobs(store: ImageStore, image: Found) -> Iterator[str]:
    """All that an image is made of, documents after what they name."""
    parts = [str(item["digest"]) for item in store.parts(image.index)] if image.index else [image.digest]
    for part in parts:
        yield from (layer.digest for layer in store.get(part).layers)
        yield str(store.document(part)["config"]["digest"])
        yield part
    if image.index:
        yield image.index


def _blob(store: ImageStore, digest: str, into: IO[bytes]) -> Iterator[int]:
    done = 0
    with store.blob(digest).open("rb") as file:
        while piece := file.read(_PIECE):
            into.write(struct.pack(">I", len(piece)) + piece)
            done += len(piece)
            yield done
    into.write(struct.pack(">I", 0))


@contextmanager
def _bridge(remote: Remote, bridge: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The bridge's standard streams. What ssh says goes to a file: a full pipe would stop it."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                remote.command(bridge), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
            )
        except FileNotFoundError:
            raise DeclarationError("ssh is not installed", hint="install package openssh-client") from None
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdin, process.stdout
            process.stdin.close()
            process.wait(_END_S)
        except (BrokenPipeError, _SilenceError):
            # It may have said why before it went.
            answer = process.stdout.readline(_MAX_LINE)
            process.wait(_END_S)
            if answer:
                _understood(answer, remote)
            said.seek(0)
            text = said.read(4000).decode(errors="replace")
            raise UnavailableError(
                "the bridge there ended without an answer",
                where=f"host {remote.host}",
                hint="is bayplan installed there, and does ssh log in without a question?",
                output=text,
            ) from None
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


class _SilenceError(Exception):
    """The stream ended where an answer was due."""


def _answer(out: IO[bytes], remote: Remote) -> dict[str, Any]:
    line = out.readline(_MAX_LINE)
    if not line:
        raise _SilenceError
    return _understood(line, remote)


def _understood(line: bytes, remote: Remote) -> dict[str, Any]:
    where = f"host {remote.host}"
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        text = line[:200].decode(errors="replace")
        raise RuntimeFailureError(f"what answers is no bridge: {text!r}", where=where)
    if found.get("failed"):
        raise RuntimeFailureError(str(found.get("msg")), where=where, output=str(found.get("output") or ""))
    return found
