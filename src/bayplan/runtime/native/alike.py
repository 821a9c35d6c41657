"""What a declaration spells out and the image or the core gives anyway: no difference, so nothing is replaced for it.

The core shows declarations. Two of them are the same where a container or network that is made of either would be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bayplan.errors import UnsupportedError
from bayplan.models import (
    BindMount,
    Container,
    ImageReference,
    Logging,
    Network,
    Resources,
    Settings,
    TmpfsMount,
    VolumeMount,
)
from bayplan.runtime.native.containers import health
from bayplan.runtime.native.containers.making import arguments
from bayplan.runtime.native.containers.spec import isolation, resources
from bayplan.runtime.native.containers.spec.mounts import DEFAULT_SHM_BYTES, DEFAULT_TMPFS_MODE
from bayplan.runtime.native.containers.spec.process import DEFAULT_PATH
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.protocol import Observed

_SPELLINGS = frozenset({"mounts", "expose"})
"""What is not even worth a note: mounts are recorded as they were made, and ports noted for readers mean nothing."""
_MTU = 1500
"""What the kernel gives a bridge and its links (ETH_DATA_LEN of linux/if_ether.h)."""


def container(
    desired: Container, observed: Observed, image: Callable[[], ImageConfig | None], settings: Settings
) -> Observed:
    """The observed container, with the fields marked whose difference comes to nothing; ``image`` is its own."""
    actual = observed.actual
    assert isinstance(actual, Container)
    # With another image it is made anew anyway, and the defaults are other ones.
    differing = [name for name in _MEANINGS if getattr(desired, name) != getattr(actual, name)]
    if not differing or not _is_one_image(desired.image, actual.image):
        return observed
    config = image()
    if config is None:
        return observed
    same = {
        name
        for name in differing
        if _MEANINGS[name](desired, config, settings) == _MEANINGS[name](actual, config, settings)
    }
    spelled = {name: getattr(desired, name) for name in same & _SPELLINGS}
    update = {"alike": frozenset(same - _SPELLINGS), "actual": actual.model_copy(update=spelled) if spelled else actual}
    return observed.model_copy(update=update) if same else observed


def _is_one_image(one: str, other: str) -> bool:
    return one == other or ImageReference.parse(one) == ImageReference.parse(other)


def network(desired: Network, observed: Observed) -> Observed:
    """The observed network, with ranges, gateways and a size of packets marked that it has anyway."""
    actual, has = observed.actual, observed.status.addresses
    assert isinstance(actual, Network)
    same = {name for name in ("subnet", "ipv6_subnet") if _is(getattr(desired, name), has, name)}
    for name in ("gateway", "ipv6_gateway"):
        wanted = getattr(desired, name) or _first_of(has.get(name.replace("gateway", "subnet")))
        same |= {name} if _is(wanted, has, name) else set()
    if desired.bridged and (desired.mtu or _MTU) == (actual.mtu or _MTU):
        same.add("mtu")
    differing = frozenset(name for name in same if getattr(desired, name) != getattr(actual, name))
    return observed.model_copy(update={"alike": differing}) if differing else observed


def _is(wanted: object, has: Mapping[str, str], name: str) -> bool:
    return wanted is not None and str(wanted) == has.get(name)


def _first_of(subnet: str | None) -> object:
    from ipaddress import ip_network

    return ip_network(subnet)[1] if subnet else None


def _environment(one: Container, image: ImageConfig, _: Settings) -> Mapping[str, str]:
    given = dict(entry.partition("=")[::2] for entry in (DEFAULT_PATH, *image.env))
    return {**given, **one.environment}


def _mounts(one: Container, _: ImageConfig, __: Settings) -> list[str]:
    """What is mounted; what matters only as long as a source is not there yet is left out."""
    plain: list[Any] = []
    for mount in one.mounts:
        match mount:
            case VolumeMount():
                plain += [] if mount.of_image else [mount.model_copy(update={"nocopy": False})]
            case BindMount():
                plain.append(mount.model_copy(update={"create_host_path": False}))
            case TmpfsMount():
                mode = DEFAULT_TMPFS_MODE if mount.mode is None else mount.mode
                plain.append(mount.model_copy(update={"mode": mode, "uid": mount.uid or 0, "gid": mount.gid or 0}))
            case _:
                plain.append(mount)
    return sorted(map(repr, plain))


def _healthcheck(one: Container, image: ImageConfig, _: Settings) -> object:
    try:
        found = health.of_image(image.healthcheck)
    except UnsupportedError:  # where it is needed, the start says so
        found = None
    return health.course_of(one, found)


def _logging(one: Container, _: ImageConfig, settings: Settings) -> tuple[Any, ...]:
    kept = one.logging or Logging()
    if kept.driver != "k8s-file":
        return kept.driver, kept.tag
    size = kept.max_size or settings.log_max_size
    return (kept.driver, size, kept.max_file or settings.log_max_file) if size else (kept.driver,)


def _limits(one: Container, _: ImageConfig, __: Settings) -> object:
    """As the kernel is told them, periods filled in."""
    try:
        found: Mapping[str, Any] = resources.limits(one.resources)
    except OSError:  # a device of it is gone: the check of the plan says so
        return one.resources
    cpu = found.get("cpu", {})
    if "quota" in cpu:
        cpu = {**resources.limits(Resources(cpus=1))["cpu"], **cpu}
    return {**found, "cpu": cpu}


def _security(one: Container, _: ImageConfig, __: Settings) -> object:
    rest = [pair for pair in map(isolation.split_option, one.security_opt) if pair[0] != "no-new-privileges"]
    return isolation.no_new_privileges(one), sorted(rest)


def _capabilities(one: Container, _: ImageConfig, __: Settings) -> object:
    return isolation.capabilities(one)


def _arguments(one: Container, image: ImageConfig, _: Settings) -> object:
    return arguments(one, image)


_MEANINGS: Mapping[str, Callable[[Container, ImageConfig, Settings], object]] = {
    "command": _arguments,
    "entrypoint": _arguments,
    "environment": _environment,
    "working_dir": lambda one, image, _: one.working_dir or image.working_dir or "/",
    "user": lambda one, image, _: one.user or image.user or "0",
    "stop_signal": lambda one, image, _: one.stop_signal or image.stop_signal or "SIGTERM",
    "healthcheck": _healthcheck,
    "mounts": _mounts,
    "expose": lambda one, _, __: sorted(port if "/" in port else f"{port}/tcp" for port in one.expose),
    "resources": _limits,
    "cap_add": _capabilities,
    "cap_drop": _capabilities,
    "security_opt": _security,
    "ipc": lambda one, _, __: "private" if one.ipc in (None, "shareable") else one.ipc,
    "cgroup": lambda one, _, __: one.cgroup or "private",
    "userns_mode": lambda one, _, __: one.userns_mode or "host",
    "shm_size": lambda one, _, __: one.shm_size or DEFAULT_SHM_BYTES,
    "logging": _logging,
    "runtime": lambda *_: None,
}
"""What comes of a field, with what the image and the core give where it is not declared. Other fields have no default,
or their model has it. ``runtime`` can only be the core's own (``options.check_options``)."""
