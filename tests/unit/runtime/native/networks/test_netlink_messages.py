"""The messages made byte by byte say what those of pyroute2 say."""

import socket

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from bayplan.runtime.native.networks.netlink import Batch


def only(fill, kind):
    """The one message of a batch as pyroute2 reads it."""
    batch = Batch()
    fill(batch)
    [(data, _, _)] = batch._requests
    message = kind(bytes(data))
    message.decode()
    return message


def linked(fill):
    return only(fill, ifinfmsg)


def test_a_veth_pair():
    message = linked(lambda b: b.add_veth("bp0", 7, peer="eth0", mac="02:42:0a:00:00:02", netns_fd=9))
    assert message["header"]["flags"] == 0x605  # request, acknowledge, create, exclusive (netlink(7))
    assert (message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_MASTER"), message["flags"]) == ("bp0", 7, 1)
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    found = [peer.get_attr(name) for name in ("IFLA_IFNAME", "IFLA_ADDRESS", "IFLA_NET_NS_FD")]
    assert found == ["eth0", "02:42:0a:00:00:02", 9]


@pytest.mark.parametrize("mtu", [None, 1400])
def test_a_bridge(mtu):
    message = linked(lambda b: b.add_bridge("bpbridge", mtu))
    assert (message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_MTU")) == ("bpbridge", mtu)
    data = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    assert (data.get_attr("IFLA_BR_STP_STATE"), data.get_attr("IFLA_BR_FORWARD_DELAY")) == (0, 0)


def test_hairpin_of_a_port():
    info = linked(lambda b: b.set_hairpin("bp0")).get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge"
    assert info.get_attr("IFLA_INFO_SLAVE_DATA").get_attr("IFLA_BRPORT_MODE") == 1


def test_a_link_up_with_its_address():
    message = linked(lambda b: b.set_up(5, "02:42:0a:00:00:01"))
    assert (message["index"], message["flags"], message["change"]) == (5, 1, 1)
    assert message.get_attr("IFLA_ADDRESS") == "02:42:0a:00:00:01"


def test_an_address():
    message = only(lambda b: b.add_address(5, "10.0.0.2", 24), ifaddrmsg)
    assert (message["family"], message["prefixlen"], message["index"]) == (socket.AF_INET, 24, 5)
    assert (message.get_attr("IFA_ADDRESS"), message.get_attr("IFA_LOCAL")) == ("10.0.0.2", "10.0.0.2")


def test_a_default_route():
    message = only(lambda b: b.add_default_route("10.0.0.1"), rtmsg)
    assert (message["dst_len"], message["table"], message["type"]) == (0, 254, 1)
    assert message.get_attr("RTA_GATEWAY") == "10.0.0.1"
