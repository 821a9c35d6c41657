"""The names Compose knows, by what becomes of them here: read, or refused as not built yet."""

from __future__ import annotations

TOP_BUILT = frozenset({"name", "version", "services", "networks", "volumes", "secrets", "configs"})
TOP_KNOWN = frozenset({"models"})

SERVICE_BUILT = frozenset(
    [
        "annotations",
        "attach",
        "blkio_config",
        "build",
        "cap_add",
        "cap_drop",
        "cgroup",
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
        "group_add",
        "healthcheck",
        "hostname",
        "image",
        "init",
        "ipc",
        "label_file",
        "labels",
        "logging",
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
        "privileged",
        "profiles",
        "pull_policy",
        "read_only",
        "restart",
        "scale",
        "secrets",
        "security_opt",
        "shm_size",
        "stdin_open",
        "stop_grace_period",
        "stop_signal",
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
SERVICE_KNOWN = frozenset(
    [
        "cgroup_parent",
        "cpu_count",
        "cpu_percent",
        "credential_spec",
        "develop",
        "external_links",
        "gpus",
        "isolation",
        "links",
        "mac_address",
        "models",
        "post_start",
        "pre_start",
        "pre_stop",
        "provider",
        "runtime",
        "storage_opt",
        "use_api_socket",
    ]
)

BUILD_BUILT = frozenset(
    ["args", "context", "dockerfile", "dockerfile_inline", "labels", "no_cache", "pull", "secrets", "ssh", "target"]
)
BUILD_KNOWN = frozenset(
    [
        "additional_contexts",
        "cache_from",
        "cache_to",
        "entitlements",
        "extra_hosts",
        "isolation",
        "network",
        "no_cache_filter",
        "platforms",
        "privileged",
        "provenance",
        "sbom",
        "shm_size",
        "tags",
        "ulimits",
    ]
)

DEPLOY_BUILT = frozenset({"replicas", "resources", "restart_policy", "labels"})
DEPLOY_KNOWN = frozenset({"mode", "endpoint_mode", "placement", "update_config", "rollback_config"})
LIMITS_BUILT = frozenset({"cpus", "memory", "pids"})
RESERVATIONS_KNOWN = frozenset({"cpus", "devices", "generic_resources", "pids"})

ENDPOINT_BUILT = frozenset({"aliases", "ipv4_address", "ipv6_address", "mac_address", "priority"})
ENDPOINT_KNOWN = frozenset({"driver_opts", "gw_priority", "interface_name", "link_local_ips"})

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
