"""A stack of which a task wants a part, more replicas, or not to lose what is no longer declared; and its past."""

import json
from contextlib import contextmanager

import pytest

from bayplan.bridge.main import respond
from bayplan.runtime.fake import FakeRuntime

ONE = {"image": "lab/web"}
SERVICES = {"web": {**ONE, "depends_on": ["db"], "volumes": ["data:/data"]}, "db": ONE, "other": ONE}
WHOLE = {"definition": {"services": SERVICES, "volumes": {"data": {}}}, "project_name": "shop"}
SMALL = {"definition": {"services": {"web": ONE}}, "project_name": "shop"}


@pytest.fixture
def ask(tmp_path):
    runtime = FakeRuntime()

    @contextmanager
    def opener(settings):
        yield runtime

    def call(verb, **request):
        settings = {"state_root": str(tmp_path / "state"), "run_root": str(tmp_path / "run")}
        (tmp_path / "state").mkdir(exist_ok=True)
        return respond(json.dumps({"verb": verb, "settings": settings, **request}), opener)

    return call


def names(response):
    return sorted(step["resource"]["name"] for step in response["plan"]["steps"])


def past(ask):
    return ask("generation", options={"project_name": "shop"})["generations"]


def test_some_services_bring_what_they_need_and_are_all_that_is_declared_then(ask):
    made = ask("apply", stack=WHOLE, options={"services": ["web"], "wait": True})
    assert names(made) == ["lab/web", "shop-db-1", "shop-web-1", "shop_data", "shop_default"]
    assert not ask("drift_info", options={"project_name": "shop"})["drifted"]
    assert names(ask("apply", stack=WHOLE)) == ["shop-other-1"]
    assert len(past(ask)) == 2
    assert ask("apply", stack=SMALL, options={"services": ["web"]}, check=True)["plan"]["kept"] == []
    refused = ask("apply", stack=WHOLE, options={"services": ["nowhere"]})
    assert "there is no service nowhere (there are: db, other, web)" in refused["msg"]


def test_a_stack_that_is_declared_to_be_stopped_has_not_drifted_then(ask):
    ask("apply", stack=WHOLE)
    assert ask("apply", stack=WHOLE, options={"state": "stopped"})["plan"]["counts"] == {"stop": 3}
    assert not ask("drift_info", options={"project_name": "shop"})["drifted"]
    assert len(past(ask)) == 2


def test_replicas_go_over_what_the_files_say(ask):
    assert "shop-web-3" in names(ask("apply", stack={**WHOLE, "scale": {"web": 3}}))
    assert names(ask("apply", stack={**WHOLE, "scale": {"web": "2"}})) == ["shop-web-3"]
    assert "no number of replicas" in ask("apply", stack={**WHOLE, "scale": {"web": -1}})["msg"]
    refused = ask("apply", stack={**WHOLE, "scale": {"nowhere": 1}})
    assert refused["msg"] == "stack: scale names a service that is not declared: nowhere"


def test_orphans_stay_when_asked_and_are_told(ask):
    ask("apply", stack=WHOLE)
    kept = ask("apply", stack=SMALL, options={"purge": False}, check=True)
    assert not any(step["action"] == "delete" for step in kept["plan"]["steps"])
    assert any("shop-db-1 is no longer declared, and orphans stay" in one for one in kept["plan"]["kept"])
    gone = ask("apply", stack=SMALL, check=True)
    assert {"shop-db-1", "shop-other-1"} <= set(names(gone))


def test_the_way_back_is_planned_before_it_is_gone(ask):
    ask("apply", stack=SMALL)
    ask("apply", stack={**SMALL, "definition": {"services": {"web": {**ONE, "labels": {"a": "b"}}}}})
    first = str(past(ask)[-1]["number"])
    back = {"options": {"project_name": "shop", "rollback_to": first}}
    foretold = ask("generation", **back, check=True)
    assert (foretold["changed"], len(past(ask))) == (True, 2)
    assert ask("generation", **back)["plan"]["steps"] == foretold["plan"]["steps"]
    assert ask("generation", **back)["changed"] is False
    drift = ask("drift_info", options={"project_name": "shop"})
    assert (drift["changed"], drift["drifted"]) == (False, False)
    assert ask("stack_info", options={"project_name": "shop"})["healthy"] is True


def test_a_project_src_that_is_not_there_is_named_as_that(ask, tmp_path):
    """A Compose file of a directory above it is none of it."""
    for name, said in (
        ("gone", "project_src does not exist on this host"),
        ("compose.yaml", "project_src is no directory"),
    ):
        (tmp_path / "compose.yaml").write_text("services: {web: {image: x}}")
        response = ask("plan", stack={"project_src": str(tmp_path / name)})
        assert response["failed"]
        assert response["msg"].startswith(f"{tmp_path / name}: {said} (remote_src: false takes it from")
