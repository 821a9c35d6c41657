"""A core whose containers ask each other's names, and a DNS server of the host that it may ask in turn."""

import re
import secrets
import shutil
import socket
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

from bayplan.models import Container, Endpoint, Image, Kind, Network, ResourceId, Settings
from bayplan.runtime.native.runtime import NativeRuntime
from bayplan.runtime.protocol import Scope
from bayplan.system import mounts, namespaces
from bayplan.system.processes import find_by_argument
from busybox import add_busybox


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
