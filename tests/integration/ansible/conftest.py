"""Plays on the real core, each test with a core of its own; results come back as a program reads them."""

import secrets
import shutil
from pathlib import Path

import pytest
import testinfra

from bayplan.engines import open_runtime
from bayplan.models import Kind, ResourceId, Settings
from bayplan.system import cgroups
from integration.core.test_stack import add_busybox
from plays import assemble, play, variables


@pytest.fixture(scope="session")
def collections(tmp_path_factory):
    root = tmp_path_factory.mktemp("collections")
    assemble(root)
    return root


@pytest.fixture(scope="session")
def environment(collections):
    return variables(collections)


@pytest.fixture
def host():
    return testinfra.get_host("local://")


class Core:
    """One core, and plays on it."""

    def __init__(self, environment, directory):
        self.tag = secrets.token_hex(2)
        self.environment, self.directory = environment, directory
        self.state, self.run = Path(f"/var/lib/bayplan-tests/{self.tag}"), Path(f"/run/bayplan-tests/{self.tag}")
        self.settings = {
            "state_root": str(self.state),
            "run_root": str(self.run),
            "address_pool": "10.211.0.0/16",
            "interface_prefix": f"a{self.tag[:3]}",
            "nft_table": f"bayplan_test_{self.tag}",
            "cgroup_parent": f"/bayplan-test-{self.tag}",
        }
        self.core = Settings(**self.settings)  # the fixture nothing_left looks for what it names
        self.output = ""

    def play(self, *tasks, arguments=(), code=0, **keywords):
        """Run (module, options[, keywords of the task]) and give each task's result, of failed ones as well."""
        results, self.output = play(
            self.environment, self.directory, tasks, self.settings, arguments=arguments, code=code, **keywords
        )
        return results

    def one(self, module, /, check=False, **options):
        """The result of one task."""
        return self.play((module, options), arguments=["--check"] if check else [])[0]

    def both(self, module, /, **options):
        """One task in check mode, then for real: the check has foretold it. A third time nothing changes."""
        checked, done, again = self.play((module, options, {"check_mode": True}), (module, options), (module, options))
        assert not done.get("failed"), done
        for key in ("changed", "diff"):
            assert checked[key] == done[key], self.output
        assert steps(checked) == steps(done)
        assert checked["result"] is None
        assert (again["changed"], steps(again), again["result"]["done"]) == (False, [], [])
        return done


def steps(result):
    """What a plan does, without what differs from one host state to the next."""
    return [(item["action"], item["resource"]["name"], item["fields"]) for item in result["plan"]["steps"]]


@pytest.fixture
def core(environment, tmp_path):
    made = Core(environment, tmp_path)
    add_busybox(made.state / "images")
    yield made
    with open_runtime(made.core) as runtime, runtime.lock("end of a test"):
        for kind in (Kind.CONTAINER, Kind.NETWORK, Kind.VOLUME):
            for row in runtime.database.query(f"SELECT name FROM {kind.value}s"):
                runtime.delete(ResourceId(kind=kind, name=row["name"]))
    cgroups.remove(made.settings["cgroup_parent"])
    shutil.rmtree(made.state, ignore_errors=True)
    shutil.rmtree(made.run, ignore_errors=True)
