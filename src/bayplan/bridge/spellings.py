"""Containers as Ansible users write them, in the words of community.docker and of Podman too, to fields of the model.

Short spellings are read by the Compose reader, so that ``8080:80/udp`` means one thing everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayplan.bridge import mount_spellings
from bayplan.bridge.foreign import LIMITS, RATES, refuse_foreign
from bayplan.bridge.mount_spellings import node
from bayplan.errors import DeclarationError
from bayplan.load.compose import environment, service
from bayplan.load.compose.ports import read_ports

ALIASES: Mapping[str, tuple[str, ...]] = {
    "environment": ("env",),
    "ports": ("published_ports", "publish", "published"),
    "extra_hosts": ("etc_hosts", "add_hosts"),
    "cap_add": ("capabilities",),
    "dns": ("dns_servers",),
    "dns_search": ("dns_search_domains",),
    "dns_opt": ("dns_opts", "dns_option"),
    "group_add": ("groups",),
    "security_opt": ("security_opts",),
    "pid": ("pid_mode",),
    "ipc": ("ipc_mode",),
    "cgroup": ("cgroupns_mode", "cgroupns"),
    "storage_opt": ("storage_opts",),
    "stdin_open": ("interactive",),
    "expose": ("exposed_ports", "exposed"),
    "restart_policy": (),
    "annotations": ("annotation",),
    "devices": ("device",),
    "device_cgroup_rules": ("device_cgroup_rule",),
    "labels": ("label",),
    "publish_all_ports": ("publish_all",),
    "sysctls": ("sysctl",),
    "ulimits": ("ulimit",),
    "userns_mode": ("userns",),
    "working_dir": ("workdir",),
}
"""Options to their other names."""
_UNSET = frozenset(
    (
        *("cgroup", "cgroup_parent", "domainname", "hostname", "ipc", "mac_address", "network_mode", "pid"),
        *("platform", "runtime", "stop_signal", "user", "userns_mode", "uts", "working_dir"),
    )
)
"""Options for which an empty text is nothing given: a template makes that of a variable that is not set."""
_LISTS = ("ports", "volumes", "mounts", "tmpfs", "networks")
"""Those that are read here and not by the reader of a service."""
OF_IMAGE = ("platform", "pull")
"""Options of a container that are its image's."""
_COMPOSE = (
    *(
        "annotations",
        "cap_add",
        "cap_drop",
        "command",
        "device_cgroup_rules",
        "devices",
        "dns",
        "dns_opt",
        "dns_search",
    ),
    *("domainname", "entrypoint", "expose", "group_add", "healthcheck", "hostname", "oom_score_adj", "shm_size"),
    *("stop_signal", "sysctls", "ulimits", "user", "working_dir"),
)
"""Options that a service of a Compose file has under the same name, read by the same reader."""
_DOCKERS = ("default", "bridge")
"""Docker's words for the network that it puts a container on which names none."""


def read(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of the container, and those of its image. Raises DeclarationError naming container and option."""
    where = f"container {given.get('name', '')}"
    values = canonical(given)
    refuse_foreign(values, where)
    try:
        return _fields(values, str(given.get("name", "")))
    except DeclarationError as error:
        error.where = where  # the place in a text that nobody wrote says nothing
        raise


def canonical(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their own names, those that are given. Raises DeclarationError for one that is given twice."""
    names = {other: name for name, others in ALIASES.items() for other in others}
    values: dict[str, Any] = {}
    for option, value in given.items():
        name = names.get(option, option)
        if value == "" and name in _UNSET:
            continue
        if value is not None and name in values:
            where = f"container {given.get('name', '')}"
            raise DeclarationError(
                f"{name} is given twice, by one of its other names", where=where, hint="give it once"
            )
        if value is not None:
            values[name] = value
    return values


def ports(items: list[Any]) -> list[Any]:
    """Ports in short spellings or long ones, as models. Raises DeclarationError."""
    values: dict[str, Any] = {"ports": items}
    _ports(values)
    return list(values["ports"])


def _fields(values: dict[str, Any], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    for option in _LISTS:
        if option in values:
            values[option] = _list(option, values[option])
    image = {option: values.pop(option) for option in OF_IMAGE if option in values}
    if isinstance(image.get("pull"), bool):
        image["pull"] = "always" if image["pull"] else "missing"
    _compose(values)
    _restart(values)
    _limits(values)
    _networks(values)
    if "stop_timeout" in values:
        _once(values, "stop_grace_period", "stop_timeout", f"{values['stop_timeout']}s")
    if "ports" in values:
        _ports(values)
    mounts = mount_spellings.read(values, name)
    return {**values, **({"mounts": mounts} if mounts is not None else {})}, image


def _list(option: str, value: object) -> list[Any]:
    """A list; one that is short is a text, as Ansible has it. Raises DeclarationError."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return [part.strip() for part in str(value).split(",")]
    if not isinstance(value, (list, tuple)):
        raise DeclarationError(f"{option}: must be a list")
    return list(value)


def _compose(values: dict[str, Any]) -> None:
    """What the reader of a service knows how to read."""
    if isinstance(values.get("ulimits"), list):
        values["ulimits"] = dict(_ulimit(str(item)) for item in values["ulimits"])
    if isinstance(values.get("extra_hosts"), Mapping):
        values["extra_hosts"] = {key: str(item) for key, item in values["extra_hosts"].items()}
    given = {option: values.pop(option) for option in _COMPOSE if option in values}
    if "log_driver" in values or "log_options" in values:
        if "logging" in values:
            raise DeclarationError("logging and log_driver say the same", hint="give one of them")
        parts = {"driver": values.pop("log_driver", None), "options": values.pop("log_options", None)}
        given["logging"] = {key: part for key, part in parts.items() if part is not None}
    if given:
        values |= {key: item for key, item in service.simple(node(given), Path("/")).items() if item or key in given}
    if "env_file" in values:
        files = values["env_file"] if isinstance(values["env_file"], list) else [values["env_file"]]
        if relative := [str(item) for item in files if isinstance(item, str) and not item.startswith(("/", "~"))]:
            raise DeclarationError(f"env_file: {relative[0]} is not absolute", hint="it is a file of the target")
        of_files = environment.environment(node({"env_file": values.pop("env_file")}), Path("/"), {})
        values["environment"] = {**of_files, **values.get("environment", {})}


def _ulimit(text: str) -> tuple[str, Any]:
    """``nofile:SOFT[:HARD]``."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise DeclarationError(f"ulimits: {text!r} is not NAME:SOFT[:HARD]")
    return parts[0], {"soft": parts[1], "hard": parts[-1]}


def _restart(values: dict[str, Any]) -> None:
    """``restart_policy``; a request that is no task's may call it ``restart``, as the model does."""
    policy = values.pop("restart_policy", values.pop("restart", None))
    retries = values.pop("restart_retries", None)
    if isinstance(policy, (bool, str)):
        # YAML 1.1 reads the word `no` as false.
        condition, _, most = str("no" if policy is False else policy).partition(":")
        policy = {"condition": condition, **({"max_retries": most} if most else {})}
    if retries:
        policy = {**(policy or {}), "max_retries": retries}
    if policy is not None:
        values["restart"] = policy


def _limits(values: dict[str, Any]) -> None:
    """Limits by Docker's names, beside or instead of ``resources``; zero is its word for none."""
    found = {field: values.pop(option) for option, field in LIMITS.items() if option in values}
    blkio = {field: values.pop(option) for option, field in RATES.items() if option in values}
    if "blkio_weight" in values:
        blkio["weight"] = values.pop("blkio_weight")
    if blkio:
        found["blkio"] = blkio
    if not found:
        return
    given = dict(values.get("resources") or {})
    if both := sorted(given.keys() & found.keys()):
        raise DeclarationError(f"resources.{both[0]} is given twice", hint="give it once")
    if str(found.get("pids")) == "0":
        found["pids"] = -1
    limits = {name: value for name, value in found.items() if str(value) != "0" or name == "memory_swappiness"}
    values["resources"] = {**given, **limits}


def _networks(values: dict[str, Any]) -> None:
    mode = str(values.get("network_mode") or "")
    if mode in ("", *_DOCKERS):
        values.pop("network_mode", None)
        mode = ""
    if "networks" in values:
        values["networks"] = [_endpoint(item) for item in values["networks"]]
    if mode not in ("", "none", "host") and not mode.startswith("container:"):
        values["networks"] = _first(str(values.pop("network_mode")), values.get("networks"))
    mac = values.pop("mac_address", None)
    if mac is not None:
        if len(values.get("networks", ())) != 1:
            raise DeclarationError("mac_address needs to know of which network", hint="give it in networks")
        values["networks"][0].setdefault("mac_address", str(mac).lower())


def _first(name: str, networks: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Docker's other way to name a network, the first one of several. Raises DeclarationError for none of them."""
    networks = networks or [{"network": name}]
    if name not in [item.get("network") for item in networks]:
        raise DeclarationError(f"network_mode: {name} is none of networks", hint="name it in networks")
    return sorted(networks, key=lambda item: item.get("network") != name)


def _endpoint(item: Any) -> dict[str, Any]:
    found = {"network": item} if not isinstance(item, Mapping) else {k: v for k, v in item.items() if v is not None}
    if "name" in found:
        found["network"] = found.pop("name")
    if found.get("links"):
        raise DeclarationError("links of networks are not built", hint="peers find each other by name and aliases")
    if found.get("driver_opts"):
        raise DeclarationError("driver_opts of an endpoint are not built", hint="such as sysctls, gw_priority instead")
    return {key: value for key, value in found.items() if key not in ("links", "driver_opts")}


def _ports(values: dict[str, Any]) -> None:
    address, given = values.pop("default_host_ip", None), values["ports"]
    if any(str(item).lower() == "all" for item in given):
        values["publish_all_ports"] = True
        given = [item for item in given if str(item).lower() != "all"]
    ports = read_ports(node({"ports": given}).get("ports") or node([]))
    values["ports"] = [
        port.model_copy(update={"host_ip": port.host_ip or _address(address)}) if address else port for port in ports
    ]


def _address(text: object) -> Any:
    import ipaddress

    try:
        return ipaddress.ip_address(str(text))
    except ValueError as error:
        raise DeclarationError(f"default_host_ip: {text!r} is no address") from error


def _once(values: dict[str, Any], name: str, option: str, value: Any) -> None:
    if name in values:
        raise DeclarationError(f"{name} and {option} say the same", hint="give one of them")
    values[name] = value
    del values[option]
