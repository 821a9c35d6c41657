"""The names Compose knows, by what becomes of them here: read, or refused as not built yet."""

from __future__ import annotations

TOP_BUILT = frozenset({"name", "version", "services", "networks", "volumes"})
TOP_KNOWN = frozenset({"secrets", "configs", "include", "models"})

SERVICE_BUILT = frozenset(
    [
        "build",
        "cap_add",
        "cap_drop",
        "command",
        "container_name",
        "cpu_shares",
        "cpus",
        "cpuset",
        "depends_on",
        "deploy",
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
        "labels",
        "mem_limit",
        "mem_reservation",
        "network_mode",
        "networks",
        "pids_limit",
        "platform",
        "ports",
        "privileged",
        "profiles",
        "pull_policy",
        "read_only",
        "restart",
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
        "volumes",
        "working_dir",
    ]
)
SERVICE_KNOWN = frozenset(
    [
        "annotations",
        "attach",
        "blkio_config",
        "cgroup",
        "cgroup_parent",
        "configs",
        "cpu_count",
        "cpu_percent",
        "cpu_period",
        "cpu_quota",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "credential_spec",
        "develop",
        "device_cgroup_rules",
        "devices",
        "dns",
        "dns_opt",
        "dns_search",
        "domainname",
        "extends",
        "external_links",
        "gpus",
        "ipc",
        "isolation",
        "label_file",
        "links",
        "logging",
        "mac_address",
        "mem_swappiness",
        "memswap_limit",
        "models",
        "oom_kill_disable",
        "oom_score_adj",
        "pid",
        "post_start",
        "pre_start",
        "pre_stop",
        "provider",
        "runtime",
        "scale",
        "secrets",
        "storage_opt",
        "use_api_socket",
        "userns_mode",
        "uts",
        "volumes_from",
    ]
)

BUILD_BUILT = frozenset(["args", "context", "dockerfile", "dockerfile_inline", "labels", "no_cache", "pull", "target"])
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
        "secrets",
        "shm_size",
        "ssh",
        "tags",
        "ulimits",
    ]
)

DEPLOY_BUILT = frozenset({"replicas", "resources", "restart_policy", "labels"})
DEPLOY_KNOWN = frozenset({"mode", "endpoint_mode", "placement", "update_config", "rollback_config"})
LIMITS_BUILT = frozenset({"cpus", "memory", "pids"})
RESERVATIONS_KNOWN = frozenset({"cpus", "devices", "generic_resources", "pids"})

ENDPOINT_BUILT = frozenset({"aliases", "ipv4_address", "mac_address", "priority"})
ENDPOINT_KNOWN = frozenset({"driver_opts", "gw_priority", "interface_name", "ipv6_address", "link_local_ips"})

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
MOUNT_BUILT = frozenset({"type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs"})
MOUNT_KNOWN = frozenset({"image"})
HEALTH_BUILT = frozenset(["disable", "interval", "retries", "start_interval", "start_period", "test", "timeout"])
