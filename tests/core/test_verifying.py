"""``missive events replay --verify``: the journal tells what is in the tables, and each row that is false is found."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.cores import Home

from missive_host import commands as c
from missive_host.config.model import Sessions
from missive_host.core.sessions import resolve
from missive_host.core.verifying import agrees
from missive_host.envelopes import STDIO, parse_envelope
from missive_host.ids import after, now
from missive_host.store.comparing import COMPARED

if TYPE_CHECKING:
    from support.cores import Commands

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import Tables

pytestmark = pytest.mark.anyio

CONFIG = """
[agents.fixed]
base_url = "http://127.0.0.1:9"
tags = ["a"]

[groups.set]
routing_policy = "direct"

[[groups.set.members]]
agent = "fixed"
rank = "1"
"""
FILE = "a.bin"


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, agent: AgentProcess, push_agent: AgentProcess) -> Home:
    """A home in which everything has happened that the journal tells of."""
    home = Home(tmp_path_factory.mktemp("lived"))
    home.configure('[qos]\nretry_backoff = "10ms"\n' + CONFIG)
    anyio.run(live, home, agent, push_agent)
    return home


async def live(home: Home, agent: AgentProcess, push_agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent, notes="one", metadata={"team": "red"})
        core.add("old", agent)
        core.add("gone", "http://127.0.0.1:9")
        core.add("worker", push_agent)
        core.local(c.AgentUpdate(agent="echo", tags=("fast",)))
        await core.one(c.Send(agent="old", message="echo before", context="named"))
        core.local(c.AgentRename(agent="old", new_name="young"))
        core.local(c.ContextCreate(name="trip", summary="to Rome", metadata={"a": 1}))
        core.local(c.ContextFork(context="trip", name="tour"))
        core.local(c.ContextClose(context="tour", summary="over"))
        await core.one(c.Send(agent="echo", message="echo hello", context="trip"))
        await core.data(c.Stream(agent="echo", message="stream 3", context="trip"))
        await core.one(c.Send(agent="echo", message="artifact 3000"))
        with pytest.raises(Exception, match=r"127\.0\.0\.1:9"):
            await core.all(c.Send(agent="gone", message="hello"))
        await together(core)
        await pushed(core)
        core.local(c.TokenCreate(name="ci", agents=("echo",)))
        core.local(c.TokenCreate(name="old", expires="1h"))
        core.local(c.TokenRevoke(name="old"))
        session(core)
        options = c.JobOptions(every="1h")
        await core.all(c.JobStartSend(agent="echo", message="hello", options=options))
        await core.all(c.JobStartSend(agent="echo", message="pause", options=options))
        paused = core.read(lambda tables: tables.schedules.list())[1]
        core.local(c.JobSchedulePause(schedule_id=paused.schedule_id))
    home.configure('[qos]\nretry_backoff = "10ms"\n' + CONFIG.replace('["a"]', '["b"]'))


async def together(core: Commands) -> None:
    core.local(c.GroupCreate(group="gang", routing_policy="round-robin", notes="n", metadata={"b": 2}))
    for rank, alias in enumerate(("echo", "young", "gone"), 1):
        core.local(c.GroupAdd(group="gang", agent=alias, rank=str(rank), tags=("x",), weight=2.0))
    core.local(c.GroupRemove(group="gang", agent="gone"))
    core.local(c.GroupRename(group="gang", new_name="team"))
    for _ in range(3):
        await core.one(c.Send(group="team", message="echo hi"))
    await core.all(c.Allreduce(group="team", message="choose A B", strategy="vote", context="votes"))


async def pushed(core: Commands) -> None:
    task = await core.one(c.Send(agent="worker", message="ask"))
    for config_id in ("one", "two"):
        await core.one(
            c.PushCreate(
                agent="worker", task_id=task.response.task_id, url="http://127.0.0.1:9/hook", config_id=config_id,
                metadata={"m": 1},
            )
        )  # fmt: skip
    await core.one(c.PushDelete(agent="worker", task_id=task.response.task_id, config_id="two"))


def session(core: Commands) -> None:
    frame = b'{"id": "1", "command": "send", "agent": "echo", "message": "hi", "source": {"source_id": "alice"}}'

    def write(tables: Tables) -> None:
        assert resolve(tables, parse_envelope(frame, STDIO, default_source="x"), "stdio", Sessions(), now()) is not None

    core.core.store.write(write)


async def differences(home: Home) -> list[Any]:
    async with home.core() as core:
        found = core.local(c.EventsReplay(verify=True))
        assert found.verified is (not found.differences)
        return list(found.differences)


async def test_all_of_it_is_told_by_the_journal(lived: Home) -> None:
    assert await differences(lived) == []
    with closing(sqlite3.connect(lived.settings().paths.database)) as connection:
        empty = [
            table.name
            for table in COMPARED
            if not connection.execute(f"SELECT 1 {table.rows.replace('WHERE', 'WHERE 1 AND')} LIMIT 1").fetchone()
        ]
    assert empty == [], "this test shows nothing of these"


FALSE = {
    "agents": "UPDATE agents SET base_url = 'http://evil' WHERE alias = 'echo'",
    "groups": "UPDATE groups SET routing_policy = 'sticky' WHERE name = 'team'",
    "group_members": "UPDATE group_members SET weight = 9 WHERE agent_alias = 'echo'",
    "routing_states": "UPDATE routing_states SET state_json = '{\"cursor\":7}'",
    "contexts": "UPDATE contexts SET state = 'archived' WHERE name = 'trip'",
    "remote_contexts": "UPDATE remote_contexts SET remote_context_id = 'x' WHERE agent_alias = 'young'",
    "tasks": "UPDATE tasks SET state = 'working' WHERE agent_alias = 'worker'",
    "task_histories": "UPDATE task_histories SET history_json = '[]'",
    "messages": "UPDATE messages SET content_json = replace(content_json, 'echo before', 'echo never')",
    "artifacts": "UPDATE artifacts SET name = 'other'",
    "artifact_parts": 'UPDATE artifact_parts SET parts_json = \'[{"text":"other"}]\'',
    "sessions": "UPDATE sessions SET context_id = 'x'",
    "operations": "UPDATE operations SET document_json = '{}' WHERE kind = 'bcast'",
    "operation_members": "UPDATE operation_members SET state = 'failed' WHERE agent_alias = 'echo'",
    "push_configs": "UPDATE push_configs SET url = 'http://evil' WHERE config_id = 'one'",
    "schedules": "UPDATE schedules SET enabled = 1 - enabled",
    "tokens": "UPDATE tokens SET agents_json = '[]' WHERE name = 'ci'",
}
"""One row of each table, falsified."""


async def falsified(lived: Home, tmp_path: Path, statement: str, *, parents: bool = False) -> list[Any]:
    """Return what is found in a copy of the home in which a table was changed behind the store's back."""
    home = Home(tmp_path)
    shutil.copytree(Path(lived.environ["MISSIVE_HOME"]), Path(home.environ["MISSIVE_HOME"]))
    home.config.write_text(lived.config.read_text())
    with closing(sqlite3.connect(home.settings().paths.database, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA foreign_keys = {int(parents)}")
        assert connection.execute(statement).rowcount >= 1
    return await differences(home)


@pytest.mark.parametrize("table", [table.name for table in COMPARED])
async def test_a_row_that_is_false_is_found_in_each_table(lived: Home, tmp_path: Path, table: str) -> None:
    found = await falsified(lived, tmp_path, FALSE[table])
    assert {each.table for each in found} == {table}
    assert all("missing" not in (each.journal, each.stored) for each in found)
    assert all(each.journal != each.stored for each in found)


@pytest.mark.parametrize("table", [table.name for table in COMPARED])
async def test_a_row_that_is_missing_is_found_in_each_table(lived: Home, tmp_path: Path, table: str) -> None:
    in_force = " WHERE deleted_at IS NULL" if table == "push_configs" else ""
    local = " WHERE source = 'local'" if table in ("agents", "groups") else ""
    found = await falsified(lived, tmp_path, f"DELETE FROM {table}{in_force}{local}")
    assert "missing" in {each.stored for each in found if each.table == table}


async def test_a_row_that_nobody_wrote_is_found(lived: Home, tmp_path: Path) -> None:
    (extra,) = await falsified(
        lived,
        tmp_path,
        "INSERT INTO messages SELECT NULL, agent_alias, 'extra', direction, context_id, task_id, role, status,"
        " content_json, metadata_json, error_json, created_at, updated_at, response_id FROM messages LIMIT 1",
    )
    assert (extra.table, extra.journal) == ("messages", "missing")
    assert extra.id.startswith("extra ")


@pytest.mark.parametrize("column", ["state", "task_json", "context_id"])
async def test_the_differing_column_is_named(lived: Home, tmp_path: Path, column: str) -> None:
    value = {"state": "'failed'", "task_json": "'{}'", "context_id": "NULL"}[column]
    statement = f"UPDATE tasks SET {column} = {value} WHERE agent_alias = 'worker'"
    (found,) = await falsified(lived, tmp_path, statement)
    assert (found.table, found.agent, found.field) == ("tasks", "worker", column.removesuffix("_json"))
    if column == "task_json":
        assert found.journal.startswith("sha256:")


async def test_what_was_pruned_is_not_missed(lived: Home, tmp_path: Path) -> None:
    home = Home(tmp_path)
    shutil.copytree(Path(lived.environ["MISSIVE_HOME"]), Path(home.environ["MISSIVE_HOME"]))
    home.config.write_text(lived.config.read_text())
    async with home.core() as core:
        await core.one(c.Send(agent="echo", message="echo late", context="late"))
        cut = core.read(lambda tables: tables.events.list(limit=2))[0]
        before = cut.timestamp
        core.core.store.write(lambda tables: tables.pruning.prune(before, answers=before, adapters=(), at=now()))
        await core.one(c.Send(agent="echo", message="echo later", context="later"))
        assert core.read(lambda tables: tables.events.list())[0].sequence > 1
    assert await differences(home) == []
    with closing(sqlite3.connect(home.settings().paths.database, isolation_level=None)) as connection:
        connection.execute("UPDATE contexts SET state = 'closed' WHERE context_id = 'later'")
        connection.execute("UPDATE contexts SET state = 'closed' WHERE name = 'trip'")
    (found,) = await differences(home)
    assert found.id == "later", "what is older than the journal cannot be compared"
    assert after(0) > cut.timestamp


async def test_what_an_older_missive_wrote_is_not_compared(lived: Home, tmp_path: Path) -> None:
    """From ``complete_from`` on the journal tells everything; so it is after the migration of an older store."""
    statement = "UPDATE journal SET complete_from = (SELECT MAX(sequence) + 1 FROM events)"
    assert await falsified(lived, tmp_path, statement) == []
    home = Home(tmp_path)
    async with home.core() as core:
        await core.one(c.Send(agent="echo", message="echo since", context="since"))
    assert await differences(home) == []
    with closing(sqlite3.connect(home.settings().paths.database, isolation_level=None)) as connection:
        connection.execute("UPDATE messages SET role = 'system'")
    found = await differences(home)
    assert {(each.table, each.field) for each in found} == {("messages", "role")}
    assert len(found) == 2, "the message and its answer, and none of those from before"


@pytest.mark.parametrize(
    ("told", "stored", "same"),
    [
        ("a [REDACTED] b", "a hunter2 b", True),
        ("a [REDACTED] b", "a hunter2 c", False),
        ({"x": ["[REDACTED]", 1]}, {"x": ["secret", 1]}, True),
        ({"x": ["[REDACTED]", 1]}, {"x": ["secret", 2]}, False),
        ({"x": 1}, {"x": 1, "y": 2}, False),
        ([1], [1, 2], False),
        ("text", "text", True),
        (None, "", False),
    ],
)
def test_what_was_taken_out_of_the_journal_may_be_anything(told: Any, stored: Any, same: bool) -> None:
    assert agrees(told, stored) is same
