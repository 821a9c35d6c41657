# Copyright: the Bayplan contributors. Apache-2.0
"""Options that modules of community.docker and containers.podman have, and ours have not: what to do instead.

A value that asks for what happens anyway is taken. ``docker_host`` is an alias of C(engine_address).
What only docker_container has stands among the options of C(container) itself.
"""

from __future__ import annotations

from typing import Any

ANY = object()
TLS = "engine_tls names the directory of ca.pem, cert.pem and key.pem"
OPTIONS: dict[str, tuple[tuple[Any, ...], str]] = {
    "api_version": (("auto",), "the version is agreed on with the engine"),
    **dict.fromkeys(("ca_path", "ca_cert", "cacert_path", "tls_ca_cert"), ((), TLS)),
    **dict.fromkeys(("client_cert", "cert_path", "tls_client_cert"), ((), TLS)),
    **dict.fromkeys(("client_key", "key_path", "tls_client_key"), ((), TLS)),
    **dict.fromkeys(("tls", "tls_verify", "validate_certs"), ((False,), TLS)),
    "debug": ((ANY,), ""),
    "executable": (("podman",), "engine and engine_address say who runs the containers, and where"),
    "timeout": ((ANY,), ""),
    "tls_hostname": ((), "the certificate must be that of engine_address"),
    "use_ssh_client": ((ANY,), ""),
}
"""Option of every module to the values that are taken, and what to do instead of others."""
QUADLETS = ("quadlet_dir", "quadlet_filename", "quadlet_file_mode", "quadlet_options")
LOGIN = "the module registry_login keeps credentials"
PLACE = "networks is a list; each may be a dictionary with network, aliases, ipv4_address, ipv6_address"
HEALTH = "healthcheck is a dictionary: test, interval, timeout, retries, start_period"
UNITS = "containers come back after a boot by restart_policy, without units of their own"
MAPS = "userns_mode: auto gives a range of user numbers"
OF_MODULES: dict[str, dict[str, str]] = {
    "config": dict.fromkeys(("force", "rolling_versions"), "a changed content is a change, always"),
    "container": {
        **dict.fromkeys(("authfile", "creds", "cert_dir"), LOGIN),
        **dict.fromkeys(("network", "net", "ip", "ip6", "network_aliases"), f"{PLACE}; network_mode is host or none"),
        **dict.fromkeys(("healthcheck_interval", "healthcheck_retries", "healthcheck_timeout"), HEALTH),
        **dict.fromkeys(("healthcheck_start_period", "no_healthcheck"), HEALTH),
        **dict.fromkeys(("generate_systemd", "sdnotify", "systemd", "conmon_pidfile", *QUADLETS), UNITS),
        **dict.fromkeys(("uidmap", "gidmap", "subuidname", "subgidname"), MAPS),
        **dict.fromkeys(("pod", "pod_id_file"), "network_mode: container:NAME shares the network of another"),
        **dict.fromkeys(("rm", "remove"), "detach: false with cleanup: true, or state: absent"),
        **dict.fromkeys(("delete_volumes", "delete_depend"), "the module volume removes volumes"),
        "cmd_args": "an option of the container says it",
        "force_restart": "restart: true",
        "gpus": "cdi_devices, such as nvidia.com/gpu=all",
        "image_strict": "images are compared by digest",
        "log_opt": "log_options",
        "mount": "mounts",
        "oom_kill_disable": "resources.oom_kill_disable",
        "secrets": "a stack is given secrets, in its definition",
        "stop_time": "stop_timeout",
        "timezone": "env: {TZ: Europe/Oslo}",
        "volume": "volumes",
    },
    "image": {
        **dict.fromkeys(("force_source", "force_tag"), "force"),
        **dict.fromkeys(("auth_file", "username", "password", "ca_cert_dir"), LOGIN),
        "arch": "platform",
        "path": "build.context",
        "push_args": "push: true, and the name says where",
    },
    "network": {
        **dict.fromkeys(("connected", "appends"), "networks of each container say who is on it"),
        **dict.fromkeys(QUADLETS, UNITS),
        "force": "a change that needs another network makes it anew",
        "opt": "driver_opts",
        "recreate": "it is made anew when it differs",
    },
    "secret": dict.fromkeys(("force", "rolling_versions"), "a changed content is a change, always"),
    "stack": {
        "build": "build and pull_policy of the file say it",
        "pull": "pull_policy of the file says it",
        "recreate": "a container is made anew when it differs; the module container has recreate",
        "env_files": "env, or env_file of the file",
    },
    "volume": {
        **dict.fromkeys(QUADLETS, UNITS),
        "options": "driver_opts",
        "recreate": "data is never removed to satisfy a change; state: absent removes it",
    },
}
"""Module to options of its counterparts, and what to do instead."""


def taken_out(params: dict[str, Any], known: dict[str, Any]) -> tuple[str, str] | None:
    """Take foreign options out of ``params``; the first that asks for something else, as a sentence and a hint."""
    module = str(params.get("_ansible_module_name", "")).rpartition(".")[2]
    found = None
    for option, instead in OF_MODULES.get(module, {}).items():
        if option in params and option not in known:
            del params[option]
            found = found or (f"{option} of other collections is not taken here", instead)
    for option in [name for name in params if name in OPTIONS and name not in known]:
        taken, instead = OPTIONS[option]
        value = params.pop(option)
        if found is None and ANY not in taken and value not in taken:
            found = f"{option} of other collections is not taken here", instead
    return found
