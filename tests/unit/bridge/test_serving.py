"""Many requests on one connection, over the fake runtime."""

import io
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from bayplan import __version__
from bayplan.bridge import serving, singles
from bayplan.errors import RuntimeFailureError
from bayplan.models import Kind, ResourceId
from bayplan.registry.auth import credentials_for
from bayplan.runtime.fake import FakeRuntime


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    (tmp_path / "state").mkdir()
    runtime, opened = FakeRuntime(), []

    @contextmanager
    def opener(settings):
        opened.append(settings)
        yield runtime

    monkeypatch.setattr(serving.engines, "open_runtime", opener)
    runtime.opened = opened
    runtime.settings = {"state_root": str(tmp_path / "state"), "run_root": str(tmp_path / "run")}
    return runtime


def served(runtime, *requests):
    lines = [json.dumps({"settings": runtime.settings, **one} if "verb" in one else one) for one in requests]
    out = io.BytesIO()
    serving.Server(out).serve(Asker(lines, out, sum("verb" in one for one in requests)))
    hello, *answers = map(json.loads, out.getvalue().splitlines())
    assert hello == {"bayplan": __version__}
    return {answer["id"]: answer for answer in answers}


class Asker:
    """Lines, and no end before so many answers: who goes away sooner has what is under way stopped."""

    def __init__(self, lines, out, answers):
        self.lines, self.out, self.answers = lines, out, answers

    def __iter__(self):
        yield from (f"{line}\n".encode() for line in self.lines)
        while self.out.getvalue().count(b"\n") <= self.answers:
            threading.Event().wait(0.002)


def container(name, **fields):
    return {"kind": "container", "name": name, "fields": {"image": "lab/web", **fields}}


def ask(runtime, *items, check=False):
    request = {"id": 1, "verb": "singles", "check": check, "options": {"resources": list(items)}}
    return served(runtime, request)[1]


def test_requests_share_an_engine_and_are_answered_by_their_ids(runtime):
    looks = [{"id": number, "verb": "containers"} for number in range(5)]
    found = served(runtime, *looks, {"id": "x", "verb": "sail"}, {"begin": {}})
    assert set(found) == {0, 1, 2, 3, 4, "x"}
    assert found["x"]["failed"]
    assert len(runtime.opened) == 1
    out = io.BytesIO()
    serving.Server(out).serve(io.BytesIO(b"no json\n"))
    assert json.loads(out.getvalue().splitlines()[1])["failed"]


def test_one_plan_for_all_each_answered_for_itself(runtime):
    volume = {"kind": "volume", "name": "data", "fields": {}}
    items = [volume, {"kind": "network", "name": "net"}, container("web", networks=[{"network": "net"}])]
    plan = ask(runtime, *items, check=True)["plan"]
    assert {step["resource"]["name"] for step in plan["steps"]} >= {"data", "net", "web"}
    made = ask(runtime, *items)
    assert [(one["name"], one["error"]) for one in made["answers"]] == [("data", None), ("net", None), ("web", None)]
    assert made["answers"][2]["observed"]["fields"]["image"] == "lab/web"
    assert not ask(runtime, *items)["changed"]
    gone = ask(runtime, *({**item, "state": "absent"} for item in items))
    assert [one["observed"] for one in gone["answers"]] == [None, None, None]


def test_one_that_fails_keeps_no_other_from_being_done(runtime, monkeypatch):
    create = runtime.create

    def failing(resource, **options):
        if resource.name == "bad":
            raise RuntimeFailureError("it ended at once", where="container bad")
        create(resource, **options)

    monkeypatch.setattr(runtime, "create", failing)
    wrong = container("wrong", networks=[{"network": "a"}], network_mode="host")
    found = ask(runtime, container("bad"), container("good"), wrong, container("better"))["answers"]
    said = {one["name"]: (one["error"] or {}).get("msg", "") for one in found}
    assert "it ended at once" in said["bad"]
    assert "network_mode and networks exclude each other" in said["wrong"]
    assert (said["good"], said["better"]) == ("", "")
    assert {one["name"] for one in found if one["observed"]} >= {"good", "better"}


def test_what_is_not_there_yet_is_held_against_the_host(runtime, monkeypatch):
    def suited(**options):
        return served(runtime, {"id": 1, "verb": "suits", "check": True, "options": options})[1]["error"]

    later = container("web", networks=[{"network": "later"}])
    assert suited(resources=[later]) is None
    services = {"web": {"image": "lab/web", "depends_on": ["db"]}}
    assert suited(stack={"project_name": "shop", "definition": {"services": services}})["type"] == "DeclarationError"

    def check(resources, project, *, removing=()):
        assert ([one.name for one in resources], project, removing) == (["web"], "", ())
        raise RuntimeFailureError("the host is full", where="container web")

    monkeypatch.setattr(runtime, "check", check)
    found = suited(resources=[later])
    assert (found["type"], found["msg"]) == ("RuntimeFailureError", "container web: the host is full")


def stopped(runtime, monkeypatch, **request):
    """The answer to a request that is stopped while containers are made."""
    begun, out = threading.Event(), io.BytesIO()
    create = runtime.create

    def slow(resource, **options):
        if resource.kind is Kind.CONTAINER:
            begun.set()
            stopped.wait(10)
        create(resource, **options)

    stopped = threading.Event()
    monkeypatch.setattr(runtime, "create", slow)
    read, write = os.pipe()
    server = serving.Server(out)
    before = server._stop
    with Path(f"/dev/fd/{read}").open("rb", buffering=0) as lines, os.fdopen(write, "wb", buffering=0) as into:
        thread = threading.Thread(target=server.serve, args=(lines,))
        thread.start()
        into.write(json.dumps({"id": 1, "settings": runtime.settings, **request}).encode() + b"\n")
        assert begun.wait(10)
        into.write(b'{"stop": true}\n')
        while server._stop is before:
            stopped.wait(0.01)
        stopped.set()
        into.close()
        thread.join(20)
    os.close(read)
    return json.loads(out.getvalue().splitlines()[1])


def test_a_stop_ends_what_is_under_way(runtime, monkeypatch):
    items = [container(f"c{number}") for number in range(40)]
    answer = stopped(runtime, monkeypatch, verb="singles", options={"resources": items})
    said = [one["error"]["msg"] for one in answer["answers"] if one["error"]]
    assert said
    assert all("stopped" in one for one in said)


def test_a_project_that_is_stopped_is_answered(runtime, monkeypatch):
    services = {f"s{number}": {"image": "lab/web", "network_mode": "none"} for number in range(40)}
    definition = {"name": "shop", "services": services}
    answer = stopped(runtime, monkeypatch, verb="apply", stack={"definition": definition})
    assert answer["msg"].startswith("stopped between steps; done: ")
    assert (answer["failed"], bool(answer["result"]["skipped"])) == (True, True)


@pytest.mark.parametrize("error", [KeyError("hush"), KeyboardInterrupt("hush")])
def test_whatever_goes_wrong_is_answered_without_a_value(runtime, monkeypatch, error):
    def failing(*_):
        raise error

    monkeypatch.setattr(serving, "answer_to", failing)
    answer = served(runtime, {"id": 1, "verb": "containers"})[1]
    assert answer["msg"].startswith(f"{type(error).__name__} at bridge/serving.py:")
    assert "hush" not in str(answer)


PACKAGES = """
import importlib, pathlib, sys
import bayplan.bridge.serving
from bayplan.bridge.rooms import ROOMS
before = set(sys.modules)
for room in set(ROOMS.values()):
    importlib.import_module(f"bayplan.bridge.{room}")
found = (module for name, module in sys.modules.items() if name not in before and name.startswith("bayplan."))
packages = [module for module in found if hasattr(module, "__path__")]
print(*(one.__name__ for one in packages if f"from {one.__name__}" in pathlib.Path(one.__file__).read_text()))
"""


def test_no_package_with_imports_is_loaded_by_two_requests_at_a_time():
    """One that loads a package and one that loads a module in it would wait for each other."""
    done = subprocess.run([sys.executable, "-c", PACKAGES], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_credentials_are_in_no_file_that_stays(runtime, monkeypatch):
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "")  # and gone again at the end
    seen = []

    def look(*_):
        path = Path(os.environ["REGISTRY_AUTH_FILE"])
        seen.extend((path, str(path.readlink()), credentials_for("r.example", "web").password))
        return {}

    monkeypatch.setattr(serving, "answer_to", look)
    served(
        runtime,
        {"begin": {"credentials": {"r.example": {"username": "u", "password": "hush"}}}},
        {"id": 1, "verb": "containers"},
    )
    path, memory, password = seen
    assert memory.startswith("/memfd:")  # on no file system, so that a kill leaves nothing
    assert password == "hush"
    assert not path.exists()


def test_what_a_container_is_granted_is_what_is_kept(runtime, tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/db").write_text("hush")
    runtime.settings["secrets_root"] = str(tmp_path / "secrets")
    ask(runtime, container("web", secrets=[{"source": "db", "target": "/run/secrets/db"}]))
    declared = runtime.observe(singles.Scope(names=(ResourceId(kind=Kind.CONTAINER, name="web"),)))
    (found,) = declared.resources.values()
    assert found.actual.secrets[0].file == str(tmp_path / "secrets/db")
    held = served(runtime, {"id": 2, "verb": "held", "options": {"kind": "secret", "name": "db"}})[2]
    assert held["content_base64"] == "aHVzaA=="
