"""Mounts, secrets and files of names: seen from inside, and looked for where they must not be."""

import os

import pytest

from bayplan.errors import NotFoundError, RuntimeFailureError, UnsupportedError
from bayplan.models import Duration, Volume
from bayplan.runtime.native.containers import grants
from bayplan.runtime.native.volumes.volumes import Volumes
from containers import proc

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
WORD = b"correct horse battery staple"


def test_tmpfs_with_size_mode_and_owner(host):
    given = {"type": "tmpfs", "target": "/t", "size": 1 << 20, "mode": 0o750, "uid": 5, "gid": 6, "noexec": True}
    made = host.start("a", "/bin/sleep", "60", mounts=(given, {"type": "tmpfs", "target": "/r", "read_only": True}))
    rows = [line.split() for line in proc(host.pid(made), "mounts").read_text().splitlines()]
    options = {row[1]: row[3].split(",") for row in rows}
    assert {"size=1024k", "mode=750", "uid=5", "gid=6", "noexec", "nosuid", "nodev"} <= set(options["/t"])
    assert options["/r"][0] == "ro"


@pytest.mark.parametrize(("recursive", "expected"), [("enabled", "rw"), ("readonly", "ro"), ("disabled", None)])
def test_what_is_mounted_below_a_bind(host, tmp_path, recursive, expected):
    from bayplan.system import mounts, namespaces

    (tmp_path / "sub").mkdir()
    bind = {"type": "bind", "source": str(tmp_path), "target": "/b", "read_only": True, "recursive": recursive}

    def inside():
        mounts.mount("tmpfs", str(tmp_path / "sub"), "tmpfs")
        return host.start("a", "/bin/sleep", "60", mounts=(bind,))

    made = namespaces.in_private_mounts(inside)
    rows = [line.split() for line in proc(host.pid(made), "mounts").read_text().splitlines()]
    options = {row[1]: row[3].split(",")[0] for row in rows}
    assert options["/b"] == "ro"
    assert options.get("/b/sub") == expected


@pytest.fixture
def volume(host):
    volumes = Volumes(host.settings, host.database)
    volumes.create(Volume(name="v"), "p")
    yield volumes.path("v")
    for row in host.database.query("SELECT id FROM containers"):
        host.containers.delete(row["id"])
    volumes.delete("v")


def test_a_part_of_a_volume(host, volume):
    (volume / "one").mkdir()
    (volume / "one/file").write_text("inside")
    mount = {"type": "volume", "source": "v", "target": "/d", "subpath": "one"}
    assert host.output("a", "cat /d/file", mounts=(mount,), volumes={"v": volume}) == ["inside"]
    missing = host.create("b", "/bin/true", mounts=({**mount, "subpath": "two"},), volumes={"v": volume})
    with pytest.raises(NotFoundError, match="subpath two"):
        host.containers.start(missing, None, {})


def test_a_link_in_a_volume_leads_nowhere_else(host, volume, tmp_path):
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "file").write_text("of the host")
    (volume / "one").symlink_to(decoy)
    made = host.create(
        "a",
        "/bin/cat",
        "/d/file",
        mounts=({"type": "volume", "source": "v", "target": "/d", "subpath": "one"},),
        volumes={"v": volume},
    )
    with pytest.raises(NotFoundError, match="subpath one"):
        host.containers.start(made, None, {})


def secret(content=WORD, **options):
    return {"source": "s", "target": "/run/secrets/s", "content": content, **options}


def anywhere(word, *tops):
    """Files below some directories that hold a word."""
    files = (path for top in tops for path in top.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if word in path.read_bytes()]


def test_a_secret_is_a_file_in_memory_and_nowhere_else(host):
    given = (secret(uid=1000, gid=1000, mode=0o400),)
    script = "cat /run/secrets/s; echo; stat -c %u:%g:%a /run/secrets/s"
    script += "; (echo x > /run/secrets/s) 2>/dev/null || echo ro"
    made = host.start("a", "/bin/sh", "-c", script, secrets=given)
    host.containers.wait(made, "service_completed_successfully", Duration(seconds=20))
    out = [line.text for line in host.containers.logs(made)]
    assert out == [WORD.decode(), "1000:1000:400", "ro"]
    host.containers._paths(made).log.unlink()
    assert anywhere(WORD, host.settings.state_root) == []
    (kept,) = set(anywhere(WORD, host.settings.run_root, grants.place(host.settings)))
    assert kept.parent.stat().st_mode & 0o077 == 0
    assert grants._in_memory(kept)
    assert WORD.decode() not in repr(host.containers.declared(made))
    host.containers.delete(made)
    assert anywhere(WORD, host.settings.run_root) == []
    assert not grants.place(host.settings).exists()


def test_a_secret_that_a_reboot_took_is_told_and_brought_back(host):
    made = host.create("a", "/bin/cat", "/run/secrets/s", secrets=(secret(),))
    grants.remove(host.settings, made)
    with pytest.raises(RuntimeFailureError, match="no longer in memory"):
        host.containers.start(made, None, {})
    host.edit(made, secrets=(secret(),))
    host.containers.start(made, None, {})
    host.containers.wait(made, "service_completed_successfully", Duration(seconds=20))
    assert [line.text for line in host.containers.logs(made)] == [WORD.decode()]


def test_the_fingerprint_needs_the_host_s_key(host):
    made = host.create("a", "/bin/true", secrets=(secret(),))
    (grant,) = host.containers.declared(made).secrets
    key = grants.key(host.settings)
    assert len(key) == 32
    assert (host.settings.state_root / "fingerprint.key").stat().st_mode & 0o077 == 0
    assert grant.content is None
    assert grant.fingerprint
    declared = host.containers.declared(made)
    again = declared.model_validate({**declared.model_dump(), "secrets": (secret(),)})
    assert again.sealed(key).secrets[0].fingerprint == grant.fingerprint
    assert again.sealed(b"another").secrets[0].fingerprint != grant.fingerprint


def test_without_a_place_in_memory_they_are_refused(host, monkeypatch):
    monkeypatch.setattr(grants, "_in_memory", lambda _: False)
    with pytest.raises(UnsupportedError, match="place in memory"):
        grants.place.__wrapped__(host.settings)


def test_somebody_else_s_directory_is_not_used(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    for name in ("open", "link"):
        with pytest.raises(UnsupportedError, match="somebody else's"):
            grants._make_own(tmp_path / name)


def test_declared_name_servers_and_options(host):
    given = {"dns": ("192.0.2.1",), "dns_search": ("a.example",), "dns_opt": ("ndots:3",)}
    out = host.output("a", "cat /etc/resolv.conf", **given)
    assert out[0] == "nameserver 192.0.2.1"
    assert out[-2:] == ["search a.example", "options ndots:3"]


def test_nothing_is_kept_of_what_a_silent_one_writes(host):
    made = host.start("a", "/bin/echo", "word", logging={"driver": "none"})
    host.containers.wait(made, "service_completed_successfully", Duration(seconds=20))
    assert not host.containers._paths(made).log.exists()
