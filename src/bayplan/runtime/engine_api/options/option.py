"""One container option: how it is written into a create body, how it is read back, and who cannot honour it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar

from bayplan.models import Container, Model
from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.shape import Body, Shape
from bayplan.values import frozen

UNREADABLE: Any = object()
"""Read where the engine does not say: what was declared is taken for what is."""
Gap = tuple[str, str]
"""An option's path (``networks.interface_name``) and why an engine cannot honour it."""


_M = TypeVar("_M", bound=Model)


def build(model: type[_M], **values: Any) -> _M:
    """A model of what an engine shows, unchecked: another tool's container may hold what no declaration may."""
    construct: Any = model.model_construct
    made: _M = construct(**values)
    return made


@frozen
class Option:
    """A field of ``Container``. Subclasses write and read it; both in the model's values.

    ``read`` gives the model's default for what the image or the engine sets by default. It is used on what was found
    and on what the declaration is written as: where both read the same, the container has what was declared.
    """

    kept: ClassVar[bool] = False
    """Known by the record of the declaration alone."""
    field: str
    since: tuple[int, int] | None = None
    """The API version that brought it; unset: every one."""

    def write(self, wanted: Container, body: Body) -> None:
        """Add what the field asks for."""
        raise NotImplementedError

    def read(self, shape: Shape) -> Any:
        """The field's value, or UNREADABLE."""
        raise NotImplementedError

    def gaps(self, wanted: Container, engine: Engine) -> Iterator[Gap]:
        """Why this engine cannot honour what is wanted; nothing when it can."""
        if self.since and not engine.speaks(self.since) and self.value(wanted) != default_of(self.field):
            yield self.field, f"it needs {engine.release(self.since)}"

    def settle(self, declared: Any, own: Shape, found: Shape) -> Any:
        """What the container has: ``declared`` where it is what was found, else what was found.

        ``own`` is the shape of the declaration.
        """
        seen = self.read(found)
        return declared if seen is UNREADABLE or seen == self.read(own) else seen

    def foreign(self, wanted: Container, actual: Container) -> Any:
        """What a container has that another tool made, without what that tool adds where nothing was asked for."""
        return self.value(actual)

    def value(self, wanted: Container) -> Any:
        """The field's value."""
        return getattr(wanted, self.field)


@cache
def default_of(name: str) -> Any:
    """The model's default of a field; None for one that must be given."""
    info = Container.model_fields[name]
    return None if info.is_required() else info.get_default(call_default_factory=True)


def same(value: Any) -> Any:
    """As it is."""
    return value


@frozen
class Plain(Option):
    """A field that is one key of the body: ``to`` makes its JSON, ``back`` the model's value of that."""

    place: Literal["config", "host"] = "host"
    key: str = ""
    to: Callable[[Any], Any] = same
    back: Callable[[Any], Any] = same
    defaults: tuple[Any, ...] = ()
    """What the engine shows where nothing was asked for, beside nothing."""

    def write(self, wanted: Container, body: Body) -> None:
        """Nothing for the model's default: that is the engine's."""
        value = self.value(wanted)
        if value != default_of(self.field):
            getattr(body, self.place)[self.key] = self.to(value)

    def read(self, shape: Shape) -> Any:
        """The model's default for none, and for the engine's defaults."""
        found = getattr(shape, self.place).get(self.key)
        return default_of(self.field) if not found or found in self.defaults else self.back(found)


@frozen
class Inherited(Plain):
    """A field whose default is the image's."""

    def read(self, shape: Shape) -> Any:
        """Unset where it is the image's."""
        found, image = (
            self.back(text) if text else None for text in (_text(shape, self.key), _of_image(shape, self.key))
        )
        return None if found == image or (image is None and found in self.defaults) else found


def _text(shape: Shape, key: str) -> str:
    return shape.config.get(key) or ""


def _of_image(shape: Shape, key: str) -> str:
    return shape.image.get(key) or ""


@frozen
class Kept(Option):
    """A field that no engine has a word for: the record of the declaration alone knows it."""

    kept: ClassVar[bool] = True

    def write(self, wanted: Container, body: Body) -> None:
        """Nothing."""

    def read(self, shape: Shape) -> Any:
        """Nobody says."""
        return UNREADABLE
