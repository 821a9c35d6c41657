"""The attributes of a service that a swarm has, and why it refuses the others."""

from __future__ import annotations

from bayplan.load.compose import keys

_OF_ONE_HOST = "a service of a swarm has no such option"

SERVICE_READ = frozenset(
    [
        *("cap_add", "cap_drop", "command", "configs", "cpus", "depends_on", "deploy", "dns", "dns_opt", "dns_search"),
        *("entrypoint", "env_file", "environment", "extra_hosts", "group_add", "healthcheck", "hostname", "image"),
        *("init", "label_file", "labels", "logging", "mem_limit", "mem_reservation", "network_mode", "networks"),
        *("pids_limit", "ports", "profiles", "pull_policy", "read_only", "restart", "scale", "secrets", "stdin_open"),
        *("stop_grace_period", "stop_signal", "sysctls", "tmpfs", "tty", "ulimits", "user", "volumes", "working_dir"),
    ]
)
ASIDE = {
    "attach": "",
    "build": "nodes pull what was pushed",
    "container_name": "the swarm names the containers of tasks",
    "develop": "nothing is watched by an apply",
    "expose": "",
    "links": "services find each other by their names on a network",
}
"""What a file for one host has besides, to what is said of it; empty: nothing."""
REFUSED = {
    **dict.fromkeys(keys.SERVICE_BUILT - SERVICE_READ - ASIDE.keys(), _OF_ONE_HOST),
    **{key: why or _OF_ONE_HOST for key, why in keys.SERVICE_KNOWN.items()},
    "shm_size": f"{_OF_ONE_HOST}; mount a tmpfs at /dev/shm",
    "platform": f"{_OF_ONE_HOST}; give deploy.placement.constraints node.platform.arch",
    "volumes_from": f"{_OF_ONE_HOST}; name the volumes",
}

DEPLOY = keys.DEPLOY_BUILT | keys.DEPLOY_OF_SWARM
LIMITS = frozenset({"cpus", "memory", "pids"})
RESERVATIONS = frozenset({"cpus", "memory", "generic_resources"})
RESERVATIONS_REFUSED = {
    "devices": "devices of a swarm are generic_resources",
    "pids": "Swarm reserves no processes",
}
ENDPOINT = frozenset({"aliases", "driver_opts", "priority"})
ENDPOINT_REFUSED = dict.fromkeys(keys.ENDPOINT_BUILT - ENDPOINT, "a swarm gives tasks their addresses and links itself")
NETWORK = frozenset({"attachable", "driver", "driver_opts", "external", "internal", "ipam", "labels", "name"})
NETWORK_REFUSED = {
    "enable_ipv4": "an overlay network has IPv4",
    "enable_ipv6": "an overlay network's IPv6 is not built yet",
}
