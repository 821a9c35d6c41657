"""What cannot work is refused by the plan, in one sentence, before anything is changed."""

import pytest

from bayplan import app
from bayplan.errors import ConflictError, NotFoundError, UnsupportedError
from bayplan.models import Kind, ResourceId, Stack

pytestmark = pytest.mark.host
ONE = "services: {web: {image: IMAGE, command: [sleep, '600'], init: true, %s}}\n"
REFUSED = [
    ("annotations: {a: b}", UnsupportedError, r"docker \S+ cannot honour container.annotations: .*Docker 24.0"),
    ("networks: {default: {gw_priority: 5}}", UnsupportedError, r"networks\[\w+_default\].gw_priority.*Docker 28.0"),
    ("volumes: [{type: image, source: IMAGE, target: /i}]", UnsupportedError, "mount of an image needs API 1.48"),
    ("userns_mode: auto", UnsupportedError, "container.userns_mode: auto"),
    ("volumes: ['/no/such/place:/x']", NotFoundError, "bind source /no/such/place does not exist"),
    ("network_mode: 'container:nobody'", NotFoundError, "nobody is shared, and it does not exist"),
    ("security_opt: ['seccomp:/no/profile']", NotFoundError, "seccomp profile /no/profile cannot be read"),
    ("read_only: true, secrets: [key]}}\nsecrets: {key: {content: x", UnsupportedError, "container.secrets"),
]
SINCE = ((1, 43), (1, 48), (1, 48))
"""The APIs with which the first of them came, later than that of Debian 12."""


@pytest.mark.parametrize(
    ("number", "option", "error", "match"),
    [(number, *item) for number, item in enumerate(REFUSED)],
    ids=[item[0].split(":")[0] for item in REFUSED],
)
def test_an_option_that_cannot_be_honoured_is_named(dock, number, option, error, match):
    if number < len(SINCE) and dock.runtime.engine.speaks(SINCE[number]):
        pytest.skip(f"{dock.runtime.engine.name} has it")
    with pytest.raises(error, match=match):
        dock.plan(ONE % option)
    assert dock.status() == {}


def test_ports_and_ranges_of_others_are_named(dock):
    dock.engine.call("network", "create", "--subnet", "10.98.7.0/24", "strange-net")
    dock.engine.call("run", "-d", "--name", "stranger", "-p", "127.0.0.1:18081:80", dock.IMAGE, "sleep", "600")
    with pytest.raises(ConflictError, match="port 18081/tcp is taken by stranger"):
        dock.plan(ONE % "ports: ['18081:80']")
    dock.plan(ONE % "ports: ['127.0.0.2:18081:80']")
    ranges = "networks: {default: {ipam: {config: [{subnet: 10.98.7.128/25}]}}}\n"
    with pytest.raises(ConflictError, match=r"overlaps 10\.98\.7\.0/24 of network strange-net"):
        dock.plan(ONE % "tty: true" + ranges)


def test_what_others_use_is_not_removed(dock):
    text = ONE % "volumes: ['data:/data']" + "volumes: {data: {}}\n"
    dock.apply(text)
    data = f"{dock.project}_data"
    dock.engine.call("run", "-d", "--name", "user", "-v", f"{data}:/d", dock.IMAGE, "sleep", "600")
    dock.engine.call("network", "connect", f"{dock.project}_default", "user")
    with pytest.raises(ConflictError, match="is used by containers user"):
        dock.destroy(volumes=True)
    assert dock.container("web") is not None


def test_a_name_that_another_has_is_not_taken(dock):
    dock.engine.call("run", "-d", "--name", dock.name("web"), dock.IMAGE, "sleep", "5")
    with pytest.raises(ConflictError, match="belongs to another tool or no project"):
        dock.plan(ONE % "tty: true")
    gone = (ResourceId(kind=Kind.CONTAINER, name=dock.name("web")),)
    with pytest.raises(ConflictError, match="was not made by Bayplan"):
        app.plan_single(Stack(name=""), dock.runtime, absent=gone)


def test_a_project_of_another_engine_is_left_to_it(dock, monkeypatch):
    dock.apply(ONE % "tty: true")
    monkeypatch.setattr(type(dock.runtime), "kind", "podman")
    with pytest.raises(ConflictError, match="is run by the engine docker, and this is podman"):
        dock.plan(ONE % "tty: true", settings=dock.settings)
