"""What containers may call themselves, as the kernel has it after it was told without nft."""

import os

import pytest

from bayplan.errors import RuntimeFailureError
from bayplan.runtime.native.networks import members
from bayplan.runtime.native.networks.guard import Guard, Sender

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
FOUR = Sender("bpt-four", "02:42:0a:63:00:02", ("10.99.0.2", "169.254.7.7"))
BOTH = Sender("bpt-a-longer-nm", "02:42:0a:63:00:03", ("10.99.0.3", "fd00:63::3"))
FREE = Sender("bpt-free", "02:42:0a:63:00:04", ("10.99.0.4",), free=True)


@pytest.fixture
def guard():
    made = Guard("bayplan_test_members")
    try:
        yield made
    finally:
        made.remove()


def test_nft_reads_what_the_kernel_was_told_without_it(guard):
    guard.ensure([])
    if guard.refusal:
        pytest.skip(guard.refusal)
    guard.admit([FOUR, BOTH, FREE])
    told = guard.holds()
    assert told.whole
    assert told.knows(FOUR)
    assert told.knows(BOTH)
    guard.ensure([FOUR, BOTH, FREE])  # by nft, which leaves nothing else in its sets
    assert guard.holds() == told
    guard.admit([FOUR])  # what is there is no error
    assert guard.holds() == told
    guard.forget([FOUR], [BOTH])
    assert not guard.holds().knows(FOUR)


def test_a_container_on_many_networks_has_more_to_be_told_than_one_attribute_holds(guard):
    guard.ensure([])
    if guard.refusal:
        pytest.skip(guard.refusal)
    many = Sender("bpt-many", "02:42:0a:63:00:05", tuple(f"10.98.{n // 250}.{n % 250 + 1}" for n in range(2500)))
    guard.admit([many])
    assert guard.holds().knows(many)
    with pytest.raises(RuntimeFailureError, match="too long"):  # who asked has nft do it then
        members.add(
            guard.table, {"addresses": {members.key("bpt-many", bytes([10, n >> 8, n & 255, 1])) for n in range(9000)}}
        )


def test_what_cannot_be_told_whole_is_not_told_at_all(guard):
    with pytest.raises(RuntimeFailureError, match="elements of set links: No such file"):
        guard.admit([FOUR])
    guard.ensure([])
    if guard.refusal:
        pytest.skip(guard.refusal)
    before = guard.holds()
    with pytest.raises(RuntimeFailureError, match="set nowhere"):
        members.add(guard.table, {**FOUR.keys(), "nowhere": {b"x" * 16}})
    assert guard.holds() == before
