"""Requests to the kernel in the presence of answers nobody waits for any more."""

import socket
import struct

import pytest

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.networks import netlink

pytestmark = pytest.mark.host
MISSING = "bpt-none"


class Impatient(socket.socket):
    """Gives up on the first answer, as a timeout does."""

    given_up = False

    def recv(self, *arguments):
        if not self.given_up:
            self.given_up = True
            raise TimeoutError
        return super().recv(*arguments)


@pytest.fixture
def kernel():
    with Impatient(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as opened:
        opened.bind((0, 0))
        opened.settimeout(10)
        yield opened


def test_a_late_answer_is_not_taken_for_that_to_the_next_request(kernel):
    tolerant, strict = netlink.Batch(), netlink.Batch()
    tolerant.set_up(1)  # loopback: the kernel says yes
    strict.set_master(MISSING, 1)
    with pytest.raises(TimeoutError):
        tolerant.send(kernel)
    with pytest.raises(RuntimeFailureError, match=MISSING):
        strict.send(kernel)


def test_a_late_answer_is_not_taken_for_a_list_of_links(kernel):
    with pytest.raises(TimeoutError):
        netlink.links(kernel)
    assert netlink.links(kernel)["lo"].index == 1
    batch = netlink.Batch()
    batch.remove_link(MISSING)  # a link that has gone is no error
    batch.send(kernel)


class Interrupted:
    """The kernel's answer to two dumps: the first was cut into by a change."""

    def __init__(self):
        self.asked = []

    def send(self, data):
        self.asked.append(struct.unpack_from("=I", data, 8)[0])

    def recv(self, _):
        flags = 0x10 if len(self.asked) == 1 else 0
        return struct.pack("=IHHIIi", 20, 3, flags, self.asked[-1], 0, 0)


def test_a_list_that_links_changed_under_is_asked_for_again():
    answering = Interrupted()
    assert netlink.links(answering) == {}
    assert len(answering.asked) == 2


def test_many_requests_are_more_than_the_socket_holds_answers():
    with netlink.open_socket() as kernel:
        batch = netlink.Batch()
        for number in range(3000):
            batch.remove_link(f"{MISSING}{number}")
        batch.send(kernel)
        batch.set_master(MISSING, 1)
        for number in range(3000):
            batch.remove_link(f"{MISSING}{number}")
        with pytest.raises(netlink.RefusedError, match=f"link {MISSING}"):
            batch.send(kernel)
