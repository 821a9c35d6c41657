import os
import secrets
import socket
import threading
from pathlib import Path

import pytest

from bayplan.errors import ConflictError
from bayplan.models import Container, Endpoint, Network, Port, Settings
from bayplan.runtime.native.networks import Networks
from bayplan.runtime.native.state import Database
from bayplan.system import namespaces, nftables

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def networks(tmp_path):
    tag = secrets.token_hex(2)
    made = Settings(
        state_root=tmp_path / "state",
        run_root=tmp_path / "run",
        nft_table=f"bayplan_test_{tag}",
        interface_prefix=f"t{tag[:3]}",
        address_pool=f"10.{secrets.randbelow(60) + 180}.{secrets.randbelow(16) * 16}.0/20",
    )
    database = Database(made.state_root / "state.db")
    held = Networks(made, database)
    yield held
    for row in database.query("SELECT DISTINCT container_id FROM endpoints"):
        held.detach(row[0])
    for row in database.query("SELECT name FROM networks"):
        held.delete(row[0])
    held.close()
    database.close()
    assert [name for _, name in socket.if_nameindex() if name.startswith(made.interface_prefix)] == []
    assert [item for item in nftables.listing("tables") if item.get("table", {}).get("name") == made.nft_table] == []
    assert str(made.run_root) not in Path("/proc/self/mounts").read_text()


def free_port():
    """A port that nobody listens on now; a fixed one would meet another run of these tests."""
    with socket.create_server(("0.0.0.0", 0)) as probe:
        return probe.getsockname()[1]


def inside(networks, number):
    """An address of the last /24 of the pool, which no network takes by itself."""
    return networks.settings.address_pool[15 * 256 + number]


def container():
    return secrets.token_hex(32)


def serve(netns, address, port, answer=b"hello"):
    """A server in a namespace that answers every connection; its socket is made there and used here."""
    listener = namespaces.in_network(netns.path, lambda: socket.create_server((str(address), port)))

    def body():
        while True:
            try:
                peer, source = listener.accept()
            except OSError:
                return
            with peer:
                peer.sendall(answer + b" " + source[0].encode())

    threading.Thread(target=body, daemon=True).start()
    return listener


def stop(listener):
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def ask(address, port, netns=None):
    def body():
        with socket.create_connection((str(address), port), timeout=1) as peer:
            return peer.recv(100)

    return namespaces.in_network(netns.path, body) if netns else body()


def test_neighbours_talk_and_other_networks_do_not(networks):
    """Attack row Network: isolated by default, re-checked by ``test_drift_is_seen_and_mended_in_place``."""
    for name in ("a", "b"):
        networks.create(Network(name=name), "p")
    one = networks.attach(container(), [Endpoint(network="a")], [])
    two = networks.attach(container(), [Endpoint(network="a")], [])
    far = networks.attach(container(), [Endpoint(network="b")], [])
    server = serve(one.netns, one.addresses["a"], 7000)
    assert ask(one.addresses["a"], 7000, two.netns).startswith(b"hello")
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        ask(one.addresses["a"], 7000, far.netns)
    stop(server)


def test_a_published_port_answers_from_host_and_containers_and_closes(networks):
    networks.create(Network(name="a"), "p")
    networks.create(Network(name="b"), "p")
    box, first, second = container(), free_port(), free_port()
    one = networks.attach(box, [Endpoint(network="a")], [Port(target=7000, published=first, host_ip="127.0.0.1")])
    server = serve(one.netns, one.addresses["a"], 7000)
    assert ask("127.0.0.1", first).startswith(b"hello")
    networks.set_ports(box, [Port(target=7000, published=second)])
    with pytest.raises(OSError, match="refused"):
        ask("127.0.0.1", first)
    assert ask("127.0.0.1", second).startswith(b"hello")
    gateway = networks.observe("p", [])[1].status.addresses["gateway"]
    far = networks.attach(container(), [Endpoint(network="b")], [])
    assert ask(gateway, second, far.netns).startswith(b"hello")
    assert ask(gateway, second, one.netns).startswith(b"hello")
    stop(server)


def test_an_internal_network_has_no_way_out_and_publishes_nothing(networks):
    """Attack row Network."""
    networks.create(Network(name="inside", internal=True), "p")
    networks.create(Network(name="out"), "p")
    one = networks.attach(container(), [Endpoint(network="inside")], [])
    other = networks.attach(container(), [Endpoint(network="out")], [])
    server = serve(other.netns, other.addresses["out"], 7000)
    with pytest.raises(OSError, match="unreachable"):
        ask(other.addresses["out"], 7000, one.netns)
    with pytest.raises(ConflictError, match="not internal"):
        networks.attach(container(), [Endpoint(network="inside")], [Port(target=1, published=free_port())])
    stop(server)


def test_addresses_are_unique_under_threads_and_kept_when_attached_again(networks):
    networks.create(Network(name="a"), "p")
    given, boxes = [], [container() for _ in range(12)]

    def body(box):
        given.append(networks.attach(box, [Endpoint(network="a")], []).addresses["a"])

    threads = [threading.Thread(target=body, args=(box,)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(given)) == 12
    first = networks.attach(boxes[0], [Endpoint(network="a")], []).addresses["a"]
    assert networks.attach(boxes[0], [Endpoint(network="a")], []).addresses["a"] == first


def test_a_start_forgets_networks_that_a_cut_change_has_left(networks):
    """Recorded as left, and killed before its place was taken back: the next start is on what is wanted."""
    for name in ("a", "b"):
        networks.create(Network(name=name), "p")
    box = container()
    networks.attach(box, [Endpoint(network="a"), Endpoint(network="b")], [])
    again = networks.attach(box, [Endpoint(network="b")], [])
    assert [one.name for one in again.places] == ["eth0"]
    assert set(again.addresses) == {"b"}
    assert networks.users("a") == []
    assert [row[0] for row in networks.database.query("SELECT network FROM leases")] == ["b"]


def test_a_fixed_address_and_its_conflict(networks):
    networks.create(Network(name="a", subnet=f"{inside(networks, 0)}/24"), "p")
    address = inside(networks, 77)
    fixed = Endpoint(network="a", ipv4_address=address)
    assert networks.attach(container(), [fixed], []).addresses["a"] == address
    with pytest.raises(ConflictError, match=f"{address} of network a is held"):
        networks.attach(container(), [fixed], [])


def test_what_others_have_is_never_given(networks):
    others = {"router": inside(networks, 2), "printer": inside(networks, 3)}
    declared = Network(name="a", subnet=f"{inside(networks, 0)}/29", aux_addresses=others)
    networks.create(declared, "p")
    given = {networks.attach(container(), [Endpoint(network="a")], []).addresses["a"] for _ in range(3)}
    assert given == {inside(networks, number) for number in (4, 5, 6)}
    with pytest.raises(ConflictError, match="network a has no free address left"):
        networks.attach(container(), [Endpoint(network="a")], [])
    asked = Container(name="c", image="x", networks=[Endpoint(network="a", ipv4_address=inside(networks, 3))])
    with pytest.raises(ConflictError, match="is the gateway's, an edge or in aux_addresses"):
        networks.check_all([declared], [asked])


def test_the_way_out_is_that_of_the_first_network_that_has_one(networks):
    networks.create(Network(name="inner", internal=True), "p")
    networks.create(Network(name="one"), "p")
    networks.create(Network(name="two"), "p")
    box = networks.attach(container(), [Endpoint(network=name) for name in ("inner", "one", "two")], [])
    text = namespaces.in_network(box.netns.path, lambda: Path("/proc/thread-self/net/route").read_text())
    default = [line.split() for line in text.splitlines() if line.split()[1] == "00000000"]
    assert [line[0] for line in default] == ["eth1"]
    assert str(box.gateway) == networks.observe("p", ["one"])[1].status.addresses["gateway"]


def test_what_is_in_the_way_is_refused_by_name(networks):
    """Fault row 24."""
    networks.create(Network(name="a", subnet=f"{inside(networks, 0)}/24"), "p")
    with pytest.raises(ConflictError, match=f"overlaps {inside(networks, 0)}/24 of a"):
        networks.check(Network(name="b", subnet=f"{inside(networks, 128)}/25"))
    ours = networks.settings.interface_prefix
    route, link = next(item for item in networks.links.routes() if not item[1].startswith(ours))
    with pytest.raises(ConflictError, match=f"a route of the host by {link}"):
        networks.check(Network(name="c", subnet=route))
    port = free_port()
    networks.attach(container(), [Endpoint(network="a")], [Port(target=1, published=port)])
    with pytest.raises(ConflictError, match=f"port {port}/tcp is published by container"):
        networks.attach(container(), [Endpoint(network="a")], [Port(target=1, published=port, host_ip="127.0.0.1")])
    with pytest.raises(ConflictError, match="is used by containers"):
        networks.delete("a")


def test_drift_is_seen_and_mended_in_place(networks):
    """Fault row 25."""
    networks.create(Network(name="a"), "p")
    box, port = container(), free_port()
    one = networks.attach(box, [Endpoint(network="a")], [Port(target=7000, published=port)])
    server = serve(one.netns, one.addresses["a"], 7000)
    assert networks.observe("p", [])[0].defects == {}
    nftables.run(f"delete table inet {networks.settings.nft_table}")
    assert networks.observe("p", [])[0].defects == {"its firewall rules are missing": "in-place"}
    assert networks.endpoint_defects(box, networks.kernel()) == {f"port {port}/tcp is not open": "in-place"}
    networks.heal("a")
    networks.heal_endpoints(box, one.netns)
    assert networks.observe("p", [])[0].defects == {}
    assert networks.endpoint_defects(box, networks.kernel()) == {}
    assert ask("127.0.0.1", port).startswith(b"hello")
    stop(server)
