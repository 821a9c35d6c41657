"""The life of resources: preview, up, nothing to do, drift, in place, replacement, import, failures, destroy."""

import os
import signal

import pytest

from bayplan.models import Container, Duration, Image, Kind, ResourceId

pytestmark = pytest.mark.host
SLEEP = 'command=["sleep", "1000"], stop_grace_period="0s"'
FLEET = """
front = bayplan.Network("front", subnet="10.204.77.0/24")
data = bayplan.Volume("data")
web = bayplan.Container("web", image="lab/busybox", networks=[{{"network": front.name, "aliases": ["www"]}}],
    mounts=[{{"type": "volume", "source": data.name, "target": "/data"}}], labels={{"tier": "{tier}"}},
    environment={{"WORD": "{word}"}}, restart={{"condition": "{restart}"}}, {rest})
pulumi.export("name", web.name)
pulumi.export("address", web.addresses)
pulumi.export("subnets", front.subnets)
"""


def fleet(**given):
    return FLEET.format(**{"tier": "one", "word": "one", "restart": "no", "rest": SLEEP, **given})


def test_from_nothing_through_drift_and_changes_to_nothing(ship, host):
    engine = ship(fleet())
    shown = engine.preview()
    assert shown.changes == {"front": ["create"], "data": ["create"], "web": ["create"]}, shown
    assert host.containers() == {}

    made = engine.up()
    assert made.changes == shown.changes, made
    name = made.outputs["name"]
    assert made.outputs["subnets"] == ["10.204.77.0/24"]
    (address,) = made.outputs["address"].values()
    there = host.containers()[name]
    assert there.status.addresses == made.outputs["address"]
    assert address.startswith("10.204.77.")
    assert there.actual.labels["tier"] == "one"

    assert engine.up().changes == {}

    # Drift: the process is killed, and its label is another one than the program's.
    os.kill(there.status.pid, signal.SIGKILL)
    assert engine.refresh().ok
    assert engine.resources()["web"].outputs["state"] == "exited"
    assert engine.preview().changes == {"web": ["update"]}
    assert engine.up().changes == {"web": ["update"]}
    healed = host.containers()[name]
    assert healed.status.state == "running"
    assert healed.handle == there.handle
    assert engine.up().changes == {}

    # In place: the same container, with other labels and another policy.
    engine = ship(fleet(tier="two", restart="always"))
    shown = engine.preview()
    assert shown.changes == {"web": ["update"]}
    assert shown.diffs["web"] == {"labels.tier": "update", "restart.condition": "update"}
    assert engine.up().changes == {"web": ["update"]}
    changed = host.containers()[name]
    assert (changed.handle, changed.actual.labels["tier"]) == (there.handle, "two")
    assert changed.actual.restart.condition == "always"

    # A replacement: the name was made for it, so the successor is there before the other one goes.
    engine = ship(fleet(tier="two", restart="always", word="two"))
    shown = engine.preview()
    assert set(shown.changes["web"]) == {"create-replacement", "delete-replaced"}
    assert shown.diffs["web"] == {"environment.WORD": "update-replace"}
    replaced = engine.up()
    assert replaced.changes["web"] == ["create-replacement", "delete-replaced"]
    (successor,) = host.containers()
    assert successor not in (name, "web")
    assert engine.up().changes == {}

    gone = engine.destroy()
    assert gone.ok
    assert sorted(gone.changes) == ["data", "front", "web"]
    assert gone.before(("delete", "web"), ("delete", "front"))
    assert host.containers() == {}
    with host.runtime() as runtime:
        assert not [one for one, _ in runtime.networks_there() if one.id.name != "bridge"]
        assert list(runtime.volumes_there()) == []


def test_a_fixed_name_or_host_port_is_free_before_its_successor_takes_it(ship, host):
    program = f"""
        bayplan.Container("fixed", name="fixed", image="lab/busybox", working_dir="{{0}}", {SLEEP})
        bayplan.Container("open", image="lab/busybox", working_dir="{{0}}",
            ports=[{{{{"target": 80, "published": 18480, "host_ip": "127.0.0.1"}}}}], {SLEEP})
    """
    assert ship(program.format("/")).up().ok
    engine = ship(program.format("/bin"))
    done = engine.up()
    assert done.ok
    assert done.changes == {name: ["delete-replaced", "create-replacement"] for name in ("fixed", "open")}
    assert engine.resources()["open"].outputs["boundPorts"] == [
        {"hostIp": "127.0.0.1", "published": 18480, "target": 80, "protocol": "tcp"}
    ]
    assert {item.actual.working_dir for item in host.containers().values()} == {"/bin"}
    assert engine.up().changes == {}


def test_what_was_taken_away_by_hand_is_made_again(ship, host):
    engine = ship(f"""
        net = bayplan.Network("net", name="handmade")
        bayplan.Container("web", name="lost", image="lab/busybox", networks=[{{"network": net.name}}], {SLEEP})
    """)
    assert engine.up().ok
    with host.runtime() as runtime:
        runtime.delete(ResourceId(kind=Kind.CONTAINER, name="lost"))
    assert engine.refresh().ok
    assert "web" not in engine.resources()
    assert engine.up().changes == {"web": ["create"]}
    assert host.containers()["lost"].status.state == "running"
    # What is gone already is no error to delete.
    with host.runtime() as runtime:
        runtime.delete(ResourceId(kind=Kind.CONTAINER, name="lost"))
    assert engine.destroy().ok
    assert host.containers() == {}


def test_import_takes_over_what_is_there(ship, host):
    program = f"""
        bayplan.Container("old", name="old", image="lab/busybox", labels={{{{"a.b": "c"}}}}, {SLEEP}{{0}})
    """
    first = ship(program.format(""))
    assert first.up().ok
    handle = host.containers()["old"].handle
    id_ = first.resources()["old"].id
    first.state_forgets("old")
    inputs = first.import_("bayplan:index:Container", "old", id_)
    assert inputs["name"] == "old"
    assert inputs["labels"] == {"a.b": "c"}
    again = first.up()
    assert again.changes == {}, again
    first.state_forgets("old")
    done = ship(program.format(f', opts=pulumi.ResourceOptions(import_="{id_}")')).up()
    assert done.ok, done
    assert done.changes == {"old": ["import"]}
    assert host.containers()["old"].handle == handle


def test_a_failure_in_the_middle_leaves_a_state_from_which_it_goes_on(ship, host):
    program = f"""
        net = bayplan.Network("net", name="middle")
        first = bayplan.Container("first", image="lab/busybox", networks=[{{{{"network": net.name}}}}], {SLEEP})
        second = bayplan.Container("second", name="second", image="lab/busybox", command=[{{0}}],
            stop_grace_period="0s", wait="completed", wait_timeout="20s",
            opts=pulumi.ResourceOptions(depends_on=[first]))
        third = bayplan.Container("third", image="lab/busybox",
            opts=pulumi.ResourceOptions(depends_on=[second]), {SLEEP})
    """
    failed = ship(program.format('"sh", "-c", "echo broken; exit 3"')).up()
    assert not failed.ok
    assert any("second" in error and "3" in error for error in failed.errors), failed.errors
    assert sorted(failed.changes) == ["first", "net", "second"]
    # What was made is known, so that nothing is orphaned.
    assert "second" in host.containers()
    engine = ship(program.format('"true"'))
    assert sorted(engine.resources().keys() & {"first", "second", "third"}) == ["first", "second"]
    done = engine.up()
    assert done.ok, done.errors
    assert done.changes["third"] == ["create"]
    assert "first" not in done.changes
    again = engine.up()
    assert again.changes == {}, again


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('bayplan.Container("a", image="lab/busybox", ports=[{"target": 99999}])', ("ports[0].target", "65535")),
        (
            'bayplan.Container("a", image="lab/busybox", network_mode="host", networks=[{"network": "x"}])',
            ("network_mode and networks exclude each other",),
        ),
        ('bayplan.Container("a", image="lab/absent", pull="never")', ("lab/absent",)),
        ('bayplan.Container("a", image="lab/busybox", mounts=[{"type": "bind", "source": "srv", "target": "/x"}])',
         ("mounts[0].source", "absolute")),
        ('bayplan.Secret("a")', ("content",)),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_place(ship, host, text, words):
    engine = ship(text)
    # Whether an image can be had is only known once it is wanted.
    done = engine.up() if "absent" in text else engine.preview()
    assert not done.ok, done
    assert all(word in "\n".join(done.errors) for word in words), done.errors
    assert host.containers() == {}


def test_secrets_are_plain_nowhere(ship, host, tmp_path):
    program = f"""
        token = pulumi.Config().require_secret("token")
        kept = bayplan.Secret("token", name="token", content=token)
        read = pulumi.Output.concat("read:", token)
        web = bayplan.Container("web", name="web", image="lab/busybox", environment={{"API_TOKEN": token}},
            secrets=[{{"source": kept.name, "mode": 0o400}}], {SLEEP})
        pulumi.export("hidden", web.environment)
    """
    engine = ship(program)
    engine.secret_config["ship:token"] = "hush-hush-1"
    shown = engine.preview()
    made = engine.up()
    assert made.ok, made.errors
    with host.runtime() as runtime:
        found = runtime.exec("web", ["sh", "-c", "cat /run/secrets/token; echo /$API_TOKEN"]).stdout
    assert found.decode() == "hush-hush-1/hush-hush-1\n"
    engine.secret_config["ship:token"] = "hush-hush-2"
    changed = engine.up()
    assert changed.ok, changed.errors
    assert "token" in changed.changes
    with host.runtime() as runtime:
        found = runtime.exec("web", ["sh", "-c", "cat /run/secrets/token; echo /$API_TOKEN"]).stdout
    assert found.decode() == "hush-hush-2/hush-hush-2\n"
    assert engine.up().changes == {}
    told = shown.log + made.log + changed.log
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in files}
    assert "hush-hush" not in told
    assert [name for name, text in texts.items() if b"hush-hush" in text] == []


def test_what_is_there_can_be_looked_at(ship, host):
    with host.runtime() as runtime:
        runtime.create(Container(name="seen", image="lab/busybox", command=("sh", "-c", "echo one; echo two"),
            network_mode="none"), project="", digest=runtime.resolve(Image(name="lab/busybox")).digest)  # fmt: skip
        runtime.start("seen")
        runtime.wait("seen", "service_completed_successfully", Duration(seconds=20))
    engine = ship("""
        seen = bayplan.Container.get("seen", "seen")
        net = bayplan.Network("net", subnet="10.204.78.0/24")
        pulumi.export("command", seen.command)
        pulumi.export("state", bayplan.get_container(name="seen").state)
        pulumi.export("lines", bayplan.get_logs(container="seen", tail=1).text)
        pulumi.export("subnets", bayplan.get_network_output(name=net.name).subnets)
        pulumi.export("here", bayplan.get_image_digest(name="lab/busybox", pull="never").present)
        plan = bayplan.get_plan(project="new", definition={"services": {"a": {"image": "lab/busybox"}}})
        pulumi.export("steps", [step.resource for step in plan.steps])
    """)
    done = engine.up()
    assert done.ok, done.errors
    assert done.changes == {"net": ["create"]}
    assert done.outputs == {
        "command": ["sh", "-c", "echo one; echo two"],
        "state": "exited",
        "lines": "two",
        "subnets": ["10.204.78.0/24"],
        "here": True,
        "steps": ["network new_default", "container new-a-1"],
    }
    assert engine.destroy().ok
    assert list(host.containers()) == ["seen"]


def test_a_host_that_is_not_known_yet_is_asked_when_it_is(ship, host):
    """Its address comes of a resource: nothing can be planned there before, and everything is made after."""
    engine = ship(f"""
        first = bayplan.Network("first")
        late = bayplan.Provider("late", host=first.network_id.apply(lambda _: "local"), **{host.arguments!r})
        web = bayplan.Container("web", image="lab/busybox", opts=pulumi.ResourceOptions(provider=late), {SLEEP})
        pulumi.export("state", web.state)
    """)
    shown = engine.preview()
    assert shown.ok, shown.errors
    assert "first" in shown.changes
    made = engine.up()
    assert made.ok, made.errors
    assert made.outputs["state"] == "running"
    assert engine.up().changes == {}
    assert engine.destroy().ok
    assert host.containers() == {}
