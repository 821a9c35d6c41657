"""Hashes of passwords by the C library."""

from concurrent.futures import ThreadPoolExecutor

from bayplan.system.passwords import bcrypt


def test_threads_do_not_spoil_each_others_hashes():
    given = [(b"password %d" % number, bytes([number] * 16)) for number in range(8)]
    alone = [bcrypt(*one) for one in given]
    assert len(set(alone)) == len(given)
    with ThreadPoolExecutor(len(given)) as pool:
        assert list(pool.map(lambda one: bcrypt(*one), given)) == alone
