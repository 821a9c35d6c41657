"""Options of a service: from Compose's spelling to the model, and faults at their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.errors import DeclarationError, Location
from bayplan.load.compose import load_text
from bayplan.models import Container, Entitlement, Image
from bayplan.reconcile.risks import risks_of


def read(tmp_path: Path, *attributes: str, more: str = "") -> Container:
    body = "".join(f"    {line}\n" for line in attributes)
    text = f"services:\n  a:\n    image: x\n{body}{more}"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    return stack.containers_of("a")[0]


def test_process(tmp_path: Path) -> None:
    lines = ("init: true", "tty: true", "stdin_open: true", "domainname: example.org", "oom_score_adj: -5")
    made = read(tmp_path, *lines)
    assert (made.init, made.tty, made.stdin_open, made.domainname, made.oom_score_adj) == (
        *(True, True, True),
        "example.org",
        -5,
    )


def test_no_profiles_are_as_no_key(tmp_path: Path) -> None:
    assert read(tmp_path, "profiles: []").image == "x"


@pytest.mark.parametrize(
    "given", ["restart: 'on-failure:0'", "deploy: {restart_policy: {condition: on-failure, max_attempts: 0}}"]
)
def test_no_retries_are_without_end(tmp_path: Path, given: str) -> None:
    assert read(tmp_path, given).restart == read(tmp_path, "restart: on-failure").restart


def test_limits(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        "mem_limit: 64m",
        "memswap_limit: -1",
        "mem_swappiness: 10",
        "cpu_period: 50ms",
        "cpu_quota: 20000",
        "blkio_config: {weight: 300, device_read_bps: [{path: /dev/vda, rate: 1mb}]}",
        "oom_kill_disable: true",
    ).resources
    assert (made.memory_swap, made.memory_swappiness, made.cpu_period, made.cpu_quota) == (-1, 10, 50000, 20000)
    assert made.oom_kill_disable
    assert made.blkio
    assert (made.blkio.weight, made.blkio.read_bps[0].rate) == (300, 1 << 20)


def test_isolation(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        "security_opt: ['seccomp:./profile.json', 'label:disable', 'systempaths=unconfined', 'no-new-privileges']",
        "devices: ['/dev/null:/dev/nothing:rw', /dev/zero, {source: /dev/full, permissions: r}]",
        "device_cgroup_rules: ['c 1:3 rm']",
    )
    assert made.security_opt[:2] == (f"seccomp={tmp_path}/profile.json", "label=disable")
    assert [str(one) for one in made.devices] == [
        "/dev/null:/dev/nothing:rw",
        "/dev/zero:/dev/zero:rwm",
        "/dev/full:/dev/full:r",
    ]


def test_namespaces_of_another_service_imply_order(tmp_path: Path) -> None:
    made = read(tmp_path, "pid: service:b", "ipc: service:b", more="  b: {image: x, ipc: shareable}\n")
    assert (made.pid, made.ipc) == ("container:p-b-1", "container:p-b-1")
    assert [(one.service, one.restart) for one in made.depends_on] == [("b", True)]


def test_names_labels_and_logs(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("one=1\ntwo=2\n")
    made = read(
        tmp_path,
        "dns: 192.0.2.1",
        "dns_search: [a.example]",
        "dns_opt: ['ndots:2']",
        "label_file: labels",
        "labels: {two: mine}",
        "logging: {driver: none}",
        "annotations: {org.example: x}",
    )
    assert [str(one) for one in made.dns] == ["192.0.2.1"]
    assert (made.dns_search, made.dns_opt) == (("a.example",), ("ndots:2",))
    assert (made.labels["one"], made.labels["two"]) == ("1", "mine")
    assert made.logging
    assert made.logging.driver == "none"
    assert made.annotations == {"org.example": "x"}


def test_scale_is_the_number_of_replicas(tmp_path: Path) -> None:
    text = "services: {a: {image: x, scale: 3}}"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert len(stack.containers) == 3


@pytest.mark.parametrize(
    ("attributes", "line", "part"),
    [
        (("oom_score_adj: 5000",), 4, "oom_score_adj"),
        (("mem_limit: 64m", "memswap_limit: 32m"), 2, "cannot be less than memory"),
        (("memswap_limit: 32m",), 2, "memory_swap needs memory"),
        (("cpus: 1", "cpu_quota: 1000"), 2, "exclude each other"),
        (("devices: [a:b:c:d]",), 4, "is not HOST"),
        (("devices: ['/dev/null:/dev/x:q']",), 4, "'?'"),
        (("device_cgroup_rules: [everything]",), 4, "everything"),
        (("annotations: {run.oci.hooks: x}",), 2, "would change the runtime"),
        (("uts: host", "hostname: h"), 2, "UTS namespace"),
        (("pid: service:gone",), 4, "'gone' is not declared"),
        (("pid: nonsense",), 4, "nonsense"),
        (("label_file: gone",), 4, "does not exist"),
        (("dns: nonsense",), 4, "nonsense"),
        (("scale: 2", "deploy: {replicas: 3}"), 4, "contradicts"),
        (("scale: -1",), 4, "negative"),
    ],
)
def test_faults(tmp_path: Path, attributes: tuple[str, ...], line: int, part: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, *attributes)
    assert part in str(caught.value)
    assert isinstance(caught.value.where, Location)
    assert caught.value.where.line in (line, 3)


def test_logging(tmp_path: Path) -> None:
    made = read(tmp_path, "logging: {driver: local, options: {max-size: 10m, max-file: '2'}}").logging
    assert made
    assert (made.driver, made.max_size, made.max_file) == ("k8s-file", 10 << 20, 2)
    tagged = read(tmp_path, "logging: {driver: journald, options: {tag: t}}").logging
    assert tagged
    assert (tagged.driver, tagged.tag) == ("journald", "t")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("logging: {driver: none, options: {max-size: 1m}}", "mean nothing with the log driver none"),
        ("logging: {options: {max-size: 12}}", "greater than or equal to 1024"),
        ("logging: {options: {tag: x}}", "a tag means nothing"),
        ("logging: {options: {compress: 'true'}}", "log option compress is not built yet"),
        ("logging: {driver: syslog}", "log driver 'syslog' is not built yet"),
    ],
)
def test_logging_that_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        read(tmp_path, text)


def test_devices_by_cdi_name_and_weights(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        "devices: [/dev/null, 'nvidia.com/gpu=all']",
        "blkio_config: {weight_device: [{path: /dev/vda, weight: 20}]}",
    )
    assert (made.cdi_devices, [one.source for one in made.devices]) == (("nvidia.com/gpu=all",), ["/dev/null"])
    assert made.resources.blkio
    assert made.resources.blkio.weight_device[0].weight == 20


@pytest.mark.parametrize(("text", "hours"), [("daily", 24), ("weekly", 168), ("every_12h", 12), ("every_1d12h", 36)])
def test_pull_policies_with_a_period(tmp_path: Path, text: str, hours: int) -> None:
    stack = f"services: {{a: {{image: x, pull_policy: {text}}}}}"
    (image,) = load_text(stack, label="c", project_directory=tmp_path, project_name="p", environment={}).images
    assert image.pull_every
    assert image.pull_every.total_seconds() == hours * 3600


@pytest.mark.parametrize("text", ["every_", "every_5", "every_0h", "every_1y", "hourly"])
def test_pull_policies_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationError, match="pull_policy"):
        read(tmp_path, f"pull_policy: {text}")


def built(tmp_path: Path, build: str, *attributes: str) -> Image:
    body = "".join(f"    {line}\n" for line in attributes)
    text = f"services:\n  a:\n    build: {build}\n{body}"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    return stack.images[0]


def test_options_of_the_commands_of_a_build(tmp_path: Path) -> None:
    text = "{context: ., network: host, extra_hosts: ['db=10.1.2.3'], shm_size: 1m, ulimits: {nofile: 9}}"
    made = built(tmp_path, text)
    assert made.build is not None
    assert (made.build.network, made.build.extra_hosts, int(made.build.shm_size or 0)) == (
        "host",
        {"db": "10.1.2.3"},
        1 << 20,
    )
    assert made.build.ulimits["nofile"].hard == 9
    assert list(risks_of(made)) == ["isolation: commands of the build have the host's network (network: host)"]
    with pytest.raises(DeclarationError, match="a build on network 'front' is not built yet"):
        built(tmp_path, "{context: ., network: front}")


@pytest.mark.parametrize("text", ["https://x.example/y.git#main:web", "git@x.example:y.git", "github.com/a/b"])
def test_a_build_of_a_repository(tmp_path: Path, text: str) -> None:
    made = built(tmp_path, f"{{context: '{text}'}}")
    assert made.build is not None
    assert made.build.context == text


def test_a_build_for_one_platform_and_with_privileges(tmp_path: Path) -> None:
    made = built(tmp_path, "{context: ., platforms: [linux/arm64], entitlements: [security.insecure, network.host]}")
    assert made.platform == "linux/arm64"
    several = built(tmp_path, "{context: ., platforms: [linux/arm64, linux/amd64]}")
    assert (several.platform, several.build.platforms) == (None, ("linux/arm64", "linux/amd64"))
    assert made.build is not None
    assert made.build.entitlements == (Entitlement.INSECURE, Entitlement.HOST_NETWORK)
    assert list(risks_of(made)) == [
        "isolation: commands of the build may have all of the host's privileges (security.insecure)",
        "isolation: commands of the build may have the host's network (network.host)",
    ]
    for build, line, says in (
        ("{context: ., platforms: [linux/arm64]}", "platform: linux/amd64", "its build for linux/arm64"),
        ("{context: ., entitlements: [security.nothing]}", "tty: true", "entitlements"),
        ("{context: 'https://x.example/y.tar.gz'}", "tty: true", "a build context at 'https://x.example/y.tar.gz'"),
        ("git@x.example:y.git#../x", "tty: true", "is no branch, tag or commit"),
    ):
        with pytest.raises(DeclarationError, match=says):
            built(tmp_path, build, line)
