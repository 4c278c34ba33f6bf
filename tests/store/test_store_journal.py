"""The journal is as quick to look things up in when it is long, and leaves nothing out."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
from storekit import T0, event, message

from missive_host.store import EventRow, Store, migrate
from missive_host.store.connection import APPLICATION_ID

if TYPE_CHECKING:
    from pathlib import Path

    from missive_host.store import Tables

TYPES = ("a2a.send.request", "a2a.send.response", "a2a.stream.task", "a2a.stream.status_update", "missive.job.enqueued")
RARE = "missive.route.planned"
START = datetime.fromisoformat(T0)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def journal(count: int, *, clock: Callable[[int], float] = float) -> list[EventRow]:
    """Events of a few agents and sources; the two oldest are of a kind, an agent and a source of their own."""
    lot = random.Random(7)
    rows = [
        event(RARE, agent_alias="quiet", source="gateway:webhook", timestamp=at(clock(number))) for number in range(2)
    ]
    for number in range(2, count):
        agent = lot.choice(("ann", "bob", None))
        rows.append(
            event(
                lot.choice(TYPES),
                agent_alias=agent,
                source=lot.choice(("core", "gateway:daemon")),
                context_id=f"c-{number // 50}",
                task_id=f"t-{number // 20}",
                message_id=(f"m-{number // 5}", "", None)[0 if number % 10 < 8 else number % 10 - 7],
                work_id=f"w-{number // 10}",
                timestamp=at(clock(number)),
            )
        )
    return rows


SELECTIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "agent": {"agent": "ann"},
    "rare agent": {"agent": "quiet"},
    "type": {"types": ("a2a.send.request",)},
    "pattern": {"types": ("a2a.stream.*",)},
    "patterns": {"types": ("a2a.send.re?ponse", "*.route.*")},
    "rare type": {"types": (RARE,)},
    "no type": {"types": ("x.*",)},
    "source": {"source": "core"},
    "rare source": {"source": "gateway:webhook"},
    "agent and type": {"agent": "bob", "types": ("a2a.stream.*",)},
    "agent, type, source": {"agent": "bob", "types": ("a2a.*",), "source": "core"},
    "agent and type that never meet": {"agent": "quiet", "types": ("a2a.*",)},
    "context": {"context": "c-1"},
    "context and type": {"context": "c-1", "types": ("a2a.stream.*",)},
    "task": {"task": "t-2"},
    "message": {"message": "m-3"},
    "no message": {"task": "t-2", "message": ""},
    "work": {"work": "w-4"},
    "work and agent": {"work": "w-4", "agent": "ann"},
    "since": {"since": at(1500)},
    "since, none": {"since": "2030-01-01T00:00:00Z"},
    "until": {"until": at(300)},
    "between": {"since": at(100), "until": at(200)},
    "type since": {"types": ("a2a.send.request",), "since": at(1500)},
    "type until": {"types": ("a2a.send.request",), "until": at(300)},
    "agent between": {"agent": "ann", "since": at(100), "until": at(200)},
    "the first times": {"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"},
    "after": {"after": 700, "agent": "ann"},
}


def meant(row: EventRow, chosen: dict[str, Any]) -> bool:
    """Select in the plainest way."""
    for name, field in (
        ("agent", "agent_alias"), ("context", "context_id"), ("task", "task_id"), ("message", "message_id"),
        ("work", "work_id"), ("source", "source"),
    ):  # fmt: skip
        if name in chosen and (getattr(row, field) or "") != chosen[name]:
            return False
    if "types" in chosen and not any(fnmatchcase(row.event_type, pattern) for pattern in chosen["types"]):
        return False
    after, since, until = chosen.get("after", 0), chosen.get("since"), chosen.get("until")
    time = datetime.fromisoformat(row.timestamp)
    return (
        row.sequence > after
        and (since is None or time >= datetime.fromisoformat(since))
        and (until is None or time <= datetime.fromisoformat(until))
    )


def jumping(number: int) -> float:
    """A clock that is set back by twenty minutes in between, runs unevenly, and is ahead for a while."""
    return number + (number % 3) * 2 - (1200 if 900 < number < 1400 else 0) + (90_000 if number in (500, 501) else 0)


@pytest.mark.parametrize("clock", [float, jumping])
def test_each_selection_finds_what_is_meant(store: Store, clock: Callable[[int], float]) -> None:
    rows = journal(2000, clock=clock)
    store.write(lambda t: [t.events.append(row) for row in rows])
    everything = store.read(lambda t: t.events.list())
    assert len(everything) == len(rows)
    for name, chosen in SELECTIONS.items():
        wanted = [row.sequence for row in everything if meant(row, chosen)]
        listed = store.read(lambda t: t.events.list(**chosen))  # noqa: B023 - at once
        assert [row.sequence for row in listed] == wanted, name
        assert store.read(lambda t: t.events.count(**chosen)) == len(wanted), name  # noqa: B023
        newest = store.read(lambda t: t.events.list(limit=7, **chosen))  # noqa: B023
        assert [row.sequence for row in newest] == wanted[-7:], name
        ahead = [number for number in wanted if number > 650][:7]
        assert [row.sequence for row in store.read(lambda t: t.events.tail(650, limit=7, **chosen))] == ahead, name  # noqa: B023


# --- the same however long it is

Look = Callable[["Tables"], object]


def newest(chosen: dict[str, Any]) -> Look:
    return lambda t: t.events.list(limit=20, **chosen)


def coming(chosen: dict[str, Any]) -> Look:
    return lambda t: t.events.tail(t.events.last_sequence() - 5, **chosen)


LOOKS: dict[str, Look] = {
    **{f"list: {name}": newest(chosen) for name, chosen in SELECTIONS.items()},
    **{f"tail: {name}": coming(chosen) for name, chosen in SELECTIONS.items()},
    "tail from the beginning": lambda t: t.events.tail(0, limit=20, types=("a2a.send.*",)),
    "follow": lambda t: t.events.follow(t.events.last_sequence() - 5, ("a2a.*",), limit=10),
    "count": lambda t: t.events.count(context="c-1"),
    "count behind": lambda t: t.events.count(types=("a2a.*",), after=t.events.last_sequence() - 500),
    "message": lambda t: t.messages.with_id("m-5"),
    "answer": lambda t: t.messages.with_id("r-5"),
    "key": lambda t: t.work.by_key("code-1"),
}


def fill(path: Path, count: int) -> Store:
    store = Store.open(path)

    def write(t: Tables) -> None:
        for row in journal(count):
            t.events.append(row)
        for number in range(count // 10):
            t.messages.add_request(message("ann" if number % 2 else "bob", f"m-{number}"))
            t.messages.settle_request("ann", f"m-{number}", "sent", at=T0, response_id=f"r-{number}")

    store.write(write)
    return store


def connection_of(tables: Tables) -> sqlite3.Connection:
    connection: sqlite3.Connection = getattr(tables, "_connection")  # noqa: B009 - not in its type
    return connection


def steps(tables: Tables, look: Look) -> int:
    """Return how many instructions SQLite needs for it."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    connection = connection_of(tables)
    connection.set_progress_handler(step, 1)
    try:
        look(tables)
    finally:
        connection.set_progress_handler(None, 1)
    return count


def test_a_long_journal_is_not_slower_than_a_short_one(tmp_path: Path) -> None:
    found: list[dict[str, int]] = []
    for count in (2000, 20_000):
        with fill(tmp_path / f"{count}.sqlite3", count) as store:
            found.append({name: store.read(lambda t, look=look: steps(t, look)) for name, look in LOOKS.items()})  # type: ignore[misc]
    short, long = found
    slower = {name: (short[name], long[name]) for name in LOOKS if long[name] > 1.5 * short[name] + 100}
    assert slower == {}


def test_each_query_is_answered_by_an_index_and_sorts_nothing(tmp_path: Path) -> None:
    plans: dict[str, str] = {}

    def explain(t: Tables) -> None:
        connection = connection_of(t)
        queries: list[str] = []
        connection.set_trace_callback(queries.append)
        for look in LOOKS.values():
            look(t)
        connection.set_trace_callback(None)
        for query in queries:
            if "FROM" in query:
                plan = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
                plans[query] = "; ".join(row[3] for row in plan)

    with fill(tmp_path / "store.sqlite3", 2000) as store:
        store.read(explain)
    on_events = {query: plan for query, plan in plans.items() if "FROM events" in query}
    assert {query: plan for query, plan in on_events.items() if "SEARCH" not in plan or "TEMP B-TREE" in plan} == {}
    for name in ("kind", "message", "work", "task", "context", "time"):
        assert any(f"events_by_{name}" in plan for plan in on_events.values()), name
    others = {query: plan for query, plan in plans.items() if "FROM messages" in query or "FROM work" in query}
    assert {query: plan for query, plan in others.items() if "SCAN" in plan} == {}
    assert any("messages_by_response" in plan for plan in others.values())


def test_an_event_is_found_by_its_id_whatever_its_time(store: Store) -> None:
    rows = [event("test.one", timestamp=at(0)), event("test.two"), event("test.two", event_id="evt/test.two/x")]
    store.write(lambda t: [t.events.append(row) for row in rows])
    for row in rows[:2]:
        found = store.read(lambda t: t.events.find(row.event_id))  # noqa: B023 - at once
        assert found is not None
        assert found.event_id == row.event_id
    assert store.read(lambda t: t.events.find("evt/test.two/x")) is None
    assert store.read(lambda t: t.events.find("nonsense")) is None


# --- an older store


def test_an_older_journal_gets_its_work_and_keeps_its_order(path: Path, tmp_path: Path) -> None:
    older = tmp_path / "migrations"
    older.mkdir()
    for file in sorted(migrate.FOLDER.glob("*.sql"))[:3]:
        (older / file.name).write_bytes(file.read_bytes())
    path.parent.mkdir(parents=True)
    insert = (
        "INSERT INTO events (event_id, timestamp, source, event_type, payload_json, metadata_json)"
        " VALUES (?, ?, 'core', ?, ?, '{}')"
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate.apply(connection, application_id=APPLICATION_ID, folder=older)
        connection.execute(insert, ("evt/1", at(3600), "missive.job.enqueued", '{"job_id": "job/send/1"}'))
        connection.execute(insert, ("evt/2", at(0), "missive.intake.retry", '{"work_id": "w"}'))
        connection.execute(insert, ("evt/3", at(7200), "a2a.send.request", '{"work_id": "what an agent was sent"}'))
    with Store.open(path) as store:
        assert [row.work_id for row in store.read(lambda t: t.events.list())] == ["job/send/1", "w", None]
        assert [row.sequence for row in store.read(lambda t: t.events.list(since=at(1800)))] == [1, 3]
        store.write(lambda t: t.events.append(event(timestamp=at(7201))))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        ((seconds,),) = connection.execute("SELECT disorder FROM journal")
        assert 3600 < seconds < 3603
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE events SET work_id = 'x'")
