# Copyright: the Bayplan contributors. Apache-2.0
"""Options that modules of community.docker and containers.podman have, and ours have not: what to do instead.

A value that asks for what happens anyway is taken. ``docker_host`` is an alias of C(engine_address).
What only docker_container has stands among the options of C(container) itself.
"""

from __future__ import annotations

from typing import Any

ANY = object()


def none(instead: str, *options: str) -> dict[str, Any]:
    """No value of these options is taken."""
    return dict.fromkeys(options, ((), instead))


def only(taken: Any, instead: str, *options: str) -> dict[str, Any]:
    """One value of these options is taken; ANY is each."""
    return dict.fromkeys(options, ((taken,), instead))


TLS = "engine_tls names the directory of ca.pem, cert.pem and key.pem"
OPTIONS: dict[str, Any] = {
    **only("auto", "the version is agreed on with the engine", "api_version", "docker_api_version"),
    **none(TLS, "ca_path", "ca_cert", "cacert_path", "tls_ca_cert", "client_cert", "cert_path", "tls_client_cert"),
    **none(TLS, "client_key", "key_path", "tls_client_key"),
    **only(False, TLS, "tls", "tls_verify", "validate_certs"),
    **none("engine_address", "docker_url"),
    **none("engine_context", "cli_context"),
    **only("podman", "engine and engine_address say who runs the containers, and where", "executable"),
    **none("the certificate must be that of engine_address", "tls_hostname"),
    **only(ANY, "", "debug", "timeout", "use_ssh_client", "docker_cli"),
}
"""Options of every module."""
UNITS = "containers come back after a boot by restart_policy, without units of their own"
QUADLETS = none(UNITS, "quadlet_dir", "quadlet_filename", "quadlet_file_mode", "quadlet_options")
LOGIN = "the module registry_login keeps credentials"
PLACE = "networks is a list; each may be a dictionary with network, aliases, ipv4_address, ipv6_address"
HEALTH = "healthcheck is a dictionary: test, interval, timeout, retries, start_period"
KEPT = {
    **none("a changed content is a change, always", "force", "rolling_versions"),
    **none("a swarm keeps the versions that its services have", "versions_to_keep"),
    **none("contents are taken as they are; a template is rendered by Ansible", "template_driver"),
}
ENDED = "container_info finds those that have ended (filters: {state: exited}), container removes them"
OF_MODULES: dict[str, dict[str, Any]] = {
    "config": KEPT,
    "container": {
        **none(LOGIN, "authfile", "creds", "cert_dir"),
        **none(f"{PLACE}; network_mode is host or none", "network", "net", "ip", "ip6", "network_aliases"),
        **none(HEALTH, "healthcheck_interval", "healthcheck_retries", "healthcheck_timeout"),
        **none(HEALTH, "healthcheck_start_period", "no_healthcheck"),
        **none(UNITS, "generate_systemd", "sdnotify", "systemd", "conmon_pidfile"),
        **QUADLETS,
        **none("userns_mode: auto gives a range of user numbers", "uidmap", "gidmap", "subuidname", "subgidname"),
        **none("network_mode: container:NAME shares the network of another", "pod", "pod_id_file"),
        **only(False, "detach: false with cleanup: true, or state: absent", "rm", "remove"),
        **none("the module volume removes volumes", "delete_volumes", "delete_depend"),
        **only(False, "stop_grace_period: 0s", "forcekill"),
        **only(True, "comparisons: {networks: allow_more_present}", "purge_networks"),
        **none("an option of the container says it", "cmd_args"),
        **none("restart: true", "force_restart"),
        **none("cdi_devices, such as nvidia.com/gpu=all", "gpus"),
        **none("images are compared by digest", "image_strict"),
        **none("mounts", "mount"),
        **none("resources.oom_kill_disable", "oom_kill_disable"),
        **none("a stack is given secrets, in its definition", "secrets"),
        **none("stop_timeout", "stop_time"),
        **none("env: {TZ: Europe/Oslo}", "timezone"),
        **none("volumes", "volume"),
        **none("platform: os/architecture[/variant]", "arch", "os", "variant"),
        **none("env", "env_host", "env_merge", "http_proxy", "unsetenv", "unsetenv_all"),
        **none("labels", "label_file"),
        **none("depends_on of a stack", "requires"),
        **none("an image is removed by the module image, or by prune", "rmi"),
        **none("the root of a container is an image", "rootfs"),
        **none("resources.blkio.weight_device", "blkio_weight_device"),
        **only(ANY, "", "force_delete", "log_level", "retry", "retry_delay", "sig_proxy", "attach", "detach_keys"),
        **only(False, "each container has /etc/hosts with its peers; extra_hosts adds to it", "no_hosts"),
        **only(True, "tmpfs names what is writable", "read_only_tmpfs"),
    },
    "container_copy": {
        **only(False, "container_path and dest copy out of the container", "from_container"),
        **only(True, "copy what the link leads to", "local_follow"),
        **only("modern", "octal digits in quotes", "mode_parse"),
    },
    "container_exec": none("chdir", "workdir"),
    "host_info": {
        **only(ANY, "", "containers", "images", "networks", "volumes"),
        **only(False, "the size of images is told by image_info", "disk_usage"),
        **only(False, "container_info, image_info, network_info and volume_info tell all of each", "verbose_output"),
        **only(ANY, "", "containers_all"),
        **none("container_info has filters", "containers_filters"),
        **none("select from what is told", "images_filters", "networks_filters", "volumes_filters"),
    },
    "image": {
        **only(ANY, "", "force_tag", "force_absent"),
        **none(LOGIN, "auth_file", "username", "password", "ca_cert_dir"),
        **none("platform", "arch"),
        **none("build.context, load_path or archive_path", "path"),
        **none("state: absent, which leaves no layer that nothing else needs", "prune"),
        **none("push: true, and the name says where", "push_args"),
        **none(
            "it is a part of build",
            *("dockerfile", "args", "target", "nocache", "etc_hosts", "shm_size", "labels", "secrets", "network"),
        ),
        **none("a build is done when one of its inputs differs", "rebuild"),
        **none("archive_path", "outputs"),
        **none("name, one in each task", "names"),
        **none("platform", "archive_platform"),
        **only(ANY, "", "cache_from", "existing_images", "overwrite"),
        **only(ANY, "", "build.rm", "build.http_timeout", "build.cache_from"),
        **only(False, "build.args", "build.use_config_proxy"),
        **none("settings of the engine; a build has none of its own", "build.container_limits"),
    },
    "network": {
        **none("networks of each container say who is on it", "connected", "appends", "containers", "incremental"),
        **QUADLETS,
        **only(False, "a change that needs another network makes it anew", "force", "recreate"),
        **none("driver_opts", "opt"),
        **none("name", "network_name"),
        **none("enable_ipv6", "ipv6"),
        **none("bridge_name", "interface_name"),
        **none("driver: macvlan, with parent", "macvlan"),
        **none("subnet, gateway and ip_range, further ones in further_ranges", "net_config", "route"),
        **only(False, "peers find each other by name on every network", "disable_dns"),
        **none("dns of each container", "dns"),
        **only(ANY, "", "attachable"),
        **only("local", "a network for several hosts is an overlay of a stack, on a swarm", "scope"),
        **only("default", "subnet and the like give the addresses", "ipam_driver"),
        **none("subnet and the like give the addresses", "ipam_driver_options"),
        **only(False, "a swarm has its own", "ingress"),
        **only(False, "each network says what it is", "config_only"),
        **none("each network says what it is", "config_from"),
    },
    "prune": {
        **none(
            "images, networks and volumes say what; a task for each project", "image", "network", "volume", "system"
        ),
        **only(False, "there are none", "pod"),
        **only(False, ENDED, "container"),
        **only(False, ENDED, "containers"),
        **none(ENDED, "containers_filters"),
        **none("unused_images removes those that no container uses", "images_filters"),
        **none("networks removes those that were made here", "networks_filters"),
        **none("named_volumes removes those with names too", "volumes_filters"),
        **none("builder_cache_all removes what builds could still use", "builder_cache_filters"),
        **none("builder_cache_all removes what builds could still use", "builder_cache_keep_storage"),
    },
    "registry_login": {
        **only(ANY, "", "reauthorize", "reauth", "email"),
        **none("the variable REGISTRY_AUTH_FILE names the file", "config_path", "dockercfg_path", "authfile"),
        **none("registries.conf of the host", "certdir", "tlsverify"),
    },
    "secret": {
        **KEPT,
        **none("data or data_src", "path", "env"),
        **only(False, "a secret that is there is compared", "skip_existing"),
        **only("file", "a secret is a file of the host, or the swarm's", "driver"),
    },
    "stack": {
        **none("project_name", "name"),
        **none("pull", "policy"),
        **only(ANY, "", "ignore_pull_failures", "include_deps", "resolve_image", "with_registry_auth"),
        **only(ANY, "", "assume_yes", "ignore_build_events", "check_files_existing"),
        **only(True, "services brings what they depend on; the rest is left alone", "dependencies"),
        **only(False, "volumes without a name are no part of a project here", "renew_anon_volumes"),
        **none("definition", "compose", "compose_file"),
        **only(False, "remove_orphans", "prune"),
    },
    "volume": {
        **QUADLETS,
        **none("driver_opts", "options"),
        **none("name", "volume_name"),
        **none("driver_opts, such as o: uid=1000 of a tmpfs; or chown in the container", "uid", "gid"),
        **only("never", "data is never removed to satisfy a change; state: absent removes it", "recreate"),
    },
}
"""Module to options of its counterparts; one of a part stands with a dot."""
VALUES: dict[str, dict[str, dict[Any, Any]]] = {
    "image": {"pull": {"not_present": "missing"}},
    "stack": {"remove_images": {"all": True}},
}
"""Module to options, and to values by which others mean one of ours."""
REFUSED: dict[str, dict[str, dict[Any, str]]] = {
    "stack": {
        "build": {"never": "pull_policy: never of the service"},
        "recreate": {"never": "a plan re-creates what cannot be changed in place; purge and services say what is left"},
        "remove_images": {"local": "true removes all that the declaration names; pull brings those of registries back"},
    },
}
"""Module to options, and to values of others that ask for what is not done here: what to do instead."""
