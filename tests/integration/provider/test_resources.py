"""Resources through their lives on the wire: the spawned plugin against the native core."""

import json

import pytest

from bayplan import app
from bayplan.engines import open_runtime
from bayplan.pulumi.values import UNKNOWN, Secret
from plugin import CallError, kinds

pytestmark = pytest.mark.host
SLEEP = {"image": "lab/busybox", "command": ["sleep", "600"], "stopGracePeriod": "100ms"}


def test_container_through_its_life(pulumi, core):
    network = pulumi.checked("Network", {}, name="net")
    net, _ = pulumi.create("Network", network)
    declared = {
        **SLEEP,
        "networks": [{"network": net}],
        "environment": {"DB_PASSWORD": "hush-1", "MODE": "plain"},
        "ports": [{"target": 80, "hostIp": "127.0.0.1"}],
    }
    inputs = pulumi.checked("Container", declared, name="web")
    assert inputs["name"].startswith("web-")
    assert inputs["__defaults"] == ["name"]
    assert inputs["environment"] == {"DB_PASSWORD": Secret("hush-1"), "MODE": "plain"}
    id_, state = pulumi.create("Container", inputs)
    assert (id_, state["state"], list(state["addresses"])) == (inputs["name"], "running", [net])
    (port,) = state["boundPorts"]
    assert (port["hostIp"], port["target"], port["published"] > 0) == ("127.0.0.1", 80, True)
    assert state["environment"]["DB_PASSWORD"] == Secret("hush-1")

    again = pulumi.diff("Container", id_, inputs, state, inputs)
    assert (again.changes, kinds(again)) == (again.DIFF_NONE, {})
    assert pulumi.read("Container", id_, inputs, state) == (inputs, state)

    labelled = pulumi.checked("Container", {**declared, "labels": {"a.b": "1"}}, inputs)
    found = pulumi.diff("Container", id_, inputs, state, labelled)
    assert (kinds(found), list(found.replaces)) == ({'labels["a.b"]': "add"}, [])
    foreseen = pulumi.update("Container", id_, inputs, state, labelled, preview=True)
    assert foreseen["addresses"] == state["addresses"]
    assert foreseen["state"] is UNKNOWN
    updated = pulumi.update("Container", id_, inputs, state, labelled)
    assert updated["containerId"] == state["containerId"]
    assert pulumi.diff("Container", id_, labelled, updated, labelled).changes == found.DIFF_NONE

    other = {**labelled, "environment": {"DB_PASSWORD": Secret("hush-2"), "MODE": UNKNOWN}}
    found = pulumi.diff("Container", id_, labelled, updated, other)
    assert kinds(found) == {"environment.DB_PASSWORD": "update-replace", "environment.MODE": "update-replace"}
    assert not found.deleteBeforeReplace  # another name is made for the successor
    fixed = {name: value for name, value in other.items() if name != "__defaults"}
    assert pulumi.diff("Container", id_, labelled, updated, fixed).deleteBeforeReplace

    for _ in range(2):
        pulumi.delete("Container", id_)
    assert pulumi.read("Container", id_, labelled, updated) is None
    pulumi.delete("Network", net)


def test_drift_is_found_and_healed(pulumi, core):
    inputs = pulumi.checked("Container", {**SLEEP, "name": "web", "labels": {"tier": "one"}, "networkMode": "none"})
    id_, state = pulumi.create("Container", inputs)
    with open_runtime(core.settings) as runtime:
        there = runtime.observe(_scope("web")).get(_id("web")).actual
        runtime.update(there.model_copy(update={"labels": {"tier": "two"}}), ["labels"], project="")
        runtime.stop("web")
    refreshed, seen = pulumi.read("Container", id_, inputs, state)
    assert refreshed["labels"] == {"tier": "two"}
    assert seen["state"] == "exited"
    found = pulumi.diff("Container", id_, refreshed, seen, inputs)
    assert kinds(found) == {"labels.tier": "update"}
    healed = pulumi.update("Container", id_, refreshed, seen, inputs)
    assert (healed["state"], healed["labels"]) == ("running", {"tier": "one"})
    with open_runtime(core.settings) as runtime:
        app.apply(app.plan(_nothing(), runtime, absent=[_id("web")]), runtime, core.settings).raise_failure()
    gone = pulumi.diff("Container", id_, inputs, healed, inputs)
    assert (gone.changes, list(gone.replaces)) == (gone.DIFF_SOME, [])
    assert pulumi.update("Container", id_, inputs, healed, inputs)["state"] == "running"


def test_import_and_look_up(pulumi):
    inputs = pulumi.checked(
        "Container", {**SLEEP, "name": "web", "environment": {"API_TOKEN": "hush"}, "ports": [{"target": 80}]}
    )
    pulumi.create("Container", inputs)
    imported, state = pulumi.read("Container", "web")
    assert imported["environment"] == {"API_TOKEN": Secret("hush")}
    assert "networks" not in imported
    checked = pulumi.checked("Container", imported)
    assert pulumi.diff("Container", "web", imported, state, checked).changes == 1
    assert pulumi.read("Container", "web", state=state)[1]["containerId"] == state["containerId"]
    assert pulumi.read("Container", "other") is None
    found, _ = pulumi.invoke("getContainer", {"name": "web"})
    assert (found["image"], found["managed"], found["state"]) == ("lab/busybox", True, "running")
    with pytest.raises(CallError, match="container other does not exist"):
        pulumi.invoke("getContainer", {"name": "other"})
    assert pulumi.invoke("getContainer", {"nam": "web"})[1].keys() == {"name", "nam"}


def test_volumes_and_networks(pulumi):
    volume = pulumi.checked("Volume", {}, name="data")
    data, state = pulumi.create("Volume", volume)
    with pytest.raises(CallError, match="without losing its data"):
        pulumi.diff("Volume", data, volume, state, {**volume, "driverOpts": {"size": "10m"}})
    network = pulumi.checked("Network", {"name": "back", "subnet": "10.219.77.0/24"})
    back, state = pulumi.create("Network", network)
    assert (state["subnets"], state["gateways"]) == (["10.219.77.0/24"], ["10.219.77.1"])
    found = pulumi.diff("Network", back, network, state, {**network, "mtu": 1400})
    assert (kinds(found), found.deleteBeforeReplace) == ({"mtu": "add-replace"}, True)
    imported, _ = pulumi.read("Network", back)
    assert imported == {"name": "back", "subnet": "10.219.77.0/24"}
    looked, _ = pulumi.invoke("getNetwork", {"name": "back"})
    assert (looked["subnets"], looked["containers"]) == (["10.219.77.0/24"], [])


def test_secrets_are_kept_and_never_shown(pulumi, core):
    inputs, _ = pulumi.check("Secret", {"name": "db", "content": "hush-content"})
    assert inputs["content"] == Secret("hush-content")
    id_, state = pulumi.create("Secret", inputs)
    assert (core.state / "secrets/db").read_text() == "hush-content"
    granted = pulumi.checked("Container", {**SLEEP, "name": "web", "secrets": [{"source": "db"}]})
    web, made = pulumi.create("Container", granted)
    imported, _ = pulumi.read("Container", web)
    assert imported["secrets"] == [{"source": "db", "target": "/run/secrets/db"}]
    other = {**inputs, "content": Secret("hush-other")}
    assert kinds(pulumi.diff("Secret", id_, inputs, state, other)) == {"content": "update"}
    state = pulumi.update("Secret", id_, inputs, state, other)
    found = pulumi.diff("Container", web, granted, made, granted)
    assert list(found.replaces) == ["secrets"]
    (core.state / "secrets/db").write_text("hush-drift")
    refreshed, _ = pulumi.read("Secret", id_, other, state)
    assert refreshed["content"] == Secret("hush-drift")
    pulumi.delete("Secret", id_)
    pulumi.delete("Secret", id_)
    assert pulumi.read("Secret", id_, other, state) is None


def test_a_project(pulumi, tmp_path):
    definition = {
        "services": {
            "web": {"image": "lab/busybox", "command": ["sleep", "600"], "stop_grace_period": "100ms", "scale": 2}
        }
    }
    inputs = pulumi.checked("Stack", {"definition": definition}, name="Shop")
    assert inputs["project"].startswith("shop-")
    id_, state = pulumi.create("Stack", inputs)
    assert [one["state"] for one in state["services"]["web"]["containers"]] == ["running"] * 2
    assert state["generation"] == 1
    assert pulumi.diff("Stack", id_, inputs, state, inputs).changes == 1
    (tmp_path / "compose.yaml").write_text(json.dumps(definition))
    by_file = {"project": id_, "directory": str(tmp_path), "files": ["compose.yaml"], "scale": {"web": 1}}
    found = pulumi.diff("Stack", id_, inputs, state, by_file)
    assert kinds(found) == {"definition.services": "delete", "directory": "add", "files": "add", "scale.web": "add"}
    state = pulumi.update("Stack", id_, inputs, state, by_file)
    assert len(state["services"]["web"]["containers"]) == 1
    definition["services"]["web"]["labels"] = {"tier": "two"}
    plan, _ = pulumi.invoke("getPlan", {"project": id_, "definition": definition})
    steps = {step["resource"]: step for step in plan["steps"]}
    assert {name: step["action"] for name, step in steps.items()} == {
        f"container {id_}-web-1": "update",
        f"container {id_}-web-2": "create",
    }
    (label,) = steps[f"container {id_}-web-1"]["fields"]
    assert {key: label[key] for key in ("path", "after", "how")} == {
        "path": "labels[tier]",
        "after": "two",
        "how": "in-place",
    }
    assert "to create" in plan["text"]
    assert json.loads(plan["document"])["changed"]
    pulumi.delete("Stack", id_, by_file)
    assert pulumi.read("Stack", id_, by_file, state) is None


def _id(name):
    from bayplan.models import Kind, ResourceId

    return ResourceId(kind=Kind.CONTAINER, name=name)


def _scope(name):
    from bayplan.runtime.protocol import Scope

    return Scope(names=(_id(name),))


def _nothing():
    from bayplan.models import Stack

    return Stack(name="")
