"""Networks and the places of services on them: from Compose's spelling to the models."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.errors import DeclarationError, NotBuiltYetError
from bayplan.load.compose import load_text
from bayplan.models import Container, Network, Stack

BRIDGE = "com.docker.network.bridge"


def stack(tmp_path: Path, network: str, service: str = "networks: [n]") -> Stack:
    text = f"services:\n  a:\n    image: x\n    {service}\nnetworks:\n  n: {network}\n"
    return load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})


def read(tmp_path: Path, network: str) -> Network:
    return stack(tmp_path, network).networks[0]


def container(tmp_path: Path, service: str, network: str = "{}") -> Container:
    return stack(tmp_path, network, service).containers[0]


def test_drivers_and_their_parents(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        "{driver: macvlan, driver_opts: {parent: eth0.10, macvlan_mode: private}, ipam: {config: [{subnet: 10.1.0.0/24,"
        " gateway: 10.1.0.9, ip_range: 10.1.0.128/25, aux_addresses: {r: 10.1.0.3}}]}}",
    )
    assert (made.driver, made.parent, made.mode, str(made.gateway)) == ("macvlan", "eth0.10", "private", "10.1.0.9")
    made = read(tmp_path, "{driver: ipvlan, driver_opts: {parent: eth0, ipvlan_mode: l3s}}")
    assert (made.driver, made.parent, made.mode) == ("ipvlan", "eth0", "l3s")


def test_options_of_a_bridge(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        f"{{driver_opts: {{{BRIDGE}.name: br7, {BRIDGE}.enable_icc: 'false', {BRIDGE}.enable_ip_masquerade: 'false',"
        " com.docker.network.driver.mtu: 1400, bayplan.source_check: 'false'}}",
    )
    assert (made.bridge_name, made.icc, made.masquerade, made.mtu, made.source_check) == (
        "br7",
        False,
        False,
        1400,
        False,
    )


FAULTS = {
    "{driver: macvlan, internal: true, driver_opts: {parent: eth0}}": "an internal network is a bridge",
    "{driver: macvlan}": "macvlan needs a parent",
    "{driver: macvlan, driver_opts: {parent: eth0, macvlan_mode: l2}}": "macvlan has no mode l2",
    "{driver: ipvlan, driver_opts: {parent: eth0, ipvlan_mode: vepa}}": "ipvlan has no mode vepa",
    "{driver: macvlan, driver_opts: {parent: eth0, macvlan_mode: fast}}": "'fast'",
    "{driver: macvlan, driver_opts: {parent: 'a name that is too long'}}": "too long",
    f"{{driver_opts: {{{BRIDGE}.name: 'no/name'}}}}": "no/name",
}


@pytest.mark.parametrize("network", FAULTS)
def test_what_cannot_be_is_refused_by_name(network: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, network)
    assert FAULTS[network] in str(caught.value)
    assert not isinstance(caught.value, NotBuiltYetError)


UNBUILT = {
    "{driver: overlay}": "'overlay' is not built yet",
    "{driver_opts: {parent: eth0}}": "option parent of driver bridge",
    "{driver: ipvlan, driver_opts: {parent: eth0, macvlan_mode: bridge}}": "option macvlan_mode of driver ipvlan",
    f"{{driver: macvlan, driver_opts: {{parent: eth0, {BRIDGE}.name: x}}}}": f"{BRIDGE}.name of driver macvlan",
    f"{{driver_opts: {{{BRIDGE}.inhibit_ipv4: 'true'}}}}": "inhibit_ipv4 of driver bridge",
}


@pytest.mark.parametrize("network", UNBUILT)
def test_unknown_options_are_refused(network: str, tmp_path: Path) -> None:
    with pytest.raises(NotBuiltYetError) as caught:
        read(tmp_path, network)
    assert UNBUILT[network] in str(caught.value)


def test_what_is_said_of_a_link(tmp_path: Path) -> None:
    options = "com.docker.network.endpoint.sysctls: 'net.ipv4.conf.IFNAME.log_martians=1'"
    asked = f"gw_priority: 5, interface_name: web0, link_local_ips: [169.254.7.7], driver_opts: {{{options}}}"
    made = container(tmp_path, f"networks: {{n: {{{asked}}}}}").networks[0]
    assert (made.gw_priority, made.interface_name, str(made.link_local_ips[0])) == (5, "web0", "169.254.7.7")
    assert made.sysctls == {"net.ipv4.conf.IFNAME.log_martians": "1"}
    named = container(tmp_path, "networks: {n: {driver_opts: {com.docker.network.endpoint.ifname: web0}}}")
    assert named.networks[0].interface_name == "web0"
    with pytest.raises(NotBuiltYetError, match=r"option com\.example\.x of a container's link"):
        container(tmp_path, "networks: {n: {driver_opts: {com.example.x: y}}}")
    with pytest.raises(DeclarationError, match="interface_name"):
        container(tmp_path, "networks: {n: {interface_name: 'two words'}}")


def test_ports_are_bound_where_their_network_says(tmp_path: Path) -> None:
    network = f"{{driver_opts: {{{BRIDGE}.host_binding_ipv4: 127.0.0.1}}}}"
    made = container(tmp_path, "networks: [n]\n    ports: ['80:80', '0.0.0.0:81:81']", network)
    assert [str(port) for port in made.ports] == ["127.0.0.1:80->80/tcp", "0.0.0.0:81->81/tcp"]
    with pytest.raises(DeclarationError, match="nowhere"):
        container(tmp_path, "networks: [n]\n    ports: ['80:80']", network.replace("127.0.0.1", "nowhere"))


def test_several_ranges_of_a_family(tmp_path: Path) -> None:
    pools = "{subnet: 10.1.0.0/24, aux_addresses: {a: 10.1.0.9}}, {subnet: 'fd01::/64'}, {subnet: 10.2.0.0/24,"
    pools += " gateway: 10.2.0.7, ip_range: 10.2.0.128/25, aux_addresses: {b: 10.2.0.9}}, {subnet: 'fd02::/64'}"
    made = read(tmp_path, f"{{enable_ipv6: true, ipam: {{config: [{pools}]}}}}")
    assert (str(made.subnet), str(made.ipv6_subnet)) == ("10.1.0.0/24", "fd01::/64")
    assert [str(one.subnet) for one in made.further_ranges] == ["10.2.0.0/24", "fd02::/64"]
    assert str(made.further_ranges[0].ip_range) == "10.2.0.128/25"
    assert [str(one.way) for one in made.further_ranges] == ["10.2.0.7", "fd02::1"]
    assert set(made.aux_addresses) == {"a", "b"}
    for given, said in {
        "{subnet: 10.1.0.0/24}, {subnet: 10.1.0.128/25}": "overlaps 10.1.0.0/24",
        "{subnet: 10.1.0.0/24}, {subnet: 10.2.0.0/24, gateway: 10.3.0.1}": "gateway 10.3.0.1 is not in",
    }.items():
        with pytest.raises(DeclarationError, match=said):
            read(tmp_path, f"{{ipam: {{config: [{given}]}}}}")
