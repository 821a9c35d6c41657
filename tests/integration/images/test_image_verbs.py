"""Images listed, named and removed by the command on a real core."""

import json

import pytest

pytestmark = pytest.mark.host


def test_names_come_and_go_and_a_used_image_keeps_its_last_one(core, container):
    (shown,) = core("image", "ls", "--json")
    assert shown["names"] == ["lab/busybox:latest"]
    digest, identity = shown["digest"], shown["id"]
    core("image", "tag", "lab/busybox", "r.example:5000/team/box:2")
    core("image", "tag", identity[7:19], "other")
    assert "r.example:5000/team/box:2" in core("image", "ls")
    (inspected,) = core("image", "inspect", "other", "--json")
    assert (inspected["Id"], inspected["Digest"]) == (identity, digest)
    assert inspected["RepoTags"] == ["lab/busybox:latest", "other:latest", "r.example:5000/team/box:2"]
    assert inspected["Config"] == {"Cmd": ["sh"]}
    assert inspected["RootFS"]["Type"] == "layers"
    name = container("sleep", "600")
    assert core("image", "ls", "--json")[0]["containers"] == [name]
    said = core("image", "rm", identity, code=2)
    assert "has 3 names" in said
    assert core("image", "rm", "other", "lab/busybox", "--json") == {"removed": ["lab/busybox:latest", "other:latest"]}
    said = core("image", "rm", "r.example:5000/team/box:2", code=2)
    assert f"is used by containers {name}" in said
    core("-f", core.root / "compose.yaml", "destroy")
    core("image", "rm", digest)
    assert core("image", "ls", "--json") == []
    assert list((core.state / "images/blobs/sha256").iterdir()) == []


def test_a_bad_or_unknown_name_changes_nothing(core):
    for bad in ("UPPER", "a:b:c", "x@sha256:1", "lab/busybox:latest\n"):
        assert "image name" in core("image", "inspect", bad, code=2)
        assert "image name" in core("image", "tag", "lab/busybox", bad, code=2)
    assert "not on this host" in core("image", "rm", "lab/busybox", "lab/none", code=2)
    assert "a digest cannot" in core("image", "tag", "lab/busybox", "x@sha256:" + "1" * 64, code=2)
    assert [item["names"] for item in core("image", "ls", "--json")] == [["lab/busybox:latest"]]


def test_history_names_steps_and_layers(core):
    (core.root / "Dockerfile").write_text("FROM lab/busybox\nENV A=b\nRUN echo x > /x\n")
    stack = {"name": "bpi", "services": {"one": {"image": "made:1", "build": str(core.root), "network_mode": "host"}}}
    (core.root / "compose.yaml").write_text(json.dumps(stack))
    core("-f", core.root / "compose.yaml", "apply", "--json")
    rows = core("image", "history", "made:1", "--json")
    assert [row["created_by"] for row in rows][:2] == ["RUN echo x > /x", "ENV A=b"]
    assert [bool(row["layer"]) for row in rows] == [True, False, True]
    assert "RUN echo x" in core("image", "history", "made:1")


def test_only_what_names_an_image_writes_names(core, container, registry):
    """Attack row "Registry": reading, running, sending and looking move no tag, here or there."""
    name = f"{registry}/team/box:1"
    core("image", "tag", "lab/busybox", name)
    core("image", "push", name)
    pinned = f"{registry}/team/box@{core('image', 'ls', '--json')[0]['digest']}"
    index = core.state / "images/index.json"

    def names():
        return {item["annotations"]["org.opencontainers.image.ref.name"]: item["digest"] for item in entries()}

    def entries():
        return json.loads(index.read_text())["manifests"]

    before = names()
    container("sleep", "600")
    core("image", "ls")
    core("image", "inspect", name)
    core("image", "history", name)
    core("image", "save", "-o", str(core.root / "saved.tar"), name)
    core("image", "push", name)
    core("image", "prune", "--dry-run")
    core("check")
    file = core.root / "compose.yaml"
    for verb in (("plan",), ("apply",), ("status",), ("exec", "one", "true"), ("restart",), ("diff", "one")):
        core("-f", file, *verb)
    assert names() == before
    # An image that is wanted by its content has no tag moved for it either.
    core("image", "tag", "lab/busybox", f"{registry}/team/box:2")
    core("image", "rm", name)
    core("pull", pinned)
    assert set(names()) - set(before) <= {f"{registry}/team/box:2", pinned}
    assert name not in names()
