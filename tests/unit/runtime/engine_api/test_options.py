"""The table of container options: what is declared, written, made, inspected and read is what was declared."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.models import Container
from bayplan.runtime.engine_api import options
from bayplan.runtime.engine_api.declarations import from_text, to_text
from bayplan.runtime.engine_api.options.shape import Shape
from unit.runtime.engine_api.declared import SAMPLES, container, containers
from unit.runtime.engine_api.inspections import ENGINES, IMAGE, NEW, OLD, inspection, shape_of

EACH = [
    pytest.param(name, value, id=f"{name}-{n}") for name, values in SAMPLES.items() for n, value in enumerate(values)
]


def written(wanted, engine=OLD):
    return options.written(wanted, engine, IMAGE)


def test_every_field_has_an_option_and_a_sample():
    assert set(Container.model_fields) - {"name"} == set(options.TABLE)
    assert set(options.TABLE) - {"image"} == set(SAMPLES)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.version)
@pytest.mark.parametrize(("name", "value"), EACH)
def test_one_option_is_seen_as_it_was_declared(name, value, engine):
    wanted = container(**{name: value})
    assert options.settled(wanted, shape_of(written(wanted, engine))) is wanted


@settings(deadline=None)
@given(containers(), st.sampled_from(ENGINES))
def test_any_options_are_seen_as_they_were_declared(wanted, engine):
    assert options.settled(wanted, shape_of(written(wanted, engine))) is wanted


@settings(deadline=None)
@given(containers(), containers())
def test_every_option_that_differs_is_seen(one, other):
    """Of a container that has other options than declared, each of those is found: none is written and not read."""
    found = options.settled(one, shape_of(written(other)))
    mine, others = Shape.of_body(written(one)), Shape.of_body(written(other))
    for field, option in options.TABLE.items():
        if option.kept:
            continue
        same = option.settle(getattr(one, field), mine, shape_of(written(other))) == getattr(one, field)
        assert (getattr(found, field) == getattr(one, field)) == same
        if option.read(mine) == option.read(others):
            assert same, field


READABLE = [
    ("environment", {"B": "1"}),
    ("command", ("sleep", "1")),
    ("working_dir", "/w"),
    ("user", "1:2"),
    ("cap_add", ("NET_ADMIN",)),
    ("shm_size", 10 << 20),
    ("dns_search", ("a.b", "c")),
    ("read_only", True),
    ("hostname", "here"),
    ("extra_hosts", {"a": "1.2.3.4,1.2.3.5"}),
    ("labels", {"a": "b"}),
]


@pytest.mark.parametrize(("name", "value"), READABLE)
def test_what_nobody_declared_is_read_in_the_words_of_the_model(name, value):
    found = options.undeclared("one", shape_of(written(container(**{name: value}))))
    assert getattr(found, name) == value
    untouched = {"name", "image", name, "networks", "network_mode", "stop_signal", "ulimits"}
    default = container()
    assert {field: getattr(found, field) for field in Container.model_fields if field not in untouched} == {
        field: getattr(default, field) for field in Container.model_fields if field not in untouched
    }


def test_the_command_of_an_image_is_dropped_with_its_entrypoint_and_can_be_emptied():
    image = {**IMAGE, "Entrypoint": ["enter"], "Cmd": ["arguments"]}
    emptied = options.written(container(command=[]), OLD, image)
    assert (emptied.config["Entrypoint"], emptied.config["Cmd"]) == (["enter"], [])
    found = Shape.of_body(emptied)
    assert (options.TABLE["entrypoint"].read(found), options.TABLE["command"].read(found)) == (None, ())
    other = Shape.of_body(options.written(container(entrypoint=["mine"]), OLD, image))
    assert (options.TABLE["entrypoint"].read(other), options.TABLE["command"].read(other)) == (("mine",), None)
    none = Shape.of_body(options.written(container(entrypoint=[], command=["c"]), OLD, image))
    assert (options.TABLE["entrypoint"].read(none), options.TABLE["command"].read(none)) == ((), ("c",))


def test_names_that_the_engine_gives_by_itself_are_no_difference():
    wanted = container(hostname="here", networks=[{"network": "n", "aliases": ["w"]}])
    found = inspection(written(wanted))
    assert found["NetworkSettings"]["Networks"]["n"]["Aliases"] == ["w", "4" * 12, "here"]
    assert options.settled(wanted, shape_of(written(wanted))) is wanted


def test_the_owner_of_a_shared_namespace_is_known_by_its_name():
    wanted = container(network_mode="container:db", pid="container:db", ipc="container:db")
    found = inspection(written(wanted))
    for key in ("NetworkMode", "PidMode", "IpcMode"):
        found["HostConfig"][key] = "container:" + "7" * 64
    shape = Shape.of_inspection(found, IMAGE, OLD, {"7" * 64: "db"})
    assert options.settled(wanted, shape) is wanted
    other = options.settled(wanted, Shape.of_inspection(found, IMAGE, OLD, {"7" * 64: "other"}))
    assert (other.network_mode, other.pid, other.ipc) == ("container:other",) * 3


def test_places_on_networks_are_compared_one_by_one():
    wanted = container(networks=[{"network": "z", "aliases": ["w"]}, {"network": "b"}])
    moved = container(networks=[{"network": "b"}, {"network": "c"}, {"network": "z", "aliases": ["v"]}])
    found = options.settled(wanted, shape_of(written(moved)))
    assert [(one.network, one.aliases) for one in found.networks] == [("z", ("v",)), ("b", ()), ("c", ())]
    assert {one.mac_address for one in found.networks} == {None}


GAPS = [
    ({"annotations": {"a": "b"}}, "annotations", "24.0"),
    ({"cdi_devices": ["vendor.com/class=one"]}, "cdi_devices", "25.0"),
    ({"healthcheck": {"start_interval": "1s"}}, "healthcheck.start_interval", "25.0"),
    ({"networks": [{"network": "n", "gw_priority": 5}]}, "networks[n].gw_priority", "28.0"),
    ({"networks": [{"network": "n", "interface_name": "x"}]}, "networks[n].interface_name", "28.1"),
    (
        {"networks": [{"network": "n", "sysctls": {"net.ipv4.conf.IFNAME.log_martians": "1"}}]},
        "networks[n].sysctls",
        "27.2",
    ),
    ({"mounts": [{"type": "image", "source": "i", "target": "/i"}]}, "mounts[/i]", "28.0"),
    ({"mounts": [{"type": "volume", "source": "v", "target": "/v", "subpath": "p"}]}, "mounts[/v].subpath", "26.0"),
    (
        {"mounts": [{"type": "bind", "source": "/h", "target": "/h", "recursive": "readonly"}]},
        "mounts[/h].recursive",
        "25.0",
    ),
]


@pytest.mark.parametrize(("values", "option", "release"), GAPS, ids=[gap[1] for gap in GAPS])
def test_what_came_with_a_later_version_is_a_gap_of_earlier_ones(values, option, release):
    wanted = container(**values)
    assert [(name, release in why) for name, why in options.gaps(wanted, OLD)] == [(option, True)]
    assert list(options.gaps(wanted, NEW)) == []
    assert options.settled(wanted, shape_of(written(wanted, NEW))) is wanted


NEVER = [
    ({"resources": {"hugetlb": {"2MB": "2m"}}}, "resources.hugetlb"),
    ({"userns_mode": "auto"}, "userns_mode"),
    ({"security_opt": ["mask=/proc/x"]}, "security_opt"),
]


@pytest.mark.parametrize(("values", "option"), NEVER, ids=[gap[1] for gap in NEVER])
def test_what_docker_never_has_is_a_gap(values, option):
    assert [name for name, _ in options.gaps(container(**values), NEW)] == [option]


def test_limits_that_the_host_cannot_keep_are_gaps():
    bare = replace(OLD, lacking=frozenset({"memory_swap", "pids", "blkio.weight"}), runtimes=frozenset({"runc"}))
    wanted = container(
        resources={"memory": "64m", "memory_swap": "64m", "pids": 5, "blkio": {"weight": 50}}, runtime="kata"
    )
    assert {name for name, _ in options.gaps(wanted, bare)} == {
        "resources.memory_swap",
        "resources.pids",
        "resources.blkio.weight",
        "runtime",
    }
    assert {name for name, _ in options.gaps(container(resources={"memory_swappiness": 5}), NEW)} == {
        "resources.memory_swappiness"
    }


@settings(deadline=None)
@given(containers())
def test_a_declaration_is_kept_whole(wanted):
    assert from_text(Container, to_text(wanted)) == wanted


def test_the_content_of_a_secret_is_not_kept():
    wanted = container(secrets=[{"source": "s", "target": "/s", "content": b"geheim", "fingerprint": "f"}])
    assert "geheim" not in to_text(wanted)
    assert "geheim" not in str(written(wanted))
