"""The circuit breaker: what opens it, what it keeps away, what closes it, and where it is seen."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from msgspec.structs import replace
from route_kit import answer, document, gang, hangs, nobody, run, says, task, tried
from support.cores import QUICK
from support.misbehaving import in_turn, reply

from missive_host import commands as c
from missive_host.errors import MissiveError, OrchestrationError, TransportError
from missive_host.ids import now
from missive_host.routing.breaker import LONGEST_REST, REST, THRESHOLD, failed, is_resting, succeeded, tries
from missive_host.routing.candidates import named_candidates
from missive_host.store import AgentRow, BreakerRow, Store

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess

HELLO = answer({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hello"}]}})
NO_RETRIES = QUICK + "retry_attempts = 0\n"


def breaker(core: Commands, alias: str) -> BreakerRow | None:
    return core.read(lambda tables: tables.breakers.get(alias))


def seconds(row: BreakerRow | None) -> float:
    assert row is not None
    assert row.opened_at is not None
    assert row.until is not None
    return (datetime.fromisoformat(row.until) - datetime.fromisoformat(row.opened_at)).total_seconds()


def rest_is_over(core: Commands, alias: str) -> None:
    """Move the rest of an agent into the past."""
    row = breaker(core, alias)
    assert row is not None
    over = replace(row, opened_at="2020-01-01T00:00:00.000000Z", until="2020-01-01T00:00:30.000000Z")
    core.core.store.write(lambda tables: tables.breakers.put(over))


async def fail(core: Commands, alias: str, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(MissiveError):
            await core.all(c.Send(agent=alias, message="x"))


async def test_three_failures_in_a_row_open_it_and_policies_look_elsewhere(home: Home, agent: AgentProcess) -> None:
    home.configure(NO_RETRIES)
    async with home.core() as core:
        gang(core, "direct", ann=nobody(), bob=agent)
        await fail(core, "ann", THRESHOLD - 1)
        view = core.local(c.AgentShow(agent="ann")).agent
        assert (view.failures, bool(view.resting_until)) == (2, False)
        assert "connection refused" in view.last_failure
        told = {each.agent: each.failures for each in await named_candidates(core.core, ("ann", "bob"))}
        assert told == {"ann": 2, "bob": 0}, "policies are told"

        await fail(core, "ann")
        view = core.local(c.AgentShow(agent="ann")).agent
        assert view.failures == 3
        assert view.resting_until > now()
        assert seconds(breaker(core, "ann")) == REST
        result = await core.one(c.Send(group="gang", message="echo x"))
        assert result.agent == "bob"
        (ann, bob) = (await core.one(c.RouteExplain(group="gang"))).plan.decisions
        assert (ann.selected, ann.reason) == (False, "it fits, but is resting after failures")
        assert (bob.selected, bob.reason) == (True, "the first that fits")
        healthy = core.local(c.AgentShow(agent="bob")).agent
        assert not healthy.failures
        assert not healthy.last_failure
        assert [bool(each.failures) for each in core.local(c.AgentList()).agents] == [True, False]


async def test_a_message_by_name_is_always_sent(home: Home, misbehaving: Start) -> None:
    home.configure(NO_RETRIES)
    server = misbehaving(in_turn(*[reply(500)] * 3, HELLO))
    async with home.core() as core:
        core.add("ann", server.url)
        await fail(core, "ann", 3)
        assert is_resting(breaker(core, "ann"), now())
        assert (await core.one(c.Send(agent="ann", message="x"))).response.text == "hello"
        row = breaker(core, "ann")
        assert row is not None
        assert row == BreakerRow(alias="ann", failures=0, updated_at=row.updated_at)


async def test_after_its_rest_it_may_be_chosen_and_one_failure_rests_it_twice_as_long(
    home: Home, misbehaving: Start, agent: AgentProcess
) -> None:
    home.configure(NO_RETRIES)
    server = misbehaving(in_turn(*[reply(500)] * 4, HELLO))
    async with home.core() as core:
        gang(core, "direct", ann=server.url, bob=agent)
        await fail(core, "ann", 3)
        assert (await core.one(c.Send(group="gang", message="echo x"))).agent == "bob"
        rest_is_over(core, "ann")
        await core.fails(c.Send(group="gang", message="x"), TransportError)  # half open: ann is asked
        assert seconds(breaker(core, "ann")) == 2 * REST
        assert (await core.one(c.Send(group="gang", message="echo x"))).agent == "bob"
        rest_is_over(core, "ann")
        assert (await core.one(c.Send(group="gang", message="x"))).agent == "ann"
        row = breaker(core, "ann")
        assert row is not None
        assert (row.failures, row.until, row.last_error) == (0, None, None)


async def test_one_message_tries_whether_it_is_back_and_the_others_go_elsewhere(
    home: Home, misbehaving: Start, agent: AgentProcess
) -> None:
    home.configure(NO_RETRIES)
    back = threading.Event()

    def when_back(exchange: Exchange) -> None:
        back.wait(20)
        HELLO(exchange)

    server = misbehaving(in_turn(*[reply(500)] * 3, when_back))
    async with home.core() as one, home.core() as other:
        gang(one, "direct", ann=server.url, bob=agent)
        await fail(one, "ann", 3)
        rest_is_over(one, "ann")
        async with anyio.create_task_group() as group:
            answers: list[str] = []

            async def send(core: Commands) -> None:
                answers.append((await core.one(c.Send(group="gang", message="echo x"))).agent)

            group.start_soon(send, one)
            while len(server.requests) < 4:  # the message that tries it is there
                await anyio.sleep(0.01)
            assert is_resting(breaker(one, "ann"), now())
            await send(one)
            await send(other)
            assert answers == ["bob", "bob"]
            back.set()
        assert answers == ["bob", "bob", "ann"]
        assert (await other.one(c.Send(group="gang", message="echo x"))).agent == "ann"
        row = breaker(one, "ann")
        assert row is not None
        assert (row.failures, row.until) == (0, None)


async def test_messages_that_are_planned_together_try_it_once(
    home: Home, misbehaving: Start, agent: AgentProcess
) -> None:
    home.configure(NO_RETRIES)
    server = misbehaving(reply(500))
    async with home.core() as core:
        gang(core, "direct", ann=server.url, bob=agent)
        await fail(core, "ann", 3)
        rest_is_over(core, "ann")
        before = len(server.requests)
        failures: list[MissiveError] = []

        async def send() -> None:
            try:
                await core.one(c.Send(group="gang", message="echo x"))
            except MissiveError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(send)
        assert (len(server.requests) - before, len(failures)) == (1, 1)
        assert seconds(breaker(core, "ann")) == 2 * REST


def test_a_trial_that_nobody_ends_is_over_some_time(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        at = "2026-01-01T00:00:00.000000Z"
        store.write(
            lambda tables: tables.agents.add(AgentRow(alias="ann", base_url="http://x", created_at=at, updated_at=at))
        )

        def tried(at: str) -> bool:
            return store.write(lambda tables: tries(tables, "ann", at))

        assert not tried(at)  # nothing is known against it
        for _ in range(3):
            store.write(lambda tables: failed(tables, "ann", "e", at))
        assert [tried(f"2026-01-01T00:00:{second}.000000Z") for second in (29, 30, 31, 59)] == [
            False, True, False, False,
        ]  # fmt: skip
        assert tried("2026-01-01T00:01:00.000000Z")
        store.write(lambda tables: failed(tables, "ann", "by name", "2026-01-01T00:01:01.000000Z"))
        row = store.read(lambda tables: tables.breakers.get("ann"))
        assert (seconds(row), row.until if row else None) == (REST, "2026-01-01T00:01:30.000000Z")
        store.write(lambda tables: failed(tables, "ann", "e", "2026-01-01T00:01:02.000000Z", tried=True))
        row = store.read(lambda tables: tables.breakers.get("ann"))
        assert (seconds(row), row.until if row else None) == (2 * REST, "2026-01-01T00:02:02.000000Z")


def test_how_long_it_rests(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        at = "2026-01-01T00:00:00.000000Z"
        store.write(
            lambda tables: tables.agents.add(AgentRow(alias="ann", base_url="http://x", created_at=at, updated_at=at))
        )

        def fails(at: str) -> BreakerRow:
            store.write(lambda tables: failed(tables, "ann", "e" * 9000, at))
            row = store.read(lambda tables: tables.breakers.get("ann"))
            assert row is not None
            return row

        rows = [fails(at) for _ in range(40)]  # as when 40 calls were under way
        assert [row.until for row in rows[:2]] == [None, None]
        assert {row.until for row in rows[2:]} == {"2026-01-01T00:00:30.000000Z"}
        assert rows[-1].failures == 40
        assert len(rows[-1].last_error or "") == 500
        rests = []
        for _ in range(7):
            until = rows[-1].until
            assert until is not None
            rows.append(fails(until))
            rests.append(seconds(rows[-1]))
        assert rests == [60, 120, 240, 480, LONGEST_REST, LONGEST_REST, LONGEST_REST]
        store.write(lambda tables: succeeded(tables, "ann", at))
        assert [fails(at).until for _ in range(3)] == [None, None, "2026-01-01T00:00:30.000000Z"]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_what_counts(home: Home, misbehaving: Start, code: int) -> None:
    home.configure(NO_RETRIES)
    async with home.core() as core:
        core.add("ann", misbehaving(reply(code)).url)
        await fail(core, "ann", 2)
        row = breaker(core, "ann")
        assert row is not None
        assert row.failures == 2
        assert f"HTTP {code}" in (row.last_error or "")


ERROR = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "no"}}


@pytest.mark.parametrize("handler", [reply(404), reply(401), reply(200, ERROR), reply(200, b"<html>")])
async def test_what_does_not_count(home: Home, misbehaving: Start, handler: Any) -> None:
    async with home.core() as core:
        core.add("ann", misbehaving(handler).url)
        await fail(core, "ann", 4)
        assert breaker(core, "ann") is None


async def test_a_task_that_fails_is_an_answer(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    home.configure(NO_RETRIES)
    async with home.core() as core:
        core.add("ann", misbehaving(in_turn(reply(500), answer({"task": task("FAILED")}))).url)
        await fail(core, "ann")
        for _ in range(4):
            assert (await core.one(c.Send(agent="ann", message="x"))).response.state == "failed"
        row = breaker(core, "ann")
        assert row is not None
        assert row.failures == 0  # it was there, so the failures before are no longer in a row


async def test_one_that_rests_is_the_last_resort(home: Home, agent: AgentProcess) -> None:
    home.configure(NO_RETRIES)
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=agent, cid=nobody())
        await fail(core, "ann", 3)
        result = await core.one(c.Send(group="gang", message="echo x"))
        assert result.route.targets == ("bob", "cid", "ann")
        await fail(core, "cid", 3)
        core.local(c.GroupRemove(group="gang", agent="bob"))
        for policy in ("direct", "round-robin", "first-success", "least-busy"):
            plan = (await core.one(c.RouteExplain(group="gang", policy=policy))).plan
            assert plan.selected
            assert any("so are all that fit" in each.reason for each in plan.decisions)


async def test_a_resting_agent_is_not_asked_for_its_card(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    home.configure(NO_RETRIES)
    server = misbehaving(reply(500), card=False)
    async with home.core() as core:
        gang(core, "direct", ann=server.url, bob=agent)
        await fail(core, "ann", 3)
        before = server.connections
        await core.one(c.Send(group="gang", message="echo x"))
        await core.one(c.RouteExplain(group="gang"))
        assert server.connections == before


async def test_a_card_that_does_not_come_holds_up_nobody_for_long(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    """Without its card it stays a candidate of whom nothing is known."""
    server = misbehaving(hangs, card=False)
    async with home.core() as core:
        gang(core, "direct", ann=server.url, bob=agent)
        plan = (await core.one(c.RouteExplain(group="gang", requirements=c.Requirements(streaming=True)))).plan
        ann, bob = plan.decisions
        assert ann.missing_requirements == ("streaming:unknown",)
        assert bob.selected


async def test_one_that_never_gives_its_card_is_soon_left_in_peace(home: Home, agent: AgentProcess) -> None:
    """Though nobody sends it a message: who is not there must not hold up each message to its group."""
    async with home.core() as core:
        gang(core, "direct", ann=agent, bob=nobody())
        await core.one(c.RouteExplain(group="gang"))  # explaining counts nothing
        assert core.read(lambda tables: tables.breakers.list()) == ()
        for failures in (1, 2, 3):
            await core.one(c.Send(group="gang", message="echo x"))
            assert [(row.alias, row.failures) for row in core.read(lambda tables: tables.breakers.list())] == [
                ("bob", failures)
            ]
        await core.one(c.Send(group="gang", message="echo x"))
        assert core.local(c.AgentShow(agent="bob")).agent.failures == 3


async def test_two_processes_see_it(home: Home, agent: AgentProcess) -> None:
    home.configure(NO_RETRIES)
    async with home.core() as one, home.core() as other:
        gang(one, "direct", ann=nobody(), bob=agent)
        await fail(one, "ann", 2)
        await fail(other, "ann")
        assert (await one.one(c.Send(group="gang", message="echo x"))).agent == "bob"
        assert (await other.one(c.Send(group="gang", message="echo x"))).agent == "bob"
    listed = {each["alias"]: each for each in document(home, "agent", "list")["agents"]}
    assert listed["ann"]["failures"] == 3
    assert listed["ann"]["resting_until"] > now()
    assert "failures" not in listed["bob"]
    table = run(home, "agent", "list").stdout.splitlines()
    assert table[0].split()[-2:] == ["HEALTH", "CARD"]
    assert f"resting until {listed['ann']['resting_until'][:19]}Z" in table[1]
    assert " ok " in table[2]
    shown = run(home, "agent", "show", "ann").stdout
    assert "last failure  transport error: could not connect" in shown
    assert document(home, "send", "--group", "gang", "echo x")["agent"] == "bob"


async def test_a_failure_of_another_process_is_healed_by_a_success_of_this_one(home: Home, misbehaving: Start) -> None:
    home.configure(NO_RETRIES)
    server = misbehaving(in_turn(HELLO, reply(500), HELLO))
    async with home.core() as one, home.core() as other:
        one.add("ann", server.url)
        await one.one(c.Send(agent="ann", message="x"))
        await fail(other, "ann")
        await one.one(c.Send(agent="ann", message="x"))
        row = breaker(one, "ann")
        assert row is not None
        assert row.failures == 0


async def test_being_too_slow_rests_an_agent_too(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    home.configure('[qos]\ntimeout = "150ms"\nretry_attempts = 0\n')
    server = misbehaving(says(SendMessage=hangs))
    async with home.core() as core:
        gang(core, "fallback", ann=server.url, bob=agent)
        for _ in range(3):
            assert tried((await core.one(c.Send(group="gang", message="echo x"))).route) == [
                ("ann", "timeout"), ("bob", "answered"),
            ]  # fmt: skip
        assert tried((await core.one(c.Send(group="gang", message="echo x"))).route) == [("bob", "answered")]


async def test_a_new_url_is_another_agent(home: Home, agent: AgentProcess) -> None:
    home.configure(NO_RETRIES)
    async with home.core() as core:
        gang(core, "direct", ann=nobody())
        await fail(core, "ann", 3)
        renamed = core.local(c.AgentRename(agent="ann", new_name="anna")).agent
        assert renamed.failures == 3
        updated = core.local(c.AgentUpdate(agent="anna", url=agent.url)).agent
        assert not updated.failures
        assert (await core.one(c.Send(group="gang", message="echo x"))).agent == "anna"


async def test_all_rest_and_none_is_there(home: Home) -> None:
    home.configure(NO_RETRIES)
    async with home.core() as core:
        gang(core, "fallback", ann=nobody())
        await fail(core, "ann", 3)
        error = await core.fails(c.Send(group="gang", message="x"), OrchestrationError)
        assert "`missive agent list` shows which ones rest" in (error.help or "")
