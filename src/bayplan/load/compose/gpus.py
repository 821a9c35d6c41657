"""``gpus`` and ``deploy.resources.reservations.devices``: devices by their drivers' names (CDI)."""

from __future__ import annotations

from bayplan.load.compose import keys
from bayplan.load.compose.nodes import Node, as_list, as_text, check_keys, texts, wrong

_KINDS = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "intel.com/gpu"}
"""Drivers to the kinds that their makers describe (nvidia-ctk cdi generate, amd-ctk cdi generate)."""
_USUAL = "nvidia"
"""The driver that Docker takes where none is named."""


def gpus(service: Node) -> tuple[str, ...]:
    """The names of the devices that a service asks for. Raises DeclarationError."""
    given, deploy = service.get("gpus"), service.get("deploy")
    resources = deploy.get("resources") if deploy else None
    reserved = resources.get("reservations") if resources else None
    devices = reserved.get("devices") if reserved else None
    found: list[str] = []
    if given is not None and given.value == "all":
        found.append(f"{_KINDS[_USUAL]}=all")
    elif given is not None:
        found += [name for item in as_list(given) for name in _names(item, graphics=True)]
    if devices is not None:
        found += [name for item in as_list(devices) for name in _names(item, graphics=False)]
    return tuple(dict.fromkeys(found))


def _names(node: Node, *, graphics: bool) -> list[str]:
    """The devices of one request; in ``gpus`` the capability gpu needs no mention."""
    check_keys(node, built=keys.GPU_BUILT)
    wanted, driver, ids = node.get("capabilities"), node.get("driver"), node.get("device_ids")
    capabilities = texts(wanted) if wanted else ("gpu",) if graphics else ()
    name = as_text(driver) if driver else _USUAL
    if name == "cdi":
        if ids is None:
            raise wrong(node, "the driver cdi needs device_ids", hint="such as vendor.com/class=name")
        return list(texts(ids))
    if "gpu" not in capabilities:
        raise wrong(
            wanted or node,
            f"devices of capability {', '.join(capabilities) or 'none'} have no known name",
            hint="name them: driver cdi and device_ids, or devices: [vendor.com/class=name]",
        )
    if name not in _KINDS:
        raise wrong(driver or node, f"unknown driver {name!r}", hint=f"{', '.join(_KINDS)}, or cdi with device_ids")
    count = node.get("count")
    if count is not None and ids is not None:
        raise wrong(count, "count and device_ids exclude each other")
    if ids is not None:
        return [f"{_KINDS[name]}={one}" for one in texts(ids)]
    return [f"{_KINDS[name]}={one}" for one in _counted(count)]


def _counted(count: Node | None) -> list[str]:
    """``all``, or so many of the first."""
    text = "all" if count is None else as_text(count)
    if count is None or text in ("all", "-1"):
        return ["all"]
    if not text.isdigit() or not 0 < int(text) <= 64:
        raise wrong(count, f"{text!r} is no number of devices", hint="a number, or all")
    return [str(number) for number in range(int(text))]
