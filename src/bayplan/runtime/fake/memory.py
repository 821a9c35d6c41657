"""What the engine in memory keeps, and the switches by which tests make it fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from bayplan.errors import RuntimeFailureError
from bayplan.models import Image, Kind, ResourceId, Stack
from bayplan.runtime.protocol import Observed, State, Status


@dataclass
class Memory:
    """A dictionary of resources. ``fail`` maps a call (``start web``) to the message with which it fails."""

    resources: dict[ResourceId, Observed] = field(default_factory=dict)
    registry: dict[str, str] = field(default_factory=dict)
    """Image name to digest; an image that is not here does not exist. Empty: every image exists."""
    local_images: dict[str, str] = field(default_factory=dict)
    built: dict[str, str] = field(default_factory=dict)
    """Image name to the digest that any build of it gives; one for each declaration when it is not here."""
    kept: dict[str, frozenset[str]] = field(default_factory=dict)
    """Digests of images that are kept, by who keeps them."""
    fail: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """Every change asked for, as ``verb name``, in order."""

    def __post_init__(self) -> None:
        self._mutex = threading.RLock()

    def matches(self, stack: Stack) -> bool:
        """Whether every declared container runs as declared."""
        found = [self.resources.get(item.id) for item in stack.containers]
        return all(
            held is not None and held.actual == item and held.status.state is State.RUNNING
            for held, item in zip(found, stack.containers, strict=True)
        )

    def _has_image(self, key: ResourceId) -> bool:
        return key.kind is Kind.IMAGE and key.name in self.local_images

    def _image(self, name: str) -> Observed:
        image = Image(name=name)
        status = Status(state=State.READY)
        return Observed(actual=image, declared=image, status=status, image_digest=self.local_images[name])

    def _set(self, name: str, **status: object) -> None:
        with self._mutex:
            key = ResourceId(kind=Kind.CONTAINER, name=name)
            held = self.resources[key]
            self.resources[key] = held.model_copy(update={"status": held.status.model_copy(update=status)})

    def _call(self, verb: str, name: str, *, record: bool = True) -> None:
        with self._mutex:
            if record:
                self.calls.append(f"{verb} {name}")
            message = self.fail.get(f"{verb} {name}")
        if message:
            raise RuntimeFailureError(message, where=name)
