"""Many at once: two hundred names on one network, and addresses and ports given by several processes at a time."""

import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bayplan.models import Endpoint, Network
from bayplan.runtime.native.networks.daemon import DOMAIN
from bayplan.system import namespaces
from integration.networks.test_networks import container, networks

__all__ = ["networks"]
pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
MEMBERS = 200
APPLIES, EACH = 4, 12
APPLY = """
import json, secrets, sys
from bayplan.models import Endpoint, Port, Settings
from bayplan.runtime.native.networks import Networks
from bayplan.runtime.native.state import Database

made = Settings.model_validate_json(sys.argv[1])
database = Database(made.state_root / "state.db")
networks = Networks(made, database)
sys.stdin.readline()  # all begin together
places = [
    networks.attach(secrets.token_hex(32), [Endpoint(network="n")], [Port(target=80, host_ip="127.0.0.1")])
    for _ in range(int(sys.argv[2]))
]
print(json.dumps([[str(place.addresses["n"]), str(place.places[0].address6)] for place in places]))
networks.close()
database.close()
"""


def resolve(netns, server, names):
    """Addresses by DNS (RFC 1035, section 4.1), asked from inside."""

    def body():
        found = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(5)
            asker.connect((server, 53))
            for number, name in enumerate(names):
                labels = f"{name}.{DOMAIN}".split(".")
                asked = b"".join(bytes([len(one)]) + one.encode() for one in labels) + b"\0"
                asker.send(struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + asked + struct.pack(">2H", 1, 1))
                answer = asker.recv(512)
                found[name] = socket.inet_ntoa(answer[-4:]) if struct.unpack(">H", answer[6:8])[0] else ""
        return found

    return namespaces.in_network(netns.path, body)


@pytest.mark.skipif(not Path("/usr/lib/podman/aardvark-dns").exists(), reason="needs aardvark-dns")
def test_every_name_of_two_hundred_is_found(networks):
    networks.create(Network(name="n"), "p")
    boxes = {f"member-{number}": container() for number in range(MEMBERS)}
    with networks.database.transaction() as tx:
        tx.executemany(
            "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at, wanted)"
            " VALUES (?, ?, 'p', 'many', '{}', '', 'created', '', 'running')",
            [(box, name) for name, box in boxes.items()],
        )
    places = {name: networks.attach(box, [Endpoint(network="n")], []) for name, box in boxes.items()}
    networks.name_server.settle()
    given = {name: str(place.addresses["n"]) for name, place in places.items()}
    assert len(set(given.values())) == MEMBERS
    first = next(iter(places.values()))
    assert resolve(first.netns, str(first.name_server), given) == given
    for name, box in boxes.items():
        networks.detach(box, ended=True)
        places[name].netns.close()
    networks.settle()
    with networks.database.transaction() as tx:
        tx.execute("DELETE FROM containers")


def test_no_address_and_no_port_is_given_twice_by_applies_at_once(networks):
    """Processes of their own on one record file, without the host's lock that real ones take turns by."""
    networks.create(Network(name="n", enable_ipv6=True), "p")
    argv = [sys.executable, "-c", APPLY, networks.settings.model_dump_json(), str(EACH)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    applies = [subprocess.Popen(argv, **pipes) for _ in range(APPLIES)]
    for apply in applies:
        apply.stdin.write("go\n")
        apply.stdin.flush()
    said = [apply.communicate(timeout=120)[0] for apply in applies]
    assert [apply.returncode for apply in applies] == [0] * APPLIES
    pairs = [pair for text in said for pair in json.loads(text)]
    assert len({four for four, _ in pairs}) == APPLIES * EACH
    assert len({six for _, six in pairs}) == APPLIES * EACH
    rows = networks.database.query("SELECT host_ip, published FROM ports")
    assert len({tuple(row) for row in rows}) == len(rows) == APPLIES * EACH
    leases = networks.database.query("SELECT address FROM leases")
    assert len({row[0] for row in leases}) == 2 * APPLIES * EACH
