"""Names on networks, asked by the DNS client of busybox inside containers, of the real name server."""

import os
import re
import secrets
import shutil
import signal
import socket
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from bayplan.errors import ConflictError
from bayplan.models import Container, Duration, Endpoint, Image, Kind, Network, Port, ResourceId, Settings
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.runtime.protocol import Scope
from bayplan.system import mounts, namespaces, sockets
from bayplan.system.processes import find_by_argument
from busybox import add_busybox

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/usr/lib/podman/aardvark-dns").exists(), reason="needs aardvark-dns"),
]


class Core:
    """A runtime, and short ways to say what a test does with it."""

    def __init__(self, **settings):
        tag = secrets.token_hex(2)
        self.state, self.run = Path(f"/var/lib/bayplan-tests/{tag}"), Path(f"/run/bayplan-tests/{tag}")
        self.settings = Settings(
            state_root=self.state,
            run_root=self.run,
            nft_table=f"bayplan_test_{tag}",
            interface_prefix=f"n{tag[:3]}",
            address_pool=f"10.{secrets.randbelow(60) + 120}.{secrets.randbelow(16) * 16}.0/20",
            cgroup_parent=f"/bayplan-test-{tag}",
            **settings,
        )
        add_busybox(self.state / "images")
        self.runtime = NativeRuntime(self.settings)
        self.digest = self.runtime.resolve(Image(name="lab/busybox")).digest

    @contextmanager
    def change(self):
        with self.runtime.lock("test"):
            yield

    def network(self, name, **options):
        self.runtime.create(Network(name=name, **options), project="p")

    def box(self, name, *networks, service="", aliases=(), command="exec sleep 600", **options):
        endpoints = [Endpoint(network=network, aliases=aliases) for network in networks]
        made = Container(
            name=name,
            service=service,
            image="lab/busybox",
            command=("sh", "-c", command),
            networks=endpoints,
            stop_signal="SIGKILL",
            **options,
        )
        self.runtime.create(made, project="p", digest=self.digest)
        self.runtime.start(name)
        return self.observed(Kind.CONTAINER, name).handle

    def remove(self, *names):
        for name in names:
            self.runtime.delete(ResourceId(kind=Kind.CONTAINER, name=name))

    def ask(self, box, name, server=""):
        """The addresses that ``box`` is told for a name; None for NXDOMAIN."""
        done = self.runtime.exec(box, ["nslookup", "-type=a", name, *([server] if server else [])])
        text = done.stdout.decode()
        if "NXDOMAIN" in text:
            return None
        answers = text.partition("answer:")[2] or text
        found = re.findall(r"^Address: ([\d.]+)$", answers, re.MULTILINE)
        assert found, text + done.stderr.decode()
        return sorted(found)

    def address(self, box, network):
        rows = self.runtime.database.query(
            "SELECT e.address FROM endpoints e JOIN containers c ON c.id = e.container_id"
            " WHERE c.name = ? AND e.network = ?",
            (box, network),
        )
        return rows[0][0]

    def gateway(self, network):
        return self.observed(Kind.NETWORK, network).status.addresses["gateway"]

    def observed(self, kind, name):
        wanted = ResourceId(kind=kind, name=name)
        return self.runtime.observe(Scope(names=(wanted,))).get(wanted)

    def servers(self):
        return find_by_argument(str(self.run / "names"))

    def destroy(self):
        with self.change():
            for row in self.runtime.database.query("SELECT name FROM containers"):
                self.remove(row[0])
            for row in self.runtime.database.query("SELECT name FROM networks"):
                self.runtime.delete(ResourceId(kind=Kind.NETWORK, name=row[0]))


class Upstream:
    """A DNS server of the host that knows one name, and notes what it was asked."""

    known, address = b"\3www\7example\3org\0", "192.0.2.77"

    def __init__(self):
        self.asked = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while True:
            self.own = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}.9"
            try:
                self._socket.bind((self.own, 53))
                break
            except OSError:
                continue
        self._socket.settimeout(0.05)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while not self._ended.is_set():
            try:
                query, peer = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            end = query.index(b"\0", 12) + 5
            self.asked.append(query[12 : end - 4])
            if query[12 : end - 4] == self.known:
                record = struct.pack(">3HIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(self.address)
                answer = query[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + query[12:end] + record
            else:
                answer = query[:2] + struct.pack(">5H", 0x8183, 1, 0, 0, 0) + query[12:end]
            self._socket.sendto(answer, peer)

    def close(self):
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def seen_by(self, start, tmp_path):
        """``start``, done where /etc/resolv.conf names this server; only what it starts sees that."""
        file = tmp_path / "resolv.conf"
        file.write_text(f"nameserver {self.own}\n")

        def body():
            mounts.bind(str(file), "/etc/resolv.conf")
            start()

        return lambda: namespaces.in_private_mounts(body)


@contextmanager
def opened(**settings):
    made = Core(**settings)
    try:
        yield made
        made.destroy()
        assert made.servers() == []
        assert not (made.run / "names").exists()
    finally:
        made.destroy()
        made.runtime.close()
        for item in Path("/sys/fs/cgroup").glob(f"*{made.settings.cgroup_parent}"):
            item.rmdir()
        shutil.rmtree(made.state)
        shutil.rmtree(made.run, ignore_errors=True)


@pytest.fixture
def upstream():
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def core(upstream, tmp_path, monkeypatch):
    with opened() as made:
        daemon = made.runtime.networks.name_server.daemon
        monkeypatch.setattr(daemon, "start", upstream.seen_by(daemon.start, tmp_path))
        yield made


def test_a_container_on_two_networks_is_told_of_both_and_strangers_are_told_nothing(core):
    with core.change():
        core.network("front")
        core.network("back")
        core.box("web-1", "front", "back", service="web")
        core.box("store-1", "back", service="store", aliases=("Depot",), hostname="storehost")
        core.box("far-1", "front", service="far")
    store, far = [core.address("store-1", "back")], [core.address("far-1", "front")]
    for name in (
        "store",
        "store-1",
        "depot",
        "DEPOT",
        "StoreHost",
        core.observed(Kind.CONTAINER, "store-1").handle[:12],
    ):
        assert core.ask("web-1", name) == store
    assert core.ask("web-1", "far") == far
    assert core.ask("far-1", "store") is None
    assert core.ask("store-1", "far") is None
    assert core.ask("store-1", "web") == [core.address("web-1", "back")]
    # The name server itself would tell a stranger who asks another network's gateway.
    gateway = core.gateway("back")
    assert core.ask("web-1", "store", gateway) == store
    asked = core.runtime.exec("far-1", ["nslookup", "-type=a", "-timeout=1", "-retry=1", "store", gateway])
    assert store[0] not in asked.stdout.decode() + asked.stderr.decode()
    assert asked.exit_code != 0
    text = core.runtime.exec("web-1", ["cat", "/etc/resolv.conf"]).stdout.decode()
    assert text.startswith(f"nameserver {core.gateway('front')}\n")
    assert text.count("nameserver") == 1
    assert "options ndots:0\n" in text


def test_a_service_name_gives_every_replica_and_one_that_left_is_gone(core):
    with core.change():
        core.network("n")
        core.box("client", "n")
        for number in range(3):
            core.box(f"web-{number}", "n", service="web")
    every = sorted(core.address(f"web-{number}", "n") for number in range(3))
    assert core.ask("client", "web") == every
    with core.change():
        gone = core.address("web-1", "n")
        core.remove("web-1")
    assert core.ask("client", "web") == sorted(set(every) - {gone})
    assert core.ask("client", "web-1") is None


def test_what_waits_for_a_container_finds_it_by_name(core):
    with core.change():
        core.network("n")
        core.box("client", "n")
        core.box("late", "n")
        core.runtime.wait("late", "service_started", Duration(seconds=20))
        assert core.ask("client", "late") == [core.address("late", "n")]


def test_other_names_are_asked_of_the_host_s_servers_but_not_for_internal_networks(core, upstream):
    """Attack row Network: internal networks get no upstream DNS."""
    with core.change():
        core.network("out")
        core.network("inside", internal=True)
        core.box("both", "inside", "out")
        core.box("closed", "inside")
    assert core.runtime.exec("both", ["cat", "/etc/resolv.conf"]).stdout.startswith(
        f"nameserver {core.gateway('out')}\n".encode()
    )
    assert core.ask("both", "www.example.org.") == [upstream.address]
    assert upstream.known in upstream.asked
    assert core.ask("both", "closed.") == [core.address("closed", "inside")]
    assert core.ask("closed", "both.") == [core.address("both", "inside")]
    upstream.asked.clear()
    done = core.runtime.exec("closed", ["nslookup", "-type=a", "-timeout=1", "-retry=1", "www.example.org."])
    assert done.exit_code != 0
    assert upstream.asked == []


def test_a_killed_name_server_is_seen_and_started_again(core):
    """Fault row 26."""
    with core.change():
        core.network("n")
        core.box("one", "n")
        core.box("two", "n")
    (server,) = core.servers()
    assert core.observed(Kind.NETWORK, "n").defects == {}
    server.send(signal.SIGKILL)
    assert server.wait(5)
    assert core.observed(Kind.NETWORK, "n").defects == {"its name server is not running": "in-place"}
    assert core.address("two", "n") in core.runtime.exec("one", ["cat", "/etc/hosts"]).stdout.decode()
    core.runtime.heal(ResourceId(kind=Kind.NETWORK, name="n"))
    assert core.observed(Kind.NETWORK, "n").defects == {}
    assert core.ask("one", "two") == [core.address("two", "n")]
    # Any other change mends it as well.
    core.servers()[0].send(signal.SIGKILL)
    with core.change():
        core.box("three", "n")
    assert core.ask("one", "three") == [core.address("three", "n")]
    assert len(core.servers()) == 1


def test_a_change_cut_before_the_server_was_told_is_seen_and_mended(core):
    with core.change():
        core.network("n")
        core.box("one", "n")
    (server,) = core.servers()
    with core.runtime.database.transaction() as tx:
        tx.execute("UPDATE endpoints SET aliases = '[\"later\"]'")
    assert core.observed(Kind.NETWORK, "n").defects == {"its name server does not know its containers": "in-place"}
    with core.change():
        pass
    assert core.ask("one", "later") == [core.address("one", "n")]
    assert core.servers() == [server]


def test_the_server_holds_nothing_of_those_who_started_it():
    with opened() as core, core.change():
        core.network("n")
        core.box("one", "n")
        (server,) = core.servers()
        entry = Path(f"/proc/{server.pid}")
        held = [str(item.readlink()) for item in (entry / "fd").iterdir()]
        assert [item for item in held if not item.startswith(("socket:", "anon_inode:", "pipe:", "/dev/null"))] == []
        assert (entry / "ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
        assert os.getsid(server.pid) != os.getsid(0)


def test_many_changes_at_once_are_told_in_few_reloads_and_none_is_lost(core, monkeypatch):
    reloads = []
    reload = core.runtime.networks.name_server.daemon.reload
    monkeypatch.setattr(
        core.runtime.networks.name_server.daemon, "reload", lambda process: reloads.append(1) or reload(process)
    )
    boxes = [secrets.token_hex(32) for _ in range(200)]
    with core.change():
        core.network("n")
        core.box("client", "n")
        with core.runtime.database.transaction() as tx:
            for box in boxes:
                tx.execute(
                    "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at)"
                    " VALUES (?, ?, 'p', 'many', '{}', 'sha256:0', 'created', 'now')",
                    (box, f"b{box[:8]}"),
                )

        def attach(part):
            for box in part:
                core.runtime.networks.attach(box, [Endpoint(network="n")], [])

        threads = [threading.Thread(target=attach, args=(boxes[number::4],)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # The marker covers all of them.
    assert core.observed(Kind.NETWORK, "n").defects == {}
    for box in boxes[::20]:
        assert core.ask("client", box[:12]) == [core.address(f"b{box[:8]}", "n")]
    assert len(reloads) < len(boxes)
    with core.change():
        for box in boxes:
            core.runtime.networks.detach(box)
        with core.runtime.database.transaction() as tx:
            tx.execute("DELETE FROM containers WHERE service = 'many'")
    assert core.ask("client", "many") is None


def test_without_the_program_peers_are_in_hosts_files_and_status_says_so():
    with opened(name_server="no-such-name-server") as core:
        with core.change():
            core.network("n")
            core.box("one", "n")
            core.box("two", "n")
        seen = core.observed(Kind.NETWORK, "n")
        assert seen.defects == {}
        assert "no-such-name-server is not installed" in seen.notes[0]
        assert core.address("two", "n") in core.runtime.exec("one", ["cat", "/etc/hosts"]).stdout.decode()
        assert core.gateway("n") not in core.runtime.exec("one", ["cat", "/etc/resolv.conf"]).stdout.decode()


def test_a_taken_port_53_is_named_with_its_holder_and_stops_nothing(core):
    with core.change():
        core.network("n")
    gateway = core.gateway("n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((gateway, 53))
        with core.change():
            core.box("one", "n")
        note = core.observed(Kind.NETWORK, "n").notes[0]
        assert f"port 53/udp of {gateway} is taken by " in note
        assert f"(pid {os.getpid()})" in note
        assert core.servers() == []
        assert gateway not in core.runtime.exec("one", ["cat", "/etc/resolv.conf"]).stdout.decode()
    assert list(core.observed(Kind.NETWORK, "n").defects) == ["its name server is not running"]
    core.runtime.heal(ResourceId(kind=Kind.NETWORK, name="n"))
    assert core.ask("one", "one", gateway) == [core.address("one", "n")]


def test_a_container_that_publishes_port_53_does_not_take_the_gateway_s_place():
    if sockets.listeners("0.0.0.0", 53, "udp"):
        pytest.skip("port 53 of this host is in use")
    published = Port(target=53, published=53, protocol="udp")
    with opened() as core:
        with core.change():
            core.network("n")
            core.box("client", "n")
            dns = Container(name="dns", image="lab/busybox", networks=[Endpoint(network="n")], ports=[published])
            core.runtime.check([dns], "p")
            core.box("dns", "n", ports=[published])
        assert core.ask("client", "dns") == [core.address("dns", "n")]
        assert core.observed(Kind.NETWORK, "n").defects == {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.10.9.7", 53))
            with pytest.raises(ConflictError, match=rf"taken by a process of the host: .* \(pid {os.getpid()}\)"):
                core.runtime.check([dns], "p")


def test_a_bridge_keeps_its_address_when_its_ports_come_and_go(core):
    with core.change():
        core.network("n")
        bridge = Path("/sys/class/net") / core.observed(Kind.NETWORK, "n").handle / "address"
        before = bridge.read_text()
        for number in range(3):
            core.box(f"b{number}", "n")
        assert bridge.read_text() == before
        core.remove("b0", "b1")
        assert bridge.read_text() == before


def test_a_container_made_anew_has_the_address_that_its_name_had(core):
    """Programs keep the address of a peer that they looked up once."""
    with core.change():
        core.network("n")
        for name in ("one", "two", "three"):
            core.box(name, "n")
        had = {name: core.address(name, "n") for name in ("one", "two", "three")}
        core.remove("one", "two")
        core.box("four", "n")
        assert core.address("four", "n") not in had.values()
        core.box("two", "n")
        core.box("one", "n")
        assert {name: core.address(name, "n") for name in had} == had
