"""ADD of archives and of URLs on the real core."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import tarfile

import pytest
import zstandard

from bayplan.errors import NotFoundError, RuntimeFailureError, StalePlanError, UnsupportedError
from bayplan.models import Build, Image
from bayplan.runtime.native.images import compression
from builds import Server, write

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
PACKED = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": zstandard.compress,
}


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def member(name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_archives_are_unpacked_whatever_their_name_and_names_do_not_make_one(core, context):
    data = archive(
        member("d", type=tarfile.DIRTYPE, mode=0o750, uid=7, gid=8),
        member("d/f", b"data\n", mode=0o4755, uid=7, gid=8),
        member("d/link", type=tarfile.SYMTYPE, linkname="/etc/old"),
        member("d/hard", type=tarfile.LNKTYPE, linkname="d/f"),
    )
    lines = ["FROM lab/base"]
    for number, (name, pack) in enumerate(PACKED.items()):
        (context / f"{number}.{'plain' if number % 2 else name}").write_bytes(pack(data))
        lines.append(f"ADD {number}.* /{name}/")
    (context / "fake.tar.gz").write_bytes(b"no archive\n" * 100)
    (context / "alone.gz").write_bytes(gzip.compress(b"no tar\n"))
    (context / "empty.tar").write_bytes(b"\0" * 1024)
    lines += ["ADD fake.tar.gz alone.gz empty.tar /as/", "ADD --chown=app:app --chmod=700 0.tar /owned"]
    lines += ["ADD --unpack=false 0.tar /whole/", "COPY 0.tar /copied/"]
    write(context, Dockerfile="\n".join(lines) + "\n")
    digest = core.build(context)
    for name in PACKED:
        said = core.output(command=("/bin/ls", "-lna", f"/{name}/d", f"/{name}"))
        assert any("-rwsr-xr-x    2 7        8                5" in line for line in said), said
        assert any("link -> /etc/old" in line for line in said)
    assert core.output(command=("/bin/ls", "/as", "/whole", "/copied")) == [
        *("/as:", "alone.gz", "empty.tar", "fake.tar.gz", ""),
        *("/copied:", "0.tar", "", "/whole:", "0.tar"),
    ]
    assert any("drwxr-x---    2 1000     1000" in line for line in core.output(command=("/bin/ls", "-ln", "/owned")))
    assert core.build(context) == digest
    assert core.ran() == []


def test_an_archive_goes_over_what_is_there(core, context):
    (context / "a.tar").write_bytes(
        archive(member("etc/old", b"new\n", mode=0o644), member("sub/x", b"x\n"), member("bin2", b"b\n"))
    )
    text = "FROM lab/base\nRUN mkdir /real; ln -s /real /sub; mkdir /bin2; echo 1 > /bin2/1\nADD a.tar /\n"
    write(context, Dockerfile=text)
    core.build(context)
    # The link is one inside the image, followed there; a directory gives way to a file.
    assert core.output(command=("/bin/cat", "/etc/old", "/real/x", "/bin2", "/etc/passwd"))[:3] == ["new", "x", "b"]
    write(context, Dockerfile="FROM lab/base\nADD a.tar /etc/old\n")
    with pytest.raises(RuntimeFailureError, match="no directory"):
        core.build(context)
    assert core.left() == []


ESCAPES = {
    "dots": [member("../../../../../../{decoy}/new", b"x")],
    "absolute": [member("/{decoy}/new", b"x")],
    "through a link": [
        member("out", type=tarfile.SYMTYPE, linkname="/{decoy}"),
        member("out/new", b"x"),
    ],
    "through a relative link": [
        member("out", type=tarfile.SYMTYPE, linkname="../../../../../../../../{decoy}"),
        member("out/new", b"x"),
    ],
    "over a link": [
        member("new", type=tarfile.SYMTYPE, linkname="/{decoy}/there"),
        member("new", b"x"),
    ],
    "hard link": [
        member("hard", type=tarfile.LNKTYPE, linkname="/{decoy}/there"),
        member("hard", b"x"),
    ],
    "hard link by dots": [member("hard", type=tarfile.LNKTYPE, linkname="../../../../../../../{decoy}/there")],
    "hard link through a link": [
        member("out", type=tarfile.SYMTYPE, linkname="/{decoy}"),
        member("hard", type=tarfile.LNKTYPE, linkname="out/there"),
    ],
    "mode through a link": [
        member("out", type=tarfile.SYMTYPE, linkname="/{decoy}"),
        member("out", type=tarfile.DIRTYPE, mode=0o777),
    ],
    "whiteout": [member(".wh.etc", b"")],
    "device": [member("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0)],
}


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_an_archive_holds_leads_out_of_the_destination(core, context, tmp_path, name):
    """Attack rows "Layers, load, copy" and "Build": archives with ``..``, absolute names, links of both kinds."""
    decoy = tmp_path / "decoy"
    decoy.mkdir(mode=0o700)
    (decoy / "there").write_text("untouched")
    before = state(decoy)
    at = str(decoy).lstrip("/")
    rows = []
    for info, data in ESCAPES[name]:
        made = tarfile.TarInfo(info.name.format(decoy=at))
        made.type, made.size, made.mode = info.type, info.size, info.mode
        made.linkname = info.linkname.format(decoy=at)
        made.devmajor, made.devminor = info.devmajor, info.devminor
        rows.append((made, data))
    (context / "evil.tar").write_bytes(archive(*rows))
    write(context, Dockerfile="FROM lab/base\nADD evil.tar /dest/\n")
    try:
        core.build(context)
    except (RuntimeFailureError, UnsupportedError) as error:
        assert "Dockerfile:2" in str(error)  # noqa: PT017 - some archives are harmless below the destination
    assert [path.name for path in decoy.iterdir()] == ["there"]
    assert (decoy / "there").read_text() == "untouched"
    assert state(decoy) == before
    assert core.left() == []


def state(decoy):
    found = (decoy / "there").stat()
    return decoy.stat().st_mode, found.st_mode, found.st_nlink, found.st_mtime_ns


def test_bombs_are_stopped(core, context, monkeypatch):
    """Attack rows "Layers, load, copy" and "Build": a bomb through ADD, by its ratio, by a sparse file, by damage."""
    monkeypatch.setattr(compression, "_FREE", 1 << 20)
    data = archive(member("zeros", bytes(8 << 20)))
    write(context, Dockerfile="FROM lab/base\nADD bomb /d/\n")
    for pack in (gzip.compress, bz2.compress, lzma.compress, zstandard.compress):
        (context / "bomb").write_bytes(pack(data))
        with pytest.raises(RuntimeFailureError, match="grow to more than 200 times"):
            core.build(context)
    info = tarfile.TarInfo("huge")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.map": "0,0",
        "GNU.sparse.size": str(1 << 50),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    (context / "bomb").write_bytes(out.getvalue())
    with pytest.raises(RuntimeFailureError, match="larger than"):
        core.build(context)
    (context / "bomb").write_bytes(lzma.compress(archive(member("a", os.urandom(1 << 16)), member("b", b"x")))[:-9000])
    with pytest.raises(RuntimeFailureError, match="cannot be unpacked"):
        core.build(context)
    assert core.left() == []


def test_a_url_is_fetched_once_and_asked_for_again_only_by_pull(core, context, server):
    server.files = {"/sub/a%20b.txt?x=1": b"one\n", "/moved": "/sub/a%20b.txt?x=1"}
    url = f"{server.url}/sub/a%20b.txt?x=1"
    write(
        context, Dockerfile=f"FROM scratch\nCOPY seed /bin/\nADD {url} /in/\nADD --chmod=644 {server.url}/moved /name\n"
    )
    (context / "seed").mkdir()
    shutil.copy("/bin/busybox", context / "seed/cat")
    shutil.copy("/bin/busybox", context / "seed/ls")
    image = Image(name="lab/app", build=Build(context=str(context)))
    planned = core.runtime.resolve(image)
    assert f"what {url} and {server.url}/moved holds is known at build" in planned.why
    assert server.asked == []
    first = core.build(context)
    assert core.output(command=("/bin/cat", "/in/a b.txt", "/name")) == ["one", "one"]
    said = core.output(command=("/bin/ls", "-ln", "/in/a b.txt", "/name"))
    assert said[0].startswith("-rw-------    1 0        0                4 Jan  1  1970")
    assert said[1].startswith("-rw-r--r--")
    assert len(server.asked) == 3  # one of them the redirect
    # Another step before it: the content is here. Changed meanwhile: not asked without pull.
    server.files["/sub/a%20b.txt?x=1"] = b"two\n"
    text = (context / "Dockerfile").read_text()
    write(context, Dockerfile=text.replace("\nADD", "\nWORKDIR /w\nADD", 1))
    core.build(context)
    assert len(server.asked) == 3
    assert core.output(command=("/bin/cat", "/in/a b.txt")) == ["one"]
    pulled = core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context), pull=True)))
    assert "a base image or a file behind a URL changed" in pulled.why
    assert server.asked[-1][1] is not None
    assert core.build(context, pull=True) != first
    assert core.output(command=("/bin/cat", "/in/a b.txt")) == ["two"]
    assert core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context), pull=True))).present
    # Pruned: the plan still knows it, and it is fetched when a step needs it.
    freed = core.runtime.image_verbs.prune_builds(results=False, dry_run=False)
    assert {item.name for item in freed} == {url, f"{server.url}/moved"}
    assert core.runtime.resolve(image).present
    write(context, Dockerfile=text)
    server.files = {"/sub/a%20b.txt?x=1": b"three\n", "/moved": b"two\n"}
    with pytest.raises(RuntimeFailureError, match=r"Dockerfile:3: .*build again"):
        core.build(context, no_cache=True)
    core.build(context, no_cache=True)
    assert core.output(command=("/bin/cat", "/in/a b.txt")) == ["three"]


def test_a_checksum_is_the_content(core, context, server):
    data = gzip.compress(archive(member("x/y", b"y\n")))
    server.files = {"/a.tar.gz": data}
    right = hashlib.sha256(data).hexdigest()
    text = f"FROM lab/base\nARG SUM={right}\nADD --checksum=sha256:$SUM {server.url}/a.tar.gz /in/\n"
    write(context, Dockerfile=text)
    planned = core.runtime.resolve(Image(name="lab/app", build=Build(context=str(context))))
    assert planned.why == "not built yet"
    core.build(context)
    assert core.output(command=("/bin/ls", "/in")) == ["a.tar.gz"]  # what is fetched is not unpacked
    write(context, Dockerfile=text.replace("ADD", "ADD --unpack"))
    core.build(context)
    assert core.output(command=("/bin/cat", "/in/x/y")) == ["y"]
    with pytest.raises(RuntimeFailureError, match=r"Dockerfile:3: .*has sha256:.*wanted is sha256:0000"):
        core.build(context, args={"SUM": "0" * 64})
    assert core.left() == []
    write(context, Dockerfile=f"FROM lab/base\nADD {server.url}/none /in/\n")
    with pytest.raises(NotFoundError, match="the server answered 404"):
        core.build(context)
    assert list((core.settings.state_root / "build-mounts").rglob(".part")) == []


def test_what_changed_between_plan_and_build_is_not_built(core, context, server):
    server.files = {"/a": b"1"}
    write(context, Dockerfile=f"FROM scratch\nADD {server.url}/a /a\n")
    core.build(context)
    image = Image(name="lab/app", build=Build(context=str(context), pull=True))
    planned = core.runtime.resolve(image)
    server.files = {"/a": b"2"}
    with pytest.raises(StalePlanError):
        core.runtime.create(image, project="", digest=planned.digest)
