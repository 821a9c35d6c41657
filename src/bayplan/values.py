"""Frozen values whose classes are made without generating code.

``dataclass(frozen=True)`` writes and compiles six functions for each class, 0.3 to 0.6 ms in Python 3.11: for the fifty
classes that every short command loads, a tenth of its time. These share six functions that look the fields up; to make
an instance takes two microseconds more. What is made by the thousand, or copied by ``replace``, stays a dataclass.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class with annotated fields what ``dataclass(frozen=True)`` makes of it.

    Of what ``field`` knows only defaults count. Functions that the class has itself stay.
    """
    found: Any = dataclass(init=False, repr=False, eq=False)(cls)
    found.__values__ = tuple((item.name, item.default, item.default_factory) for item in fields(found))
    for name, function in _SHARED.items():
        if name not in cls.__dict__:
            setattr(found, name, function)
    return cls


def _init(self: Any, *given: Any, **named: Any) -> None:
    known = self.__values__
    held = self.__dict__
    if len(given) > len(known):
        raise TypeError(f"{type(self).__name__} has {len(known)} fields, {len(given)} were given")
    for (name, _, _), item in zip(known, given, strict=False):
        held[name] = item
    for name, default, factory in known[len(given) :]:
        if name in named:
            held[name] = named.pop(name)
        elif default is not MISSING:
            held[name] = default
        elif factory is not MISSING:
            held[name] = factory()
        else:
            raise TypeError(f"{type(self).__name__} lacks {name}")
    if named:
        raise TypeError(f"{type(self).__name__} was given {', '.join(named)} twice, or has no such field")


def _items(of: Any) -> tuple[Any, ...]:
    held = of.__dict__
    return tuple(held[name] for name, _, _ in of.__values__)


def _repr(self: Any) -> str:
    pairs = zip(self.__values__, _items(self), strict=True)
    return f"{type(self).__qualname__}({', '.join(f'{known[0]}={item!r}' for known, item in pairs)})"


def _eq(self: Any, other: object) -> Any:
    return _items(self) == _items(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_items(self))


def _setattr(self: Any, name: str, _: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
