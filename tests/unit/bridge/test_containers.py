"""Containers as tasks ask for them, over the fake runtime: spellings, states, what is forced, what may differ."""

import json
from contextlib import contextmanager

import pytest

from bayplan.bridge import foreign, spellings
from bayplan.bridge.main import respond
from bayplan.errors import DeclarationError
from bayplan.models import Container, Kind, ResourceId
from bayplan.runtime.fake import FakeRuntime


@pytest.fixture
def ask(tmp_path):
    runtime = FakeRuntime()

    @contextmanager
    def opener(settings):
        yield runtime

    def call(check=False, **options):
        settings = {"state_root": str(tmp_path / "state"), "run_root": str(tmp_path / "run")}
        (tmp_path / "state").mkdir(exist_ok=True)
        request = {
            "verb": "container",
            "settings": settings,
            "check": check,
            "options": {"image": "lab/web", **options},
        }
        return respond(json.dumps(request), opener)

    call.runtime = runtime
    return call


def actions(response):
    return [(step["action"], step["resource"]["name"]) for step in response["plan"]["steps"]]


def read(**options):
    values, image = spellings.read({"name": "web", "image": "lab/web", **options})
    return Container.model_validate(values), image


def test_the_words_of_docker_are_the_fields_of_the_model():
    docker, image = read(
        published_ports=["8080:80", "all"],
        default_host_ip="127.0.0.1",
        volumes=["data:/data:ro"],
        mounts=[{"source": "more", "target": "/more", "no_copy": True}],
        tmpfs=["/run:size=1m"],
        etc_hosts={"db": "10.0.0.1"},
        capabilities=["net_admin"],
        dns_servers=["10.0.0.2"],
        groups=[7],
        security_opts=["no-new-privileges"],
        pid_mode="host",
        restart_policy="on-failure",
        restart_retries=3,
        memory="64m",
        cpuset_cpus="0-1",
        pids_limit=0,
        device_read_bps=[{"path": "/dev/sda", "rate": "1m"}],
        blkio_weight=100,
        log_driver="json-file",
        log_options={"max-size": "1m"},
        stop_timeout=3,
        ulimits=["nofile:1:2"],
        healthcheck={"test": "curl -f http://127.0.0.1"},
        networks=[{"name": "back", "aliases": ["db"]}],
        mac_address="02:00:00:00:00:01",
        pull=True,
        platform="linux/arm64",
        networks_cli_compatible=True,
    )
    ours, _ = read(
        ports=[{"target": 80, "published": 8080, "host_ip": "127.0.0.1"}],
        publish_all_ports=True,
        mounts=[
            {"type": "volume", "source": "data", "target": "/data", "read_only": True},
            {"type": "volume", "source": "more", "target": "/more", "nocopy": True},
            {"type": "tmpfs", "target": "/run", "size": "1m"},
        ],
        extra_hosts={"db": "10.0.0.1"},
        cap_add=["NET_ADMIN"],
        dns=["10.0.0.2"],
        group_add=["7"],
        security_opt=["no-new-privileges"],
        pid="host",
        restart_policy={"condition": "on-failure", "max_retries": 3},
        resources={
            "memory": "64m",
            "cpuset": "0-1",
            "pids": -1,
            "blkio": {"weight": 100, "read_bps": [{"path": "/dev/sda", "rate": "1m"}]},
        },
        logging={"driver": "k8s-file", "max_size": "1m"},
        stop_grace_period="3s",
        ulimits={"nofile": {"soft": 1, "hard": 2}},
        healthcheck={"test": ["CMD-SHELL", "curl -f http://127.0.0.1"]},
        networks=[{"network": "back", "aliases": ["db"], "mac_address": "02:00:00:00:00:01"}],
    )
    assert docker == ours
    assert image == {"pull": "always", "platform": "linux/arm64"}


@pytest.mark.parametrize("option", sorted(foreign.FOREIGN))
def test_an_option_without_a_place_is_answered_with_what_to_do(ask, option):
    taken, instead = foreign.FOREIGN[option]
    for value in taken:
        assert "failed" not in ask(check=True, name="web", **{option: "x" if value is foreign.ANY else value})
    if instead:
        refused = ask(name="web", **{option: "something else"})
        assert option in refused["msg"]
        assert instead in refused["msg"]
    assert ask.runtime.calls == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"restart": "always"}, "use restart_policy"),
        ({"restart": {"condition": "no"}}, "use restart_policy"),
        ({"enviroment": {"A": 1}}, "did you mean 'environment'"),
        ({"state": "up"}, "one of present, started"),
        ({"image": None}, "no image is named to make it from"),
        ({"comparisons": {"nowhere": "strict"}}, "no option nowhere"),
        ({"comparisons": {"user": "allow_more_present"}}, "holds one value"),
        ({"comparisons": {"env": "maybe"}}, "one of strict, ignore"),
        ({"healthy_wait_timeout": "soon"}, "healthy_wait_timeout"),
        ({"memory": "1m", "resources": {"memory": "2m"}}, "resources.memory is given twice"),
        ({"stop_timeout": 1, "stop_grace_period": "1s"}, "say the same"),
        ({"ports": ["70000:1"]}, "ports[0]"),
        ({"volumes": ["/data"]}, "names no source"),
        ({"networks": [{"name": "back", "links": ["db"]}]}, "links"),
        ({"containers": [{"name": "a"}, {"name": "a"}]}, "a is there twice"),
        ({"containers": [{"env": {"A": 1}}]}, "has no name"),
        ({"env_file": "/nowhere/env"}, "/nowhere/env"),
        ({"env_file": "nowhere/env"}, "not absolute"),
        ({"volumes": ["./etc:/x"]}, "no absolute path"),
        ({"image": "Bad:::name"}, "not a repository name"),
        ({"comparisons": 5}, "must be a map"),
        ({"mounts": [{"type": "tmpfs", "target": "/x", "tmpfs_mode": "rwx"}]}, "not octal"),
        *(
            ({option: {}}, f"{option}: must be a list")
            for option in ("ports", "volumes", "mounts", "tmpfs", "networks")
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_and_changes_nothing(ask, options, said):
    refused = ask(**({"name": "web"} if "containers" not in options else {}), **options)
    assert refused["failed"]
    assert said in refused["msg"]
    assert not refused.get("changed")
    assert ask.runtime.calls == []


def test_a_network_may_be_named_as_the_mode():
    """As the first one: Docker's other way to say where a container is."""
    assert read(network_mode="back") == read(networks=["back"])
    both = {"networks": ["front", {"name": "back", "ipv4_address": "10.0.0.9"}]}
    assert read(network_mode="back", **both) == read(networks=both["networks"][::-1])
    assert read(network_mode="bridge", networks=["front"]) == read(networks=["front"])
    assert read(network_mode="host")[0].network_mode == "host"
    with pytest.raises(DeclarationError, match="network_mode: other is none of networks"):
        read(network_mode="other", networks=["front"])


def test_an_empty_text_is_nothing_given():
    """As templates make it of a variable that is not set."""
    options = ("user", "pid_mode", "ipc_mode", "network_mode", "hostname", "platform", "working_dir", "stop_signal")
    assert read(**dict.fromkeys(options, "")) == read()


def test_a_list_of_an_item_may_be_short():
    """As Ansible takes those of a task."""
    assert read(ports=80, networks="front, back") == read(ports=["80"], networks=["front", "back"])


def test_many_are_one_plan_and_share_what_stands_beside_them(ask):
    items = [{"name": "one", "env": {"A": "1"}}, {"name": "two", "state": "stopped"}]
    made = ask(containers=items, labels={"x": "y"})
    assert actions(made) == [("pull", "lab/web"), ("create", "one"), ("create", "two")]
    assert ask.runtime.resources[ResourceId(kind=Kind.CONTAINER, name="two")].actual.labels == {"x": "y"}
    assert ask(containers=items, labels={"x": "y"})["changed"] is False
    assert actions(ask(containers=[{"name": "one", "state": "absent"}])) == [("delete", "one")]


def test_paused_present_and_what_is_forced(ask):
    assert actions(ask(name="web", state="present"))[-1] == ("create", "web")
    assert ask(name="web", state="present")["changed"] is False
    assert actions(ask(name="web", state="paused")) == [("start", "web")]
    assert ask.runtime.calls[-1] == "pause web"
    assert ask(name="web", state="paused")["changed"] is False
    assert actions(ask(name="web")) == [("start", "web")]
    assert actions(ask(name="web", paused=True)) == [("pause", "web")]
    assert actions(ask(name="web", restart=True)) == [("restart", "web")]
    assert actions(ask(name="web", recreate=True)) == [("re-create", "web")]
    assert ask(name="web", restart=False)["changed"] is False
    ask(name="web", state="stopped")
    assert ask(name="web", state="stopped", restart=True)["changed"] is False


def test_differences_that_are_allowed_stay_until_it_is_made_anew(ask):
    ask(name="web", env={"A": "1", "B": "1"}, labels={"one": "1"})
    assert ask(name="web", env={"C": "1"}, labels={"one": "1"}, comparisons={"env": "ignore"})["changed"] is False
    more = ask(name="web", env={"A": "1", "B": "1"}, labels={"two": "2"}, comparisons={"*": "allow_more_present"})
    assert [item["path"] for item in more["plan"]["steps"][0]["fields"]] == ["labels[two]"]
    both = {"one": "1", "two": "2"}
    assert ask.runtime.resources[ResourceId(kind=Kind.CONTAINER, name="web")].actual.labels == both
    anew = ask(name="web", env={"C": "1"}, labels=both, user="7", comparisons={"env": "ignore"})
    assert "environment[C]" in [item["path"] for item in anew["plan"]["steps"][0]["fields"]]


def test_without_an_image_it_stays_as_it_is_but_for_what_is_said(ask):
    ask(name="web", env={"A": "1"}, memory="64m")
    assert actions(ask(name="web", image=None, state="stopped")) == [("stop", "web")]
    assert ask(name="web", image=None, state="stopped")["changed"] is False
    limited = ask(name="web", image=None, cpus=0.5)
    assert [item["path"] for item in limited["plan"]["steps"][0]["fields"]] == ["resources[cpus]"]
    held = ask.runtime.resources[ResourceId(kind=Kind.CONTAINER, name="web")].actual
    assert (held.image, held.environment, str(held.resources.memory)) == ("lab/web", {"A": "1"}, "64MiB")


def test_another_image_that_is_ignored_is_not_even_fetched(ask):
    ask(name="web")
    ask.runtime.registry["lab/web"] = "sha256:" + "1" * 64
    same = ask(name="web", image="lab/other", comparisons={"image": "ignore"})
    assert same["changed"] is False, same


def test_a_volume_that_is_mounted_is_made_and_shown(ask):
    made = ask(name="web", volumes=["data:/data"])
    assert ("create", "data") in actions(made)
    assert ask(name="web", volumes=["data:/data"])["changed"] is False


def test_a_package_that_is_older_than_the_collection_refuses():
    refused = respond('{"verb": "host_info", "collection": "99.0.0"}')
    assert "older than the collection, 99.0.0" in refused["msg"]
    assert "upgrade" in refused["hint"]
