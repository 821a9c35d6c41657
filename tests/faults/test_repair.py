"""Records that are torn, lost or of a newer version: told, touched by nothing, and made anew by ``bayplan repair``."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bayplan.record.generations import Generations
from bayplan.record.journal import Journal
from faults.core import ask

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
RECORD, JOURNAL = "state.db", "record.db"


def settled(core, name):
    """The record file with all that is in its write-ahead log, which nobody holds."""
    if name == RECORD:
        core.stop_supervisor()
    path = core.settings.state_root / name
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


def deleted(path):
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path):
    data = path.read_bytes()
    middle = len(data) // 2 // 4096 * 4096
    path.write_bytes(data[:middle] + b"\x5a" * 4096 + data[middle + 4096 :])


def newer(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


DAMAGES = [deleted, truncated, garbage, newer]


def goes_on(core, before):
    """What runs is what ran, and the plan of the unchanged declaration needs no more than a change in place."""
    planned = core.call("apply", "--json")
    assert {step["action"] for step in planned["plan"]["steps"]} <= {"heal", "update"}
    assert planned["failed"] == []
    assert core.pids() == before
    assert core.call("plan", "--json")["steps"] == []
    assert ask(int(core.variables["PORT"])) == b"hello\n"


def test_the_record_of_the_core_comes_back_from_cards_alone(up):
    """Its copy is lost too: what it was made of is beside each thing."""
    up.call("exec", "-T", "store", "sh", "-c", "echo kept > /data/mine")
    before = up.pids()
    for damage in DAMAGES:
        path = settled(up, RECORD)
        damage(path)
        path.with_suffix(".copy").unlink()
        damaged = path.read_bytes() if path.exists() else None
        for verb in ("plan", "apply", "destroy") if damage is garbage else ("destroy",):
            said = up.call(verb, code=2 if damage is newer else 1)
            assert said.count("bayplan repair") == 1, said
            assert "Traceback" not in said
        (record, journal) = up.call("repair", "--json")
        assert f"container shop-api-1: runs as process {before['shop-api-1']}" in record["found"]
        assert {"network shop_front", "network shop_back", "volume shop_data"} <= set(record["found"])
        assert (record["missing"], journal["fault"]) == ([], "")
        assert damaged is None or Path(record["aside"]).read_bytes() == damaged
        goes_on(up, before)
    assert up.call("exec", "-T", "store", "cat", "/data/mine") == "kept\n"
    assert up.call("repair") == "Nothing is damaged.\n"
    up.call("apply", GREETING="bonjour")
    assert ask(int(up.variables["PORT"])) == b"bonjour\n"


def test_what_changed_since_the_copy_was_kept_is_not_lost(up):
    """A declaration of the same length leaves the copy as it was."""
    up.file.write_text(up.file.read_text().replace("stop_grace_period: 50ms", "stop_grace_period: 70ms"))
    up.call("apply")
    before = up.pids()
    garbage(settled(up, RECORD))
    up.call("repair")
    assert up.call("plan", "--json")["counts"].keys() <= {"heal"}
    goes_on(up, before)


def test_a_card_that_is_lost_too_is_told_and_its_container_runs_on(up):
    before, handle = up.pids(), up.status()["shop-web-1"]["id"]
    path = settled(up, RECORD)
    card = path.parent / f"containers/{handle}/card.json"
    held = card.read_bytes()
    for file in (path, path.with_suffix(".copy"), card):
        file.unlink()
    said = up.call("repair", code=1)
    assert f"not found  directory {path.parent}/containers/{handle}: what it is of cannot be told" in said
    assert up.pids() == {name: pid for name, pid in before.items() if name != "shop-web-1"}
    assert Path(f"/proc/{before['shop-web-1']}").is_dir()
    card.write_bytes(held)  # somebody has it in a backup
    up.call("repair")
    goes_on(up, before)


def test_the_journal_comes_back_with_what_can_be_read(up):
    up.call("apply", GREETING="bonjour")
    before = up.pids()
    for damage in DAMAGES:
        path = settled(up, JOURNAL)
        damage(path)
        if damage is not deleted:
            said = up.call("apply", code=2 if damage is newer else 1, GREETING="ciao")
            assert said.count("bayplan repair") == 1, said
        (record, journal) = up.call("repair", "--json")
        assert (record["fault"], bool(journal["fault"])) == ("", True)
        assert up.pids() == before
        assert up.call("plan", "--json", GREETING="bonjour")["counts"].keys() <= {"heal"}
        if damage is newer:
            assert "generation 1 of shop" in journal["found"], "nothing of it was torn"
        assert "No drift" in up.call("drift", GREETING="bonjour")
    up.call("apply", GREETING="ciao")
    assert ask(int(up.variables["PORT"])) == b"ciao\n"


def test_a_heal_after_a_repair_does_not_go_back_to_a_generation_before_the_last(up):
    """The newest is what a torn page at the end of the file takes."""
    up.call("apply", GREETING="bonjour")
    before, path = up.pids(), settled(up, JOURNAL)
    for kept in (1, 0):  # the last is lost; none is lost any more
        if kept:
            with closing(sqlite3.connect(path)) as held, held:
                held.execute("DELETE FROM generations WHERE number = 2")
        newer(path)
        (_, journal) = up.call("repair", "--json")
        assert ("project shop as it is now, kept as generation 2" in journal["found"]) is bool(kept)
        assert "Nothing to do" in up.call("drift", "--heal", GREETING="bonjour")
        settled(up, JOURNAL)
    assert up.pids() == before
    assert ask(int(up.variables["PORT"])) == b"bonjour\n"
    assert [one["number"] for one in up.call("history", "--json")] == [2, 1]


def test_what_others_have_is_external_in_a_generation_that_is_made_anew(core):
    """A network of another project is recorded of that one alone: it is none that a generation lacks."""
    text = core.file.read_text()
    outer = text.partition("services:")[0].replace("shop", "outer") + (
        "services: {one: {image: lab/busybox, command: [sleep, '600'], networks: [front], stop_grace_period: 50ms}}\n"
        "networks: {front: {name: outside}}\n"
    )
    core.file.write_text(outer)
    core.call("apply")
    core.file.write_text(text.replace("front: {}", "front: {external: true, name: outside}"))
    core.call("apply")
    newer(settled(core, JOURNAL))
    (_, journal) = core.call("repair", "--json")
    assert [line for line in journal["found"] if "as it is now" in line] == []
    assert [one["number"] for one in core.call("history", "--json")] == [1]
    path = settled(core, JOURNAL)
    with closing(sqlite3.connect(path)) as held, held:
        held.execute("DELETE FROM generations WHERE project = 'shop'")
    newer(path)
    core.call("repair")
    journal = Journal(path, to_read=True)
    made = Generations(journal).last("shop").stack
    journal.close()
    assert [one.name for one in made.networks if one.external] == ["outside"]
    assert "No drift" in core.call("drift")
    core.call("rm", "-f", "web")
    core.call("drift", "--heal")
    assert ask(int(core.variables["PORT"])) == b"hello\n"
    core.call("apply")
    assert [one["number"] for one in core.call("history", "--json")] == [1]
    core.call("destroy", "--volumes")
    core.file.write_text(outer)
    core.call("destroy")
