"""A core beside another firewall: what it drops is told, and what the note advises opens it. Run by test_firewalls.py.

    python -m integration.networks.firewalls docker|firewalld|ufw|nft

In a network and mount namespace of its own: rules and files of the firewalls end with it.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bayplan.models import Endpoint, Network, Port, Settings
from bayplan.runtime.native.networks import Networks
from bayplan.runtime.native.state import Database
from bayplan.system.namespaces import NetworkNamespace
from integration.networks.test_networks import ask, container, serve, stop

PORT = 8123
BUS = """<busconfig><type>system</type><listen>unix:path={0}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="*"/><allow receive_type="*"/>
<allow send_destination="*"/></policy></busconfig>"""


def run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout


def outside():
    """A host on another link that knows us as its gateway."""
    netns = NetworkNamespace.create()
    path = str(netns.path)
    run("ip", "link", "add", "xout", "type", "veth", "peer", "name", "xoutp")
    run("ip", "addr", "add", "198.51.100.1/24", "dev", "xout")
    run("ip", "link", "set", "xout", "up")
    run("ip", "link", "set", "xoutp", "netns", path)
    for words in ("addr add 198.51.100.2/24 dev xoutp", "link set xoutp up", "route add default via 198.51.100.1"):
        run("nsenter", f"--net={path}", "ip", *words.split())
    return netns


@contextlib.contextmanager
def docker(_):
    """What dockerd sets up: the policy of FORWARD is drop, and a chain of the user's comes first."""
    for words in ("-P FORWARD DROP", "-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-I FORWARD -j DOCKER-USER"):
        run("iptables-nft", *words.split())
    yield lambda: None


@contextlib.contextmanager
def nft(_):
    """A nftables.conf of somebody's own."""
    run("nft", "add table inet filter")
    run("nft", "add chain inet filter forward { type filter hook forward priority 0; policy drop; }")
    run("nft", "add rule inet filter forward ct state established,related accept")
    yield lambda: None


@contextlib.contextmanager
def ufw(place):
    shutil.copytree("/etc/ufw", place / "ufw")
    shutil.copy("/etc/default/ufw", place / "default")
    defaults = (place / "default").read_text()
    (place / "default").write_text(defaults.replace("IPV6=yes", "IPV6=no"))
    run("mount", "--bind", str(place / "ufw"), "/etc/ufw")
    run("mount", "--bind", str(place / "default"), "/etc/default/ufw")
    run("ufw", "--force", "enable")
    run("ufw", "allow", "in", "on", "xout", "to", "any", "port", "22", "proto", "tcp")
    yield lambda: run("ufw", "reload")


@contextlib.contextmanager
def firewalld(place):
    for name in ("/etc/firewalld", "/run"):
        run("mount", "-t", "tmpfs", "tmpfs", name)
    (place / "bus.conf").write_text(BUS.format(place))
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={place}/bus"
    with subprocess.Popen(["dbus-daemon", f"--config-file={place}/bus.conf", "--nofork"]) as bus:
        log = (place / "log").open("w")
        with subprocess.Popen(["firewalld", "--nofork", "--nopid"], stdout=log, stderr=log) as daemon:
            try:
                deadline = time.monotonic() + 30
                while subprocess.run(["firewall-cmd", "--state"], capture_output=True, check=False).returncode:
                    assert daemon.poll() is None, (place / "log").read_text()
                    assert time.monotonic() < deadline, (place / "log").read_text()
                    time.sleep(0.2)
                yield lambda: run("firewall-cmd", "--reload")
            finally:
                daemon.terminate()
                daemon.wait(20)
                bus.terminate()


def answers(address, port, netns):
    try:
        return ask(address, port, netns).startswith(b"hello")
    except OSError:
        return False


def notes(networks):
    return [note for item in networks.observe("p", []) for note in item.notes if "dropped by" in note]


def main(kind):
    place = Path(tempfile.mkdtemp())
    made = Settings(
        state_root=place / "state",
        run_root=place / "run",
        nft_table=f"bayplan_test_{secrets.token_hex(2)}",
        interface_prefix="fw",
        address_pool="10.99.0.0/16",
    )
    database = Database(made.state_root / "state.db")
    networks, far = Networks(made, database), outside()
    networks.create(Network(name="n"), "p")
    networks.create(Network(name="inner", internal=True), "p")
    box = container()
    one = networks.attach(box, [Endpoint(network="n")], [Port(target=7000, published=PORT)])
    server = serve(one.netns, one.addresses["n"], 7000)
    world = serve(far, "198.51.100.2", 7001)

    def passes():
        """Whether strangers reach the published port, and the container reaches them."""
        return answers("198.51.100.1", PORT, far) and answers("198.51.100.2", 7001, one.netns)

    assert passes()
    assert notes(networks) == []
    assert networks.closed_for_new() == ()
    with {"docker": docker, "nft": nft, "ufw": ufw, "firewalld": firewalld}[kind](place) as reload:
        assert not passes(), "it drops nothing"
        (told,) = notes(networks)
        (foretold,) = networks.closed_for_new()
        assert "fw..." in foretold
        assert ask("127.0.0.1", PORT).startswith(b"hello")
        print(told)
        for command in told.partition(": ")[2].split(" && "):
            run(*command.split())
        assert passes(), "what is advised does not open it"
        assert notes(networks) == []
        reload()
        assert networks.observe("p", [])[0].defects == {}
        assert networks.endpoint_defects(box, networks.kernel()) == {}
        # firewalld forgets at a reload what was not said to be permanent.
        assert passes() or kind == "firewalld"
        assert bool(notes(networks)) is not passes()
        # Not reached in any case: what is not published.
        try:
            ask(one.addresses["n"], 7000, far)
        except OSError:
            pass
        else:
            raise AssertionError("routed straight to the container")
    stop(server)
    stop(world)
    networks.detach(box)
    for name in ("n", "inner"):
        networks.delete(name)
    networks.close()
    database.close()
    shutil.rmtree(place, ignore_errors=True)
    print("ok")


if __name__ == "__main__":
    socket.setdefaulttimeout(10)
    main(sys.argv[1])
