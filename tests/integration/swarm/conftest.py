"""A swarm of three hosts for all tests of this room, made by us; a stack's name for each test, removed after it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from bayplan import app
from bayplan.load.compose import load_text
from bayplan.models.swarm import SwarmNode, SwarmStack
from bayplan.runtime.swarm.runtime import SwarmRuntime
from integration.swarm.recovery import bring_back
from swarm import Node, add_busybox, hosts

NEEDED = ("dockerd", "docker", "docker-registry", "iptables", "ip", "ss")

PART = (
    "test_a_deployed_stack_is_taken_over_without_starting_a_task_anew",
    "test_virtual_addresses_and_ingress_are_refused_where_the_kernel_has_no_ipvs",
    "test_a_stack_is_applied_shown_and_removed",
    "test_a_node_is_killed_and_comes_back",
    "test_a_fresh_stack_leaves_an_empty_plan_and_answers",
    "test_every_option_is_read_back_as_it_was_written",
)
"""What `./run test` has of this room; the whole takes some ten minutes: `./run swarm`."""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents and item.originalname not in PART:
            item.add_marker(pytest.mark.fleet)


@dataclass
class Swarm:
    """Three hosts, the first of them the manager that is asked; ``image`` is a repository with the tags 1 and 2."""

    hosts: list[Node]
    image: str

    def __post_init__(self):
        self.settings = self.hosts[0].settings()
        self.runtime = SwarmRuntime(self.settings)

    def reopen(self):
        """Ask its manager anew: it is in another swarm now."""
        self.runtime.close()
        self.runtime = SwarmRuntime(self.settings)

    def declared(self, **changes):
        """The nodes as a declaration; ``changes`` are fields by the node's name."""
        nodes = [
            SwarmNode(
                **{
                    "name": host.name,
                    "address": host.place,
                    "advertise": host.address,
                    "role": "manager" if host is self.hosts[0] else "worker",
                    **changes.get(host.name, {}),
                }
            )
            for host in self.hosts
        ]
        return SwarmStack(name="", nodes=tuple(nodes))

    def stack(self, text, name, **environment):
        """A Compose file for this swarm; ``IMAGE`` in it is the repository."""
        return load_text(
            text.replace("IMAGE", self.image),
            label="compose.yaml",
            project_directory=Path("/"),
            project_name=name,
            environment=environment,
            settings=self.settings,
        )

    def plan(self, stack, absent=()):
        """What would be done."""
        if stack.name:
            return app.plan(stack, self.runtime, absent=absent)
        return app.plan_single(stack, self.runtime, absent=absent)

    def apply(self, stack, absent=()):
        """Do it; the plan that was carried out."""
        plan, outcome = app.converge(lambda: self.plan(stack, absent), self.runtime, self.settings)
        outcome.raise_failure()
        return plan

    def destroy(self, name):
        """Remove a project."""
        app.apply(app.plan_destroy(name, self.runtime), self.runtime, self.settings).raise_failure()


@pytest.fixture(scope="session")
def three_hosts():
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing or NEEDED)}")
    with hosts(3) as found:
        registry = found[0].switch.serve(found[0].root)
        for tag in ("1", "2"):
            add_busybox(found[0], f"{registry}/lab/busybox:{tag}", marker=tag)
            found[0].docker("push", "-q", f"{registry}/lab/busybox:{tag}")
        yield found, f"{registry}/lab/busybox"


@pytest.fixture(scope="session")
def whole_swarm(three_hosts):
    found, image = three_hosts
    swarm = Swarm(found, image)
    yield swarm
    swarm.runtime.close()


@pytest.fixture
def swarm(whole_swarm):
    """The three nodes as they were first declared, whatever the test before has left."""
    bring_back(whole_swarm)
    return whole_swarm


@pytest.fixture
def name(swarm, request):
    """A project of the test's own, gone afterwards."""
    made = "t" + request.node.name.removeprefix("test_").replace("_", "")[:20]
    yield made
    swarm.destroy(made)
