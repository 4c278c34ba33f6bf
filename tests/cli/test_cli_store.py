"""``missive store``: the file of the store as a user finds it, whole and not."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storekit import T0, context, event, message, task
from support.gateways import GatewayProcess

from missive_host.ids import now
from missive_host.store import WorkRow

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import Tables


def missive(home: Home, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), "store", *words],
        env={**os.environ, **home.environ}, cwd=home.folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


def data(home: Home, *words: str) -> Any:
    return json.loads(missive(home, *words, "--json").stdout)["data"]


def fill(home: Home, messages: int = 3) -> Path:
    """Make a store with one conversation, and return its file."""
    sent = [message("echo", f"m-{number}", context_id="c-1") for number in range(messages)]

    def write(tables: Tables) -> None:
        tables.contexts.create(context("c-1"))
        tables.tasks.upsert(task("echo", "t-1", context_id="c-1"))
        for each in sent:
            tables.messages.add_request(each)

    with home.store() as store:
        store.write(write)
        return store.path


def damage(path: Path, sql: str) -> None:
    """Change the file as nobody should."""
    with sqlite3.connect(path) as connection:
        connection.executescript(sql)
    connection.close()


# --- check


def test_a_whole_store_is_told_table_by_table(home: Home) -> None:
    path = fill(home)
    found = data(home, "check")
    rows = {table["name"]: table["rows"] for table in found["tables"]}
    assert (rows["contexts"], rows["tasks"], rows["messages"]) == (1, 1, 3)
    assert found["path"] == str(path)
    assert found["schema_version"] == found["newest_schema_version"]
    assert found["bytes"] == path.stat().st_size
    assert "messages" in missive(home, "check").stdout


def test_a_store_that_is_not_there_is_not_made(home: Home) -> None:
    assert "there is no store" in missive(home, "check", status=75).stderr
    assert not home.settings().paths.database.exists()


def test_a_reference_to_nothing_is_found(home: Home) -> None:
    damage(fill(home), "PRAGMA foreign_keys = OFF; DELETE FROM contexts;")
    said = missive(home, "check", status=75).stderr
    assert "of tasks refers to a row of contexts that is not there" in said
    assert "put a backup in its place" in said


def test_a_page_that_was_overwritten_is_found(home: Home) -> None:
    path = fill(home, messages=500)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\xff" * 16384)
    assert "damaged" in missive(home, "check", status=75).stderr


def test_a_file_of_another_program_and_a_newer_store_are_refused(home: Home) -> None:
    path = fill(home)
    damage(path, "PRAGMA user_version = 99")
    assert "schema version 99" in missive(home, "check", status=75).stderr
    damage(path, "PRAGMA application_id = 7")
    assert "is not a store of missive" in missive(home, "check", status=75).stderr
    path.write_bytes(b"nothing that SQLite knows" * 200)
    assert "is not a SQLite database" in missive(home, "check", status=75).stderr


# --- backup


def rows(file: Path, table: str) -> list[Any]:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


def told_of(file: Path, what: str) -> list[dict[str, Any]]:
    """Return what the journal says of it."""
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT payload_json FROM events WHERE event_type = ?", (f"missive.store.{what}",))
        return [json.loads(payload) for (payload,) in found]
    finally:
        connection.close()


def test_a_backup_is_one_whole_private_file(home: Home) -> None:
    path = fill(home, messages=2000)
    found = data(home, "backup", "saved.sqlite3")
    saved = home.folder / "saved.sqlite3"
    assert found["file"] == str(saved)
    assert found["bytes"] == saved.stat().st_size
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert rows(saved, "messages") == rows(path, "messages")
    assert [file.name for file in home.folder.glob("saved*")] == ["saved.sqlite3"]


def test_what_is_there_is_not_written_over(home: Home) -> None:
    fill(home)
    taken, dangling = home.folder / "taken", home.folder / "link"
    taken.write_text("mine")
    dangling.symlink_to(home.folder / "nowhere")
    for file in (taken, dangling):
        assert "exists already" in missive(home, "backup", str(file), status=75).stderr
    assert taken.read_text() == "mine"
    assert not (home.folder / "nowhere").exists()
    assert "cannot be written" in missive(home, "backup", "no/such/folder/file", status=75).stderr


def test_a_store_that_is_not_whole_is_not_saved_as_if_it_were(home: Home) -> None:
    damage(fill(home), "PRAGMA foreign_keys = OFF; DELETE FROM contexts;")
    assert "refers to a row of contexts" in missive(home, "backup", "saved", status=75).stderr
    assert not list(home.folder.glob("saved*"))


def test_a_backup_is_one_moment_of_a_store_that_is_written(home: Home) -> None:
    """Each transaction writes two rows; a backup never has one of them alone."""
    fill(home, messages=3000)
    going, stop = threading.Event(), threading.Event()

    def work() -> None:
        with home.store() as store:
            number = 0
            while not stop.is_set():
                number += 1
                pair = [message("pair", f"{side}-{number}") for side in "ab"]
                store.write(lambda t, pair=pair: [t.messages.add_request(each) for each in pair])  # type: ignore[misc]
                going.set()

    writer = threading.Thread(target=work)
    writer.start()
    try:
        assert going.wait(30)
        for number in range(3):
            data(home, "backup", f"saved-{number}")
            pairs = [row for row in rows(home.folder / f"saved-{number}", "messages") if row[1] == "pair"]
            assert pairs
            assert len(pairs) % 2 == 0
    finally:
        stop.set()
        writer.join()


# --- restore


def test_what_was_saved_comes_back_and_what_was_is_kept(home: Home) -> None:
    path = fill(home)
    data(home, "backup", "saved")
    with home.store() as store:
        store.write(lambda t: t.messages.add_request(message("echo", "later")))
    found = data(home, "restore", "saved")
    assert len(rows(path, "messages")) == 3
    assert len(rows(Path(found["kept"]), "messages")) == 4
    (told,) = told_of(path, "restore")
    assert told == {"file": str(home.folder / "saved"), "kept": found["kept"]}
    assert told_of(Path(found["kept"]), "backup")[0]["bytes"] == (home.folder / "saved").stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(Path(found["kept"]).stat().st_mode) == 0o600
    assert data(home, "check")["profile"] == "default"
    with home.store() as store:
        store.write(lambda t: t.messages.add_request(message("echo", "again")))


def test_a_store_that_somebody_has_open_is_left_alone(home: Home) -> None:
    path = fill(home)
    data(home, "backup", "saved")
    with home.store() as store:
        assert "another process has the store" in missive(home, "restore", "saved", status=75).stderr
        store.write(lambda t: t.messages.add_request(message("echo", "later")))
    assert len(rows(path, "messages")) == 4
    assert not list(path.parent.glob("*before*"))


def test_a_backup_that_is_not_whole_replaces_nothing(home: Home) -> None:
    path = fill(home)
    data(home, "backup", "saved")
    damage(home.folder / "saved", "PRAGMA foreign_keys = OFF; DELETE FROM contexts;")
    assert "refers to a row of contexts" in missive(home, "restore", "saved", status=75).stderr
    assert "there is no backup" in missive(home, "restore", "nothing", status=75).stderr
    assert "is the store itself" in missive(home, "restore", str(path), status=75).stderr
    assert len(rows(path, "messages")) == 3


def test_a_store_that_cannot_be_read_or_is_gone_is_replaced(home: Home) -> None:
    path = fill(home)
    data(home, "backup", "saved")
    path.write_bytes(b"nothing that SQLite knows" * 200)
    found = data(home, "restore", "saved")
    assert Path(found["kept"]).read_bytes().startswith(b"nothing")
    assert len(rows(path, "messages")) == 3
    path.unlink()
    assert "kept" not in data(home, "restore", "saved")
    assert len(rows(path, "messages")) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- vacuum


def test_vacuum_gives_back_what_is_free(home: Home) -> None:
    path = fill(home, messages=3000)
    damage(path, "DELETE FROM messages WHERE ordinal > 10")
    assert data(home, "check")["free_bytes"] > 100_000
    found = data(home, "vacuum")
    assert found["bytes"] < found["bytes_before"] - 100_000
    assert found["bytes"] == path.stat().st_size
    assert data(home, "check")["free_bytes"] == 0
    assert len(rows(path, "messages")) == 10
    assert told_of(path, "vacuum") == [{"bytes_before": found["bytes_before"], "bytes": found["bytes"]}]


def test_a_store_of_an_older_missive_is_saved_as_it_is(home: Home) -> None:
    """The backup before an update must not be what updates the store."""
    path = fill(home)
    version = data(home, "check")["schema_version"]
    damage(path, f"PRAGMA user_version = {version - 1}")
    before = rows(path, "events")
    data(home, "backup", "saved")
    assert data(home, "check")["schema_version"] == version - 1
    assert rows(path, "events") == before


# --- beside a gateway


async def test_a_running_gateway_is_saved_and_not_replaced(home: Home, agent: AgentProcess) -> None:
    home.configure("[adapters.pipe]\nkind = 'stdio'\nsettings = { mode = 'long-running', concurrency = 16 }\n")
    async with home.core() as core:
        core.add("echo", agent)
    count = 150
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        for number in range(count):
            gateway.put({"id": f"r{number}", "command": "send", "agent": "echo", "message": f"echo {number}"})
        gateway.until(lambda documents: len(documents) > 10)
        data(home, "backup", "early")
        assert "another process has the store" in missive(home, "restore", "early", status=75).stderr
        data(home, "vacuum")
        gateway.until(lambda documents: {each.get("id") for each in documents} >= {f"r{n}" for n in range(count)})
        data(home, "backup", "late")
        assert gateway.stop() == 0
    late = data(home, "restore", "late")
    check = {table["name"]: table["rows"] for table in data(home, "check")["tables"]}
    assert check["work"] == count
    found = data(home, "restore", "early")
    assert found["kept"] != late["kept"]
    with home.store() as store:
        early = store.read(lambda t: t.work.list())
    assert 0 < len(early) <= count
    with GatewayProcess(home, stdin=True) as gateway:  # and it goes on from there
        gateway.ready()
        gateway.end_input()


# --- prune


def old_store(home: Home) -> Path:
    """Make a store with what is old, and what is old and in use."""

    def job(work_id: str, **fields: Any) -> WorkRow:
        return WorkRow(
            **{
                "work_id": work_id, "kind": "delivery", "adapter": "pipe", "command": "task_wait", "request": {},
                "max_attempts": 1, "run_at": T0, "accepted_at": T0, "reply_to": {}, **fields,
            }
        )  # fmt: skip

    def write(tables: Tables) -> None:
        for name in ("gone", "open", "named", "waited"):
            tables.contexts.create(context(f"c-{name}", name="mine" if name == "named" else None))
        tables.tasks.upsert(task("echo", "t-gone", "completed", context_id="c-gone"))
        tables.tasks.upsert(task("echo", "t-open", "working", context_id="c-open"))
        tables.tasks.upsert(task("echo", "t-waited", "completed", context_id="c-waited"))
        tables.tasks.upsert(task("echo", "t-new", "completed", at=now()))
        tables.artifacts.put("echo", "t-gone", {"artifactId": "a", "parts": [{"text": "x"}]}, at=T0)
        for name in ("gone", "open", "waited"):
            tables.messages.add_request(message("echo", f"m-{name}", context_id=f"c-{name}", task_id=f"t-{name}"))
        tables.messages.add_request(message("echo", "m-pending"))
        tables.events.append(event())
        tables.events.append(event(timestamp=now()))
        for work_id, adapter in (("w-done", "pipe"), ("w-owed", "pipe"), ("w-left", "removed")):
            tables.work.put(job(work_id, adapter=adapter))
        for claimed in tables.work.claim("me", at=now(), limit=9):
            tables.work.finish(claimed, "done", at=T0)
        tables.work.put(job("w-open", request={"command": {"command": "task_wait", "task": "t-waited"}}))

    with home.store() as store:
        store.write(write)
        path = store.path
    damage(path, f"UPDATE work SET delivered_at = '{T0}' WHERE work_id = 'w-done';")
    damage(path, "UPDATE messages SET status = 'sent' WHERE message_id <> 'm-pending';")
    return path


def ids(path: Path, table: str, column: str) -> set[str]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return {row[0] for row in connection.execute(f"SELECT {column} FROM {table}")}
    finally:
        connection.close()


def test_prune_keeps_what_is_referred_to(home: Home) -> None:
    home.configure("[adapters.pipe]\nkind = 'stdio'\n")
    path = old_store(home)
    asked = data(home, "prune", "--older-than", "1d", "--dry-run")
    assert asked["dry_run"] is True
    assert ids(path, "tasks", "task_id") == {"t-gone", "t-open", "t-waited", "t-new"}
    assert len(rows(path, "events")) == 2
    done = data(home, "prune", "--older-than", "24h")
    assert done["removed"] == asked["removed"]
    assert ids(path, "tasks", "task_id") == {"t-open", "t-waited", "t-new"}
    assert ids(path, "messages", "message_id") == {"m-open", "m-waited", "m-pending"}
    assert ids(path, "contexts", "context_id") == {"c-open", "c-named", "c-waited"}
    assert ids(path, "work", "work_id") == {"w-owed", "w-open"}
    assert rows(path, "artifacts") == rows(path, "artifact_parts") == []
    assert ids(path, "events", "event_type") == {"test.event", "missive.store.prune"}
    assert len(rows(path, "events")) == 2
    assert data(home, "check")["profile"] == "default"
    assert data(home, "prune", "--older-than", "1d")["count"] == 0
    for wrong in ("soon", "0d", "999999999d"):
        assert missive(home, "prune", "--older-than", wrong, status=64).stderr
