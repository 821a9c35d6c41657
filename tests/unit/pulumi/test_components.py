"""WebService and Environment: what they declare, by mocks."""

import pulumi
import pytest

from bayplan.models import Allowance
from bayplan.resolve import fingerprint
from bayplan.resolve.fingerprint import rule_for

DEFINITION = {
    "services": {
        "web": {"image": "lab/web:1", "environment": {"LEVEL": "info", "PRICE": "5$"}, "deploy": {"replicas": 1}},
        "db": {"image": "lab/db:1"},
    }
}
ALLOW = {"services.*.deploy.replicas": "", "services.web.environment.LEVEL": "debug where it is debugged"}
ENVIRONMENTS = {
    "dev": {"services": {"web": {"environment": {"LEVEL": "debug"}}}},
    "prod": {"services": {"web": {"deploy": {"replicas": 3}}}},
}


class Host(pulumi.runtime.Mocks):
    def __init__(self):
        self.stacks = {}

    def new_resource(self, args):
        if args.typ == "bayplan:index:Stack":
            self.stacks[args.name] = args.inputs
        ports = [{"hostIp": "0.0.0.0", "published": 8080, "target": 80, "protocol": "tcp"}]
        live = {"name": f"{args.name}-1", "state": "running", "boundPorts": ports}
        return f"{args.name}-id", {**args.inputs, "services": {args.name: {"containers": [live]}}}

    def call(self, args):
        return {}


@pytest.fixture
def host():
    made = Host()
    pulumi.runtime.set_mocks(made, stack="prod")
    return made


def test_a_web_service_is_replicas_behind_a_port(sdk, host):
    @pulumi.runtime.test
    def program():
        network = sdk.Network("front", name="front")
        made = sdk.WebService(
            "shop",
            image="lab/web:1",
            port=80,
            published=8080,
            replicas=3,
            command=["sh", "-c", "echo $HOME"],
            environment={"PRICE": pulumi.Output.from_input("5$")},
            networks=[network.name],
            health={"test": ["CMD", "true"], "start_period": "2s"},
            memory="64m",
            rollout=sdk.Rollout(parallelism=2),
        )
        return pulumi.Output.all(made.url, made.containers).apply(seen.extend)

    seen = []
    program()
    url, containers = seen
    assert url == "http://127.0.0.1:8080"
    assert containers[0]["name"] == "shop-1"
    definition = host.stacks["shop"]["definition"]
    assert definition["networks"] == {"n0": {"external": True, "name": "front"}}
    assert definition["services"]["shop"] == {
        "image": "lab/web:1",
        "command": ["sh", "-c", "echo $$HOME"],
        "environment": {"PRICE": "5$$"},
        "ports": [{"target": 80, "published": "8080"}],
        "healthcheck": {"test": ["CMD", "true"], "start_period": "2s"},
        "networks": ["n0"],
        "deploy": {
            "replicas": 3,
            "update_config": {
                "parallelism": 2,
                "order": "start-first",
                "delay": "0s",
                "monitor": "5s",
                "failure_action": "rollback",
            },
            "resources": {"limits": {"memory": "64m"}},
        },
    }


def test_a_health_check_that_is_none_is_refused(sdk, host):
    with pytest.raises(TypeError, match="health has no path; there are test"):
        sdk.WebService("shop", image="x", port=80, health={"path": "/"})


def test_an_environment_is_the_declaration_and_what_is_other_there(sdk, host):
    @pulumi.runtime.test
    def program():
        made = sdk.Environment("shop", definition=DEFINITION, environments=ENVIRONMENTS, allow=ALLOW)
        seen.extend(made.differences)

    seen = []
    program()
    assert host.stacks["shop"]["project"] == "shop-prod"
    definition = host.stacks["shop"]["definition"]
    web = definition["services"]["web"]
    assert web == {"image": "lab/web:1", "environment": {"LEVEL": "info", "PRICE": "5$$"}, "deploy": {"replicas": 3}}
    assert definition["x-bayplan"]["parity"]["allow"][1] == {
        "path": "services.web.environment.LEVEL",
        "why": "debug where it is debugged",
    }
    places = ["services.web.environment.LEVEL", "services.web.deploy.replicas"]
    assert [(one.environment, one.place) for one in seen] == list(zip(("dev", "prod"), places, strict=True))


def test_a_difference_that_nobody_meant_ends_the_program_everywhere(sdk, host):
    environments = {**ENVIRONMENTS, "dev": {"services": {"db": {"image": "lab/db:2"}, "extra": {"image": "x"}}}}
    with pytest.raises(pulumi.RunError) as refused:
        sdk.Environment("shop", definition=DEFINITION, environments=environments, allow=list(ALLOW))
    assert "dev: services.db.image\n  dev: services.extra.image" in str(refused.value)
    assert host.stacks == {}


def test_a_stack_that_is_no_environment_is_told_which_there_are(sdk, host):
    with pytest.raises(pulumi.RunError, match="there is no 'prod'; there are dev, staging"):
        sdk.Environment("shop", definition=DEFINITION, environments={"dev": {}, "staging": {}})


def test_a_rule_may_be_spelled_as_reports_do_it(sdk, host):
    @pulumi.runtime.test
    def program():
        limits = {"deploy": {"resources": {"limits": {"memory": "1g"}}}}
        environments = {"prod": {"services": {"web": limits, "db": {"mem_limit": "2g"}}}}
        made = sdk.Environment(
            "shop", definition=DEFINITION, environments=environments, allow=["services.*.resources.memory"]
        )
        seen.extend(one.rule for one in made.differences)

    seen = []
    program()
    assert seen == ["services.*.resources.memory"] * 2


@pytest.mark.parametrize(
    ("rule", "place", "reported", "is_covered"),
    [
        ("services.web", "services.web.image", None, True),
        ("services.*.image", "services.web.image", None, True),
        ("services.*.image", "services.web.build.image", None, False),
        ("services.w", "services.web", None, False),
        ("services.web.image", "services.web", None, False),
        ("services.**.image", "services.web.image", None, True),
        ("services.**.image", "services.image", None, False),
        ("**.image", "services.web.image", None, True),
        ("**.image", "image", None, False),
        ("services.web-*.image", "services.web-blue.image", None, True),
        ("services.web-*.image", "services.web-.image", None, False),
        ("services.*.labels.*", "services.web.labels.com.example.tier", None, True),
        ("services.*.labels.com.example", "services.web.labels.com.example.tier", None, True),
        ("services.web.labels.*.tier", "services.web.labels.com.example.tier", None, False),
        ("services.web.mem_limit", "services.web.mem_limit", "services.web.resources.memory", True),
        ("services.*.cpus", "services.web.deploy.resources.limits.cpus", "services.web.resources.cpus", True),
        (
            "services.*.deploy.resources.limits.*",
            "services.web.mem_limit",
            "services.web.resources.memory",
            True,
        ),
        ("services.*.resources", "services.web.cpus", "services.web.resources.cpus", True),
        ("services.*.deploy", "services.web.cpus", "services.web.resources.cpus", False),
        ("services.web.mounts", "services.web.volumes", "services.web.volumes./data", True),
        ("networks.mounts", "networks.mounts.internal", None, True),
    ],
)
def test_rules_cover_what_they_cover_on_the_hosts(sdk, rule, place, reported, is_covered):
    from pulumi_bayplan.components.rules import covers

    assert covers(rule, place) is is_covered
    assert bool(rule_for(reported or place, [Allowance(path=rule)])) is is_covered


def test_spellings_are_those_of_the_hosts(sdk):
    from pulumi_bayplan.components.rules import ALIASES

    assert ALIASES == fingerprint._ALIASES
