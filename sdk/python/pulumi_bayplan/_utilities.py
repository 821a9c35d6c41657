"""What the generated modules share: arguments of resources, calls of functions, and the package's registration."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, dataclass_transform

import pulumi
import pulumi.runtime

from pulumi_bayplan._version import VERSION

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, field_specifiers=(pulumi.property,))
def input_type(cls: type[T]) -> type[T]:
    """``pulumi.input_type``, in a form by which type checkers know the constructor that it adds."""
    return pulumi.input_type(cls)


def prepared(
    args_type: type[T],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    every: Sequence[str],
    secrets: Sequence[str],
    encoded: Sequence[str],
) -> tuple[Any, pulumi.ResourceOptions]:
    """Arguments and options of a resource, however its constructor was called.

    ``every`` property is an output of it from now on, also one that is not given. ``secrets`` are inputs that are
    marked as such, ``encoded`` travel as JSON (configuration of a provider is text).
    """
    rest, given = list(args), dict(kwargs)
    bag = rest.pop(0) if rest and isinstance(rest[0], args_type) else given.pop("args", None)
    opts = rest.pop(0) if rest else given.pop("opts", None)
    known = given.pop("__props__", None)
    if rest:
        raise TypeError("properties of a resource are given by name")
    if opts is not None and not isinstance(opts, pulumi.ResourceOptions):
        raise TypeError(f"options of a resource are a ResourceOptions, not {type(opts).__name__}")
    opts = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(version=VERSION), opts)
    if known is not None:
        return known, opts
    if bag is not None and given:
        raise TypeError(f"{next(iter(given))} is given beside args: give it there")
    found = bag if bag is not None else args_type(**given)
    values = {name: value for name, value in vars(found).items() if value is not None}
    for name in encoded:
        if name in values:
            values[name] = pulumi.Output.json_dumps(_as_properties(values[name]))
    for name in secrets:
        if name in values:
            values[name] = pulumi.Output.secret(values[name])
    opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=list(secrets)))
    return _bag(args_type, {**dict.fromkeys(every), **values}), opts


def unknown(args_type: type[T], names: Sequence[str]) -> T:
    """Every property of a resource that is looked up, none of them known yet."""
    return _bag(args_type, dict.fromkeys(names))


def ask(token: str, given: Mapping[str, Any], opts: pulumi.InvokeOptions | None, found: type[T]) -> T:
    """Call a function of the package, and wait for its answer."""
    opts = pulumi.InvokeOptions.merge(pulumi.InvokeOptions(version=VERSION), opts)
    answer: T = pulumi.runtime.invoke(token, dict(given), opts=opts, typ=found).value
    return answer


def asked(
    token: str,
    given: Mapping[str, Any],
    opts: pulumi.InvokeOptions | pulumi.InvokeOutputOptions | None,
    found: type[T],
) -> pulumi.Output[T]:
    """The same with arguments that are outputs."""
    merged = pulumi.InvokeOutputOptions.merge(pulumi.InvokeOptions(version=VERSION), opts)
    answer: pulumi.Output[T] = pulumi.runtime.invoke_output(token, dict(given), opts=merged, typ=found)
    return answer


def register(resources: Mapping[str, type[pulumi.CustomResource]], provider: type[pulumi.ProviderResource]) -> None:
    """Say which class stands for which type, so that references to resources can be read."""

    class Package(pulumi.runtime.ResourcePackage):
        def version(self) -> Any:
            return _semver()

        def construct_provider(self, name: str, typ: str, urn: str) -> pulumi.ProviderResource:
            return provider(name, pulumi.ResourceOptions(urn=urn))  # type: ignore[arg-type]

    class Module(pulumi.runtime.ResourceModule):
        def version(self) -> Any:
            return _semver()

        def construct(self, name: str, typ: str, urn: str) -> pulumi.Resource:
            if typ not in resources:
                raise TypeError(f"the package bayplan {VERSION} has no resource {typ}")
            return resources[typ](name, pulumi.ResourceOptions(urn=urn))  # type: ignore[arg-type]

    pulumi.runtime.register_resource_package("bayplan", Package())
    pulumi.runtime.register_resource_module("bayplan", "index", Module())


def _bag(args_type: type[T], values: Mapping[str, Any]) -> T:
    made = args_type.__new__(args_type)
    vars(made).update(values)
    return made


@functools.cache
def _semver() -> Any:
    from semver import VersionInfo

    return VersionInfo.parse(VERSION)


def _as_properties(value: Any) -> Any:
    """Parts of a value by the names of properties: what is encoded here is not translated any more."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_properties(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _as_properties(item) for name, item in value.items()}
    if hasattr(value, "_pulumi_input_type"):
        return {_camel(name): _as_properties(item) for name, item in vars(value).items() if item is not None}
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
