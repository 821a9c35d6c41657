"""Images: what names stand for, pulls, builds, and the verbs that take them by name."""

import contextlib
import io
import json
import tarfile

import pytest

import engines
from bayplan import engines as opened
from bayplan.errors import BayplanError, ConflictError, NotFoundError, UnavailableError, UnsupportedError
from bayplan.reconcile.plan import Action
from bayplan.runtime.protocol import State

APP = """
services:
  app: {image: NAME, init: true, command: [sleep, "600"], pull_policy: missing}
"""
BUILT = """
services:
  app:
    image: built-PROJECT
    init: true
    command: [sleep, "600"]
    build:
      context: ./context
      args: {WORD: hello}
      labels: {made.by: us}
      target: last
"""
DOCKERFILE = """\
FROM lab/busybox AS first
RUN echo never > /never
FROM lab/busybox AS last
ARG WORD
COPY . /src
RUN echo $WORD > /word
USER app
ENV COLOUR=red
"""


@pytest.fixture
def built(real_host):
    """A host with a build context."""
    context = real_host.root / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / ".dockerignore").write_text("secret*\n!secret-not\n")
    for name in ("file", "secret-file", "secret-not"):
        (context / name).write_text(name)
    real_host.context = context
    yield real_host
    real_host.destroy()
    with contextlib.suppress(NotFoundError):
        real_host.runtime.image_verbs.remove([f"built-{real_host.project}"])


def changed_image(engine, word):
    """busybox with another label, in the engine under the usual name of the registry's image."""
    archive = engine.root / "changed.tar"
    archive.write_bytes(engines.busybox_archive("docker.io/lab/changed:latest", Labels={"word": word}))
    engine.call("load", "-q", "-i", archive)
    return "docker.io/lab/changed:latest"


def test_an_image_is_pulled_when_it_is_missing(engine_host):
    host = engine_host
    name = host.engine.push(f"{host.project}:1")
    made = host.apply(APP.replace("NAME", name))
    assert [step.action for step in made.steps][:1] == [Action.PULL]
    assert host.container("app").status.state is State.RUNNING


def test_a_tag_that_moved_is_followed_when_asked_for(engine_host):
    host = engine_host
    name = host.engine.push(f"{host.project}:1")
    always = APP.replace("NAME", name).replace("missing", "always")
    host.apply(always)
    before = host.handle("app")
    assert host.plan(always).steps == ()
    host.engine.push(f"{host.project}:2", changed_image(host.engine, host.project))
    host.engine.move_tag(host.project, "2", "1")
    assert host.plan(APP.replace("NAME", name)).steps == ()
    made = host.apply(always)
    assert [step.action for step in made.steps] == [Action.PULL, Action.RECREATE]
    assert host.handle("app") != before
    assert host.plan(always).steps == ()


def test_policies_and_names_that_lead_nowhere(engine_host):
    host = engine_host
    name = f"{host.registry}/{host.project}:none"
    with pytest.raises(NotFoundError, match="never"):
        host.plan(APP.replace("NAME", name).replace("missing", "never"))
    with pytest.raises(NotFoundError, match=host.project):
        host.plan(APP.replace("NAME", name))
    with pytest.raises(UnavailableError, match="5001"):
        host.plan(APP.replace("NAME", "127.0.0.1:5001/nobody:1"))
    assert host.status() == {}


def test_a_digest_pins(engine_host):
    host = engine_host
    name = host.engine.push(f"{host.project}:1")
    host.apply(APP.replace("NAME", name))
    digest = host.runtime.image_verbs.push(name).digest
    pinned = f"{name.rpartition(':')[0]}@{digest}"
    host.apply(APP.replace("NAME", pinned))
    assert host.container("app").actual.image == pinned


def test_a_build_is_done_when_something_of_it_changed(built):
    host, text = built, BUILT.replace("PROJECT", built.project)
    made = host.apply(text)
    assert made.steps[0].action is Action.BUILD
    assert host.sh("app", "cat /word; ls /src; id -u; echo $COLOUR").split() == [
        *("hello", "Dockerfile", "file", "secret-not", "1000", "red"),
    ]
    host.runtime.exec(host.name("app"), ["true"])
    before = host.handle("app")
    assert host.apply(text).steps == ()
    (host.context / "secret-file").write_text("another")
    assert host.plan(text).steps == ()
    (host.context / "file").write_text("another")
    made = host.apply(text)
    assert [step.action for step in made.steps] == [Action.BUILD, Action.RECREATE]
    assert host.handle("app") != before
    assert host.sh("app", "cat /src/file") == "another"
    host.apply(text.replace("hello", "goodbye"))
    assert host.sh("app", "cat /word") == "goodbye\n"
    shown = host.runtime.image_verbs.inspect(f"built-{host.project}")
    assert shown["Config"]["Labels"]["made.by"] == "us"


def test_a_build_that_fails_says_what_it_said(built):
    (built.context / "Dockerfile").write_text("FROM lab/busybox AS last\nRUN echo about to fail; exit 3\n")
    with pytest.raises(BayplanError) as raised:
        built.apply(BUILT.replace("PROJECT", built.project))
    assert "about to fail" in f"{raised.value} {raised.value.output}"
    assert built.container("app") is None


def test_an_inline_dockerfile(built):
    text = BUILT.replace("PROJECT", built.project).replace("target: last", "dockerfile_inline: 'FROM lab/busybox'")
    built.apply(text)
    assert built.container("app").status.state is State.RUNNING


def test_what_an_engines_builder_cannot_do_is_refused_by_name(engine_host):
    host = engine_host
    context = host.root / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM lab/busybox AS last\nRUN --security=insecure true\n")
    with pytest.raises(UnsupportedError, match="--security") as raised:
        host.plan(BUILT.replace("PROJECT", host.project))
    assert host.kind in str(raised.value)
    assert "Dockerfile:2" in str(raised.value)


def test_here_documents_are_run_or_refused(built):
    """Docker's builder behind the API has none, Podman's since 4.8."""
    (built.context / "Dockerfile").write_text("FROM lab/busybox AS last\nRUN <<END\necho here > /word\nEND\n")
    text, version = BUILT.replace("PROJECT", built.project), built.runtime.facts().version
    if built.kind == "docker" or version.startswith(("4.3.", "4.4.", "4.5.", "4.6.", "4.7.")):
        with pytest.raises(UnsupportedError, match=f"{built.kind} .*here-documents") as raised:
            built.plan(text)
        assert "Dockerfile:2" in str(raised.value)
        return
    built.apply(text)
    assert built.sh("app", "cat /word") == "here\n"


def test_names_are_given_and_taken(real_host):
    host, verbs = real_host, real_host.runtime.image_verbs
    tag = f"lab/tagged-{host.project}:1"
    digest = verbs.tag("lab/busybox", tag)
    found = {name: item for item in verbs.summaries() for name in item.names}
    assert found[tag].id == found["lab/busybox:latest"].id
    assert found[tag].size_bytes > 0
    assert found[tag].platform == "linux/amd64"
    assert verbs.inspect(tag)["Id"] == verbs.inspect("lab/busybox")["Id"]
    assert digest
    assert verbs.history(tag)[0].created_by == "busybox"
    with pytest.raises(ConflictError, match="names"):
        verbs.remove([found[tag].id])
    assert verbs.remove([tag]) == [tag]
    with pytest.raises(NotFoundError):
        verbs.inspect(tag)


def test_an_image_in_use_is_kept(real_host):
    host, verbs = real_host, real_host.runtime.image_verbs
    tag = f"lab/used-{host.project}:1"
    host.apply("services: {app: {image: IMAGE, init: true, command: [sleep, '600']}}")
    container = host.name("app")
    verbs.commit(container, tag, "a comment")
    text = f"services: {{app: {{image: '{tag}', init: true, command: [sleep, '600']}}}}"
    host.apply(text)
    with pytest.raises(ConflictError, match=container):
        verbs.remove([tag])
    host.destroy()
    assert verbs.remove([tag]) == [tag]


def test_archives_go_out_and_come_back(real_host, tmp_path):
    host, verbs = real_host, real_host.runtime.image_verbs
    tag = f"lab/saved-{host.project}:1"
    verbs.tag("lab/busybox", tag)
    verbs.save([tag], tmp_path / "saved.tar", "docker-archive")
    with tarfile.open(tmp_path / "saved.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
    assert [name.removeprefix("docker.io/") for name in manifest[0]["RepoTags"]] == [tag]
    with pytest.raises(ConflictError, match="already"):
        verbs.save([tag], tmp_path / "saved.tar", "docker-archive")
    verbs.remove([tag])
    assert list(verbs.load(tmp_path / "saved.tar")) == [tag]
    other = f"lab/other-{host.project}:1"
    assert list(verbs.load(tmp_path / "saved.tar", other)) == [other]
    verbs.remove([tag, other])
    (tmp_path / "bad.tar").write_bytes(b"nothing" * 1000)
    with pytest.raises(BayplanError):
        verbs.load(tmp_path / "bad.tar")


def test_a_tree_becomes_an_image_and_a_container_a_tree(real_host):
    host, verbs = real_host, real_host.runtime.image_verbs
    tag, made = f"lab/tree-{host.project}:1", io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"hi"))
    made.seek(0)
    verbs.import_tree(made, tag, "imported")
    assert len(verbs.inspect(tag)["RootFS"]["Layers"]) == 1
    verbs.remove([tag])
    host.apply("services: {app: {image: IMAGE, init: true, command: [sleep, '600']}}")
    host.sh("app", "echo x > /new; rm /etc/group; echo >> /etc/passwd")
    changes = {path: kind for kind, path in verbs.diff(host.name("app"))}
    assert (changes["/new"], changes["/etc/group"], changes["/etc/passwd"]) == ("A", "D", "C")
    out = io.BytesIO()
    verbs.export(host.name("app"), out)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        names = {item.name.removeprefix("./") for item in tar}
    assert {"new", "etc/passwd"} <= names
    assert "etc/group" not in names


def test_a_prune_frees_what_it_foretold(real_host):
    host, verbs = real_host, real_host.runtime.image_verbs
    tag = f"lab/unused-{host.project}:1"
    host.apply("services: {app: {image: IMAGE, init: true, command: [sleep, '600']}}")
    host.sh("app", "echo x > /new")
    verbs.commit(host.name("app"), tag)
    foretold = verbs.prune(unused=True, dry_run=True)
    assert tag in [item.name for item in foretold]
    assert "lab/busybox:latest" not in [item.name for item in foretold]
    done = verbs.prune(unused=True, dry_run=False)
    assert sorted(item.name for item in done) == sorted(item.name for item in foretold)
    with pytest.raises(NotFoundError):
        verbs.inspect(tag)
    assert tag not in [item.name for item in verbs.prune(unused=True, dry_run=True)]
    assert verbs.prune_builds(results=False, dry_run=True) == verbs.prune_builds(results=False, dry_run=False)


def test_what_an_engine_cannot_do_is_refused(engine_host):
    verbs = engine_host.runtime.image_verbs
    for call in (
        lambda: verbs.copy("lab/busybox", "ssh://nowhere", "bayplan"),
        lambda: verbs.push_index("x", []),
        engine_host.runtime.damaged,
    ):
        with pytest.raises(UnsupportedError, match=rf"{engine_host.kind} \d"):
            call()


def test_bayplans_own_builder_can_be_lent(engine_host):
    host = engine_host
    context = host.root / "context"
    context.mkdir()
    base = host.engine.push(f"{host.project}-base:1")
    steps = "COPY --chmod=640 file /file\nRUN <<END\necho ran > /ran\nEND\n"
    (context / "Dockerfile").write_text(f"FROM {base} AS last\n{steps}")
    (context / "file").write_text("x")
    text = BUILT.replace("PROJECT", host.project)
    own = host.runtime
    with opened.open_runtime(host.settings.model_copy(update={"builder": "bayplan"})) as lent:
        host.runtime = lent
        try:
            made = host.apply(text)
            assert made.steps[0].action is Action.BUILD
            assert host.sh("app", "cat /ran; stat -c %a /file") == "ran\n640\n"
            before = host.handle("app")
            (context / "file").write_text("y")
            host.apply(text)
            assert host.handle("app") != before
            host.destroy()
        finally:
            host.runtime = own
