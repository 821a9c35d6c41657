"""The lock's text, and what is refused of it; a declaration held to it."""

import textwrap

import pytest

from bayplan.errors import DeclarationError, UnsupportedError
from bayplan.load.compose import load_text
from bayplan.models import Pin
from bayplan.resolve import pins
from bayplan.resolve.lockfile import Lock, LockedBuild, parsed
from bayplan.resolve.locking import moved, of_services

A, B = (f"sha256:{digit * 64}" for digit in "ab")
WEB = "docker.io/library/web:1"
BASE = "docker.io/library/base:1"
APP = "docker.io/library/shop-app:latest"


def held(text, lock, tmp_path, **options):
    stack = load_text(textwrap.dedent(text), label="compose.yaml", project_directory=tmp_path, project_name="shop")
    return pins.held(stack, lock, "bayplan.lock", **options)


def test_the_text_is_sorted_and_gives_the_same_lock_again():
    images = {WEB: Pin(digest=A, platforms={"linux/arm64": B, "linux/amd64": A}, ids={"linux/amd64": B})}
    lock = Lock(images=images, builds={APP: LockedBuild(inputs=A, bases=(BASE,), commits={"https://git/x": "abc"})})
    text = lock.text()
    assert text.splitlines()[1] == "version: 1"
    assert text.index("linux/amd64") < text.index("linux/arm64")
    again = parsed(text, "bayplan.lock")
    assert again.builds == lock.builds
    assert again.images == {WEB: images[WEB].model_copy(update={"ids": {}})}
    assert again.text() == text
    assert parsed(Lock().text(), "bayplan.lock") == Lock()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- none", "this is no lock: it has no version"),
        ("version: one", "this is no lock: it has no version"),
        ("version: 1\nunknown: {}", "bayplan.lock:2: the lock is damaged: unknown"),
        (f"version: 1\nimages:\n  {WEB}:\n    digest: sha256:short", "bayplan.lock:4: the lock is damaged: images"),
        (f"version: 1\nimages:\n  web:\n    digest: {A}", "'web' is no full image reference"),
        ("version: 1\nimages: &a {x: *a}", "contains itself"),
        ("version: 1\n...\n---\nversion: 1", "this is no lock"),
        ("version: [", "not valid YAML"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_line(text, what):
    with pytest.raises(DeclarationError) as error:
        parsed(text, "bayplan.lock")
    assert what in str(error.value)


def test_a_newer_lock_says_to_upgrade():
    with pytest.raises(UnsupportedError, match="version 2, and this bayplan reads up to 1"):
        parsed("version: 2\nwhat_comes: then", "bayplan.lock")


def test_what_the_lock_names_is_pinned_and_the_rest_is_told(tmp_path):
    lock = Lock(images={WEB: Pin(digest=A, platforms={"linux/amd64": B})})
    text = "services: {web: {image: 'web:1'}, other: {image: other}}"
    stack, missing = held(text, lock, tmp_path)
    assert {image.name: image.pin and image.pin.digest for image in stack.images} == {"web:1": A, "other": None}
    assert missing == ("image other is not in the lock",)
    with pytest.raises(DeclarationError, match="image other is not in the lock"):
        held(text, lock, tmp_path, strict=True)


def test_a_lock_that_contradicts_the_declaration_is_refused(tmp_path):
    at = Lock(images={f"docker.io/library/web:1@{A}": Pin(digest=B, platforms={"linux/amd64": B})})
    with pytest.raises(DeclarationError, match="declared at another digest than it is locked at"):
        held(f"services: {{web: {{image: 'web:1@{A}'}}}}", at, tmp_path)
    lock = Lock(images={WEB: Pin(digest=A, platforms={"linux/amd64": A})})
    with pytest.raises(DeclarationError, match="has no manifest for linux/s390x in the lock"):
        held("services: {web: {image: 'web:1', platform: linux/s390x}}", lock, tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM base:1\n")
    broken = Lock(builds={APP: LockedBuild(inputs=A, bases=(BASE,))})
    with pytest.raises(DeclarationError, match="the lock contradicts itself"):
        held("services: {app: {build: .}}", broken, tmp_path)


def test_other_files_of_a_build_are_told_and_refused_when_strict(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM base:1\n")
    base = Pin(digest=A, platforms={"linux/amd64": A})
    lock = Lock(images={BASE: base}, builds={APP: LockedBuild(inputs=A, bases=(BASE,))})
    stack, missing = held("services: {app: {build: .}}", lock, tmp_path)
    assert stack.images[0].build.bases == {BASE: base}
    assert missing == ("what image shop-app is built from is not what was locked",)
    with pytest.raises(DeclarationError, match="is not what was locked"):
        held("services: {app: {build: .}}", lock, tmp_path, strict=True)
    assert pins.loose(stack).images[0].build.bases == {}


def test_services_name_their_images_also_those_that_are_mounted(tmp_path):
    text = (
        "services: {web: {image: 'web:1', volumes: [{type: image, source: 'base:1', target: /x}]}, app: {image: app}}"
    )
    stack, _ = held(text, Lock(), tmp_path)
    assert of_services(stack, ["web"]) == {WEB, BASE}


def test_what_moved_is_told_by_image_and_build():
    old = Lock(images={WEB: Pin(digest=A), BASE: Pin(digest=A)}, builds={APP: LockedBuild(inputs=A, bases=(BASE,))})
    now = Lock(images={WEB: Pin(digest=A), BASE: Pin(digest=A)}, builds={APP: LockedBuild(inputs=B, bases=(BASE,))})
    newest = now.model_copy(update={"images": {WEB: Pin(digest=B), BASE: Pin(digest=A)}})
    found = [(one.kind, one.name, one.what.split(",")[0]) for one in moved(old, now, newest)]
    assert found == [
        ("image", WEB, f"the registry has {B}"),
        ("build", APP, "its files are others than were locked"),
    ]
    gone = {(one.name, one.what) for one in moved(old, Lock())}
    assert (APP, "is no longer declared") in gone
