"""Requests of the Ansible modules on every engine that really runs something."""

import json
from contextlib import contextmanager

import pytest

from bayplan.bridge.main import respond

SLEEP = {"image": "lab/busybox", "command": ["sleep", "600"], "stop_timeout": 1, "network_mode": "none"}


@pytest.fixture
def ask(real_host):
    @contextmanager
    def opener(settings):
        yield real_host.runtime

    def call(verb, check=False, **options):
        settings = json.loads(real_host.settings.model_dump_json(exclude_unset=True))
        request = {"verb": verb, "settings": settings, "check": check, "options": options}
        return respond(json.dumps(request), opener)

    yield call
    call("container", state="absent", containers=[{"name": "bpq-one"}, {"name": "bpq-two"}])
    for name in ("bpq-data", "bpq-more"):
        request = {"verb": "apply", "absent": [{"kind": "volume", "name": name}]}
        settings = json.loads(real_host.settings.model_dump_json(exclude_unset=True))
        respond(json.dumps({**request, "settings": settings}), opener)


def both(ask, verb, **options):
    """A check that foretells, a run, and a second run that does nothing."""
    foretold, done, again = ask(verb, check=True, **options), ask(verb, **options), ask(verb, **options)
    assert not done.get("failed"), done["msg"]
    assert (foretold["changed"], done["changed"], again["changed"]) == (True, True, False), again["diff"]
    assert foretold["diff"] == done["diff"]
    return done


def test_containers_through_their_states(ask):
    web = {"name": "bpq-one", **SLEEP, "volumes": ["bpq-data:/data"]}
    made = both(ask, "container", **web)
    assert made["container"]["State"]["Status"] == "running"
    assert both(ask, "container", **web, state="paused")["container"]["State"]["Status"] == "paused"
    both(ask, "container", **web)
    for forced in ("restart", "recreate"):
        assert ask("container", **web, **{forced: True})["changed"], forced
    both(ask, "container", name="bpq-one", state="stopped")
    both(ask, "container", **web, state="started", labels={"tier": "one"})
    assert not ask("container", **web, labels={"tier": "two"}, comparisons={"labels": "ignore"})["changed"]
    both(ask, "container", containers=[{"name": "bpq-one", "state": "absent"}, {"name": "bpq-two", **SLEEP}])


def test_commands_files_and_volumes(ask, tmp_path):
    ask("container", name="bpq-one", **SLEEP, volumes=["bpq-data:/data"])
    ran = ask("container_exec", container="bpq-one", argv=["sh", "-c", "cat > /data/in; exit 3"], stdin="typed")
    assert (ran["rc"], ran["msg"]) == (3, "the command ended with exit code 3")
    both(ask, "container_copy", container="bpq-one", container_path="/etc/app.conf", content="x = 1\n", mode="0640")
    both(ask, "container_copy", container="bpq-one", container_path="/etc/app.conf", dest=str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "x = 1\n"
    both(ask, "volume_backup", volume="bpq-data", path=str(tmp_path / "data.tar"))
    ask("container", name="bpq-two", **SLEEP, state="stopped", volumes=["bpq-more:/data"])
    both(ask, "volume_restore", volume="bpq-more", path=str(tmp_path / "data.tar"))
    assert ask("volume_info", name="bpq-more")["volume"]["users"] == ["bpq-two"]
    assert ask("container_info", name="bpq-two")["exists"]
    found = ask("host_info")
    assert {"bpq-one", "bpq-two"} <= set(found["containers"])


def test_images_get_names_and_are_saved_and_loaded(ask, tmp_path):
    both(ask, "image", name="lab/busybox", tags=["bpq/again:1"], archive_path=str(tmp_path / "box.tar"))
    both(ask, "image", name="bpq/loaded:1", load_path=str(tmp_path / "box.tar"))
    assert len(ask("image_info", name=["bpq/again:1", "bpq/loaded:1", "bpq/none:1"])["images"]) == 2
    both(ask, "image", name="bpq/loaded:1", tags=["bpq/again:1"], state="absent")


def test_single_resources_in_one_plan_each_answered_for_itself(ask):
    fields = {"image": "lab/busybox", "command": ["sleep", "600"], "stop_grace_period": "1s", "network_mode": "none"}
    mount = {"type": "volume", "source": "bpq-data", "target": "/data"}
    items = [
        {"kind": "volume", "name": "bpq-data", "fields": {"labels": {"tier": "one"}}},
        {"kind": "container", "name": "bpq-one", "fields": {**fields, "mounts": [mount]}},
        {"kind": "container", "name": "bpq-two", "fields": {**fields, "image": "lab/none"}},
    ]
    made = ask("singles", resources=items)
    data, one, two = made["answers"]
    assert (data["error"], one["error"]) == (None, None), made
    assert "lab/none" in two["error"]["msg"]
    assert one["observed"]["status"]["state"] == "running"
    assert one["observed"]["fields"]["command"] == ["sleep", "600"]
    assert ask("singles", check=True, resources=items[:2])["plan"]["steps"] == []
    edited = {**items[1], "fields": {**fields, "mounts": [mount], "environment": {"MODE": "b"}}}
    (step,) = ask("singles", check=True, resources=[edited])["plan"]["steps"]
    assert (step["action"], step["fields"][0]["path"]) == ("re-create", "environment[MODE]")
    again = ask("singles", resources=[edited])["answers"][0]
    assert again["observed"]["fields"]["environment"]["MODE"] == "b"
    stopped = ask("singles", resources=[{**edited, "state": "stopped"}])["answers"][0]
    assert stopped["observed"]["status"]["state"] == "exited"
    gone = ask("singles", resources=[{**item, "state": "absent"} for item in (*items[:2], items[2])])
    assert [answer["observed"] for answer in gone["answers"]] == [None, None, None]
    assert [answer["observed"] for answer in ask("observed", resources=items)["answers"]] == [None, None, None]
