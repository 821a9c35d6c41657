"""Two cores as two environments, one of them behind a real sshd: what they declare and run is compared."""

import os
import shlex
import sys

import pytest

from sshd import MISSING, sshd

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(MISSING, reason="package openssh-server is not installed"),
]
ALLOW = """\
x-bayplan:
  parity:
    allow:
      - services.*.deploy.replicas
      - {path: services.web.environment.LEVEL, why: debug in dev}
"""


@pytest.fixture
def far(shop, prod):
    """The address of ``prod`` as a host, and the options by which it is reached."""
    words = {**prod, **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}}
    bridge = shlex.join(
        ["env", *(f"{name}={value}" for name, value in words.items()), sys.executable, "-m", "bayplan", "bridge"]
    )
    with sshd(shop.core.root / "ssh") as (address, path):
        yield address, ("--bridge", bridge), {"PATH": path}


def test_environments_are_compared_as_they_declare_and_as_they_run(shop, prod, far):
    address, bridge, path = far
    page, saved = shop.core.root / "page.html", shop.core.root / "dev.json"
    shop.write(ALLOW)
    shop("lock")
    shop("apply", "--locked")
    shop("parity", "--save", saved)
    shop("apply", "--locked", **prod, DB_PASSWORD="planted-too")
    targets = ("dev=here", f"prod={address}", f"kept={saved}", f"file={shop.directory}")

    # The same: the secret differs, and nobody can tell.
    found = shop("parity", *targets, *bridge, "--json", **path)
    assert found["differences"] == []
    assert found["same"] is True
    assert len(set(found["fingerprints"].values())) == 1

    # What may differ does, and what may not is told by service, field and environment.
    shop.write(ALLOW + "networks: {default: {internal: true}}\n", environment="LEVEL: debug, PORT: 80")
    shop("apply", "--locked", **prod, DB_PASSWORD="planted-too")
    found = shop("parity", *targets[:2], *bridge, "--json", code=5, **path)
    rows = {item["path"]: item for item in found["differences"]}
    assert rows["services.web.environment.LEVEL"]["allowed"] is True
    assert rows["services.web.environment.LEVEL"]["why"] == "debug in dev"
    assert rows["services.web.environment.PORT"]["values"] == {"dev": None, "prod": "80"}
    assert rows["networks.default.internal"]["allowed"] is False
    assert {item["side"] for item in rows.values()} == {"declared"}
    assert (found["unallowed"], found["same"]) == (2, False)

    # What runs otherwise is told though the declarations are equal; so is a lock that moved on in one of them alone.
    shop.write(ALLOW)
    shop.push("web", 2)
    shop("lock", "--upgrade", "web")
    shop("apply", "--locked", **prod, DB_PASSWORD="planted-too")
    shop("stop", "app", **prod)
    said = shop("parity", *targets[:2], *bridge, "--html", page, code=5, **path)
    assert "! services.app.state [running]\n    dev: running\n    prod: exited" in said
    assert "! services.web.image.digest\n    dev: sha256:" in said
    assert page.read_text().count("<html") == 1
    assert "exited" in page.read_text()
    everything = said + page.read_text() + saved.read_text() + str(found)
    assert "planted" not in everything
    assert "DB_PASSWORD" in saved.read_text()


def test_what_cannot_be_compared_is_said(shop, far):
    address, _, path = far
    assert "there is nothing of project shop" in shop("parity", code=2)
    assert "without an answer" in shop("parity", f"a={address}", f"b={address}", "--bridge", "exit 7", code=3, **path)
    assert "two environments are called 127.0.0.1" in shop("parity", address, address, code=2)
    assert "the report cannot be read" in shop("parity", "gone.json", code=2)
    assert "--save keeps the report of one" in shop(
        "parity", f"a={shop.directory}", f"b={shop.directory}", "--save", shop.core.root / "x", code=2
    )
