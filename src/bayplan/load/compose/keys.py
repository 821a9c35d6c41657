"""The names Compose knows, by what becomes of them here: read, or refused as not built yet."""

from __future__ import annotations

TOP_BUILT = frozenset({"name", "version", "services", "networks", "volumes", "secrets", "configs"})
TOP_KNOWN = {"models": "language models are run by Docker Desktop; declare a service that serves one"}

SERVICE_BUILT = frozenset(
    [
        "annotations",
        "attach",
        "blkio_config",
        "build",
        "cap_add",
        "cap_drop",
        "cgroup",
        "cgroup_parent",
        "command",
        "configs",
        "container_name",
        "cpu_period",
        "cpu_quota",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "cpu_shares",
        "cpus",
        "cpuset",
        "depends_on",
        "deploy",
        "develop",
        "device_cgroup_rules",
        "devices",
        "dns",
        "dns_opt",
        "dns_search",
        "domainname",
        "entrypoint",
        "env_file",
        "environment",
        "expose",
        "extra_hosts",
        "gpus",
        "group_add",
        "healthcheck",
        "hostname",
        "image",
        "init",
        "ipc",
        "label_file",
        "labels",
        "links",
        "logging",
        "mac_address",
        "mem_limit",
        "mem_reservation",
        "mem_swappiness",
        "memswap_limit",
        "network_mode",
        "networks",
        "oom_kill_disable",
        "oom_score_adj",
        "pid",
        "pids_limit",
        "platform",
        "ports",
        "post_start",
        "pre_stop",
        "privileged",
        "profiles",
        "pull_policy",
        "read_only",
        "restart",
        "runtime",
        "scale",
        "secrets",
        "security_opt",
        "shm_size",
        "stdin_open",
        "stop_grace_period",
        "stop_signal",
        "storage_opt",
        "sysctls",
        "tmpfs",
        "tty",
        "ulimits",
        "user",
        "userns_mode",
        "uts",
        "volumes",
        "volumes_from",
        "working_dir",
    ]
)
_WINDOWS = "is of Windows containers"
SERVICE_KNOWN = {
    "cpu_count": f"{_WINDOWS}; use cpus",
    "cpu_percent": f"{_WINDOWS}; use cpus",
    "credential_spec": _WINDOWS,
    "extends": "",
    "external_links": "names containers of other projects: join both to one network, external in one of them",
    "isolation": _WINDOWS,
    "models": "language models are run by Docker Desktop; declare a service that serves one",
    "pre_start": "",
    "provider": "hands a service to a program of the provider's, of which nothing can be planned; declare a service",
    "use_api_socket": "gives the container the engine's socket; there is no engine with a socket here",
}
"""To the reason why it will not be built; empty when it may be."""

BUILD_BUILT = frozenset(
    [
        *(
            "args",
            "context",
            "dockerfile",
            "dockerfile_inline",
            "entitlements",
            "labels",
            "no_cache",
            "platforms",
            "pull",
        ),
        *("extra_hosts", "network", "secrets", "shm_size", "ssh", "tags", "target", "ulimits"),
    ]
)
BUILD_KNOWN = frozenset(
    [
        "additional_contexts",
        "cache_from",
        "cache_to",
        "isolation",
        "no_cache_filter",
        "privileged",
        "provenance",
        "sbom",
    ]
)

DEPLOY_BUILT = frozenset({"replicas", "resources", "restart_policy", "labels", "update_config", "rollback_config"})
POLICY_BUILT = frozenset({"parallelism", "delay", "failure_action", "monitor", "max_failure_ratio", "order"})
DEPLOY_OF_SWARM = frozenset({"mode", "endpoint_mode", "placement"})
"""Read by a scheduler of many hosts; on one they mean nothing, and are ignored with a warning, as Compose does."""
LIMITS_BUILT = frozenset({"cpus", "memory", "pids"})
RESERVATIONS_BUILT = frozenset({"memory", "devices"})
RESERVATIONS_OF_SWARM = frozenset({"cpus", "generic_resources", "pids"})
GPU_BUILT = frozenset({"capabilities", "count", "device_ids", "driver", "options"})
HOOK_BUILT = frozenset({"command", "environment", "privileged", "user", "working_dir"})

ENDPOINT_BUILT = frozenset({"aliases", "ipv4_address", "ipv6_address", "mac_address", "priority"}) | frozenset(
    {"driver_opts", "gw_priority", "interface_name", "link_local_ips"}
)

NETWORK_BUILT = frozenset(
    [
        "attachable",
        "driver",
        "driver_opts",
        "enable_ipv4",
        "enable_ipv6",
        "external",
        "internal",
        "ipam",
        "labels",
        "name",
    ]
)
IPAM_BUILT = frozenset({"driver", "config"})
IPAM_KNOWN = frozenset({"options"})
POOL_BUILT = frozenset({"subnet", "gateway", "ip_range", "aux_addresses"})

VOLUME_BUILT = frozenset({"driver", "driver_opts", "external", "labels", "name"})

PORT_BUILT = frozenset({"target", "published", "host_ip", "protocol", "mode", "name", "app_protocol"})
MOUNT_BUILT = frozenset({"type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs", "image"})
RATE_BUILT = frozenset({"path", "rate"})
LOGGING_BUILT = frozenset({"driver", "options"})
HEALTH_BUILT = frozenset(["disable", "interval", "retries", "start_interval", "start_period", "test", "timeout"])
