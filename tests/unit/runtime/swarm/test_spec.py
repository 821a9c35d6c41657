"""The table of a service's fields: what is written is read back, and what is not ours to say stays as it is."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.models import BindMount, ByteSize, Duration, FileGrant, HealthCheck, TmpfsMount, Ulimit
from bayplan.models.swarm import (
    LogDriver,
    Placement,
    RollbackPolicy,
    Service,
    ServiceNetwork,
    ServicePort,
    ServiceVolume,
    TaskLimits,
    TaskReservations,
    TaskRestart,
    UpdatePolicy,
)
from bayplan.runtime.swarm import spec
from bayplan.runtime.swarm.spec.table import NOT_IN_SPEC

SECONDS = st.integers(0, 1000).map(lambda value: Duration(seconds=value))
WORD = st.text("abcxyz", min_size=1, max_size=5)
WORDS = st.dictionaries(WORD, WORD, max_size=3)
POLICY = {
    "parallelism": st.integers(0, 9),
    "delay": SECONDS,
    "monitor": SECONDS,
    "max_failure_ratio": st.sampled_from([0.0, 0.25, 1.0]),
    "order": st.sampled_from(["stop-first", "start-first"]),
}
MOUNT = st.one_of(
    st.builds(ServiceVolume, source=WORD, target=WORD.map("/{}".format), read_only=st.booleans(), nocopy=st.booleans(),
              labels=WORDS, driver=st.none() | WORD),
    st.builds(BindMount, source=WORD.map("/{}".format), target=WORD.map("/{}".format), read_only=st.booleans(),
              propagation=st.sampled_from(["rprivate", "rshared"])),
    st.builds(TmpfsMount, target=WORD.map("/{}".format), size=st.none() | st.just(ByteSize(4096)),
              mode=st.none() | st.just(0o700)),
)  # fmt: skip
GRANT = st.builds(
    FileGrant,
    source=WORD,
    target=WORD.map("/run/secrets/{}".format) | WORD.map("/etc/{}".format),
    uid=st.integers(0, 9),
    gid=st.integers(0, 9),
    mode=st.sampled_from([0o400, 0o444]),
)
PORT = st.builds(
    ServicePort, target=st.integers(1, 9), published=st.integers(0, 9), mode=st.sampled_from(["host", "ingress"])
)
SERVICES = st.builds(
    Service,
    name=st.just("stack_web"),
    image=st.just("registry:5000/team/web:1"),
    digest=st.none() | st.just("sha256:" + "a" * 64),
    replicas=st.integers(0, 9),
    entrypoint=st.none() | st.just(("sh", "-c")),
    command=st.none() | st.just(("run", "")),
    environment=WORDS,
    working_dir=st.none() | st.just("/tmp"),
    user=st.none() | WORD,
    group_add=st.just(()) | st.just(("12",)),
    hostname=st.none() | st.just("{{.Node.Hostname}}"),
    container_labels=WORDS,
    networks=st.just(()) | st.just((ServiceNetwork(network="a", aliases=("web",)), ServiceNetwork(network="b"))),
    endpoint_mode=st.just("vip"),
    ports=st.lists(PORT, max_size=2).map(tuple),
    mounts=st.lists(MOUNT, max_size=3).map(tuple),
    secrets=st.lists(GRANT, max_size=2).map(tuple),
    configs=st.lists(GRANT, max_size=2).map(tuple),
    limits=st.builds(TaskLimits, cpus=st.none() | st.just(0.25), memory=st.none() | st.just(4096)),
    reservations=st.builds(TaskReservations, cpus=st.none() | st.just(1.5), generic=st.just({}) | st.just({"gpu": 2})),
    placement=st.builds(Placement, constraints=st.just(()) | st.just(("a==b",)), spread=st.just(("x", "y"))),
    restart=st.builds(TaskRestart, condition=st.sampled_from(["none", "any"]), delay=SECONDS, window=SECONDS),
    update=st.builds(UpdatePolicy, **POLICY, failure_action=st.sampled_from(["pause", "continue", "rollback"])),
    rollback=st.builds(RollbackPolicy, **POLICY, failure_action=st.sampled_from(["pause", "continue"])),
    healthcheck=st.sampled_from([None, HealthCheck(test=("NONE",)), HealthCheck(retries=2)]),
    extra_hosts=st.just({}) | st.just({"there": "10.0.0.1,10.0.0.2", "other": "::1"}),
    dns=st.just(()) | st.just(("10.0.0.1",)),
    cap_add=st.just(()) | st.just(("ALL",)) | st.just(("CHOWN", "NET_ADMIN")),
    sysctls=WORDS,
    ulimits=st.just({}) | st.just({"nofile": Ulimit(soft=1, hard=2)}),
    read_only=st.booleans(),
    init=st.none() | st.booleans(),
    tty=st.booleans(),
    stop_signal=st.none() | st.just("SIGINT"),
    stop_grace_period=SECONDS,
    logging=st.none() | st.just(LogDriver(driver="journald", options={"tag": "x"})),
)  # fmt: skip


class Names:
    """Ids are names with a mark."""

    def network_id(self, name: str) -> str:
        return f"id:{name}"

    def network_name(self, network_id: str) -> str:
        return network_id.removeprefix("id:")

    secret_id = config_id = network_id


def written(service: Service) -> dict[str, Any]:
    return spec.write(service, Names(), {"Name": service.name})


def read(found: dict[str, Any]) -> Service:
    return Service(name=found["Name"], **spec.read(found, Names()))


def without_zeros(value: Any) -> Any:
    """As the API gives it: what is zero or empty is left out of most objects (Go, "omitempty")."""
    if not isinstance(value, dict):
        return [without_zeros(item) for item in value] if isinstance(value, list) else value
    kept = (
        "Condition",
        "Delay",
        "Window",
        "MaxAttempts",
        "Replicas",
        "Global",
        "Mode",
        "Init",
        "UID",
        "GID",
        "StopGracePeriod",
    )
    return {name: without_zeros(one) for name, one in value.items() if one not in (0, "", False, None) or name in kept}


def test_every_field_has_its_place() -> None:
    places = [field for option in spec.OPTIONS for field in option.fields]
    assert len(places) == len(set(places))
    assert set(places) | NOT_IN_SPEC == set(Service.model_fields)


@settings(deadline=None)
@given(SERVICES)
def test_what_is_written_is_read_back(service: Service) -> None:
    assert read(without_zeros(written(service))) == service


@settings(deadline=None)
@given(SERVICES, SERVICES)
def test_an_update_of_all_fields_is_the_other_service(before: Service, after: Service) -> None:
    assert read(spec.write(after, Names(), copy.deepcopy(written(before)))) == after


def test_what_we_have_no_word_for_stays() -> None:
    found = {
        "Name": "a",
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "x:1",
                "Isolation": "default",
                "Privileges": {"SELinuxContext": {"Level": "s0"}},
            },
            "ForceUpdate": 3,
            "Placement": {"Platforms": [{"OS": "linux"}]},
        },
    }
    before = copy.deepcopy(found)
    service = read(found).model_copy(update={"replicas": 4, "placement": Placement(constraints=("a==b",))})
    after = spec.write(service, Names(), found, ["replicas", "placement"])
    assert after["TaskTemplate"]["ContainerSpec"] == before["TaskTemplate"]["ContainerSpec"]
    assert after["TaskTemplate"]["Placement"] == {"Constraints": ["a==b"], "Platforms": [{"OS": "linux"}]}
    assert after["TaskTemplate"]["ForceUpdate"] == 3
    assert after["Mode"] == {"Replicated": {"Replicas": 4}}


def test_a_field_that_changes_nothing_leaves_the_specification_as_it_was() -> None:
    found = {"Name": "a", "TaskTemplate": {"ContainerSpec": {"Image": "x:1"}}}
    before = copy.deepcopy(found)
    every = [field for option in spec.OPTIONS for field in option.fields]
    plain = [field for field in every if field not in ("mode", "replicas", "update", "rollback", "restart")]
    kept = ("endpoint_mode", "stop_grace_period")
    assert spec.write(read(found), Names(), found, [field for field in plain if field not in kept]) == before
