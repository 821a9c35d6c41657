"""One service's attributes that stand for themselves: no names of other resources, no files."""

from __future__ import annotations

import logging as logging_module
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bayplan.load.compose import keys
from bayplan.load.compose.faults import Faults
from bayplan.load.compose.gpus import gpus
from bayplan.load.compose.hooks import hooks
from bayplan.load.compose.isolation import cdi_devices, devices, security_options
from bayplan.load.compose.limits import as_size, parsed
from bayplan.load.compose.nodes import (
    Node,
    as_flag,
    as_integer,
    as_map,
    as_text,
    check_keys,
    not_built,
    text_map,
    text_or_texts,
    texts,
    words,
    wrong,
)
from bayplan.load.compose.validate import make
from bayplan.models import ByteSize, Duration, HealthCheck, Logging, Ulimit

_log = logging_module.getLogger("bayplan.load")


def healthcheck(node: Node) -> HealthCheck:
    """``healthcheck``; a string test is CMD-SHELL. Raises DeclarationError."""
    check_keys(node, built=keys.HEALTH_BUILT)
    disable, test = node.get("disable"), node.get("test")
    if disable and as_flag(disable):
        return HealthCheck(test=("NONE",))
    values: dict[str, Any] = {}
    if test is not None:
        values["test"] = texts(test) if isinstance(test.value, list) else ("CMD-SHELL", as_text(test))
    for name in ("interval", "timeout", "start_period", "start_interval"):
        found = node.get(name)
        if found:
            values[name] = parsed(found, Duration.parse)
    retries = node.get("retries")
    if retries:
        values["retries"] = as_integer(retries)
    return make(HealthCheck, node, values)


def simple(service: Node, directory: Path) -> dict[str, Any]:
    """Container fields that need nothing but the attribute of (nearly) the same name. Raises DeclarationError.

    ``directory`` is the project's, to which paths are relative.
    """
    readers: dict[str, Callable[[Node], Any]] = {
        "command": words,
        "entrypoint": words,
        "working_dir": as_text,
        "user": as_text,
        "hostname": as_text,
        "group_add": texts,
        "expose": texts,
        "cap_add": texts,
        "cap_drop": texts,
        "privileged": as_flag,
        "read_only": as_flag,
        "security_opt": lambda node: security_options(node, directory),
        "devices": devices,
        "device_cgroup_rules": texts,
        "init": as_flag,
        "tty": as_flag,
        "stdin_open": as_flag,
        "domainname": as_text,
        "oom_score_adj": as_integer,
        "uts": as_text,
        "cgroup": as_text,
        "userns_mode": as_text,
        "annotations": text_map,
        "runtime": as_text,
        "cgroup_parent": as_text,
        "storage_opt": _storage,
        "post_start": hooks,
        "pre_stop": hooks,
        "dns": text_or_texts,
        "dns_search": text_or_texts,
        "dns_opt": texts,
        "logging": logging,
        "sysctls": text_map,
        "shm_size": as_size,
        "stop_signal": _signal,
        "stop_grace_period": lambda node: parsed(node, Duration.parse),
        "extra_hosts": hosts,
        "ulimits": ulimits,
        "healthcheck": healthcheck,
    }
    faults, values = Faults(), dict[str, Any]()
    for name, read in readers.items():
        if found := service.get(name):
            values[name] = faults.of(read, found)
    asked = (faults.of(cdi_devices, service.get("devices")), faults.of(gpus, service))
    values["cdi_devices"] = tuple(name for names in asked for name in names or ())
    faults.tell()
    if develop := service.get("develop"):
        as_map(develop)
        _log.warning("%s: %s is ignored: nothing is watched by an apply", develop.at, develop.path)
    return values


_LOG_DRIVERS = ("json-file", "local", "k8s-file", "journald", "none")


def logging(node: Node) -> Logging:
    """``logging``; Docker's json-file and local are our own form, k8s-file. Raises DeclarationError."""
    check_keys(node, built=keys.LOGGING_BUILT)
    driver, options = node.get("driver"), node.get("options")
    name = as_text(driver) if driver else "json-file"
    if name not in _LOG_DRIVERS:
        said = f"log driver {name!r} is not built yet; there are {', '.join(_LOG_DRIVERS)}"
        raise not_built(driver or node, said)
    values: dict[str, Any] = {"driver": name if name in ("none", "journald") else "k8s-file"}
    readers: dict[str, tuple[str, Callable[[Node], Any]]] = {
        "max-size": ("max_size", as_size),
        "max-file": ("max_file", as_integer),
        "tag": ("tag", as_text),
    }
    for key, value in as_map(options).items() if options else ():
        if key not in readers:
            raise not_built(value, f"log option {key} is not built yet")
        field, read = readers[key]
        values[field] = read(value)
    return make(Logging, node, values, {"max_size": "options", "max_file": "options"})


def _storage(node: Node) -> dict[str, ByteSize]:
    check_keys(node, built={"size"})
    size = node.get("size")
    return {} if size is None else {"size": as_size(size)}


def _signal(node: Node) -> str:
    """A signal's name or number, checked here: found out only at stop, a wrong one would leave the container."""
    text = as_text(node)
    name = text.upper()
    known = {one.name for one in signal.Signals}
    numbered = text.isascii() and text.isdigit() and text in {str(int(one)) for one in signal.valid_signals()}
    if not numbered and name not in known and f"SIG{name}" not in known and not _is_real_time(name):
        raise wrong(node, f"unknown signal {text!r}; see signal(7)")
    return text


def _is_real_time(name: str) -> bool:
    """``RTMIN+3``, ``SIGRTMAX-2``: named from both ends of their range (signal(7), kill(1))."""
    found = re.fullmatch(r"(?:SIG)?RT(?:MIN\+|MAX-)(\d{1,2})", name)
    return found is not None and signal.SIGRTMIN + int(found[1]) <= signal.SIGRTMAX


def ulimits(node: Node) -> dict[str, Ulimit]:
    """``ulimits``: one number, or soft and hard. Raises DeclarationError."""
    limits = {}
    for name, item in as_map(node).items():
        if not hasattr(resource, f"RLIMIT_{name.upper()}"):
            raise wrong(item, f"unknown limit {name!r}; see getrlimit(2)")
        if isinstance(item.value, dict):
            check_keys(item, built={"soft", "hard"})
            soft, hard = item.get("soft"), item.get("hard")
            if soft is None or hard is None:
                raise wrong(item, "needs soft and hard")
            limits[name] = make(Ulimit, item, {"soft": as_integer(soft), "hard": as_integer(hard)})
        else:
            limits[name] = make(Ulimit, item, {"soft": as_integer(item), "hard": as_integer(item)})
    return limits


def hosts(node: Node) -> dict[str, str]:
    """``extra_hosts``: names to addresses, several with commas between. Raises DeclarationError."""
    entries: list[tuple[str, str, Node]] = []
    if isinstance(node.value, list):
        for item in node.value:
            text = as_text(item)
            name, separator, address = text.partition("=" if "=" in text else ":")
            if not separator or not name or not address:
                raise wrong(item, f"{text!r} is not NAME=ADDRESS")
            entries.append((name, address, item))
    else:
        for name, child in as_map(node).items():
            entries += [(name, address, child) for address in text_or_texts(child)]
    found: dict[str, dict[str, None]] = {}
    for name, address, place in entries:
        if "," in address:
            raise wrong(place, f"{address!r} is no address", hint="give each address an entry of its own")
        found.setdefault(name, {})[address.strip("[]")] = None
    return {name: ",".join(addresses) for name, addresses in found.items()}
