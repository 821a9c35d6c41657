import json
import threading

import pytest

from bayplan.models import Settings
from bayplan.runtime.native.networks.names import Names
from bayplan.runtime.native.state import Database


@pytest.fixture
def core(tmp_path):
    settings = Settings(state_root=tmp_path / "state", run_root=tmp_path / "run")
    database = Database(settings.state_root / "state.db")
    with database.transaction() as tx:
        for number, name in enumerate(("front", "back")):
            row = (name, "p", "{}", f"10.9.{number}.0/24", f"10.9.{number}.1", f"br{number}", "now")
            tx.execute("INSERT INTO networks VALUES (?, ?, ?, ?, ?, ?, ?, '', '', 0)", row)
        add(
            tx,
            settings,
            "web",
            {"front": "10.9.0.2", "back": "10.9.1.2"},
            extra={"box": "host-gateway", "x": "1.2.3.4"},
        )
        add(tx, settings, "store", {"back": "10.9.1.3"})
        add(tx, settings, "far", {"front": "10.9.0.9"})
    yield settings, database, Names(settings, database)
    database.close()


def add(tx, settings, service, places, extra=None):
    tx.execute(
        "INSERT INTO containers (id, name, project, service, declared, image_digest, phase, created_at)"
        " VALUES (?, ?, 'p', ?, ?, 'sha256:0', 'created', 'now')",
        (service, f"p-{service}-1", service, json.dumps({"extra_hosts": extra or {}})),
    )
    for position, (network, address) in enumerate(places.items()):
        row = (service, network, position, address, "mac", f"{service}{position}", json.dumps([service, "also"]))
        tx.execute("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, '', '', '')", row)
    hosts = settings.run_root / "containers" / service / "hosts"
    hosts.parent.mkdir(parents=True)
    hosts.write_text("127.0.0.1\tlocalhost\n")


def hosts_of(settings, container):
    return (settings.run_root / "containers" / container / "hosts").read_text()


def test_a_container_is_told_of_members_of_its_own_networks_only(core):
    settings, _, names = core
    names.write("web")
    names.write("store")
    own, mark, *peers = hosts_of(settings, "store").splitlines()
    assert (own, mark) == ("127.0.0.1\tlocalhost", "# peers")
    assert sorted(peers) == ["10.9.1.2\tweb p-web-1 also", "10.9.1.3\tstore p-store-1 also"]
    assert "10.9.0.9\tfar p-far-1 also\n" in hosts_of(settings, "web")
    assert "far" not in hosts_of(settings, "store")
    assert hosts_of(settings, "far") == "127.0.0.1\tlocalhost\n"


def test_declared_lines_are_added_and_host_gateway_is_the_first_network_s(core):
    settings, _, names = core
    names.write("web")
    assert hosts_of(settings, "web").endswith("10.9.0.1\tbox\n1.2.3.4\tx\n")


def test_a_peer_that_left_is_gone_from_the_same_file(core):
    settings, database, names = core
    names.write("store")
    path = settings.run_root / "containers" / "store" / "hosts"
    inode = path.stat().st_ino
    with database.transaction() as tx:
        tx.execute("DELETE FROM endpoints WHERE container_id = 'web'")
    names.write("store")
    assert path.read_text() == "127.0.0.1\tlocalhost\n# peers\n10.9.1.3\tstore p-store-1 also\n"
    assert path.stat().st_ino == inode


def test_a_container_without_files_is_passed_and_a_link_is_not_followed(core):
    settings, _, names = core
    names.write("nobody")
    path, decoy = settings.run_root / "containers" / "store" / "hosts", settings.run_root / "decoy"
    decoy.write_text("untouched")
    path.unlink()
    path.symlink_to(decoy)
    with pytest.raises(OSError, match="symbolic links"):
        names.write("store")
    assert decoy.read_text() == "untouched"


def test_many_changes_reach_those_that_run_together_and_none_is_lost(core):
    settings, database, names = core
    names.changed()
    with database.transaction() as tx:
        tx.execute("DELETE FROM endpoints WHERE container_id = 'far'")
    names.changed()
    assert "peers" not in hosts_of(settings, "web")
    names.close()
    assert "store" in hosts_of(settings, "web")
    assert "far" not in hosts_of(settings, "web")


def test_what_a_killed_process_left_to_be_written_is_written_by_the_next(core):
    settings, database, names = core
    names._open.touch()  # as `changed` does before its timer fires
    Names(settings, database).recover()
    assert "store" in hosts_of(settings, "web")
    assert not names._open.exists()


def test_lists_that_were_being_written_at_a_kill_are_written_by_the_next_process(core, monkeypatch):
    settings, database, names = core
    names.changed()

    def killed(*container_ids):
        raise SystemExit  # nothing of this process goes on, as after a SIGKILL

    monkeypatch.setattr(names, "write", killed)
    with pytest.raises(SystemExit):
        names.recover()
    following = Names(settings, database)
    following.recover()
    assert "10.9.1.3\tstore p-store-1 also\n" in hosts_of(settings, "web")
    assert list(settings.run_root.glob("names-*")) == []


def test_no_thread_is_torn_off_at_the_end_of_the_process(core):
    _, _, names = core
    before = set(threading.enumerate())
    names.changed()
    started = set(threading.enumerate()) - before
    names.close()
    assert started
    assert not any(thread.daemon or thread.is_alive() for thread in started)


def test_the_members_of_a_large_network_are_listed_only_for_who_has_no_name_server(core):
    settings, database, names = core
    with database.transaction() as tx:
        for number in range(128):
            add(tx, settings, f"many{number}", {"front": f"10.9.0.{number + 20}"})
    names.write("web")
    assert hosts_of(settings, "web").count("p-many") == 128
    resolv = settings.run_root / "containers/web/resolv.conf"
    resolv.write_text("nameserver 192.0.2.53\n")
    names.write("web")
    assert hosts_of(settings, "web").count("p-many") == 128
    resolv.write_text("search x\nnameserver 10.9.0.1\n")
    names.write("web")
    assert "many" not in hosts_of(settings, "web")
    # Its other network is small.
    assert "10.9.1.3\tstore p-store-1 also\n" in hosts_of(settings, "web")


def test_the_last_member_of_a_network_may_leave_while_lists_are_made(core, monkeypatch):
    settings, database, names = core
    ask = database.query

    def query(sql, given=()):
        found = ask(sql, given)
        if "json_each" in sql:  # whose lists are to be made is known; now they go
            with database.transaction() as tx:
                tx.execute("DELETE FROM endpoints")
        return found

    monkeypatch.setattr(database, "query", query)
    names.write("store")
    assert hosts_of(settings, "store") == "127.0.0.1\tlocalhost\n# peers\n"
