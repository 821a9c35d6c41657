"""Contexts and sources in Git repositories, fetched by the host's git from a real server on loopback."""

import base64
import json
import os
import shutil
import socket

import pytest

from bayplan import app as bayplan
from bayplan.errors import (
    AccessDeniedError,
    BayplanError,
    NotFoundError,
    RuntimeFailureError,
    StalePlanError,
    UnavailableError,
)
from bayplan.models import Build, BuildSecret, Image, Stack
from builds import write
from repositories import Daemon, PlainFiles, Repository

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("git") is None, reason="package git is not installed"),
]


@pytest.fixture
def top(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def app(top):
    made = Repository(top, "app.git")
    made.commit(
        Dockerfile="FROM lab/base\nCOPY f /f\nCMD cat /f\n", f="one\n", web__Dockerfile="FROM lab/base\nCOPY . /\n"
    )
    return made


@pytest.fixture
def served(top):
    made = Daemon(top)
    yield made.url
    made.close()


def planned(core, context, **fields):
    return core.runtime.resolve(Image(name="lab/app", build=Build(context=context, **fields)))


def layers(core):
    """The files of the image's own layers, topmost last."""
    stored = core.runtime.images.rootfs("lab/app", "")[1]
    return {
        str(path.relative_to(top)): path
        for top in stored[:-1]
        for path in sorted(top.rglob("*"))
        if path.is_file() or path.is_symlink()
    }


def test_a_context_in_a_repository(core, served, app):
    context = f"{served}/app.git"
    first = planned(core, context)
    assert (first.present, first.digest[:12]) == (False, "fingerprint:")
    assert f"what {context} (commit {app.git('rev-parse', 'HEAD')[:12]}) holds is known at build" in first.why
    core.build(context)
    assert core.output() == ["one"]
    assert set(layers(core)) == {"f"}
    app.commit(README="not copied")
    # Another commit is not known before it is fetched, and comes out the same.
    digest = planned(core, context).digest
    assert digest.startswith("fingerprint:")
    assert core.build(context) == core.runtime.images.store.find(Image(name="lab/app").reference)
    assert core.ran() == [f"fetch {context} (commit {app.git('rev-parse', 'HEAD')[:12]})"]


def test_branches_tags_hashes_and_directories(core, served, app):
    first = app.git("rev-parse", "HEAD")
    app.git("tag", "--annotate", "--message=x", "v1")
    app.git("branch", "old")
    app.git("update-ref", "refs/pull/7/head", first)
    second = app.commit(f="two\n", web__inner="x")
    for ref, wanted in (
        ("v1", "one"),
        ("old", "one"),
        ("pull/7/head", "one"),
        (first, "one"),
        (second, "two"),
        ("", "two"),
    ):
        core.build(f"{served}/app.git#{ref}")
        assert core.output() == [wanted], ref
    core.build(f"{served}/app.git#main:web")
    assert set(layers(core)) == {"Dockerfile", "inner"}
    core.build(f"{served}/app.git?branch=main&subdir=web&commit={second}")
    assert set(layers(core)) == {"Dockerfile", "inner"}


def test_the_planned_commit_is_built_though_the_branch_moves(core, served, app):
    image = Image(name="lab/app", build=Build(context=f"{served}/app.git#main"))
    plan = core.runtime.resolve(image)
    first = app.git("rev-parse", "HEAD")
    assert plan.pinned.build.commits == {f"{served}/app.git#main": first}
    app.commit(f="two\n")
    with pytest.raises(StalePlanError):  # whoever asks again sees another one
        core.runtime.create(image, project="", digest=plan.digest)
    core.runtime.create(plan.pinned, project="", digest=plan.digest)
    assert core.output() == ["one"]
    assert not core.runtime.resolve(image).present
    whole = bayplan.plan_single(Stack(name="", images=(image,)), core.runtime)
    app.commit(f="three\n")
    bayplan.apply(whole, core.runtime, core.settings).raise_failure()
    assert core.output() == ["two"]


def test_the_command_line_builds_and_starts_from_a_repository(core, served, app, tmp_path):
    file = tmp_path / "compose.yaml"
    service = {"build": f"{served}/app.git", "command": ["sleep", "60"], "stop_signal": "KILL", "network_mode": "none"}
    file.write_text(json.dumps({"name": "gits", "services": {"one": service}}))
    core.command(file, "apply")
    assert core.command(file, "plan", "--json")["steps"] == []
    before = core.running(file)
    app.commit(README="x")
    core.command(file, "apply")  # built anew, the same image
    assert core.running(file) == before
    core.command(file, "destroy", "--images")


def test_submodules_come_along_unless_they_are_not_wanted(core, served, app, top):
    other = Repository(top, "other.git")
    other.commit(inside="inside\n")
    app.git("submodule", "add", "--quiet", f"{served}/other.git", "web/sub")
    app.commit()
    core.build(f"{served}/app.git#main:web")
    assert set(layers(core)) == {"Dockerfile", "sub/inside"}
    core.build(f"{served}/app.git?subdir=web&submodules=false")
    assert set(layers(core)) == {"Dockerfile"}


@pytest.mark.parametrize("address", ["file:///etc", "ext::touch /tmp/never", "/etc"])
def test_a_submodule_at_another_kind_of_address_is_refused(core, served, app, address):
    app.commit(gitmodules="x", **{".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = {address}\n'})
    app.git("update-index", "--add", "--cacheinfo", f"160000,{app.git('rev-parse', 'HEAD')},s")
    app.git("commit", "--quiet", "--message=x")
    with pytest.raises(BayplanError, match="git cannot read"):
        core.build(f"{served}/app.git")
    assert core.left() == []


def test_what_is_wrong_is_said_in_one_sentence(core, served, app, top):
    for context, kind, says in (
        (f"{served}/app.git#none", NotFoundError, "has no branch, tag or other ref none"),
        (f"{served}/none.git", NotFoundError, "git cannot read .*none.git"),
        (f"{served}/app.git#{'1' * 40}", BayplanError, "1111111"),
        (f"{served}/app.git#main:nowhere", NotFoundError, "has no directory nowhere in commit"),
    ):
        with pytest.raises(kind, match=says):
            core.build(context)
    with pytest.raises(NotFoundError, match=r"there is no Other in .*app.git"):
        core.build(f"{served}/app.git", dockerfile="Other")
    app.commit(bad__Dockerfile="FROM lab/base\nNOTHING\n")
    with pytest.raises(BayplanError, match=r"app.git#main:bad Dockerfile:2"):
        core.build(f"{served}/app.git#main:bad")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(UnavailableError, match=f"git cannot read git://127.0.0.1:{port}"):
        planned(core, f"git://127.0.0.1:{port}/x")
    places = core.settings.state_root / "build-mounts"
    assert not list(places.glob("git-*/.part*"))


def test_no_link_of_a_repository_leads_out_of_it(core, served, app, tmp_path):
    secret = tmp_path / "Dockerfile"
    secret.write_text("FROM lab/base\nLABEL host=secret\n")
    for name, target in (("out", tmp_path), ("up", "../../../../../.."), ("Link", secret), (".dockerignore", secret)):
        (app.path / name).symlink_to(target)
    app.commit()
    for subdir in ("out", "up"):
        with pytest.raises(NotFoundError):
            core.build(f"{served}/app.git#main:{subdir}{tmp_path if subdir == 'up' else ''}")
    with pytest.raises(NotFoundError, match="there is no Link in"):
        core.build(f"{served}/app.git", dockerfile="Link")
    with pytest.raises(NotFoundError, match="there is no"):
        core.build(f"{served}/app.git", dockerfile=str(secret))
    core.build(f"{served}/app.git")  # the ignore file is none, and no error


def test_nothing_of_the_users_git_is_used(core, served, app, tmp_path, monkeypatch):
    hooks, canary = tmp_path / "hooks", tmp_path / "canary"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (hooks / "post-checkout").chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[core]\nhooksPath = {hooks}\n[url "git://127.0.0.1:1/"]\ninsteadOf = {served}/\n'
    )
    monkeypatch.setenv("HOME", str(home))
    core.build(f"{served}/app.git")
    assert core.output() == ["one"]
    assert not canary.exists()


def test_add_of_a_repository(core, served, app, context):
    (app.path / "link").symlink_to("/etc/passwd")
    commit = app.commit(run="#!/bin/sh\n", drop="x")
    (app.path / "run").chmod(0o755)
    commit = app.commit()
    url = f"{served}/app.git"
    write(context, Dockerfile=f"FROM lab/base\nADD --chown=7:8 --exclude=drop --checksum={commit[:9]} {url} /src/\n")
    plan = planned(core, str(context))
    assert f"what {url}#{commit} holds is known at build" in plan.why
    core.build(context)
    found = layers(core)
    assert set(found) == {"src/Dockerfile", "src/f", "src/run", "src/link", "src/web/Dockerfile"}
    status = found["src/run"].stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (7, 8, 0o755)
    assert found["src/f"].stat().st_mode & 0o777 == 0o644
    assert found["src/link"].readlink().as_posix() == "/etc/passwd"
    # Found again: another commit with the same files is no other step.
    write(context, Dockerfile=f"FROM lab/base\nADD {url}#main:web /web\nRUN cat /web/Dockerfile\n")
    core.build(context)
    app.commit(README="x")
    core.build(context)
    assert [step for step in core.ran() if step.startswith("step")] == []
    write(context, Dockerfile=f"FROM lab/base\nADD --checksum={'0' * 40} {url} /src/\n")
    with pytest.raises(RuntimeFailureError, match="wanted is 0000000"):
        core.build(context)


def test_plain_files_over_http_and_a_token(core, app, top):
    """A server that gives no commit by its hash, and none to strangers."""
    token = "not-so-secret-token"
    header = "basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
    server = PlainFiles(top, header)
    try:
        context = f"{server.url}/app.git/.git#main"
        with pytest.raises(AccessDeniedError, match="give the build a secret GIT_AUTH_TOKEN"):
            planned(core, context)
        for name, usable in (("GIT_AUTH_TOKEN", True), ("GIT_AUTH_TOKEN.x.example", False)):
            secret = BuildSecret.model_validate({"id": name, "content": token.encode()})
            if usable:
                core.build(context, secrets=(secret,))
                assert core.output() == ["one"]
            else:
                with pytest.raises(AccessDeniedError):
                    planned(core, context, secrets=(secret,))
    finally:
        server.close()
    held = [path for path in core.settings.state_root.rglob("*") if path.is_file() and path.stat().st_size < 1 << 20]
    assert not [path for path in held if token.encode() in path.read_bytes() or header.encode() in path.read_bytes()]


def test_prune_frees_what_was_fetched(core, served, app):
    core.build(f"{served}/app.git")
    found = core.runtime.image_verbs.prune_builds(results=False, dry_run=False)
    assert [item.name for item in found] == [f"{served}/app.git"]
    assert not planned(core, f"{served}/app.git").present  # nobody can tell without fetching again
    core.build(f"{served}/app.git")
