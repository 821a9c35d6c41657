"""Which AppArmor profile a container gets, and what is refused, on hosts with and without it."""

from pathlib import Path

import pytest

from bayplan.errors import UnsupportedError
from bayplan.models import Container
from bayplan.runtime.native import options
from bayplan.runtime.native.containers import apparmor
from bayplan.runtime.native.containers.spec import process
from bayplan.runtime.native.containers.users import User


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A kernel with AppArmor that has a profile, and the program that loads more."""
    switch, loaded = tmp_path / "enabled", tmp_path / "profiles"
    switch.write_text("Y\n")
    loaded.write_text("/usr/bin/man (enforce)\nmine (complain)\nwith space (enforce)\n")
    monkeypatch.setattr(apparmor, "_SWITCH", switch)
    monkeypatch.setattr(apparmor, "_LOADED", loaded)
    monkeypatch.setattr(apparmor, "_parser", lambda: "/sbin/apparmor_parser")
    return tmp_path


def profile(*security_opt, **fields):
    """The configuration's ``process.apparmorProfile``."""
    container = Container(name="c", image="x", security_opt=security_opt, **fields)
    section = process.section(container, ("a",), (), "/", User(0, 0, ()), frozenset())
    return section.get("apparmorProfile")


def refused(tmp_path, *security_opt):
    container = Container(name="c", image="x", security_opt=security_opt)
    with pytest.raises(UnsupportedError) as caught:
        options.check_options(container, tmp_path)
    return str(caught.value)


def test_ours_is_the_default_and_others_are_asked_for(host):
    assert profile() == apparmor.NAME
    assert profile("apparmor=mine") == "mine"
    assert profile("apparmor=unconfined") is None
    assert profile(privileged=True) is None
    assert profile("apparmor=mine", privileged=True) == "mine"


def test_a_profile_that_is_not_loaded_is_refused(host):
    said = refused(host, "apparmor=other")
    assert "the kernel has no profile other (apparmor_parser -r FILE loads one)" in said
    for name in ("mine", "with space", "/usr/bin/man", "unconfined", apparmor.NAME):
        options.check_options(Container(name="c", image="x", security_opt=(f"apparmor={name}",)), host)


@pytest.mark.parametrize("state", ["N\n", None])
def test_without_apparmor_there_is_no_default_and_a_profile_is_refused(host, state):
    (host / "enabled").unlink()
    if state:
        (host / "enabled").write_text(state)
    assert profile() is None
    assert "this host has no AppArmor" in refused(host, "apparmor=mine")
    options.check_options(Container(name="c", image="x", security_opt=("apparmor=unconfined",)), host)


def test_what_cannot_be_loaded_is_no_default(host, monkeypatch):
    monkeypatch.setattr(apparmor, "_parser", lambda: None)
    assert profile() is None
    with (host / "profiles").open("a") as file:
        file.write(f"{apparmor.NAME} (enforce)\n")
    assert profile() == apparmor.NAME  # somebody has loaded it
    (host / "profiles").unlink()
    assert profile() is None


def test_labels_of_selinux_are_refused_or_off(host, monkeypatch):
    options.check_options(Container(name="c", image="x", security_opt=("label=disable",)), host)
    monkeypatch.setattr(options, "_SELINUX", host / "enforce")
    assert "this host has no SELinux" in refused(host, "label=type:container_t")
    (host / "enforce").write_text("1")
    assert "labels of SELinux are not built yet" in refused(host, "label=type:container_t")
    options.check_options(Container(name="c", image="x", security_opt=("label=disable",)), host)


@pytest.mark.skipif(not Path("/usr/sbin/apparmor_parser").exists(), reason="package apparmor is not installed")
def test_the_profile_is_one_that_the_parser_takes(tmp_path):
    import subprocess

    file = tmp_path / "profile"
    file.write_text(apparmor._TEXT)
    argv = ["/usr/sbin/apparmor_parser", "--skip-kernel-load", "--skip-cache", "--names", str(file)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == apparmor.NAME
    argv[3] = "--debug"
    subprocess.run(argv, capture_output=True, check=True)
