import json

import pytest
from pydantic import ValidationError

from bayplan.models import Container, Endpoint, Settings
from bayplan.runtime.native.networks.zones import Zone, zones
from bayplan.runtime.native.state import Database


@pytest.fixture
def database(tmp_path):
    made = Database(Settings(state_root=tmp_path / "state").state_root / "state.db")
    with made.transaction() as tx:
        for number, (name, internal) in enumerate({"front": False, "back": True, "empty": False}.items()):
            declared = json.dumps({"internal": internal})
            row = (name, "p", declared, f"10.9.{number}.0/24", f"10.9.{number}.1", f"br{number}", "now")
            tx.execute("INSERT INTO networks VALUES (?, ?, ?, ?, ?, ?, ?, '', '', 0)", row)
        add(tx, "a" * 64, "web", {"front": "10.9.0.2", "back": "10.9.1.2"}, {"hostname": "Shop"})
        add(tx, "b" * 64, "store", {"back": "10.9.1.3"}, {}, ["depot", "two words", "x\n10.9.9.9"])
    yield made
    made.close()


def add(tx, container_id, service, places, declared, aliases=()):
    tx.execute(
        "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at)"
        " VALUES (?, ?, 'p', ?, ?, 'sha256:0', 'created', 'now')",
        (container_id, f"p-{service}-1", service, json.dumps(declared)),
    )
    for position, (network, address) in enumerate(places.items()):
        row = (container_id, network, position, address, "mac", f"{service}{position}", json.dumps(aliases))
        tx.execute("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, '', '', '')", row)


def test_a_zone_lists_gateway_marker_and_members_by_all_their_names(database):
    zone = zones(database)["front"]
    assert zone.file == "br0"
    assert zone.text.splitlines() == [
        "10.9.0.1",
        f"marker 0.0.0.0  {zone.marker}",
        f"{'a' * 64} 10.9.0.2  web,p-web-1,{'a' * 12},shop",
    ]


def test_members_of_internal_networks_only_get_no_way_to_other_servers_and_what_is_no_name_is_left_out(database):
    zone = zones(database)["back"]
    assert zone.file == "br1%int"
    assert zone.text.splitlines()[2:] == [
        f"{'b' * 64} 10.9.1.3  store,p-store-1,depot,{'b' * 12} 255.255.255.255",
        f"{'a' * 64} 10.9.1.2  web,p-web-1,{'a' * 12},shop",
    ]


def test_a_network_without_containers_has_no_zone(database):
    assert set(zones(database)) == {"front", "back"}


def test_the_marker_changes_with_the_content_only():
    one = Zone("n", "10.9.0.1", "br0", "a 10.9.0.2  web\n")
    assert one.marker == Zone("n", "10.9.0.1", "br0", "a 10.9.0.2  web\n").marker
    assert one.marker != Zone("n", "10.9.0.1", "br0", "a 10.9.0.3  web\n").marker


@pytest.mark.parametrize("name", ["two words", "line\nbreak", "", "a,b", "#x"])
def test_what_is_no_name_is_refused_in_declarations(name):
    with pytest.raises(ValidationError):
        Endpoint(network="n", aliases=(name,))
    with pytest.raises(ValidationError):
        Container(name="c", image="i", hostname=name)
