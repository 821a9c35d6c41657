"""Check mode foretells the apply field for field on the real core; what was taken away by hand is put back in place."""

import json
import os
import signal
import subprocess

import pytest

from bayplan.system.processes import find_by_argument
from faults.core import ask, small_core

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def core(tmp_path):
    with small_core(tmp_path, pool="10.218.0.0/16") as made:
        yield made


def steps(plan):
    return {step["resource"]["name"]: (step["action"], step["why"], step["fields"]) for step in plan["steps"]}


def apply_as_foretold(core, **variables):
    """Plan, apply; what was done is what the plan said, and there is nothing left to do. Gives the plan's steps."""
    planned = core.call("plan", "--json", **variables)
    done = core.call("apply", "--json", **variables)
    assert done["plan"]["steps"] == planned["steps"]
    assert sorted(done["done"]) == sorted(f"{i['resource']['kind']} {i['resource']['name']}" for i in planned["steps"])
    again = core.call("plan", "--json", **variables)
    assert again["steps"] == []
    assert again["noted"] == []
    return steps(planned)


def test_first_apply_and_edit_are_foretold_field_for_field(core):
    assert {action for action, _, _ in apply_as_foretold(core).values()} == {"create"}
    before = core.status()
    found = apply_as_foretold(core, GREETING="bonjour")
    assert list(found) == ["shop-api-1"]
    action, _, (field,) = found["shop-api-1"]
    assert action == "re-create"
    assert (field["path"], field["before"], field["after"]) == ("environment[GREETING]", "hello", "bonjour")
    assert ask(int(core.variables["PORT"])) == b"bonjour\n"
    after = core.status()
    assert {name for name in after if after[name]["id"] != before[name]["id"]} == {"shop-api-1"}


def test_an_edit_of_the_order_is_recorded_and_nothing_else_happens(core):
    core.call("apply")
    before = core.pids()
    core.file.write_text(core.file.read_text().replace("depends_on: [api]", "depends_on: [store]"))
    assert "Noted: container shop-web-1: depends_on; nothing changes on the host." in core.call("plan")
    done = core.call("apply", "--json")
    assert done["changed"] is False
    assert done["done"] == []
    assert core.pids() == before
    assert core.call("plan", "--json")["noted"] == []
    assert [item["service"] for item in _declared(core, "shop-web-1")["depends_on"]] == ["store"]


def _declared(core, name):
    return json.loads(core.query(f"SELECT declared FROM containers WHERE name = '{name}'")[0][0])


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True)


def bridge(core, network):
    return core.status()[network]["id"]


def veth(core, container, network):
    links = f"SELECT e.link FROM endpoints e JOIN containers c ON c.id = e.container_id WHERE c.name = '{container}'"
    return core.query(f"{links} AND e.network = '{network}'")[0][0]


def table_deleted(core):
    run("nft", "delete", "table", "inet", core.settings.nft_table)
    return {"shop_front", "shop_back", "shop-api-1"}


def rules_flushed(core):
    run("nft", "flush", "table", "inet", core.settings.nft_table)
    return {"shop_front", "shop_back"}


def port_closed(core):
    key = f"127.0.0.1 . tcp . {core.variables['PORT']}"
    run("nft", "delete", "element", "inet", core.settings.nft_table, "ports_address", f"{{ {key} }}")
    return {"shop-api-1"}


def bridge_deleted(core):
    run("ip", "link", "del", bridge(core, "shop_front"))
    return {"shop_front", "shop-api-1", "shop-web-1"}


def bridge_down(core):
    run("ip", "link", "set", bridge(core, "shop_back"), "down")
    return {"shop_back"}


def link_deleted(core):
    run("ip", "link", "del", veth(core, "shop-api-1", "shop_front"))
    return {"shop-api-1"}


def link_taken_off(core):
    run("ip", "link", "set", veth(core, "shop-api-1", "shop_front"), "nomaster")
    return {"shop-api-1"}


@pytest.mark.parametrize(
    "harm", [table_deleted, rules_flushed, port_closed, bridge_deleted, bridge_down, link_deleted, link_taken_off]
)
def test_what_was_taken_away_is_put_back_without_a_restart(core, harm):
    """Fault row 25."""
    port = int(core.variables["PORT"])
    core.call("apply")
    assert ask(port) == b"hello\n"
    before = core.pids()
    expected = harm(core)
    found = apply_as_foretold(core)
    assert set(found) == expected
    assert {action for action, _, _ in found.values()} == {"heal"}
    assert core.pids() == before
    assert ask(port) == b"hello\n"
    # And from one container to another, by name, over the network that was harmed.
    assert core.call("exec", "-T", "web", "sh", "-c", "nc api 7000 </dev/null") == "hello\n"


def test_an_edit_and_drift_at_once_are_one_apply(core):
    """A changed field and a lost part of the same weight: both are mended, none is left for the next run."""
    core.call("apply")
    key = f"127.0.0.1 . tcp . {core.variables['PORT']}"
    run("nft", "delete", "element", "inet", core.settings.nft_table, "ports_address", f"{{ {key} }}")
    edited = core.file.read_text().replace("    stop_grace_period: 50ms\n    depends_on: {", "    depends_on: {")
    core.file.write_text(edited)
    before = core.pids()
    found = apply_as_foretold(core)
    assert {name: action for name, (action, _, _) in found.items()} == {"shop-api-1": "update"}
    assert core.pids() == before
    assert ask(int(core.variables["PORT"])) == b"hello\n"


def test_a_container_without_its_monitor_is_started_again(core):
    """What it writes has no reader any more: a program that writes may end by it, or answer with errors."""
    core.call("apply")
    found = core.status()["shop-web-1"]
    for process in find_by_argument(f"--cid={found['id']}"):
        process.send(signal.SIGKILL)
        assert process.wait(5)
    assert core.status()["shop-web-1"]["pid"] == found["pid"]
    healed = apply_as_foretold(core)
    assert {name: action for name, (action, _, _) in healed.items()} == {"shop-web-1": "restart"}
    assert "its monitor is gone" in healed["shop-web-1"][1]
    assert core.status()["shop-web-1"]["pid"] != found["pid"]


def nft_set(core, verb, name, element, family="inet"):
    run("nft", verb, "element", family, core.settings.nft_table, name, f"{{ {element} }}")


def listing(core, chain):
    argv = ["nft", "-j", "list", "chain", "inet", core.settings.nft_table, chain]
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)["nftables"]


def tables(core):
    """Our two tables, as nft lists them."""
    listing = ["nft", "--handle", "--stateless", "list", "table"]
    shown = [
        subprocess.run([*listing, family, core.settings.nft_table], check=True, capture_output=True, text=True).stdout
        for family in ("inet", "bridge")
    ]
    return ["\n".join(line.split(" # handle")[0] for line in text.splitlines()) for text in shown]


def test_what_was_added_or_turned_from_outside_is_put_right_without_a_restart(core):
    """More than is declared is drift too: an internal network with a way out, a port that nobody published."""
    port = core.variables["PORT"]
    core.call("apply")
    before, held = core.pids(), tables(core)
    back, link = bridge(core, "shop_back"), veth(core, "shop-web-1", "shop_front")
    address = core.status()["shop-web-1"]["addresses"]["shop_front"]
    other = core.status()["shop-api-1"]["addresses"]["shop_front"]
    nft_set(core, "delete", "ports_address", f"127.0.0.1 . tcp . {port}")
    nft_set(core, "add", "ports_address", f"127.0.0.1 . tcp . {port} : {address} . 7000")
    nft_set(core, "add", "ports_any", f"tcp . {port} : {address} . 7000")
    nft_set(core, "add", "outgoing", back)
    nft_set(core, "add", "addresses", f"{link} . {other}", family="bridge")
    last = [item["rule"] for item in listing(core, "forward") if "rule" in item][-1]["handle"]
    chain = ("rule", "inet", core.settings.nft_table, "forward")
    run("nft", "delete", *chain, "handle", str(last))
    run("nft", "insert", *chain, "accept")  # as many as before
    run("sysctl", "-qw", f"net.ipv4.conf.{bridge(core, 'shop_front')}.route_localnet=0")
    run("ip", "link", "set", veth(core, "shop-api-1", "shop_back"), "down")
    found = apply_as_foretold(core)
    assert {action for action, _, _ in found.values()} == {"heal"}
    reasons = {name: why for name, (_, why, _) in found.items()}
    for name, said in (
        ("shop-api-1", f"port {port}/tcp leads elsewhere"),
        ("shop-api-1", "its link to network shop_back is down"),
        ("shop_front", f"port tcp . {port} leads to it, and nobody published that"),
        ("shop_front", "its firewall has rules that are not ours"),
        ("shop_front", "(route_localnet)"),
        ("shop_back", f"its firewall has {back} in outgoing"),
        ("shop-web-1", "its links may send under addresses that are not its own"),
    ):
        assert said in reasons[name]
    assert core.pids() == before
    assert tables(core) == held
    assert ask(int(port)) == b"hello\n"


def test_a_port_that_leads_elsewhere_stops_no_start(core):
    port = core.variables["PORT"]
    core.call("apply")
    address = core.status()["shop-web-1"]["addresses"]["shop_front"]
    core.call("stop", "api")
    run("nft", "flush", "map", "inet", core.settings.nft_table, "ports_address")
    nft_set(core, "add", "ports_address", f"127.0.0.1 . tcp . {port} : {address} . 7000")
    core.call("start", "api")
    assert ask(int(port)) == b"hello\n"
    assert apply_as_foretold(core) == {}
