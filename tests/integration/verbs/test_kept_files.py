"""External secrets and configs: kept by a verb, given to containers, refused where others may read them."""

import os
import stat

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
STACK = """\
name: bpv
services:
  app:
    image: lab/busybox
    command: [sleep, '600']
    stop_grace_period: 50ms
    secrets: [password]
    configs: [{source: site, target: /etc/site.conf}]
secrets: {password: {external: true, name: db-password}}
configs: {site: {external: true}}
"""


@pytest.fixture
def kept(bayplan, tmp_path):
    bayplan.environment["BAYPLAN_SECRETS_ROOT"] = str(tmp_path / "kept/secrets")
    bayplan.environment["BAYPLAN_CONFIGS_ROOT"] = str(tmp_path / "kept/configs")
    bayplan.file.write_text(STACK)
    return tmp_path / "kept"


def test_given_to_a_container_and_followed_by_the_plan(bayplan, kept):
    refused = bayplan("apply", code=2)
    assert "bayplan secret create db-password" in refused
    assert "password has no content" in refused
    assert "bpv-app-1" not in bayplan("status")
    bayplan("secret", "create", "db-password", stdin="open sesame")
    assert "site has no content" in bayplan("apply", code=2)
    bayplan("config", "create", "site", stdin="port 80\n")
    said = bayplan("apply") + bayplan("plan")
    assert "sesame" not in said
    assert "Nothing to do" in said
    assert bayplan("exec", "app", "cat", "/run/secrets/password") == "open sesame"
    assert bayplan("exec", "app", "cat", "/etc/site.conf") == "port 80\n"
    assert "exists" in bayplan("secret", "create", "db-password", stdin="x", code=2)
    bayplan("secret", "create", "--replace", "db-password", stdin="other")
    (step,) = bayplan("plan", "--json")["steps"]
    assert step["action"] == "re-create"
    bayplan("apply")
    assert bayplan("exec", "app", "cat", "/run/secrets/password") == "other"


def test_modes_names_and_removal(bayplan, kept, tmp_path):
    (tmp_path / "given").write_text("x" * 9)
    bayplan("secret", "create", "one", str(tmp_path / "given"))
    bayplan("config", "create", "two", str(tmp_path / "given"))
    assert stat.S_IMODE((kept / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((kept / "secrets/one").stat().st_mode) == 0o600
    assert bayplan("secret", "ls", "--json") == [{"name": "one", "size_bytes": 9}]
    assert bayplan("config", "ls") == "NAME   BYTES\ntwo    9\n"
    assert bayplan("config", "ls", "-q") == "two\n"
    for name in ("../x", ".x", "a/b", ""):
        assert "is no name" in bayplan("secret", "create", name, stdin="", code=2)
    assert "does not exist" in bayplan("secret", "rm", "one", "none", code=2)
    assert bayplan("secret", "rm", "one") == "one\n"
    assert not (kept / "secrets/one").exists()
    assert "more than 1 MiB" in bayplan("config", "create", "big", stdin="x" * (1 << 20) + "y", code=2)
    assert "cannot be read" in bayplan("config", "create", "big", str(tmp_path / "gone"), code=2)


def test_one_that_others_may_read_is_refused(bayplan, kept):
    bayplan("secret", "create", "db-password", stdin="x")
    (kept / "secrets/db-password").chmod(0o640)
    assert "may be read by others than root" in bayplan("plan", code=2)
    bayplan.file.write_text(STACK.replace("db-password", "../x"))
    assert "is no name of a file in" in bayplan("plan", code=2)
    bayplan.file.write_text(STACK.split("    secrets", maxsplit=1)[0])
