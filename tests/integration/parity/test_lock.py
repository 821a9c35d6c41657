"""``bayplan.lock`` on the real core and a real registry: images, bases of builds and files held to what they were."""

import os
import shutil

import pytest
import yaml

from repositories import Daemon, Repository

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def locked(shop):
    return yaml.safe_load(shop.lock.read_text())


def test_a_lock_holds_images_and_bases_while_tags_move(shop):
    said = shop("lock")
    web, base = f"{shop.registry}/web:1", f"{shop.registry}/base:1"
    assert f"image {web}: was not locked" in said
    first = locked(shop)
    assert set(first["images"]) == {web, base}
    assert first["images"][web]["platforms"] == {"linux/amd64": first["images"][web]["digest"]}
    build = first["builds"]["docker.io/library/shop-app:latest"]
    assert build["bases"] == [base]
    assert build["inputs"].startswith("sha256:")
    text = shop.lock.read_text()
    assert "unchanged" in shop("lock")
    assert shop.lock.read_text() == text
    assert shop("lock", "--check", "--json")["moved"] == []

    shop.push("web", 2)
    shop.push("base", 2)
    shop("apply", "--locked")
    assert (shop.says("web", "/version"), shop.says("app", "/version")) == ("web 1", "base 1")
    assert "Nothing to do" in shop("plan", "--locked")

    # What moved upstream is told; nothing is written.
    moved = shop("lock", "--check", "--json", code=5)["moved"]
    assert [(one["kind"], one["name"]) for one in moved] == [("image", base), ("image", web)]
    assert all("the registry has sha256:" in one["what"] for one in moved)
    assert shop.lock.read_text() == text

    # One service moves on; the other, and its base, stay.
    shop("lock", "--upgrade", "web")
    second = locked(shop)
    assert second["images"][web] != first["images"][web]
    assert second["images"][base] == first["images"][base]
    shop("apply")
    assert (shop.says("web", "/version"), shop.says("app", "/version")) == ("web 2", "base 1")
    shop("lock", "--upgrade")
    shop("apply", "--locked")
    assert shop.says("app", "/version") == "base 2"
    assert "Nothing to do" in shop("plan", "--locked")


def test_a_lock_in_the_context_of_a_build_holds_itself(shop):
    (shop.directory / "Dockerfile").write_text(f"FROM {shop.registry}/base:1\nCOPY . /all\n")
    shop.write()
    shop.file.write_text(shop.file.read_text().replace("build: ./app", "build: ."))
    shop("lock")
    shop("apply", "--locked")
    shop("lock")  # takes in what came out
    text = shop.lock.read_text()
    assert locked(shop)["builds"]["docker.io/library/shop-app:latest"]["digests"]
    assert "as it is" in shop("lock", "--check")
    assert "unchanged" in shop("lock")
    assert shop.lock.read_text() == text
    assert shop("plan", "--locked").startswith("Nothing to do")


def test_locked_refuses_what_the_lock_has_not_before_anything_is_changed(shop):
    assert "there is no lock beside the declaration" in shop("apply", "--locked", code=2)
    shop("lock")
    (shop.directory / "app/greeting").write_text("changed\n")
    assert "what image shop-app is built from is not what was locked" in shop("apply", "--locked", code=2)
    assert "its files are others than were locked" in shop("lock", "--check", code=5)
    (shop.directory / "app/greeting").write_text("hello\n")
    shop.write("  more: {image: lab/other}\n")
    said = shop("plan", "--locked", code=2)
    assert "image lab/other is not in the lock" in said
    assert "`bayplan lock` takes it in" in said
    # Not strict, the lock is honoured for what it names, unless it is to be left out.
    shop.write()
    text, name = shop.lock.read_text(), f"{shop.registry}/web:1"
    shop.push("web", 2)
    assert shop("plan", "--json")["images"][name]["digest"] == locked(shop)["images"][name]["digest"]
    assert shop("plan", "--json", "--no-lock")["images"][name]["digest"] != locked(shop)["images"][name]["digest"]
    shop.lock.write_text("version: 1\n")
    assert f"image {name} is not in the lock" in shop("plan")
    shop.lock.write_text(text.replace("builds:", "unknown:"))
    assert "bayplan.lock:3: the lock is damaged: unknown" in shop("apply", code=2)
    assert "container" not in shop("status")  # which a damaged lock does not hinder


@pytest.mark.skipif(shutil.which("git") is None, reason="package git is not installed")
def test_a_commit_is_locked_though_its_branch_moves(shop):
    top = shop.core.root / "served"
    top.mkdir()
    source = Repository(top, "app.git")
    first = source.commit(f="one\n")
    served = Daemon(top)
    try:
        recipe = f"FROM {shop.registry}/base:1\nADD {served.url}/app.git /src\n"
        (shop.directory / "app/Dockerfile").write_text(recipe)
        shop("lock")
        build = locked(shop)["builds"]["docker.io/library/shop-app:latest"]
        assert list(build["commits"].values()) == [first]
        second = source.commit(f="two\n")
        shop("apply", "--locked")
        assert shop.says("app", "/src/f") == "one"
        assert f"is at {second[:12]}, locked is {first[:12]}" in shop("lock", "--check", code=5)
        shop("lock", "--upgrade", "app")
        shop("apply", "--locked")
        assert shop.says("app", "/src/f") == "two"
    finally:
        served.close()
