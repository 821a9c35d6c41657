"""Names, ports, and places on networks."""

import pytest

from bayplan.errors import ConflictError, NotFoundError
from bayplan.models import Endpoint
from contract.hosts import eventually

WEB = """
services:
  web:
    image: IMAGE
    command: [sh, -c, "echo hello > /www/index.html; exec httpd -f -p 8000 -h /www"]
    init: true
    ports: ["127.0.0.1:18080:8000", "18090:8000"]
    networks: {front: {aliases: [shop]}}
  client:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    networks: [front, back]
  alone:
    image: IMAGE
    command: [sleep, "600"]
    init: true
    networks: [back]
networks: {front: {}, back: {internal: true}}
"""


@pytest.fixture
def web(real_host):
    real_host.apply(WEB)
    return real_host


def test_published_ports_answer(web):
    assert eventually(lambda: web.fetch("http://127.0.0.1:18080/")) == "hello\n"
    assert web.fetch("http://127.0.0.1:18090/") == "hello\n"
    ports = web.container("web").status.ports
    assert "127.0.0.1:18080->8000/tcp" in ports
    web.runtime.stop(web.name("web"))
    assert web.fetch("http://127.0.0.1:18080/") is None


@pytest.mark.parametrize("name", ["web", "shop", "NAME"])
def test_names_resolve_on_a_shared_network(web, name):
    name = web.name("web") if name == "NAME" else name
    script = f"timeout 3 wget -qO- http://{name}:8000/"
    assert eventually(lambda: web.runtime.exec(web.name("client"), ["sh", "-c", script]).stdout) == b"hello\n"


def test_networks_are_apart(web):
    done = web.runtime.exec(web.name("alone"), ["sh", "-c", "timeout 2 wget -qO- http://web:8000/"])
    assert done.exit_code != 0
    address = web.container("web").status.addresses[f"{web.project}_front"]
    done = web.runtime.exec(web.name("alone"), ["sh", "-c", f"timeout 2 wget -qO- http://{address}:8000/"])
    assert done.exit_code != 0


def test_connect_and_disconnect(web):
    name, network = web.name("alone"), f"{web.project}_front"
    fetch = ["sh", "-c", "timeout 2 wget -qO- http://web:8000/"]
    web.runtime.connect(name, Endpoint(network=network, aliases=("other",)))
    assert eventually(lambda: web.runtime.exec(name, fetch).stdout) == b"hello\n"
    with pytest.raises(ConflictError):
        web.runtime.connect(name, Endpoint(network=network))
    made = web.plan(WEB)
    assert [str(step.resource) for step in made.steps] == [f"container {name}"]
    before = web.container("alone").status.pid
    web.apply(WEB)
    assert web.container("alone").status.pid == before
    assert set(web.container("alone").status.addresses) == {f"{web.project}_back"}
    with pytest.raises(ConflictError):
        web.runtime.disconnect(name, network)
    with pytest.raises(NotFoundError):
        web.runtime.connect(name, Endpoint(network="no-such-network"))


def test_a_place_that_was_taken_away_is_given_back(web):
    name = web.name("client")
    web.runtime.disconnect(name, f"{web.project}_front")
    before = web.container("client").status.pid
    made = web.apply(WEB)
    assert [str(step.resource) for step in made.steps] == [f"container {name}"]
    assert web.container("client").status.pid == before
    assert web.runtime.exec(name, ["sh", "-c", "timeout 3 wget -qO- http://shop:8000/"]).stdout == b"hello\n"


def test_published_ports_are_not_closed_by_accident(web):
    with pytest.raises(ConflictError, match="ports"):
        web.runtime.disconnect(web.name("web"), f"{web.project}_front")
    assert web.fetch("http://127.0.0.1:18080/") == "hello\n"


def test_addresses_that_are_declared(real_host):
    text = """
    services:
      app:
        image: IMAGE
        init: true
        command: [sleep, "600"]
        networks: {net: {ipv4_address: 10.210.7.9, mac_address: "02:00:00:00:07:09"}}
    networks: {net: {ipam: {config: [{subnet: 10.210.7.0/24, gateway: 10.210.7.1}]}}}
    """
    real_host.apply(text)
    assert "10.210.7.9/24" in real_host.sh("app", "ip addr")
    assert "02:00:00:00:07:09" in real_host.sh("app", "ip link")
    moved = real_host.apply(text.replace("10.210.7.9,", "10.210.7.10,"))
    assert [str(step.resource) for step in moved.steps] == [f"container {real_host.name('app')}"]
    assert "10.210.7.10/24" in real_host.sh("app", "ip addr")


def test_modes_without_a_network_of_its_own(real_host):
    real_host.apply("""
    services:
      lone: {image: IMAGE, init: true, command: [sleep, "600"], network_mode: none}
      open: {image: IMAGE, init: true, command: [sleep, "600"], network_mode: host}
      main: {image: IMAGE, init: true, command: [sleep, "600"]}
      side: {image: IMAGE, init: true, command: [sleep, "600"], network_mode: "service:main"}
    """)
    links = real_host.sh("lone", "ls /sys/class/net").split()
    assert links == ["lo"]
    with pytest.raises(ConflictError):
        real_host.runtime.connect(real_host.name("open"), Endpoint(network=f"{real_host.project}_default"))
    assert real_host.sh("main", "ip -4 addr") == real_host.sh("side", "ip -4 addr")


def test_networks_are_listed_and_shown(web):
    found = {item.id.name: users for item, users in web.runtime.networks_there()}
    assert found[f"{web.project}_front"] == (web.name("client"), web.name("web"))
    shown = web.runtime.inspect_network(f"{web.project}_front")
    assert shown["Name"] == f"{web.project}_front"
    with pytest.raises(NotFoundError):
        web.runtime.inspect_network("no-such-network")


def test_a_taken_port_is_refused_before_anything_is_done(web):
    mine, web.project = web.project, web.project + "x"
    try:
        with pytest.raises(ConflictError, match="18090"):
            web.plan("services: {other: {image: IMAGE, ports: ['18090:80']}}")
    finally:
        web.project = mine


def test_an_external_network_must_be_there(real_host):
    text = "services: {a: {image: IMAGE, networks: [n]}}\nnetworks: {n: {external: true, name: no-such-network}}"
    with pytest.raises(NotFoundError, match="no-such-network"):
        real_host.plan(text)
