import io
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.runtime.native.images.build.tar_writer import TarWriter, header

TEXT = st.one_of(
    st.text(alphabet="abc/._-", min_size=1, max_size=110),
    st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=40),
)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
NUMBERS = st.one_of(st.integers(0, 70000), st.integers(0o7777770, 2**32 - 2))


@given(
    name=TEXT.filter(lambda text: not text.endswith("/")),
    link=st.one_of(st.just(""), TEXT),
    kind=KINDS,
    mode=st.integers(0, 0o7777),
    uid=NUMBERS,
    gid=NUMBERS,
    size=st.one_of(st.integers(0, 10**6), st.integers(8**11 - 2, 8**11 + 2)),
    mtime=st.one_of(st.integers(0, 2**31), st.integers(-5, 5), st.integers(8**11 - 2, 8**11 + 2)),
    pax=st.one_of(st.just({}), st.just({"SCHILY.xattr.user.a": "ä"})),
)
def test_headers_are_those_of_tarfile(name, link, kind, mode, uid, gid, size, mtime, pax):
    info = tarfile.TarInfo(name)
    info.linkname, info.type, info.mode, info.uid, info.gid = link, kind, mode, uid, gid
    info.size, info.mtime, info.pax_headers = size, mtime, dict(pax)
    assert header(info) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21])
def test_an_archive_is_that_of_tarfile(tmp_path, count):
    ours, theirs = io.BytesIO(), io.BytesIO()
    writer = TarWriter(ours)
    with tarfile.open(fileobj=theirs, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for number in range(count):
            path = tmp_path / str(number)
            path.write_bytes(os.urandom(number * 100))
            info = tarfile.TarInfo(f"d/{number}")
            info.size = number * 100
            writer.add(info, str(path))
            with path.open("rb") as file:
                tar.addfile(info, file)
    writer.finish()
    assert ours.getvalue() == theirs.getvalue()


def test_a_file_that_is_cut_meanwhile_is_no_whole_entry(tmp_path):
    (tmp_path / "f").write_text("short")
    info = tarfile.TarInfo("f")
    info.size = 10
    with pytest.raises(OSError, match="/f was cut"):
        TarWriter(io.BytesIO()).add(info, str(tmp_path / "f"))
