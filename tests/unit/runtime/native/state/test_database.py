import json
import sqlite3
import stat
import threading

import pytest

from bayplan.errors import CorruptStateError, UnsupportedError
from bayplan.runtime.native.state import Database, schema
from bayplan.runtime.native.state import database as database_module


def test_opens_twice_and_keeps_rows(tmp_path):
    first = Database(tmp_path / "s.db")
    with first.transaction() as tx:
        tx.execute("INSERT INTO leases VALUES ('n', '10.0.0.2', 'c', NULL)")
    first.close()
    second = Database(tmp_path / "s.db")
    assert [tuple(row) for row in second.query("SELECT network, address FROM leases")] == [("n", "10.0.0.2")]
    second.close()
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600


def test_a_failed_transaction_leaves_nothing(tmp_path):
    database = Database(tmp_path / "s.db")
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as tx:  # noqa: PT012 - the second row fails
        tx.execute("INSERT INTO leases VALUES ('n', '10.0.0.2', 'c', NULL)")
        tx.execute("INSERT INTO leases VALUES ('n', '10.0.0.2', 'd', NULL)")
    assert database.query("SELECT * FROM leases") == []
    database.close()


def test_newer_schema_is_refused_untouched(tmp_path):
    """Fault row 15."""
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UnsupportedError, match="schema 99"):
        Database(path)
    assert path.read_bytes() == before


def test_garbage_is_never_read_as_empty(tmp_path):
    """Fault row 13."""
    path = tmp_path / "s.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(CorruptStateError):
        Database(path)
    assert path.read_bytes() == b"no database" * 1000


def test_threads_share_it(tmp_path):
    database = Database(tmp_path / "s.db")

    def add(number):
        for step in range(20):
            with database.transaction() as tx:
                tx.execute("INSERT INTO leases VALUES ('n', ?, 'c', NULL)", (f"{number}.{step}",))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(database.query("SELECT * FROM leases")) == 120
    database.close()


def test_published_ports_outlive_the_schema_in_which_replicas_share_them(tmp_path, monkeypatch):
    path = tmp_path / "s.db"
    with monkeypatch.context() as patch:
        before = next(number for number, script in enumerate(schema.MIGRATIONS) if "shared_ports" in script)
        patch.setattr(database_module, "MIGRATIONS", schema.MIGRATIONS[:before])
        older = Database(path)
        with older.transaction() as tx:
            tx.execute("INSERT INTO ports VALUES ('0.0.0.0', 80, 'tcp', 'one', 7000, '10.0.0.2')")
        older.close()
    newer = Database(path)
    with newer.transaction() as tx:
        tx.execute("INSERT INTO ports VALUES ('0.0.0.0', 80, 'tcp', 'two', 7000, '10.0.0.3')")
    rows = newer.query("SELECT container_id, published, address FROM ports ORDER BY container_id")
    assert [tuple(row) for row in rows] == [("one", 80, "10.0.0.2"), ("two", 80, "10.0.0.3")]
    newer.close()


def test_a_copy_is_kept_when_resources_changed_and_is_whole(tmp_path):
    path, copy = tmp_path / "state.db", tmp_path / "state.copy"
    database = Database(path)
    outline = database.outline()
    database.keep_copy(outline)
    assert list(tmp_path.iterdir()) == [], "who only reads leaves nothing"
    with database.transaction():
        pass
    database.keep_copy(outline)
    first = copy.stat().st_ino
    database.keep_copy(outline)
    assert copy.stat().st_ino == first
    with database.transaction() as tx:
        tx.execute("INSERT INTO volumes VALUES ('v', 'p', '{}', 'now')")
    database.keep_copy(outline)
    database.close()
    assert (copy.stat().st_ino != first, stat.S_IMODE(copy.stat().st_mode)) == (True, 0o600)
    (tmp_path / "volumes/v").mkdir(parents=True)
    path.unlink()
    again = Database(path)
    assert [row[0] for row in again.query("SELECT name FROM volumes")] == ["v"]
    again.close()


def test_who_only_reads_makes_nothing_and_sees_what_another_makes(tmp_path):
    path = tmp_path / "state" / "s.db"
    reader = Database(path)
    assert reader.query("SELECT name FROM volumes") == []
    assert list(tmp_path.iterdir()) == []
    writer = Database(path)
    with writer.transaction() as tx:
        tx.execute("INSERT INTO volumes VALUES ('v', 'p', '{}', 'now')")
    assert [row[0] for row in reader.query("SELECT name FROM volumes")] == ["v"]
    writer.close()
    reader.close()


def test_a_record_that_is_gone_beside_containers_is_no_empty_one(tmp_path):
    (tmp_path / "containers/abc").mkdir(parents=True)
    with pytest.raises(CorruptStateError, match="there are containers"):
        Database(tmp_path / "s.db")
    assert not (tmp_path / "s.db").exists()


def test_cards_follow_every_kind_of_change_and_go_with_what_they_are_of(tmp_path):
    database, card = Database(tmp_path / "state.db"), tmp_path / "volumes/v/card.json"
    card.parent.mkdir(parents=True)
    with database.transaction() as tx:
        for declared in ("1", "2"):
            tx.execute(
                "INSERT INTO volumes VALUES ('v', 'p', ?, 'now') ON CONFLICT (name) DO UPDATE SET declared = ?",
                (declared, declared),
            )
        tx.execute("INSERT OR REPLACE INTO volumes VALUES ('v', 'p', '3', 'now')")
    database.keep_cards()
    assert (json.loads(card.read_bytes())["rows"]["volumes"][0]["declared"], card.stat().st_mode & 0o777) == (
        "3",
        0o600,
    )
    with database.transaction() as tx:
        tx.execute("DELETE FROM volumes")
    database.keep_cards()
    database.close()
    assert not card.exists()
