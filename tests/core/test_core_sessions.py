"""Sessions: the rules by which they begin anew, and the contexts that agents see of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, example, given, strategies as st
from storekit import agent as agent_row
from support.cores import BINDINGS, Commands, Home

from missive_host import commands as c
from missive_host.config import Config
from missive_host.config.model import AdapterBlock, Gateway, Sessions
from missive_host.core.sessions import due, in_context, last_boundary, reset, resolve, rules_for, target_of, touch
from missive_host.envelopes import STDIO, Envelope, Source, parse_envelope
from missive_host.errors import StorageError, ValidationError
from missive_host.store import GroupRow, SessionRow, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.demo.fleet import AgentProcess

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
ZONES = ("UTC", BERLIN, NEW_YORK, "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia")
NEVER = Sessions()
SECOND = timedelta(seconds=1)


def text(moment: datetime) -> str:
    """A time as the store writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc(words: str) -> datetime:
    return datetime.fromisoformat(words).replace(tzinfo=UTC)


def session(active: datetime, reset_at: datetime | None = None) -> SessionRow:
    return SessionRow(
        session_id="s",
        adapter="http",
        source_id="alice",
        target="agent:echo",
        context_id="c",
        created_at=text(active),
        last_active_at=text(active),
        last_reset_at=None if reset_at is None else text(reset_at),
    )


def daily(hour: int, zone: str = "UTC") -> Sessions:
    return Sessions(reset="daily", daily_reset_hour=hour, time_zone=zone)


MOMENTS = st.integers(0, 70 * 365 * 86_400_000_000).map(
    lambda micros: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
HOURS = st.integers(0, 23)


def around_a_change(zone: str) -> st.SearchStrategy[datetime]:
    """Moments within two days of a change of the clocks."""
    changes = [
        moment
        for moment in (utc("2024-01-01") + timedelta(hours=hours) for hours in range(24 * 366 * 2))
        if moment.astimezone(ZoneInfo(zone)).utcoffset() != (moment - timedelta(hours=1)).astimezone(
            ZoneInfo(zone)).utcoffset()
    ]  # fmt: skip
    assert len(changes) == 4
    return st.builds(
        lambda change, seconds: change + timedelta(seconds=seconds),
        st.sampled_from(changes),
        st.integers(-2 * 86400, 2 * 86400),
    )


# --- the hour of the day


@given(MOMENTS, HOURS, st.sampled_from(ZONES))
@example(datetime(2011, 12, 30, 10, 30, tzinfo=UTC), 4, "Pacific/Apia")  # a day that was left out there
@example(datetime(2006, 10, 29, 3, 0, tzinfo=UTC), 0, "America/St_Johns")  # midnight came twice
def test_a_day_has_one_boundary(moment: datetime, hour: int, zone: str) -> None:
    rules = daily(hour, zone)
    boundary = last_boundary(rules, moment)
    assert boundary <= moment
    assert moment - boundary <= timedelta(hours=50)
    assert last_boundary(rules, boundary) == boundary
    before = last_boundary(rules, boundary - timedelta(microseconds=1))
    assert timedelta(hours=22) <= boundary - before <= timedelta(hours=49)
    later = last_boundary(rules, moment + SECOND)
    assert boundary <= later <= moment + SECOND


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
def test_around_a_change_of_the_clocks_it_is_what_the_clock_on_the_wall_shows(zone: str) -> None:
    wall = ZoneInfo(zone)

    @given(around_a_change(zone), HOURS)
    def holds(moment: datetime, hour: int) -> None:
        boundary = last_boundary(daily(hour, zone), moment)
        # The last time that the wall clock went over to the hour, or over it, found by walking back minute by minute.
        # (What comes twice counts the first time: then the day has seen the hour already.)
        step = moment.replace(second=0, microsecond=0)
        while True:
            local, earlier = step.astimezone(wall), (step - timedelta(minutes=1)).astimezone(wall)
            mark = local.replace(hour=hour, minute=0, fold=0, tzinfo=None)
            if earlier.replace(tzinfo=None, fold=0) < mark <= local.replace(tzinfo=None, fold=0) and not (
                local.fold and local.hour == hour
            ):
                break
            step -= timedelta(minutes=1)
        assert boundary == step

    holds()


@pytest.mark.parametrize(
    ("zone", "hour", "moment", "boundary"),
    [
        ("UTC", 4, "2026-06-01T04:00:00", "2026-06-01T04:00:00"),
        ("UTC", 4, "2026-06-01T03:59:59.999999", "2026-05-31T04:00:00"),
        # In summer Berlin is two hours ahead, in winter one.
        (BERLIN, 4, "2026-07-01T02:00:00", "2026-07-01T02:00:00"),
        (BERLIN, 4, "2026-01-01T03:00:00", "2026-01-01T03:00:00"),
        # 29 March 2026: there is no 02:00; it strikes when 01:59 becomes 03:00.
        (BERLIN, 2, "2026-03-29T00:59:59", "2026-03-28T01:00:00"),
        (BERLIN, 2, "2026-03-29T01:00:00", "2026-03-29T01:00:00"),
        (BERLIN, 2, "2026-03-30T00:00:00", "2026-03-30T00:00:00"),
        # 25 October 2026: 02:00 comes twice, at 00:00 and at 01:00 UTC; the first counts.
        (BERLIN, 2, "2026-10-25T00:00:00", "2026-10-25T00:00:00"),
        (BERLIN, 2, "2026-10-25T01:30:00", "2026-10-25T00:00:00"),
        (BERLIN, 2, "2026-10-26T00:59:59", "2026-10-25T00:00:00"),
        (BERLIN, 2, "2026-10-26T01:00:00", "2026-10-26T01:00:00"),
        # 8 March and 1 November 2026 in New York.
        (NEW_YORK, 2, "2026-03-08T06:59:59", "2026-03-07T07:00:00"),
        (NEW_YORK, 2, "2026-03-08T07:00:00", "2026-03-08T07:00:00"),
        (NEW_YORK, 1, "2026-11-01T05:00:00", "2026-11-01T05:00:00"),
        (NEW_YORK, 1, "2026-11-01T06:30:00", "2026-11-01T05:00:00"),
        (NEW_YORK, 4, "2026-11-01T08:59:59", "2026-10-31T08:00:00"),
        (NEW_YORK, 4, "2026-11-01T09:00:00", "2026-11-01T09:00:00"),
        # St. John's, 29 October 2006: a minute after midnight it was 23:01 of the day before again.
        ("America/St_Johns", 0, "2006-10-29T02:30:30", "2006-10-29T02:30:00"),
        ("America/St_Johns", 0, "2006-10-29T03:00:00", "2006-10-29T02:30:00"),
        ("America/St_Johns", 0, "2006-10-29T03:45:00", "2006-10-29T02:30:00"),
    ],
)
def test_the_hour_strikes(zone: str, hour: int, moment: str, boundary: str) -> None:
    assert last_boundary(daily(hour, zone), utc(moment)) == utc(boundary)


# --- the rules


def test_without_a_rule_nothing_is_ever_due() -> None:
    assert due(session(utc("1990-01-01")), NEVER, text(utc("2060-01-01"))) == ()


@given(MOMENTS, st.integers(-10, 10**9), st.sampled_from(["1ms", "30s", "5m", "24h"]))
def test_idle_is_longer_than_the_time_and_not_as_long(active: datetime, later: int, timeout: str) -> None:
    rules = Sessions(reset="idle", idle_timeout=timeout)
    at = active + timedelta(microseconds=later)
    limit = timedelta(seconds=c.duration_seconds(timeout))
    assert due(session(active), rules, text(at)) == (("idle",) if at - active > limit else ())
    assert due(session(active), rules, text(active + limit)) == ()
    assert due(session(active), rules, text(active + limit + timedelta(microseconds=1))) == ("idle",)


@given(MOMENTS, MOMENTS, st.none() | MOMENTS, HOURS, st.sampled_from(ZONES))
def test_daily_is_before_the_boundary_and_not_on_it(
    active: datetime, at: datetime, reset_at: datetime | None, hour: int, zone: str
) -> None:
    rules = daily(hour, zone)
    boundary = last_boundary(rules, at)
    newest = active if reset_at is None else max(active, reset_at)
    assert due(session(active, reset_at), rules, text(at)) == (("daily",) if newest < boundary else ())
    assert due(session(boundary), rules, text(at)) == ()
    assert due(session(boundary - timedelta(microseconds=1)), rules, text(at)) == ("daily",)
    assert due(session(boundary - timedelta(days=9), boundary), rules, text(at)) == ()


@given(MOMENTS, MOMENTS, HOURS, st.sampled_from(ZONES))
def test_both_is_either_in_this_order(active: datetime, at: datetime, hour: int, zone: str) -> None:
    both = Sessions(reset="both", idle_timeout="90m", daily_reset_hour=hour, time_zone=zone)
    idle = Sessions(reset="idle", idle_timeout="90m")
    row, moment = session(active), text(at)
    assert due(row, both, moment) == due(row, idle, moment) + due(row, daily(hour, zone), moment)


@given(MOMENTS, MOMENTS, HOURS, st.sampled_from(ZONES))
def test_a_clock_that_went_back_resets_nothing(active: datetime, at: datetime, hour: int, zone: str) -> None:
    assume(at <= active)
    both = Sessions(reset="both", idle_timeout="1ms", daily_reset_hour=hour, time_zone=zone)
    assert due(session(active), both, text(at)) == ()


def test_an_adapter_has_its_own_rules() -> None:
    mine, ours = daily(3), daily(5)
    config = Config(
        gateway=Gateway(sessions=ours),
        adapters={"chat": AdapterBlock(kind="chat", sessions=mine), "inbox": AdapterBlock(kind="file-drop")},
    )
    assert rules_for(config, "chat") is mine
    assert rules_for(config, "inbox") is ours
    assert rules_for(config, "unknown") is ours


# --- who is talked to


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (c.Send(agent="echo"), "agent:echo"),
        (c.Stream(agent="echo"), "agent:echo"),
        (c.Send(group="team"), "group:team"),
        (c.Stream(group="team"), "group:team"),
        (c.Bcast(group="team"), "group:team"),
        (c.Scatter(group="team"), "group:team"),
        (c.Allreduce(group="team"), "group:team"),
        (c.Send(agent="echo", context="c"), None),
        (c.Send(agent="echo", task="t"), None),
        (c.Bcast(group="team", context="c"), None),
        (c.Send(), None),
        (c.Send(agent="echo", group="team"), None),
        (c.TaskGet(task_id="t", agent="echo"), None),
        (c.Gather(group="team", context="c"), None),
        (c.Barrier(group="team", operation="bcast/1"), None),
        (c.RouteExplain(group="team"), None),
        (c.AgentList(), None),
    ],
)
def test_who_a_command_talks_to(command: c.Command, target: str | None) -> None:
    assert target_of(command) == target


# --- finding the context


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "missive.sqlite3") as opened:
        opened.write(lambda t: t.agents.add(agent_row("echo")))
        opened.write(lambda t: t.agents.add(agent_row("worker")))
        at = "2026-01-01T00:00:00.000000Z"
        opened.write(lambda t: t.groups.create(GroupRow(name="team", created_at=at, updated_at=at)))
        yield opened


def envelope(command: c.Command, source: str = "alice", **values: Any) -> Envelope:
    return Envelope(
        contract=STDIO,
        id="1",
        source=Source(source_id=source, **{key: values.pop(key) for key in list(values) if key != "in_session"}),
        command=command,
        metadata={},
        **values,
    )


HELLO = c.Send(agent="echo", message="hello")
NOON = utc("2026-06-01T12:00:00")


def resolved(
    store: Store,
    command: c.Command = HELLO,
    *,
    adapter: str = "http",
    rules: Sessions = NEVER,
    at: datetime = NOON,
    source: str = "alice",
    **values: Any,
) -> str | None:
    given = envelope(command, source, **values)
    return store.write(lambda tables: resolve(tables, given, adapter, rules, text(at)))


def only(store: Store) -> SessionRow:
    (row,) = store.read(lambda tables: tables.sessions.list())
    return row


def journal(store: Store) -> list[tuple[str, str | None, Any]]:
    events = store.read(lambda tables: tables.events.list())
    return [
        (event.event_type.removeprefix("missive.session."), event.context_id, event.payload.get("reasons"))
        for event in events
        if event.event_type.startswith("missive.session.")
    ]


def test_a_session_keeps_its_context(store: Store) -> None:
    first = resolved(store)
    assert first is not None
    assert resolved(store, c.Stream(agent="echo"), at=NOON + timedelta(days=400), display_name="Alice") == first
    row = only(store)
    assert (row.adapter, row.source_id, row.target, row.resume_name) == ("http", "alice", "agent:echo", "default")
    assert (row.agent, row.group, row.context_id, row.display_name) == ("echo", None, first, "Alice")
    assert (row.created_at, row.last_active_at) == (text(NOON), text(NOON + timedelta(days=400)))
    assert (row.last_reset_at, row.reset_reasons) == (None, ())
    context = store.read(lambda tables: tables.contexts.find(first))
    assert (context.state, context.agent_alias) == ("open", "echo")
    assert context.metadata == {"missive.session.id": row.session_id}
    assert journal(store) == [("started", first, None)]
    (event,) = store.read(lambda tables: tables.events.list(types=("missive.session.started",)))
    assert event.agent_alias == "echo"
    assert event.payload == {
        "session_id": row.session_id, "adapter": "http", "source_id": "alice", "resume_name": "default",
        "target": "agent:echo",
    }  # fmt: skip


def test_the_name_for_people_is_the_last_one_that_was_given(store: Store) -> None:
    names = []
    for name in ("Alice", None, "", "A" * 1_000_000):
        resolved(store, display_name=name)
        names.append(only(store).display_name)
    assert names == ["Alice", "Alice", "Alice", "A" * 256]


def test_each_of_its_four_parts_makes_another_session(store: Store) -> None:
    contexts = {
        resolved(store),
        resolved(store, adapter="chat"),
        resolved(store, source="bob"),
        resolved(store, c.Send(agent="worker")),
        resolved(store, c.Send(group="team")),
        resolved(store, resume_name="trip"),
    }
    assert None not in contexts
    assert len(contexts) == 6
    assert resolved(store, c.Bcast(group="team")) in contexts  # the same group, in whatever way it is talked to
    assert len(store.read(lambda tables: tables.sessions.list())) == 6


@pytest.mark.parametrize(
    "command",
    [
        c.Send(agent="echo", context="mine"),
        c.Send(agent="echo", task="t-1"),
        c.Send(),
        c.Send(agent="nobody"),
        c.Bcast(group="nobody"),
        c.TaskList(),
    ],
)
def test_what_is_not_for_a_session_to_say_leaves_no_trace(store: Store, command: c.Command) -> None:
    assert resolved(store, command) is None
    assert store.read(lambda tables: (tables.sessions.list(), tables.contexts.list())) == ((), ())
    assert journal(store) == []
    assert in_context(command, None) is command


def test_a_delivery_without_a_session_has_no_context(store: Store) -> None:
    assert resolved(store, in_session=False) is None
    lone = parse_envelope(
        b'{"id": "1", "command": "send", "agent": "echo"}', STDIO, default_source="http", default_session=False
    )
    assert store.write(lambda tables: resolve(tables, lone, "http", NEVER, text(NOON))) is None
    assert store.read(lambda tables: tables.sessions.list()) == ()


def test_a_rule_gives_a_fresh_context_and_leaves_the_old_one(store: Store) -> None:
    rules = Sessions(reset="both", idle_timeout="1h", daily_reset_hour=4, time_zone=BERLIN)
    first = resolved(store, rules=rules, at=NOON)
    assert resolved(store, rules=rules, at=NOON + timedelta(hours=1)) == first
    later = NOON + timedelta(hours=2, seconds=1)
    second = resolved(store, rules=rules, at=later)
    assert second != first
    assert (only(store).last_reset_at, only(store).reset_reasons) == (text(later), ("idle",))
    third = resolved(store, rules=rules, at=NOON + timedelta(days=1))
    assert third not in (first, second)
    assert only(store).reset_reasons == ("idle", "daily")
    assert journal(store) == [
        ("started", first, None),
        ("reset", first, ["idle"]),
        ("started", second, None),
        ("reset", second, ["idle", "daily"]),
        ("started", third, None),
    ]
    states = {row.context_id: row.state for row in store.read(lambda tables: tables.contexts.list())}
    assert states == {first: "open", second: "open", third: "open"}


def test_the_daily_reset_comes_once_a_day(store: Store) -> None:
    rules = daily(4, NEW_YORK)
    contexts = [resolved(store, rules=rules, at=NOON + timedelta(hours=hours)) for hours in range(72)]
    # Midday UTC is 08:00 in New York: its 04:00 is 20, 44 and 68 hours later.
    changes = [hour for hour in range(1, 72) if contexts[hour] != contexts[hour - 1]]
    assert changes == [20, 44, 68]
    assert len(set(contexts)) == 4


def test_a_context_that_was_closed_is_not_gone_on_in(store: Store) -> None:
    first = resolved(store)
    assert first is not None
    store.write(lambda tables: tables.contexts.close(first, at=text(NOON)))
    second = resolved(store)
    assert second != first
    assert resolved(store) == second
    assert journal(store) == [("started", first, None), ("reset", first, ["closed"]), ("started", second, None)]


def test_what_was_reset_by_hand_begins_once(store: Store) -> None:
    rules = Sessions(reset="idle", idle_timeout="1m")
    first = resolved(store, rules=rules)
    store.write(lambda tables: reset(tables, tables.sessions.list()[0], ("operator",), text(NOON)))
    assert only(store).context_id is None
    second = resolved(store, rules=rules, at=NOON + timedelta(days=1))  # idle, too, but there is nothing to reset
    assert second not in (None, first)
    assert only(store).reset_reasons == ("operator",)
    assert journal(store) == [("started", first, None), ("reset", first, ["operator"]), ("started", second, None)]


def test_a_session_is_not_idle_while_it_is_worked_for(store: Store) -> None:
    rules = Sessions(reset="idle", idle_timeout="1h")
    first = resolved(store, rules=rules)
    answered = text(NOON + timedelta(hours=3))
    store.write(lambda tables: touch(tables, envelope(HELLO), "http", answered))
    assert only(store).last_active_at == answered
    store.write(lambda tables: touch(tables, envelope(HELLO), "http", text(NOON)))
    assert only(store).last_active_at == answered
    for other in (envelope(c.TaskList()), envelope(HELLO, in_session=False), envelope(HELLO, source="bob")):
        store.write(lambda tables, other=other: touch(tables, other, "http", text(NOON + timedelta(days=9))))  # type: ignore[misc]
    assert only(store).last_active_at == answered
    # It came while the other was at work, and had to wait.
    assert resolved(store, rules=rules, at=NOON + timedelta(hours=2)) == first
    assert only(store).last_active_at == answered
    assert resolved(store, rules=rules, at=NOON + timedelta(hours=4)) == first


def test_a_clock_that_was_ahead_is_forgotten(store: Store) -> None:
    rules = Sessions(reset="idle", idle_timeout="1h")
    far = datetime.now(UTC) + timedelta(days=3650)
    first = resolved(store, rules=rules, at=far)
    at = datetime.now(UTC)
    assert resolved(store, rules=rules, at=at) == first
    assert only(store).last_active_at < text(at + timedelta(minutes=10))
    assert resolved(store, rules=rules, at=at + timedelta(hours=2)) != first


def test_nothing_is_kept_of_a_transaction_that_fails(store: Store) -> None:
    def fails(tables: Any) -> None:
        resolve(tables, envelope(HELLO), "http", NEVER, text(NOON))
        raise ValidationError("no")

    with pytest.raises(ValidationError):
        store.write(fails)
    assert store.read(lambda tables: (tables.sessions.list(), tables.contexts.list())) == ((), ())
    assert journal(store) == []


def test_a_session_goes_with_the_name_of_its_agent_or_group(store: Store) -> None:
    mine, theirs = resolved(store), resolved(store, c.Bcast(group="team"))
    store.write(lambda tables: tables.agents.rename("echo", "parrot", at=text(NOON)))
    store.write(lambda tables: tables.groups.rename("team", "crew", text(NOON)))
    assert resolved(store, c.Send(agent="parrot")) == mine
    assert resolved(store, c.Bcast(group="crew")) == theirs
    store.write(lambda tables: tables.groups.delete("crew"))
    store.write(lambda tables: tables.agents.remove("parrot"))
    assert only(store).target == "agent:parrot"  # as its tasks and messages
    store.write(lambda tables: tables.agents.rename("worker", "parrot", at=text(NOON)))
    assert only(store).target == "agent:parrot"
    store.write(lambda tables: tables.agents.remove("parrot", purge=True))
    assert store.read(lambda tables: tables.sessions.list()) == ()


def test_what_a_removed_agent_left_gives_way_to_the_one_that_takes_its_alias(store: Store) -> None:
    left, mine = resolved(store), resolved(store, c.Send(agent="worker"))
    store.write(lambda tables: tables.agents.remove("echo"))
    store.write(lambda tables: tables.agents.rename("worker", "echo", at=text(NOON)))
    assert resolved(store) == mine != left
    assert only(store).target == "agent:echo"


RESOLVER = """
import sys
from pathlib import Path
from missive_host.config.model import Sessions
from missive_host.core.sessions import resolve
from missive_host.envelopes import STDIO, parse_envelope
from missive_host.store import Store

store = Store.open(Path(sys.argv[1]))
frame = b'{"id": "1", "command": "send", "agent": "echo", "message": "hello", "source": {"source_id": "%s"}}'
rules = Sessions(reset="idle", idle_timeout="1h")
print("ready", flush=True)
for line in sys.stdin:
    source, at = line.split()
    envelope = parse_envelope(frame % source.encode(), STDIO, default_source="x")
    print(store.write(lambda tables: resolve(tables, envelope, "http", rules, at)), flush=True)
"""


def test_two_processes_make_one_context_of_a_session(store: Store) -> None:
    """Each gets the same hundred sessions at once, and then the same hundred that are due."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", RESOLVER, str(store.path)]
    pair = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)
    ]
    with pair[0], pair[1]:
        for child in pair:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        found: list[list[str]] = [[], []]
        for at in (NOON, NOON + timedelta(hours=2)):
            for number in range(100):
                for child in pair:
                    assert child.stdin is not None
                    child.stdin.write(f"source-{number} {text(at)}\n")
                    child.stdin.flush()
            for index, child in enumerate(pair):
                assert child.stdout is not None
                found[index] += [child.stdout.readline().strip() for _ in range(100)]
        for child in pair:
            assert child.stdin is not None
            child.stdin.close()
    assert [child.returncode for child in pair] == [0, 0]
    assert found[0] == found[1]
    assert len(set(found[0])) == 200
    rows = store.read(lambda tables: tables.sessions.list())
    assert sorted(row.context_id or "" for row in rows) == sorted(found[0][100:])
    kinds = [kind for kind, _, _ in journal(store)]
    assert (kinds.count("started"), kinds.count("reset"), len(kinds)) == (200, 100, 300)


@pytest.mark.parametrize("answers", [1, 40, 150])
def test_a_process_that_is_killed_leaves_no_session_half_made(store: Store, answers: int) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    frames = "".join(f"source-{number % 100} {text(NOON + timedelta(hours=number))}\n" for number in range(2000))
    command = [sys.executable, "-c", RESOLVER, str(store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(frames)
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n"
        told = [child.stdout.readline().strip() for _ in range(answers)]
        child.kill()
    assert child.returncode == -signal.SIGKILL
    contexts = {row.context_id for row in store.read(lambda tables: tables.contexts.list())}
    assert set(told) <= contexts
    events = journal(store)
    assert {context for kind, context, _ in events if kind == "started"} == contexts
    left = {context for kind, context, _ in events if kind == "reset"}
    assert {row.context_id for row in store.read(lambda tables: tables.sessions.list())} == contexts - left


# --- what the agents see


def begun(core: Commands, command: c.Command, source: str = "alice", at: datetime = NOON, **rules: Any) -> c.Command:
    """Return a command as it runs when it comes as a delivery of a session."""
    given = envelope(command, source)
    context = core.core.store.write(lambda tables: resolve(tables, given, "http", Sessions(**rules), text(at)))
    assert context is not None
    return in_context(command, context)


async def talk(core: Commands, command: c.Command, source: str = "alice", at: datetime = NOON, **rules: Any) -> Any:
    """Run a command as a delivery of a session, and return its result."""
    return await core.one(begun(core, command, source, at, **rules))


def seen(result: Any) -> str:
    """The contextId that the agent saw."""
    words: str = result.response.text
    return words


@pytest.mark.anyio
@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_agent_sees_one_conversation(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("echo", agent, binding)
        ask = c.Send(agent="echo", message="context")
        first = await talk(core, ask)
        second = await talk(core, ask)
        other = await talk(core, ask, "bob")
        assert seen(first) == seen(second) != seen(other)
        assert first.persistence.context_id == second.persistence.context_id != other.persistence.context_id
        fresh = await talk(core, ask, at=NOON + timedelta(hours=2), reset="idle", idle_timeout="1h")
        assert seen(fresh) not in (seen(first), seen(other))
        again = await talk(core, ask, at=NOON + timedelta(hours=2), reset="idle", idle_timeout="1h")
        assert seen(again) == seen(fresh)
        remote = core.read(lambda tables: tables.contexts.find(first.persistence.context_id).remote_contexts)
        assert remote == {"echo": seen(first)}


@pytest.mark.anyio
async def test_a_stream_and_a_send_are_one_conversation(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        first = await talk(core, c.Send(agent="echo", message="context"))
        await core.all(begun(core, c.Stream(agent="echo", message="stream 2")))
        (task,) = core.read(lambda tables: tables.tasks.list(context=first.persistence.context_id)).tasks
        assert task.remote_context_id == seen(first)


@pytest.mark.anyio
async def test_the_members_of_a_group_each_keep_their_conversation(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("ann", agent)
        core.add("ben", agent)
        core.local(c.GroupCreate(group="team"))
        core.local(c.GroupAdd(group="team", agent="ann", rank="1"))
        core.local(c.GroupAdd(group="team", agent="ben", rank="2"))
        remotes = []
        contexts = set()
        for command in (
            c.Bcast(group="team", message="context"),
            c.Scatter(group="team", template="context"),
            c.Allreduce(group="team", message="context", strategy="merge"),
            c.Send(group="team", message="context"),
        ):
            await core.all(begun(core, command))
            (session_row,) = core.read(lambda tables: tables.sessions.list())
            contexts.add(session_row.context_id)
            (context,) = core.read(lambda tables: tables.contexts.list())
            remotes.append(context.remote_contexts)
        assert contexts == {context.context_id}
        assert set(remotes[0]) == {"ann", "ben"}
        assert remotes[0]["ann"] != remotes[0]["ben"]
        assert remotes == [remotes[0]] * 4


# --- the commands


@pytest.mark.anyio
async def test_the_operator_sees_and_resets(home: Home, agent: AgentProcess) -> None:
    home.configure('[gateway.sessions]\nreset = "idle"\nidle_timeout = "1ms"\n')
    async with home.core() as core:
        core.add("echo", agent)
        core.add("other", agent)
        assert core.local(c.SessionList()).sessions == ()
        await talk(core, c.Send(agent="echo", message="hi"))
        await talk(core, c.Send(agent="echo", message="hi"), "bob", at=NOON + SECOND)
        await talk(core, c.Send(agent="other", message="hi"), at=NOON - SECOND)
        listed = core.local(c.SessionList())
        assert (listed.count, listed.message) == (3, "3 sessions")
        assert [(row.source_id, row.target) for row in listed.sessions] == [
            ("bob", "agent:echo"),
            ("alice", "agent:echo"),
            ("alice", "agent:other"),
        ]
        assert core.local(c.SessionList(source="alice", agent="echo")).count == 1
        assert core.local(c.SessionList(adapter="http")).count == 3
        assert core.local(c.SessionList(adapter="chat")).count == 0
        assert core.local(c.SessionList(group="echo")).count == 0
        bob = listed.sessions[0]
        shown = core.local(c.SessionShow(session=bob.session_id))
        assert shown.session == bob
        assert shown.due == ("idle",)
        assert shown.counts.message_count == 2
        assert shown.message == "session of 'bob' with agent 'echo'"
        done = core.local(c.SessionReset(session=bob.session_id))
        assert (done.count, done.message) == (1, "1 session reset")
        assert done.sessions[0].reset_reasons == ("operator",)
        shown = core.local(c.SessionShow(session=bob.session_id))
        assert (shown.session, shown.due, shown.counts) == (done.sessions[0], (), msgspec.UNSET)
        again = core.local(c.SessionReset(session=bob.session_id))
        assert (again.count, again.message, again.sessions) == (0, "no session had anything to reset", done.sessions)
        assert core.local(c.SessionReset(source="alice")).count == 2
        assert core.local(c.SessionReset(source="nobody")).count == 0
        for wrong in (
            c.SessionReset(),
            c.SessionShow(session="x"),
            c.SessionReset(session="x"),
            c.SessionList(agent="echo", group="team"),
        ):
            with pytest.raises(ValidationError):
                core.core.run_local(wrong)
        reset_events = core.read(lambda tables: tables.events.list(types=("missive.session.reset",)))
        assert len(reset_events) == 3


@pytest.mark.parametrize("tag", ["session_list", "session_show", "session_reset"])
def test_no_frame_sees_who_talks(tag: str) -> None:
    frame = json.dumps({"id": "1", "command": tag, "session": "s"}).encode()
    with pytest.raises(ValidationError, match="unknown command"):
        parse_envelope(frame, STDIO, default_source="x")


def test_the_store_takes_each_session_once(store: Store) -> None:
    resolved(store)
    twin = msgspec.structs.replace(only(store), session_id="another")
    with pytest.raises(StorageError, match="does not fit"):
        store.write(lambda tables: tables.sessions.put(twin))
