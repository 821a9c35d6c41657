"""One desired and one observed state, asked in three ways: each wants the same fields changed in the same way.

``bayplan plan`` of a Compose file, a task of the Ansible module in check mode, and Diff of the provider.
"""

import json
import os
import subprocess
import sys

import pytest

from bayplan.models import Change
from bayplan.pulumi import names
from bayplan.pulumi.shapes import shapes
from plays import assemble, play, variables

pytestmark = pytest.mark.host
BASE = {
    "image": "lab/busybox",
    "command": ["sleep", "600"],
    "stop_grace_period": "100ms",
    "labels": {"tier": "one", "a.b": "kept"},
    "environment": {"MODE": "a"},
}
EDITS = {  # to the words of a Compose file, of the module, and of the provider
    "labels": ({"labels": {"tier": "two", "new": "1"}},) * 3,
    "environment": ({"environment": {"MODE": "b"}},) * 3,
    "command": ({"command": ["sleep", "601"]},) * 3,
    "user": ({"user": "1000"},) * 3,
    "ports": (
        {"ports": ["127.0.0.1:39791:80"]},
        {"ports": ["127.0.0.1:39792:80"]},
        {"ports": [{"hostIp": "127.0.0.1", "published": 39792, "target": 80}]},
    ),
    "memory": ({"mem_limit": "64m"}, {"resources": {"memory": "64m"}}, {"resources": {"memory": "64m"}}),
    "restart": ({"restart": "always"}, {"restart_policy": "always"}, {"restart": {"condition": "always"}}),
    "healthcheck": ({"healthcheck": {"test": ["CMD", "true"], "interval": "60s"}},) * 3,
    "several": (
        {"stop_grace_period": "200ms", "hostname": "other"},
        {"stop_grace_period": "200ms", "hostname": "other"},
        {"stopGracePeriod": "200ms", "hostname": "other"},
    ),
    "nothing": ({}, {}, {}),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    root = tmp_path_factory.mktemp("collections")
    assemble(root)
    return variables(root)


def test_plan_check_mode_and_preview_agree(pulumi, core, environment, tmp_path):
    asked = Asked(pulumi, core, environment, tmp_path)
    by_command, by_task, by_provider = asked.command(), asked.task(), asked.provider()
    assert by_task == by_command
    assert by_provider == by_command
    assert by_command["labels"] == {"labels": Change.IN_PLACE}
    assert by_command["several"] == {"stop_grace_period": Change.IN_PLACE, "hostname": Change.RECREATE}
    assert by_command["nothing"] == {}


class Asked:
    """The three of them. Each container is there as BASE says, and is to be as one edit says."""

    def __init__(self, pulumi, core, environment, directory):
        self.pulumi, self.core, self.environment, self.directory = pulumi, core, environment, directory

    def command(self):
        self._compose(0, "apply")
        plan = json.loads(self._compose(1, "plan", "--json"))
        return _verdicts(plan, "cli-")

    def task(self):
        states = self._made()
        assert states == {"running"}
        items = [{"name": f"one-{edit}", **_edited(edit, 1)} for edit in EDITS]
        results, _ = play(
            self.environment,
            self.directory,
            [("container", {"containers": items})],
            {name: value for name, value in self.core.values.items() if name != "engine"},
            arguments=["--check"],
        )
        return _verdicts(results[0]["plan"], "one-")

    def provider(self):
        found = {}
        shape = shapes()["bayplan:index:Container"]
        for edit in EDITS:
            olds = names.properties(shape.fields, {"name": f"one-{edit}", **BASE})
            news = {**olds, **_edited(edit, 2, own=True)}
            told = self.pulumi.diff("Container", f"one-{edit}", olds, olds, news)
            assert (told.changes == told.DIFF_SOME) == bool(EDITS[edit][2])
            replaced = set(told.replaces)
            fields = {top: names.fields(shape.fields, {top: None}) for top in told.diffs}
            found[edit] = {
                next(iter(fields[top])): Change.RECREATE if top in replaced else Change.IN_PLACE for top in told.diffs
            }
        return found

    def _made(self):
        from concurrent.futures import ThreadPoolExecutor

        shape = shapes()["bayplan:index:Container"]
        wanted = [names.properties(shape.fields, {"name": f"one-{edit}", **BASE}) for edit in EDITS]
        with ThreadPoolExecutor() as pool:
            return {state["state"] for _, state in pool.map(lambda one: self.pulumi.create("Container", one), wanted)}

    def _compose(self, edited, *verb):
        services = {edit: {"container_name": f"cli-{edit}", **(_edited(edit, 0) if edited else BASE)} for edit in EDITS}
        file = self.directory / "compose.yaml"
        file.write_text(json.dumps({"name": "verdict", "services": services}))
        settings = {f"BAYPLAN_{name.upper()}": str(value) for name, value in self.core.values.items()}
        done = subprocess.run(
            [sys.executable, "-m", "bayplan", "-f", file, *verb],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 4), done.stderr
        return done.stdout


def _edited(edit, words, own=False):
    given = EDITS[edit][words]
    if own:
        return given
    return {**BASE, **given}


def _verdicts(plan, prefix):
    """Edit to the fields of its container, each with the heaviest way of change of its parts."""
    found = {edit: {} for edit in EDITS}
    for step in plan["steps"]:
        name = step["resource"]["name"]
        if name.startswith(prefix) and step["resource"]["kind"] == "container":
            assert step["action"] in ("update", "re-create"), step
            for change in step["fields"]:
                field = change["path"].partition("[")[0]
                found[name.removeprefix(prefix)][field] = Change(change["how"])
    return found
