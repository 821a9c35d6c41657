"""Locks, reports and bundles on every engine."""

import secrets
import shutil
from pathlib import Path

import engines
from bayplan import app
from bayplan.app import bundles, environments
from bayplan.reconcile.plan import Action
from bayplan.registry.client import RegistryClient
from bayplan.resolve import pins
from bayplan.resolve.beside import NAME
from bayplan.resolve.bundle.opening import Given
from bayplan.resolve.compare import compare
from bayplan.resolve.lockfile import Lock
from bayplan.resolve.locking import Locker
from bayplan.resolve.report import of_declaration
from contract.hosts import Host

APP = """
services:
  app:
    image: NAME
    init: true
    command: [sleep, "600"]
    environment: {LEVEL: info, API_KEY: planted}
    networks: [back]
    volumes: ["data:/data"]
networks: {back: {}}
volumes: {data: {}}
"""


def locked(host, text):
    """The stack at the digests of a lock that is made of it now, and the lock."""
    stack = host.load(text)
    lock = Locker(stack, host.runtime, RegistryClient(host.settings)).lock(Lock())
    return pins.held(stack, lock, NAME, strict=True)[0], lock


def apply(host, stack):
    made, outcome = app.converge(lambda: app.plan(stack, host.runtime), host.runtime, host.settings)
    outcome.raise_failure()
    return made


def test_images_and_bases_are_taken_as_locked_though_their_tag_moved(engine_host):
    host = engine_host
    name, own = host.engine.push(f"{host.project}:1"), f"{host.project}-built"
    (host.root / "context").mkdir()
    (host.root / "context/Dockerfile").write_text(f"FROM {name}\nRUN true\n")
    built = f"services:\n  built: {{image: {own}, build: ./context, init: true, command: [sleep, '600']}}"
    text = APP.replace("services:", built).replace("NAME", f"{name}\n    pull_policy: always")
    stack, lock = locked(host, text)
    assert list(lock.images) == [name]
    host.engine.push(f"{host.project}:2", changed(host))
    host.engine.move_tag(host.project, "2", "1")
    made = apply(host, stack)
    # Podman still has what was locked, under no name.
    assert len({step.action for step in made.steps} & {Action.PULL, Action.TAG}) == 1
    assert Action.BUILD in {step.action for step in made.steps}
    assert apply(host, stack).steps == ()

    def seen():
        """Digests by which the engine knows the image, and the labels of what was built on it."""
        inspect = host.runtime.image_verbs.inspect
        digests = [one.rpartition("@")[2] for one in inspect(name)["RepoDigests"]]
        return digests, inspect(own)["Config"]["Labels"].get("word")

    digests, word = seen()
    assert stack.images[1].pin.digest in digests
    assert word is None
    # The lock moves on, and so does what runs.
    newer, _ = locked(host, text)
    made = apply(host, newer)
    assert "is not the locked one" in next(step.why for step in made.steps if step.action is Action.BUILD)
    assert apply(host, newer).steps == ()
    digests, word = seen()
    assert newer.images[1].pin.digest in digests
    assert word == host.project


def changed(host):
    archive = host.engine.root / "changed.tar"
    archive.write_bytes(engines.busybox_archive("docker.io/lab/changed:latest", Labels={"word": host.project}))
    host.engine.call("load", "-q", "-i", archive)
    return "docker.io/lab/changed:latest"


def test_what_is_declared_and_what_runs_has_one_fingerprint_and_no_difference(host):
    text = APP.replace("NAME", host.IMAGE)
    host.apply(text)
    report = environments.report(host.project, host.runtime, host.settings)
    declared = of_declaration(host.load(text))
    assert report.fingerprint == declared.fingerprint
    assert report.generation == 1
    assert "planted" not in report.model_dump_json()
    found = compare({"file": declared, "host": report})
    assert [(item.path, item.values) for item in found.differences] == []
    host.runtime.stop(host.name("app"))
    again = environments.report(host.project, host.runtime, host.settings)
    found = compare({"before": report, "after": again})
    assert "services.app.state" in [item.path for item in found.differences]


def made_bundle(host, path, **changes):
    """The bundle of APP on a host, from an image that is in no registry."""
    (host.root / "compose.yaml").write_text("")
    stack = host.load(APP.replace("NAME", f"{host.IMAGE}\n    pull_policy: never"))
    stack = stack.model_copy(update={"sources": (str(host.root / "compose.yaml"),)})
    lock = Locker(stack, host.runtime, RegistryClient(host.settings)).lock(Lock())
    (host.root / NAME).write_text(lock.text())
    stack = environments.held(stack, strict=True)
    assert bundles.missing(stack, host.runtime) == ()
    return bundles.make(stack, host.runtime, path)


def apply_bundle(host, path, **environment):
    with bundles.opened(path) as checked:
        given = Given(environment, {})
        planned = bundles.for_host(checked, host.root / "files", given, host.runtime).place(host.runtime)
        _, outcome = app.converge(planned, host.runtime, host.settings)
        outcome.raise_failure()
        assert planned().steps == ()


def test_a_bundle_brings_back_what_was_there(real_host, tmp_path):
    host = real_host
    path = tmp_path / "app.bundle"
    made = made_bundle(host, path)
    host.apply(APP.replace("NAME", host.IMAGE).replace("info", "debug"))
    assert b"planted" not in path.read_bytes()
    apply_bundle(host, path)
    assert host.sh("app", "echo $LEVEL $API_KEY") == "info planted\n"
    report = environments.report(host.project, host.runtime, host.settings)
    assert report.fingerprint.digest == made.fingerprint


def test_a_bundle_of_bayplans_core_is_applied_by_an_engine(engine_host, tmp_path):
    host, root = engine_host, Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir()
    core = Host("native", root)
    core.project = host.project
    try:
        archive = root / "own.tar"
        archive.write_bytes(engines.busybox_archive("docker.io/lab/own:1", Labels={"word": "own"}))
        core.runtime.image_verbs.load(archive)
        core.IMAGE = "lab/own:1"
        path = tmp_path / "app.bundle"
        made = made_bundle(core, path)
    finally:
        core.clean()
        shutil.rmtree(root)
    apply_bundle(host, path, API_KEY="given")
    assert host.sh("app", "echo $LEVEL $API_KEY") == "info given\n"
    report = environments.report(host.project, host.runtime, host.settings)
    assert report.fingerprint.digest == made.fingerprint
    host.destroy()
    host.runtime.image_verbs.remove(["lab/own:1"])
