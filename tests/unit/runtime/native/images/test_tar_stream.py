"""The reader of tar archives beside tarfile and GNU tar, and with archives that are damaged."""

import io
import os
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.runtime.native.images.tar_headers import DamagedTarError, number, sparse_map
from bayplan.runtime.native.images.tar_stream import TarStream

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def archive(*entries, form=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in entries:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def info(name, **fields):
    made = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def read(data, tmp_path=None):
    found, tar = [], TarStream(io.BytesIO(data))
    for entry in tar:
        if tmp_path and entry.kind == "file":
            fd = os.open(tmp_path / f"{len(found)}", os.O_RDWR | os.O_CREAT)
            tar.copy(entry, fd)
            os.close(fd)
        found.append(entry)
    return found


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=80)


@given(
    st.lists(
        st.tuples(names, st.binary(max_size=2000), st.integers(0, 2**40), st.integers(0, 0o7777)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(FORMATS[1:]),
)
def test_what_tarfile_writes_is_read_alike(rows, form):
    made = [(info(name * 3, mtime=when, mode=mode, uid=when % 2**32), data) for name, data, when, mode in rows]
    found = read(archive(*made, form=form))
    wanted = [(item.name, len(data), item.mtime * 10**9, item.mode, item.uid) for item, data in made]
    assert [(item.name, item.size, item.mtime, item.mode, item.uid) for item in found] == wanted


@pytest.mark.parametrize("form", FORMATS)
def test_every_kind_and_its_content(tmp_path, form):
    kinds = {"link": tarfile.LNKTYPE, "symlink": tarfile.SYMTYPE}
    kinds |= {"directory": tarfile.DIRTYPE, "fifo": tarfile.FIFOTYPE}
    rows = [(info(f"{'d' * 90}/{kind}", type=flag, linkname="to"), b"") for kind, flag in kinds.items()]
    rows += [(info("disk", type=tarfile.BLKTYPE), b""), (info("file"), b"x" * 1_000_001), (info("last"), b"y")]
    found = read(archive(*rows, form=form), tmp_path)
    assert [item.kind for item in found] == [*kinds, "device node", "file", "file"]
    assert {item.link for item in found[:2]} == {"to"}
    assert (tmp_path / "5").read_bytes() == b"x" * 1_000_001
    assert (tmp_path / "6").read_bytes() == b"y"


def test_extended_headers_win_and_keep_attributes_as_bytes():
    given_ = {"SCHILY.xattr.user.a": "\udcff=b", "mtime": "-1.25", "uid": "70000", "path": "x" * 300}
    (found,) = read(archive((info("short", pax_headers=given_), b"")))
    assert (found.name, found.uid, found.mtime) == ("x" * 300, 70000, -1_250_000_000)
    assert found.xattrs == {"user.a": b"\xff=b"}


@pytest.mark.parametrize("form", ["--format=gnu", *(f"--sparse-version={item}" for item in ("0.0", "0.1", "1.0"))])
def test_sparse_files_of_gnu_tar_are_made_whole(tmp_path, form):
    holes = tmp_path / "holes"
    with holes.open("wb") as file:
        for place in range(12):  # more pieces than a header holds
            file.seek(place * 300_000)
            file.write(b"%d" % place * 10)
        file.truncate(5_000_000)
    (tmp_path / "after").write_text("after")
    kind = [form] if "format" in form else ["--format=posix", form]
    packed = subprocess.run(
        ["tar", "--sparse", *kind, "-cf", "-", "holes", "after"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    out = tmp_path / "out"
    out.mkdir()
    found = read(packed, out)
    assert [(item.name, item.size) for item in found] == [("holes", 5_000_000), ("after", 5)]
    assert (out / "0").read_bytes() == holes.read_bytes()
    assert (out / "1").read_text() == "after"


def test_every_cut_is_an_error_but_between_entries():
    data = archive((info("a" * 200), b"x" * 700), (info("b"), b"y"), form=tarfile.PAX_FORMAT)
    whole = [item.name for item in read(data)]
    starts = {0}
    for end in range(0, len(data), 100):
        try:
            found = [item.name for item in read(data[:end])]
        except DamagedTarError:
            continue
        starts.add(end)
        assert found == whole[: len(found)]
        assert end % 512 == 0 or len(found) == 2


@given(st.data())
def test_a_changed_byte_of_a_header_is_found_or_harmless(data):
    made = bytearray(archive((info("name" * 30), b"x" * 10), form=tarfile.GNU_FORMAT))
    made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(made))
    except DamagedTarError:
        return
    assert [(item.kind, item.size) for item in found] == [("file", 10)]


@given(st.binary(max_size=3000))
def test_rubbish_is_never_read_as_entries(data):
    try:
        assert read(data) == []
    except DamagedTarError:
        return


def test_numbers_of_both_kinds():
    assert number(b"0000644\0") == 0o644
    assert number(b" 644 \0\0\0") == 0o644
    assert number(b"\x80" + b"\0" * 9 + b"\1\0") == 256
    assert number(b"\xff" * 12) == -1
    with pytest.raises(DamagedTarError):
        number(b"0x12\0\0\0\0")


def test_maps_of_sparse_files_that_lie():
    assert sparse_map([b"0", b"2", b"5", b"1"], 3, 9) == [(0, 2), (5, 1)]
    for numbers, stored, whole in [
        ([b"5", b"1", b"0", b"2"], 3, 9),  # backwards
        ([b"0", b"2"], 3, 9),  # more stored than placed
        ([b"8", b"2"], 2, 9),  # past the end
        ([b"0", b"-1"], -1, 9),
        ([b"0"], 0, 9),
        ([b"1e3", b"2"], 2, 9),
    ]:
        with pytest.raises(DamagedTarError):
            sparse_map(numbers, stored, whole)


def test_the_last_padding_may_lack_but_no_content():
    data = archive((info("a"), b"xyz"), form=tarfile.GNU_FORMAT)
    assert [item.name for item in read(data[:515])] == ["a"]
    with pytest.raises(DamagedTarError):
        read(data[:514])
