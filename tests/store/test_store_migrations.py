"""Opening a file: new, old, newer, foreign, damaged, forbidden; migrations all or nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from storekit import agent, event

from missive_host.errors import StorageError
from missive_host.store import Store, migrate
from missive_host.store.connection import APPLICATION_ID, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator


def raw(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


def test_a_fresh_store_has_the_schema_and_its_ledger(path: Path) -> None:
    with closing(open_database(path, create=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (migrate.SCHEMA_VERSION,)
        ledger = connection.execute("SELECT version, name, sha256 FROM schema_migrations").fetchall()
        assert ledger == [(m.version, m.name, m.sha256) for m in migrate.load()]
        tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
        loose = {name for name, strict in tables if not strict and not name.startswith("sqlite_")}
        assert loose == set()
        names = {name for name, _ in tables}
        assert {"agents", "agent_cards", "contexts", "remote_contexts", "tasks", "messages", "artifacts"} <= names


def test_the_newest_migration_is_the_schema_version() -> None:
    assert [m.version for m in migrate.load()] == list(range(1, migrate.SCHEMA_VERSION + 1))


def test_only_the_user_can_read_it(path: Path) -> None:
    with Store.open(path) as store:
        store.write(lambda t: t.events.append(event()))
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_what_was_written_is_there_the_next_time(path: Path) -> None:
    with Store.open(path) as store:
        store.write(lambda t: t.agents.add(agent("echo")))
    with Store.open(path, create=False) as store:
        assert store.read(lambda t: t.agents.get("echo")).base_url == "http://echo"


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "a b?c#d%20e" / "ü.sqlite3"
    with Store.open(path) as store:
        store.write(lambda t: t.events.append(event()))
    assert path.exists()


def test_an_up_to_date_store_opens_without_its_migrations(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(path).close()
    monkeypatch.setattr(migrate, "load", None)
    with Store.open(path) as store:
        assert store.read(lambda t: t.agents.list()) == ()


def test_a_newer_schema_is_refused_with_both_versions(path: Path) -> None:
    Store.open(path).close()
    with raw(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match=rf"schema version 99, .* up to {migrate.SCHEMA_VERSION}") as caught:
        Store.open(path)
    assert caught.value.help is not None
    with raw(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


def test_a_missing_store_is_not_made_unasked(path: Path) -> None:
    with pytest.raises(StorageError, match="there is no store at"):
        Store.open(path, create=False)
    assert not path.parent.exists()


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """A process that was killed between making the file and filling it leaves one."""
    path = tmp_path / "missive.sqlite3"
    path.touch()
    with Store.open(path) as store:
        assert store.read(lambda t: t.events.count()) == 0


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "missive.sqlite3"
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(StorageError, match="is not a SQLite database"):
        Store.open(path)
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "missive.sqlite3"
    with raw(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="database of another program"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_damaged_store_is_told(path: Path) -> None:
    with Store.open(path) as store:
        for _ in range(200):
            store.write(lambda t: t.events.append(event(payload={"text": "x" * 500})))
    content = path.read_bytes()
    with path.open("r+b") as file:  # the header stays, so it opens; every other page is noise
        file.seek(4096)
        file.write(b"\xa5" * (len(content) - 4096))
    with pytest.raises(StorageError, match="is damaged") as caught, Store.open(path) as store:
        store.read(lambda t: t.events.list())
    assert "backup" in (caught.value.help or "")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        Store.open(tmp_path)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        Store.open(tmp_path / "home" / "missive.sqlite3")


@contextmanager
def locked_folder() -> Iterator[Path]:
    """A folder that this process cannot write to; root takes on another user meanwhile."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder_is_told() -> None:
    with locked_folder() as folder:
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(StorageError, match="cannot be made: Permission denied") as caught:
            Store.open(folder / "missive.sqlite3")
        assert "MISSIVE_HOME" in (caught.value.help or "")


def test_a_store_that_may_only_be_read_is_told() -> None:
    with locked_folder() as folder:
        path = folder / "missive.sqlite3"
        with Store.open(path) as store:
            store.write(lambda t: t.events.append(event()))
        path.chmod(0o444)
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(StorageError, match=r"cannot be (opened|written)"):
            Store.open(path)


# --- migrations

GOOD = "ALTER TABLE agents ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';\nCREATE TABLE extra (a INTEGER) STRICT;\n"
BAD = GOOD + "INSERT INTO extra VALUES ('not a number');\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "migrations"
    shutil.copytree(migrate.FOLDER, copy)
    return copy


def next_migration(folder: Path, sql: str) -> None:
    (folder / f"{migrate.SCHEMA_VERSION + 1:04}_next.sql").write_text(sql)


def test_a_further_migration_is_applied_once_and_keeps_the_rows(path: Path, folder: Path) -> None:
    with Store.open(path) as store:
        store.write(lambda t: t.agents.add(agent("echo")))
    next_migration(folder, GOOD)
    with closing(open_database(path, create=False)) as connection:
        applied = migrate.apply(connection, application_id=APPLICATION_ID, folder=folder)
        assert [m.name for m in applied] == ["next"]
        assert migrate.apply(connection, application_id=APPLICATION_ID, folder=folder) == ()
        assert connection.execute("SELECT alias, colour FROM agents").fetchall() == [("echo", "red")]
        assert connection.execute("PRAGMA user_version").fetchone() == (migrate.SCHEMA_VERSION + 1,)
    with pytest.raises(StorageError, match="schema version"):
        Store.open(path)


def test_a_failing_migration_is_rolled_back_whole(path: Path, folder: Path) -> None:
    next_migration(folder, BAD)
    with closing(open_database(path, create=True)) as connection:
        before = connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        with pytest.raises(sqlite3.IntegrityError):
            migrate.apply(connection, application_id=APPLICATION_ID, folder=folder)
        assert not connection.in_transaction
        assert connection.execute("SELECT name, sql FROM sqlite_schema").fetchall() == before
        assert connection.execute("PRAGMA user_version").fetchone() == (migrate.SCHEMA_VERSION,)
        assert connection.execute("SELECT COUNT(*) FROM schema_migrations").fetchone() == (migrate.SCHEMA_VERSION,)
    Store.open(path).close()


def test_a_failing_migration_of_a_new_store_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    next_migration(folder, BAD)
    with raw(tmp_path / "new.sqlite3") as connection:
        with pytest.raises(sqlite3.IntegrityError):
            migrate.apply(connection, application_id=APPLICATION_ID, folder=folder)
        assert connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone() == (0,)
        assert connection.execute("PRAGMA application_id").fetchone() == (0,)


def test_an_edited_migration_is_refused(path: Path, folder: Path) -> None:
    Store.open(path).close()
    first = next(folder.glob("0001_*.sql"))
    first.write_text(first.read_text() + "-- a small improvement\n")
    next_migration(folder, GOOD)
    with closing(open_database(path, create=False)) as connection:
        with pytest.raises(StorageError, match=r"migration 1 .* is not the one"):
            migrate.apply(connection, application_id=APPLICATION_ID, folder=folder)
        assert connection.execute("PRAGMA user_version").fetchone() == (migrate.SCHEMA_VERSION,)


def test_a_migration_that_leaves_dangling_rows_is_refused(path: Path, folder: Path) -> None:
    next_migration(folder, "INSERT INTO remote_contexts VALUES ('nowhere', 'echo', 'r');\n")
    with (
        closing(open_database(path, create=True)) as connection,
        pytest.raises(StorageError, match="point nowhere"),
    ):
        migrate.apply(connection, application_id=APPLICATION_ID, folder=folder)
    with Store.open(path) as store:
        assert store.read(lambda t: t.contexts.remote_of("nowhere", "echo")) is None


def test_a_gap_in_the_numbers_is_refused(folder: Path) -> None:
    (folder / "0042_late.sql").write_text("SELECT 1;\n")
    with pytest.raises(StorageError, match="is not migration number"):
        migrate.load(folder)


def test_triggers_are_not_cut_in_two() -> None:
    trigger = "CREATE TRIGGER t BEFORE UPDATE ON a\nBEGIN\n    SELECT 1;\n    SELECT 2;\nEND;\n"
    assert migrate.statements("CREATE TABLE a (b);\n" + trigger) == ("CREATE TABLE a (b);\n", trigger)


def test_opening_waits_for_another_that_has_the_new_file_in_its_hands(path: Path) -> None:
    """SQLite itself does not wait when it switches a file to WAL that somebody else is writing."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ["COMMIT"])
        release.start()
        with Store.open(path) as store:
            assert store.read(lambda t: t.events.count()) == 0
        release.join()


OPENERS = """
import sys
from pathlib import Path
from missive_host.store import Store
from storekit import event
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    with Store.open(Path(sys.argv[1]) / str(number) / "missive.sqlite3") as store:
        store.write(lambda t: t.events.append(event()))
"""


def test_eight_processes_open_a_new_home_at_once(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPENERS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for _ in range(8)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert errors == ""
        assert child.returncode == 0
    for number in range(10):
        with raw(tmp_path / str(number) / "missive.sqlite3") as connection:
            assert connection.execute("SELECT COUNT(*) FROM schema_migrations").fetchone() == (migrate.SCHEMA_VERSION,)
            assert connection.execute("SELECT COUNT(*) FROM events").fetchone() == (8,)
