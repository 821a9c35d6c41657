"""Drawings: the same of the same environment, with everything that is in it, and no name in it is markup."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bayplan import app
from bayplan.app import drawing, parts
from bayplan.errors import UnsupportedError
from bayplan.load.compose import load_text
from bayplan.models import Container, Settings, Stack
from bayplan.runtime.fake import FakeRuntime
from bayplan.runtime.protocol import Observed, Snapshot, State, Status
from bayplan.system import graphviz

TEXT = """
name: shop
services:
  db: {image: db:1, volumes: ["data:/var/lib/data:ro"], networks: [back]}
  web: {image: web:1, scale: 2, depends_on: [db], networks: [front, back]}
  edge: {image: edge:1, ports: ["127.0.0.1:8080:80"], depends_on: [web], networks: [front]}
  alone: {image: alone:1, network_mode: none}
networks: {front: {}, back: {}}
volumes: {data: {}}
"""
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="needs the package graphviz")


def load(text):
    return load_text(text, label="compose.yaml", project_directory=Path("/srv"))


@pytest.fixture
def drawn(tmp_path):
    """The drawing of the stack as it runs, with what another declaration would do to it."""
    runtime = FakeRuntime()
    app.converge(lambda: app.plan(load(TEXT), runtime), runtime, Settings(state_root=tmp_path))
    runtime.stop("shop-db-1")
    wanted = load(TEXT.replace("edge:1", "edge:2").replace("  alone", "  more: {image: more:1}\n  alone"))

    def draw():
        return drawing.dot("shop on host", app.status("shop", runtime), wanted, app.plan(wanted, runtime))

    return draw


def test_everything_of_the_environment_stands_in_it(drawn):
    text = drawn()
    assert text == drawn()
    for part in (
        *("<b>db</b>", "<b>web</b>", "2 running", "exited", "not there", "127.0.0.1:8080 → 80/tcp"),
        *("± re-create", "+ create", "▸ start", "shop_front", "shop_data", "/var/lib/data (read-only)"),
        *('"service web" -> "service db"', '"service db" -> "network shop_back"', "network of none"),
        *("5 services, 3 networks, 1 volume — plan: ", "1 to re-create"),
    ):
        assert part in text, part
    # The stopped one was asked to end, and what is yet to be made is no fault.
    assert not [ink for ink in drawing._STATES["broken"] if ink in text]


def test_nodes_and_edges_have_the_same(tmp_path):
    runtime = FakeRuntime()
    app.converge(lambda: app.plan(load(TEXT), runtime), runtime, Settings(state_root=tmp_path))
    runtime.stop("shop-db-1")
    wanted = load(TEXT.replace("edge:1", "edge:2"))
    found = parts.as_json("shop", app.status("shop", runtime), wanted, app.plan(wanted, runtime))
    assert json.loads(json.dumps(found)) == found
    nodes = {node["id"]: node for node in found["nodes"]}
    assert list(nodes) == [
        *(f"service {name}" for name in ("alone", "db", "edge", "web")),
        *("network shop_back", "network shop_front", "volume shop_data"),
    ]
    assert (nodes["service edge"]["plan"], nodes["service edge"]["ports"]) == (
        ["re-create"],
        ["127.0.0.1:8080->80/tcp"],
    )
    assert (nodes["service web"]["state"], nodes["service db"]["plan"]) == ("2 running (healthy)", ["start"])
    edges = [(edge["from"], edge["to"], edge["kind"]) for edge in found["edges"]]
    assert ("service web", "service db", "depends_on") in edges
    assert ("service web", "network shop_back", "network") in edges
    (mounted,) = (edge for edge in found["edges"] if edge["kind"] == "volume")
    assert (mounted["target"], mounted["read_only"]) == ("/var/lib/data", True)
    assert all({edge["from"], edge["to"]} <= nodes.keys() for edge in found["edges"])


def test_names_are_no_markup(tmp_path):
    nasty = 'a<b>&"\\"\x1b[31m]; evil [label="x"'
    container = Container.model_construct(
        **{**Container(name="c", image="i").__dict__, "service": nasty, "image": "<script>alert(1)</script>"}
    )
    seen = Observed.model_construct(actual=container, status=Status(state=State.RUNNING), defects={}, superseded=False)
    text = drawing.dot("<img src=x>", Snapshot({container.id: seen}), Stack(name="p"))
    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    if shutil.which("dot"):
        root = ElementTree.fromstring(graphviz.draw(text, "svg"))
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        assert "<script>alert(1)</script>" in "".join(root.itertext())


@needs_dot
def test_pictures_are_whole_and_ask_for_nothing_else(drawn):
    svg = graphviz.draw(drawn(), "svg")
    assert svg == graphviz.draw(drawn(), "svg")
    ElementTree.fromstring(svg)
    assert re.findall(rb"(?:href|src)\s*=|url\(|@import|<image", svg) == []
    assert graphviz.draw(drawn(), "png").startswith(b"\x89PNG\r\n\x1a\n")


def test_many_services_say_their_networks_in_their_nodes():
    services = "".join(f"  s{number}: {{image: i, networks: [net]}}\n" for number in range(30))
    text = drawing.dot("many", Snapshot({}), load(f"name: many\nservices:\n{services}networks: {{net: {{}}}}\n"))
    assert text.count("■") == 30
    assert '-> "network' not in text


def test_without_the_program_its_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnsupportedError, match=r"^drawings need the program dot \(install the package graphviz\)$"):
        graphviz.draw("digraph {}", "svg")
