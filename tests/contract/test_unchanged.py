"""An apply for which nothing has changed is known again without a plan; whatever has changed is planned."""

import os
import subprocess
import sys

import pytest

import engines

pytestmark = pytest.mark.host
STACK = f"""
services:
  web:
    image: {engines.IMAGE}
    command: [sleep, "600"]
    stop_grace_period: 0s
    environment: {{GREETING: "${{GREETING:-hello}}"}}
    env_file: [{{path: more.env, required: false}}]
    ports: ["18087:80"]
    networks: [net]
    secrets: [token]
networks: {{net: {{labels: {{told: "${{TOLD:-once}}"}}}}}}
secrets: {{token: {{environment: TOKEN}}}}
"""
NAME = "known-web-1"


class Shop:
    """A project's folder, and the command on it, within the network namespace of its engine."""

    def __init__(self, engine, folder):
        self.engine, self.folder = engine, folder / "shop"
        self.folder.mkdir()
        self.state = folder / "state"
        self.file = self.folder / "compose.yaml"
        self.file.write_text(STACK)
        self.variables = {"TOKEN": "planted-secret"}

    def call(self, verb, *arguments):
        """What it printed, and whether it made a plan: whether what makes one was loaded."""
        own = {"BAYPLAN_STATE_ROOT": str(self.state), "BAYPLAN_ENGINE": self.engine.name}
        argv = [sys.executable, "-X", "importtime", "-m", "bayplan", "-p", "known", "-H", self.engine.socket]
        done = subprocess.run(
            [*self.engine.enter, *argv, verb, *arguments],
            cwd=self.folder,
            env={**os.environ, **own, **self.variables},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout, "bayplan.reconcile.planner" in done.stderr


@pytest.fixture
def shop(engine_host, tmp_path):
    """The native core reads the kernel itself: it keeps no notes."""
    made = Shop(engine_host.engine, tmp_path)
    yield made
    made.call("destroy", "--volumes")


def edited(shop):
    shop.file.write_text(STACK.replace("GREETING:-hello", "GREETING:-hi"))


def with_an_override(shop):
    shop.folder.joinpath("compose.override.yaml").write_text("services: {web: {labels: {a: b}}}\n")


def with_a_file_of_variables(shop):
    shop.folder.joinpath("more.env").write_text("A=1\n")


def with_another_variable(shop):
    shop.variables["GREETING"] = "good day"


def with_another_secret(shop):
    shop.variables["TOKEN"] = "another-secret"


def stopped(shop):
    shop.engine.call("stop", "-t", "0", NAME)


def removed(shop):
    shop.engine.call("rm", "-f", NAME)


CHANGES = [edited, with_an_override, with_a_file_of_variables, with_another_variable, with_another_secret, stopped]


def test_it_is_known_again_and_every_change_is_noticed(shop):
    shop.call("apply")
    said, planned = shop.call("apply")
    again, planned_again = shop.call("apply")
    assert said == again
    assert said.startswith("Nothing to do: ")
    assert (planned, planned_again) == (False, False)
    (note,) = (shop.state / "unchanged").iterdir()
    assert (note.stat().st_mode & 0o777, note.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert b"planted" not in note.read_bytes()
    for change in [*CHANGES, removed]:
        change(shop)
        said, planned = shop.call("apply")
        assert planned, change.__name__
        assert "Nothing to do" not in said, change.__name__
        assert shop.call("apply")[1] is False, f"after {change.__name__}"


def test_what_is_recorded_here_alone_is_noticed(shop):
    """Labels of a network cannot be changed: what is declared of them by another apply, only our record knows."""
    shop.call("apply")
    assert shop.call("apply")[1] is False
    shop.variables["TOLD"] = "twice"
    shop.call("apply")
    del shop.variables["TOLD"]
    assert shop.call("apply")[1]


def test_what_an_image_is_built_of_is_noticed(shop):
    context = shop.folder / "web"
    (context / "pages").mkdir(parents=True)
    (context / "pages" / "index.html").write_text("one\n")
    (context / "Dockerfile").write_text(f"FROM {engines.IMAGE}\nCOPY pages /www\n")
    shop.file.write_text(STACK.replace(f"image: {engines.IMAGE}", "build: ./web"))
    shop.call("apply")
    shop.call("apply")
    assert shop.call("apply")[1] is False

    def edit():
        (context / "pages" / "index.html").write_text("two\n")

    def add():
        (context / "pages" / "more.html").write_text("more\n")

    def link():
        (context / "pages" / "more.html").unlink()
        (context / "pages" / "more.html").symlink_to("index.html")

    for change in (edit, add, link):
        change()
        said, planned = shop.call("apply")
        assert planned, change.__name__
        assert "Nothing to do" not in said, change.__name__
        assert shop.call("apply")[1] is False, f"after {change.__name__}"


def test_what_docker_hides_is_noticed_too(shop):
    if shop.engine.name != "docker":
        pytest.skip("rules and links of Podman are not looked at")
    shop.call("apply")
    bridge = "br-" + shop.engine.call("network", "inspect", "-f", "{{.Id}}", "known_net")[:12]
    for harm in (["ip", "link", "set", bridge, "down"], ["iptables", "-t", "nat", "-F", "DOCKER"]):
        assert shop.call("apply")[1] is False
        shop.engine.inside(*harm)
        said, planned = shop.call("apply")
        assert planned, harm
        assert "Nothing to do" not in said, harm


def test_what_is_printed_for_programs_is_planned_each_time(shop):
    shop.call("apply", "--json")
    assert shop.call("apply", "--json")[1] is True
    assert not (shop.state / "unchanged").exists()
