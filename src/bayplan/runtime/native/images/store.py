"""The image store: an OCI image layout whose blobs are verified before they have their name.

Order of writing (after containerd's content store): temporary file, sha256, fsync, rename, fsync of the directory.
An image counts as present only by index.json, which is replaced last.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bayplan.errors import BayplanError, CorruptStateError, NotFoundError
from bayplan.models.reference import ImageReference
from bayplan.runtime.native.images import documents
from bayplan.runtime.native.images.documents import MAX_DOCUMENT
from bayplan.runtime.native.images.stored import StoredImage, descriptor, image_config, layer_ids
from bayplan.system import trees
from bayplan.system.files import atomic_write, fsync_dir, locked, private_directory
from bayplan.values import frozen

REF_NAME = "org.opencontainers.image.ref.name"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
HERE = "io.bayplan.manifest"
"""Of a name whose entry is an index of several platforms: the manifest that the name stands for on this host."""
MAX_BLOB = 256 << 30
_PART = ".part-"
_log = logging.getLogger("bayplan.images")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@frozen
class Needs:
    """Digests of blobs, and chain ids of unpacked layers."""

    blobs: set[str]
    chains: set[str]


class ImageStore:
    """OCI layout at ``root``, made by the first change. Safe among threads and processes.

    A lock is freed when its holder dies.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs" / "sha256"
        self._index = root / "index.json"
        self._lock = root / ".lock"
        if root.is_dir():
            self.make()

    def make(self) -> None:
        """Make what is missing of the layout, for a change that needs it."""
        private_directory(self.root)
        private_directory(self.blobs)
        if not (self.root / "oci-layout").exists():
            atomic_write(self.root / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')

    def blob(self, digest: str) -> Path:
        """Path of a blob, there or not. Raises CorruptStateError for what is not a sha256 digest."""
        if not _DIGEST.fullmatch(digest):
            raise CorruptStateError(f"not a sha256 digest: {digest!r}", where=str(self.root))
        return self.blobs / digest.removeprefix("sha256:")

    def write(
        self,
        digest: str,
        chunks: Iterable[bytes],
        progress: Callable[[int], None] = lambda _: None,
        size: int = MAX_BLOB,
    ) -> Path:
        """Store a blob of at most ``size`` bytes; ``progress`` gets the bytes of each chunk.

        Raises CorruptStateError on another content.
        """
        target = self.blob(digest)
        self.make()
        fd, name = tempfile.mkstemp(prefix=_PART, dir=self.blobs)
        found = hashlib.sha256()
        try:
            with os.fdopen(fd, "wb") as file:
                for chunk in _bounded(digest, chunks, size):
                    found.update(chunk)
                    file.write(chunk)
                    progress(len(chunk))
                file.flush()
                os.fsync(file.fileno())
            _same(digest, f"sha256:{found.hexdigest()}")
            Path(name).rename(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        fsync_dir(self.blobs)
        return target

    def find(self, ref: ImageReference) -> str | None:
        """Manifest digest of a whole image by tag or digest; None when it is not here."""
        entries = self._read()
        for entry in entries if ref.digest else ():
            if ref.digest in (entry["digest"], _image(entry)):
                return _image(entry)
        return self._digest_of(entries, str(ref))

    def index(self, ref: ImageReference) -> str:
        """Digest of the index of all platforms that a name has; empty for an image of one."""
        return self.indexes().get(str(ref), "")

    def indexes(self) -> dict[str, str]:
        """Full reference to the digest of its index, of names that have one."""
        return {_name(entry): str(entry["digest"]) for entry in self._read() if _image(entry) != entry["digest"]}

    def parts(self, index: str) -> list[dict[str, Any]]:
        """The descriptors that an index lists. Raises CorruptStateError when it is malformed, and as ``document``."""
        found = self.document(index).get("manifests")
        entries = found if isinstance(found, list) else []
        if not all(isinstance(item, dict) and _DIGEST.fullmatch(str(item.get("digest"))) for item in entries):
            raise CorruptStateError(f"index {index} is malformed", where=str(self.root))
        return entries

    def get(self, digest: str) -> StoredImage:
        """The image of a manifest digest. Raises NotFoundError, or CorruptStateError when its documents are broken."""
        manifest = self.document(digest)
        try:
            config = self.document(manifest["config"]["digest"])
            layers = tuple(descriptor(item) for item in manifest["layers"])
            diff_ids = layer_ids(config)
            if len(diff_ids) != len(layers):
                raise ValueError(f"{len(layers)} layers, {len(diff_ids)} diff ids")  # noqa: TRY301 - one message below
            return StoredImage(
                digest=digest,
                config=image_config(config.get("config") or {}),
                diff_ids=diff_ids,
                layers=layers,
                size_bytes=sum(layer.size for layer in layers),
                architecture=str(config.get("architecture", "")),
                os=str(config.get("os", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptStateError(f"image {digest} is malformed: {error}", where=str(self.root)) from error

    def tag(
        self, ref: ImageReference, digest: str, annotations: Mapping[str, str] | None = None, *, index: str = ""
    ) -> None:
        """Give a stored image a name, taking it from whichever image had it; ``annotations`` are kept with the name.

        With the digest of an ``index`` the name has all that this lists, and stands for ``digest`` here.
        """
        named = index or digest
        size = self.blob(named).stat().st_size
        kind = self.document(named).get("mediaType") or MANIFEST_TYPE
        notes = {key: value for key, value in (annotations or {}).items() if key != HERE}
        notes |= {REF_NAME: str(ref)} | ({HERE: digest} if index else {})
        with locked(self._lock, "image index"):
            kept = [entry for entry in self._read() if _name(entry) != str(ref)]
            kept.append({"mediaType": kind, "digest": named, "size": size, "annotations": notes})
            self._replace(kept)

    def annotations(self, ref: ImageReference) -> Mapping[str, str]:
        """What was kept with a name; empty for one that is not here."""
        entries = (entry for entry in self._read() if _name(entry) == str(ref))
        return {key: str(value) for entry in entries for key, value in entry["annotations"].items()}

    def noted(self, key: str, value: str) -> str | None:
        """The manifest digest of a name with that annotation; None when there is none."""
        entries = self._read()
        return next((_image(item) for item in entries if (item.get("annotations") or {}).get(key) == value), None)

    def remove(self, ref: ImageReference) -> None:
        """Forget a name; ``collect`` frees the space. Absent is no error."""
        if self.root.is_dir():
            with locked(self._lock, "image index"):
                self._replace([entry for entry in self._read() if _name(entry) != str(ref)])

    def list(self) -> dict[str, str]:
        """Full reference to manifest digest."""
        return {_name(entry): _image(entry) for entry in self._read() if _name(entry)}

    def sweep(self, layers_root: Path) -> None:
        """Remove what cut pulls and unpackings left; does nothing while one runs."""
        patterns = ((self.root, ".index.json.*"), (self.blobs, f"{_PART}*"), (layers_root, f"{_PART}*"))
        left = [item for top, pattern in patterns for item in top.glob(pattern)]
        locks = list(layers_root.glob(".lock-*"))
        if not left and not locks:
            return
        with (self.root / ".use").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            for item in (*left, *locks):
                if item.is_dir():
                    trees.remove(item, ignore_errors=True)
                else:
                    item.unlink(missing_ok=True)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep ``collect`` away while blobs and layers without a name are being made (shared flock(2))."""
        self.make()
        with (self.root / ".use").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def collect(
        self,
        layers_root: Path | None = None,
        keep_chains: Collection[str] = (),
        keep_digests: Collection[str] = (),
        keep_blobs: Collection[str] = (),
    ) -> int:
        """Delete blobs and layers that no name uses, nor an image of ``keep_digests``, nor the other two name.

        Returns the number of things removed. Does nothing while a pull or an unpacking runs; the next call does it.
        """
        if not self.root.is_dir():
            return 0
        with (self.root / ".use").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            kept = {digest for digest in keep_digests if digest and self.blob(digest).exists()}
            kept |= set(self.list().values()) | set(self.indexes().values())
            return self._collect(layers_root, set(keep_chains), kept, set(keep_blobs))

    def _collect(self, layers_root: Path | None, chains: set[str], digests: set[str], used: set[str]) -> int:
        needed, broken = self.needs(digests)
        for digest, why in broken.items():
            _log.warning("image %s is damaged (%s): pull or remove it", self._named(digest), why)
        used, chains = used | needed.blobs, chains | needed.chains
        names = {digest.removeprefix("sha256:") for digest in used}
        dead = [path for path in self.blobs.iterdir() if path.name not in names]
        for path in dead:
            path.unlink(missing_ok=True)
        keep = {chain.removeprefix("sha256:") for chain in chains}
        # A container may run from a damaged image, whose layers nobody can name: none is freed until that is mended.
        there = layers_root.iterdir() if layers_root and layers_root.exists() and not broken else ()
        old = [path for path in there if path.is_dir() and path.name not in keep]
        for path in old:
            # By one rename: a cut removal must not leave a part of a layer under its name.
            trees.remove(path if path.name.startswith(_PART) else path.rename(path.with_name(_PART + path.name)))
        return len(dead) + len(old)

    def needs(self, digests: Iterable[str]) -> tuple[Needs, dict[str, str]]:
        """What images and indexes hold on to, and which are damaged, and why; of those as much as can be told."""
        blobs: set[str] = set()
        chains: set[str] = set()
        broken: dict[str, str] = {}
        left = list(digests)
        while left:
            digest = left.pop()
            if digest in blobs:
                continue
            blobs.add(digest)
            try:
                manifest = self.document(digest)
                if "manifests" in manifest:
                    left += [str(item["digest"]) for item in self.parts(digest)]
                    continue
                parts = [manifest["config"], *manifest["layers"]]
                blobs |= {found for item in parts if _DIGEST.fullmatch(found := str(item["digest"]))}
                chains |= set(self.get(digest).chain_ids)
            except BayplanError as error:
                broken[digest] = error.what
            except (KeyError, TypeError, AttributeError):
                broken[digest] = "its manifest is malformed"
        return Needs(blobs, chains), broken

    def _named(self, digest: str) -> str:
        held = [*self.list().items(), *self.indexes().items()]
        return ", ".join(name for name, other in held if other == digest) or digest

    @staticmethod
    def _digest_of(entries: Iterable[dict[str, Any]], name: str) -> str | None:
        return next((_image(entry) for entry in entries if _name(entry) == name), None)

    def document(self, digest: str) -> dict[str, Any]:
        """A manifest or configuration. Raises NotFoundError, or CorruptStateError when it was changed."""
        try:
            data, actual = documents.content(self.blob(digest))
            found = json.loads(data) if len(data) <= MAX_DOCUMENT else None
        except FileNotFoundError as error:
            raise NotFoundError(f"no image {digest}", where=str(self.root), hint="pull it again") from error
        except (ValueError, RecursionError) as error:
            raise CorruptStateError(f"blob {digest} is not JSON", where=str(self.root), hint="pull it again") from error
        if actual != digest or not isinstance(found, dict):
            raise CorruptStateError(f"blob {digest} was changed", where=str(self.root), hint="pull it again")
        return found

    def _read(self) -> Any:
        try:
            return json.loads(self._index.read_bytes())["manifests"]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptStateError("index.json cannot be read", where=str(self._index)) from error

    def _replace(self, entries: Iterable[dict[str, Any]]) -> None:
        index = {"schemaVersion": 2, "manifests": sorted(entries, key=_name)}
        atomic_write(self._index, json.dumps(index, indent=1).encode())


def _name(entry: dict[str, Any]) -> str:
    return str((entry.get("annotations") or {}).get(REF_NAME, ""))


def _image(entry: dict[str, Any]) -> str:
    """The manifest that an entry stands for on this host."""
    return str((entry.get("annotations") or {}).get(HERE) or entry["digest"])


def _bounded(digest: str, chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        if count > size:
            raise CorruptStateError(f"blob {digest} is larger than the {size} bytes that were said", hint="try again")
        yield chunk


def _same(wanted: str, found: str) -> None:
    if wanted != found:
        raise CorruptStateError(f"content has digest {found}, not {wanted}", hint="try again")
