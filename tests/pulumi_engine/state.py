"""What is kept between two runs: resources in the order of their making, as JSON, with secrets sealed."""

import base64
import hashlib
import hmac
import itertools
import json
import threading
from dataclasses import asdict, dataclass, field

from pulumi_engine.wire import SECRET, SIGNATURE, mapped


@dataclass
class Resource:
    """One resource as it was left. ``aside``: its successor is there, and it waits to be deleted."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    parent: str = ""
    dependencies: list = field(default_factory=list)
    provider: str = ""
    protect: bool = False
    retain: bool = False
    init_errors: list = field(default_factory=list)
    aside: bool = False
    external: bool = False

    @property
    def name(self):
        """What the program calls it."""
        return self.urn.rpartition("::")[2]

    @property
    def reference(self):
        """A provider as its resources refer to it."""
        return f"{self.urn}::{self.id}"


class State:
    """The resources of one stack. Any thread may change it; each change is written."""

    def __init__(self, path, passphrase):
        self._path, self._key, self._lock = path, hashlib.sha256(passphrase.encode()).digest(), threading.RLock()
        self.resources = []
        if path.exists():
            for item in json.loads(path.read_text())["resources"]:
                self.resources.append(Resource(**mapped(item, self._opened)))

    def find(self, urn):
        """The resource of that name that is no leftover of a replacement."""
        with self._lock:
            return next((one for one in self.resources if one.urn == urn and not one.aside), None)

    def put(self, made, instead_of=None):
        """Keep a resource, after those before it, or in the place of one."""
        with self._lock:
            if instead_of in self.resources:
                self.resources[self.resources.index(instead_of)] = made
            else:
                self.resources.append(made)
            self.save()

    def drop(self, gone):
        with self._lock:
            self.resources = [one for one in self.resources if one is not gone]
            self.save()

    def save(self):
        with self._lock:
            text = json.dumps({"resources": [mapped(asdict(one), self._sealed) for one in self.resources]}, indent=1)
            aside = self._path.with_suffix(".new")
            aside.write_text(text)
            aside.replace(self._path)

    def _sealed(self, secret):
        data = json.dumps(secret["value"]).encode()
        salt = hashlib.sha256(data + self._key).digest()[:8]
        hidden = bytes(a ^ b for a, b in zip(data, self._stream(salt), strict=False))
        return {SIGNATURE: SECRET, "ciphertext": base64.b64encode(salt + hidden).decode()}

    def _opened(self, secret):
        data = base64.b64decode(secret["ciphertext"])
        shown = bytes(a ^ b for a, b in zip(data[8:], self._stream(data[:8]), strict=False))
        return {SIGNATURE: SECRET, "value": json.loads(shown)}

    def _stream(self, salt):
        for number in itertools.count():
            yield from hmac.new(self._key, salt + number.to_bytes(8, "big"), "sha256").digest()
