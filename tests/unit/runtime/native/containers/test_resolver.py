from ipaddress import IPv4Address

import pytest

from bayplan.runtime.native.containers.resolver import inside

GATEWAY = IPv4Address("10.9.0.1")
STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.example\n"


def test_the_name_server_of_the_network_takes_the_place_of_the_host_s():
    assert inside(STUB, GATEWAY) == (
        "nameserver 10.9.0.1\noptions edns0 trust-ad\nsearch corp.example\noptions ndots:0\n"
    )


def test_ndots_of_the_host_is_kept():
    host = "nameserver 192.0.2.1\noptions ndots:2\n"
    assert inside(host, GATEWAY) == "nameserver 10.9.0.1\noptions ndots:2\n"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (STUB, "nameserver 192.0.2.9\noptions edns0 trust-ad\nsearch corp.example\n"),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.1\n", "nameserver 192.0.2.1\n"),
        ("nameserver ::1\n", "nameserver 192.0.2.9\n"),
        ("", ""),
    ],
)
def test_without_one_the_host_s_are_taken_and_those_behind_a_stub_when_it_has_only_a_stub(host, expected):
    assert inside(host, None, "nameserver 192.0.2.9\nsearch x\n") == expected
