"""What an engine shows of a container that was made by a body, as dockerd 20.10 and 28 were seen to do it."""

import copy

from bayplan.runtime.engine_api.engine import Engine
from bayplan.runtime.engine_api.options.shape import Shape

OLD = Engine(kind="docker", version="20.10.24", api=(1, 41), host="ship")
NEW = Engine(kind="docker", version="28.3.0", api=(1, 51), host="ship", unified=True, private_cgroups=True)
ENGINES = (OLD, NEW)
ID = "4" * 64
IMAGE = {
    "Cmd": ["sh"],
    "Entrypoint": None,
    "Env": ["PATH=/bin", "A=image"],
    "Labels": {"of": "image"},
    "WorkingDir": "/",
    "User": "",
    "StopSignal": "SIGQUIT",
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "look"], "Interval": 5_000_000_000},
}


def inspection(body):
    """``GET /containers/ID/json`` for a body, with what the engine adds."""
    shape, engine = Shape.of_body(copy.deepcopy(body)), body.engine
    config, host = dict(shape.config), copy.deepcopy(body.host)
    host["CapAdd"] = [f"CAP_{name}" if name != "ALL" else name for name in host.get("CapAdd") or ()] or None
    host["CapDrop"] = host.get("CapDrop") or None
    host.setdefault("ShmSize", 64 << 20)
    host.setdefault("IpcMode", "private")
    host.setdefault("CgroupnsMode", "private" if engine.private_cgroups else "host")
    host.setdefault("Runtime", "runc")
    host.setdefault("LogConfig", {"Type": "json-file", "Config": {}})
    host.setdefault("RestartPolicy", {"Name": "no", "MaximumRetryCount": 0})
    for key in ("Memory", "MemorySwap", "NanoCpus", "CpuShares", "CpuQuota", "OomScoreAdj", "BlkioWeight"):
        host.setdefault(key, 0)
    for key in ("MemorySwappiness", "PidsLimit", "OomKillDisable", "Init", "Ulimits", "Sysctls", "ExtraHosts", "Binds"):
        host.setdefault(key, None)
    # What dockerd's own --default-ulimit adds at the start.
    host["Ulimits"] = [*(host["Ulimits"] or ()), {"Name": "nproc", "Soft": 4096, "Hard": 4096}]
    if host.get("Privileged"):
        host["SecurityOpt"] = [*(host.get("SecurityOpt") or ()), "label=disable"]
        host["MaskedPaths"] = host["ReadonlyPaths"] = None
    else:
        host.setdefault("MaskedPaths", ["/proc/acpi"])
        host.setdefault("ReadonlyPaths", ["/proc/sys"])
    if not config.get("Hostname"):
        config["Hostname"] = engine.host if host["NetworkMode"] == "host" else ID[:12]
    config.setdefault("Domainname", "")
    places = {}
    for number, (name, settings) in enumerate(body.endpoints.items()):
        places[name] = {
            "IPAMConfig": None,
            "Links": None,
            "DriverOpts": None,
            "GwPriority": 0,
            "MacAddress": f"02:42:0a:63:00:{number + 2:02x}",
            "IPAddress": "10.99.0.9",
            "NetworkID": f"id of {name}",
            **settings,
            "Aliases": [*settings.get("Aliases", ()), ID[:12], config["Hostname"]],
        }
    if not places and host["NetworkMode"] in ("none", "host"):
        places[host["NetworkMode"]] = {"Aliases": None, "IPAMConfig": {}, "MacAddress": ""}
    return {
        "Id": ID,
        "Name": "/one",
        "Image": "sha256:" + "5" * 64,
        "Config": config,
        "HostConfig": host,
        "NetworkSettings": {"Networks": places, "Ports": {}},
        "State": {"Status": "running"},
    }


def shape_of(body):
    """What options are read from."""
    return Shape.of_inspection(inspection(body), body.image, body.engine, {})
