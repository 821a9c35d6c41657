"""What a declaration spells out that image or core give anyway is no difference; all else is one."""

import pytest

from bayplan.models import Container, Network, Settings
from bayplan.runtime.native import alike
from bayplan.runtime.native.images.stored import ImageConfig
from bayplan.runtime.protocol import Observed, State, Status

IMAGE = ImageConfig(
    env=("PATH=/bin", "MODE=fast"),
    entrypoint=("/entry",),
    cmd=("serve",),
    user="app",
    working_dir="/srv",
    stop_signal="SIGQUIT",
    healthcheck={"Test": ["CMD", "probe"], "Interval": 5_000_000_000},
)


def container(**given):
    return Container.model_validate({"name": "c", "image": "i", **given})


def differing(before, after, image=IMAGE, settings=None):
    """Fields of ``after`` that still count as changed of what was declared ``before``."""
    seen = Observed(actual=container(**before), declared=container(**before), status=Status(state=State.RUNNING))
    wanted = container(**after)
    found = alike.container(wanted, seen, lambda: image, settings or Settings())
    fields = [name for name in Container.model_fields if getattr(wanted, name) != getattr(found.actual, name)]
    return sorted(set(fields) - found.alike)


SAME = [
    {"environment": {"MODE": "fast"}},
    {"working_dir": "/srv"},
    {"user": "app"},
    {"command": ["serve"]},
    {"entrypoint": ["/entry"], "command": ["serve"]},
    {"stop_signal": "SIGQUIT"},
    {"healthcheck": {"test": ["CMD", "probe"], "interval": "5s", "timeout": "30s", "retries": 3}},
    {"healthcheck": {"timeout": "30s"}},
    {"shm_size": "64m"},
    {"ipc": "private"},
    {"cgroup": "private"},
    {"userns_mode": "host"},
    {"runtime": "crun"},
    {"cap_add": ["CHOWN"]},
    {"cap_drop": ["SYS_TIME"]},
    {"security_opt": ["no-new-privileges:true"]},
    {"logging": {"driver": "k8s-file"}},
    {"resources": {"pids": 2048}},
]


@pytest.mark.parametrize("given", SAME, ids=lambda given: next(iter(given)))
def test_a_default_that_is_spelled_out_or_left_out_again(given):
    assert differing({}, given) == []
    assert differing(given, {}) == []


@pytest.mark.parametrize(
    "given",
    [
        {"environment": {"MODE": "slow"}},
        {"working_dir": "/"},
        {"user": "0"},
        {"command": ["other"]},
        {"entrypoint": ["/entry"]},  # drops the image's command
        {"stop_signal": "SIGTERM"},
        {"healthcheck": {"timeout": "31s"}},
        {"shm_size": "65m"},
        {"ipc": "host"},
        {"cgroup": "host"},
        {"userns_mode": "auto"},
        {"cap_add": ["SYS_TIME"]},
        {"cap_drop": ["CHOWN"]},
        {"security_opt": ["no-new-privileges:false"]},
        {"logging": {"driver": "journald"}},
        {"logging": {"max_size": "1m"}},
        {"resources": {"pids": 2049}},
    ],
    ids=lambda given: next(iter(given)),
)
def test_anything_else_is_a_difference(given):
    assert differing({}, given) == [next(iter(given))]
    assert differing(given, {}) == [next(iter(given))]


def test_words_that_say_the_same():
    assert differing({"resources": {"cpus": 0.5}}, {"resources": {"cpu_quota": 50000}}) == []
    assert differing({"resources": {"memory": "64m"}}, {"resources": {"memory": "64m", "memory_swap": "64m"}}) == []
    assert differing({"security_opt": ["no-new-privileges"]}, {"security_opt": ["no-new-privileges:true"]}) == []
    assert differing({"expose": ["80"]}, {"expose": ["80/tcp"]}) == []
    bind = {"type": "bind", "source": "/a", "target": "/b"}
    assert differing({"mounts": [bind]}, {"mounts": [{**bind, "create_host_path": True}]}) == []
    assert differing({"mounts": [bind]}, {"mounts": [{**bind, "read_only": True}]}) == ["mounts"]
    cut = Settings(log_max_size="1m")
    assert differing({}, {"logging": {"max_size": "1m", "max_file": 3}}, settings=cut) == []


def test_of_an_image_that_is_gone_or_another_nothing_is_taken_for_the_same():
    assert differing({}, {"working_dir": "/srv"}, image=None) == ["working_dir"]
    assert differing({}, {"image": "other", "working_dir": "/srv"}) == ["image", "working_dir"]
    spelled = {"image": "docker.io/library/i:latest", "working_dir": "/srv"}
    assert differing({}, spelled) == ["image"]  # which a comparison takes for the same


def test_ranges_of_a_network_that_it_has_anyway():
    addresses = {"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}
    bare = Network(name="n")
    seen = Observed(actual=bare, declared=bare, status=Status(state=State.READY, addresses=addresses))

    def same(**given):
        return alike.network(Network.model_validate({"name": "n", **given}), seen).alike

    assert same(subnet="10.9.0.0/24", gateway="10.9.0.1", mtu=1500) == {"subnet", "gateway", "mtu"}
    assert same(subnet="10.8.0.0/24", mtu=1400) == set()
    assert same(subnet="10.9.0.0/24", gateway="10.9.0.9") == {"subnet"}
