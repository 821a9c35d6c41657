"""cp in and out of live and stopped containers, and against one that swaps directories for links meanwhile."""

import io
import os
import subprocess
import tarfile
import time

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_in_and_out_keep_owners_modes_and_links(bayplan, tmp_path):
    bayplan("apply")
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/file").write_text("content")
    os.chown(tree / "deep/file", 1234, 4321)
    (tree / "deep/file").chmod(0o4751)
    (tree / "link").symlink_to("/etc/nowhere")
    for stopped in (False, True):
        bayplan("cp", str(tree), f"app:/copy{stopped}")
        bayplan("cp", str(tree / "deep/file"), "app:/bin")
        bayplan("cp", f"app:/copy{stopped}", str(tmp_path / f"back{stopped}"))
        made = tmp_path / f"back{stopped}/deep/file"
        assert made.read_text() == "content"
        assert (made.stat().st_uid, made.stat().st_gid, made.stat().st_mode & 0o7777) == (1234, 4321, 0o4751)
        assert str((tmp_path / f"back{stopped}/link").readlink()) == "/etc/nowhere"
        assert "does not exist" in bayplan("cp", "app:/absent", str(tmp_path), code=2)
        bayplan("stop", "-t", "0", "app")
    bayplan("start", "app")
    assert bayplan("exec", "app", "cat", "/bin/file") == "content"
    assert bayplan("exec", "app", "cat", "/copyTrue/deep/file") == "content"
    assert "between a container and this host" in bayplan("cp", "/a", "/b", code=2)


def test_a_directory_swapped_for_a_link_leads_to_nothing_of_the_host(bayplan, tmp_path):
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "secret").write_text("of the host")
    (tmp_path / "in").write_text("payload")
    loop = (
        f"mkdir -p /real /swap; echo mine > /real/secret; ln -s {decoy} /out; echo go > /go;"
        "while :; do mv /swap /x; mv /out /swap; mv /swap /out; mv /x /swap; done"
    )
    bayplan("apply")
    bayplan("exec", "app", "sh", "-c", "mkdir /swap; echo mine > /swap/secret")
    bayplan("exec", "-d", "app", "sh", "-c", loop)
    while "go" not in bayplan("exec", "app", "sh", "-c", "cat /go; true"):
        time.sleep(0.05)
    for turn in range(12):
        for arguments in (("app:/swap/secret", str(tmp_path / f"got{turn}")), (str(tmp_path / "in"), "app:/swap/in")):
            done = bayplan.popen("cp", *arguments, stdout=-1, stderr=-1)
            done.communicate(timeout=60)
        got = tmp_path / f"got{turn}"
        assert not got.exists() or got.read_text() == "mine\n"
    assert sorted(item.name for item in decoy.iterdir()) == ["secret"]
    assert (decoy / "secret").read_text() == "of the host"


def test_extended_attributes_go_along(bayplan, tmp_path):
    bayplan("apply")
    file = tmp_path / "file"
    file.write_text("x")
    os.setxattr(file, "user.note", b"a\xff\x00b")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(file, "security.capability", capability)
    bayplan("cp", str(file), "app:/with")
    bayplan("cp", "app:/with", str(tmp_path / "back"))
    assert os.getxattr(tmp_path / "back", "user.note") == b"a\xff\x00b"
    assert os.getxattr(tmp_path / "back", "security.capability") == capability


def test_volumes_and_binds_of_one_that_does_not_run(bayplan, tmp_path):
    held = tmp_path / "held"
    held.mkdir()
    text = bayplan.file.read_text().replace(
        "    depends_on: [base]\n",
        "    depends_on: [base]\n    volumes: ['v:/deep/data', '" + str(held) + ":/ro:ro']\n    tmpfs: [/mem]\n",
    )
    bayplan.file.write_text(text + "volumes: {v: {}}\n")
    bayplan("apply")
    bayplan("exec", "app", "sh", "-c", "echo live > /deep/data/file")
    bayplan("stop", "-t", "0", "app")
    bayplan("cp", "app:/deep/data/file", str(tmp_path / "got"))
    assert (tmp_path / "got").read_text() == "live\n"
    (tmp_path / "new").write_text("put")
    bayplan("cp", str(tmp_path / "new"), "app:/deep/data/new")
    assert "Read-only" in bayplan("cp", str(tmp_path / "new"), "app:/ro/new", code=2)
    assert list(held.iterdir()) == []
    assert "is in memory" in bayplan("cp", "app:/mem/x", str(tmp_path), code=2)
    bayplan("start", "app")
    assert bayplan("exec", "app", "cat", "/deep/data/new") == "put"


def test_a_link_of_a_stopped_one_leads_to_no_place_of_the_host(bayplan, tmp_path):
    """Where a volume is mounted, the container has put a link to a directory of the host's."""
    decoy = tmp_path / "decoy"
    decoy.mkdir()
    text = bayplan.file.read_text().replace(
        "    depends_on: [base]\n", "    depends_on: [base]\n    volumes: ['v:/at/data']\n"
    )
    bayplan.file.write_text(text + "volumes: {v: {}}\n")
    bayplan("apply")
    bayplan("stop", "-t", "0", "app")
    (upper,) = (bayplan.settings.state_root / "containers").glob("*/upper/at")
    (upper / "data").rmdir()
    (upper / "data").symlink_to(decoy)
    (tmp_path / "new").write_text("put")
    bayplan.popen("cp", str(tmp_path / "new"), "app:/at/data/new", stdout=-1, stderr=-1).communicate(timeout=60)
    assert list(decoy.iterdir()) == []


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_what_is_no_archive_or_cannot_be_made_is_refused_with_one_message(bayplan, tmp_path, state):
    bayplan("apply")
    bayplan("exec", "app", "sh", "-c", "ln -s loop /loop; mkdir /there")
    if state == "stopped":
        bayplan("stop", "-t", "0", "app")

    def said(*arguments, stdin=None, code=2):
        done = subprocess.run(
            bayplan.argv("cp", *arguments),
            env={**os.environ, **bayplan.environment},
            input=stdin,
            capture_output=True,
            check=False,
        )
        text = done.stderr.decode()
        assert text.startswith("Error: "), text
        assert "Traceback" not in text
        assert done.returncode == code, text
        return text

    assert "no tar archive" in said("-", "app:/there", stdin=b"garbage" * 200)
    assert "no tar archive" in said("-", "app:/there", stdin=b"")
    hard = {"type": tarfile.LNKTYPE, "linkname": "a/.."}
    for fields, code in (({"uid": 1 << 40}, 2), (hard, 1)):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            top = tarfile.TarInfo("a")
            top.type = tarfile.DIRTYPE
            tar.addfile(top)
            info = tarfile.TarInfo("name")
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info)
        assert "'name'" in said("-", "app:/there", stdin=out.getvalue(), code=code)
    assert "symbolic links" in said("app:/loop/x", str(tmp_path / "x"))
    assert "symbolic links" in said(str(bayplan.file), "app:/loop/x")


def test_a_source_that_is_a_link_is_followed_when_asked(bayplan, tmp_path):
    bayplan("apply")
    bayplan("exec", "app", "sh", "-c", "mkdir /real; echo in > /real/file; ln -s /real/file /link; ln -s real /dir")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("out")
    (tmp_path / "to").symlink_to(tree)
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for stopped in (False, True):
        into = tmp_path / f"into{stopped}"
        into.mkdir()
        bayplan("cp", "app:/link", str(into / "kept"))
        assert (into / "kept").is_symlink()
        bayplan("cp", "-L", "app:/link", str(into))
        assert (into / "link").read_text() == "in\n"
        assert not (into / "link").is_symlink()
        bayplan("cp", "-L", "app:/dir", str(into))
        assert (into / "dir/file").read_text() == "in\n"
        bayplan("cp", "-L", str(tmp_path / "to"), f"app:/from{stopped}")
        bayplan("cp", f"app:/from{stopped}/file", str(into / "back"))
        assert (into / "back").read_text() == "out"
        assert "leads nowhere" in bayplan("cp", "-L", str(tmp_path / "nowhere"), "app:/x", code=2)
        bayplan("stop", "-t", "0", "app")


def test_a_side_without_a_path_is_refused(bayplan, tmp_path):
    for arguments in (("app:", str(tmp_path)), (str(tmp_path), "app:"), ("app:/etc", "")):
        said = bayplan("cp", *arguments, code=2)
        assert "one side names no path" in said
        assert said.count("\n") == 1
