"""`stream` to a group: nothing is shown of an agent that did not take the message, or was not the first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from route_kit import answer, events, gang, hangs, journal, message, methods, nobody, says, status, task, tasks, tried
from support.misbehaving import reply

from missive_host import commands as c
from missive_host.errors import OrchestrationError, TransportError, ValidationError
from missive_host.outputs import StreamResult

if TYPE_CHECKING:
    from support.cores import Commands, Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess

BUSY = ({"task": task("SUBMITTED")}, status("WORKING"))


async def streamed(core: Commands, policy: str, text: str, **fields: Any) -> tuple[list[Any], Any]:
    """Stream to the gang; return the events and the result."""
    outputs = await core.all(c.Stream(group="gang", policy=policy, message=text, **fields))
    shown: list[Any]
    *shown, result = (output.data for output in outputs)
    assert isinstance(result, StreamResult)
    assert [output.sequence for output in outputs] == list(range(len(outputs)))
    assert {each.kind for each in shown} <= {"stream_event"}
    assert result.event_count == len(shown)
    return shown, result


def states(shown: list[Any]) -> list[str]:
    return [each.state for each in shown if each.state]


async def test_one_agent_streams(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "direct", ann=agent, bob=agent)
        shown, result = await streamed(core, "direct", "stream 2")
        assert {each.agent for each in shown} == {"ann"}
        assert states(shown) == ["submitted", "working", "working", "working", "completed"]
        assert tried(result.route) == [("ann", "answered")]
        assert result.route.mode == "single"
        (event,) = journal(core, "attempt")
        assert (event.payload["status"], event.task_id) == ("answered", result.final_task_id)
        shown, result = await streamed(core, "direct", "reject")
        assert states(shown) == ["submitted", "rejected"]


async def test_a_dead_one_and_one_that_rejects_are_followed_by_the_next(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    refusing = misbehaving(says(SendStreamingMessage=events({"task": task("SUBMITTED")}, status("REJECTED"))))
    async with home.core() as core:
        gang(core, "fallback", ann=nobody(), bob=refusing.url, cid=agent)
        shown, result = await streamed(core, "fallback", "stream 2")
        assert {each.agent for each in shown} == {"cid"}
        assert states(shown) == ["submitted", "working", "working", "working", "completed"]
        assert tried(result.route) == [("ann", "failed"), ("bob", "refused"), ("cid", "answered")]


async def test_all_reject(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=agent, bob=agent)
        error = await core.fails(c.Stream(group="gang", message="reject"), OrchestrationError)
        assert error.message == "no member of group 'gang' took the message (2 tried)"
        assert error.sources == ("ann: refused (rejected)", "bob: refused (rejected)")


async def test_one_that_says_nothing_is_followed_by_the_next(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    home.configure('[qos]\ntimeout = "400ms"\n')
    async with home.core() as core:
        gang(core, "fallback", ann=misbehaving(says(SendStreamingMessage=hangs)).url, bob=agent)
        shown, result = await streamed(core, "fallback", "stream 3 0.3")  # longer in all than the time to accept
        assert {each.agent for each in shown} == {"bob"}
        assert tried(result.route) == [("ann", "timeout"), ("bob", "answered")]
        assert [row.failures for row in core.read(lambda tables: tables.breakers.list())] == [1]


async def test_who_has_begun_and_fails_is_the_end(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    async with home.core() as core:
        lost = says(SendStreamingMessage=events(*BUSY, end="reset"), SubscribeToTask=reply(404), GetTask=reply(404))
        gang(core, "fallback", ann=misbehaving(lost, streaming=True).url, bob=agent)
        await core.fails(c.Stream(group="gang", message="x"), TransportError, "stream_event", "stream_event")
        assert {row.agent_alias for row in core.requests()} == {"ann"}
        _, result = await streamed(core, "fallback", "fail", preferred_agent="bob")
        assert (result.agent, result.final_state) == ("bob", "failed")


async def test_one_that_is_lost_when_it_had_only_taken_the_message(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    """It has it: nobody else gets it, and what came is shown."""
    lost = says(SendStreamingMessage=events(BUSY[0], end="reset"), SubscribeToTask=reply(404), GetTask=reply(404))
    async with home.core() as core:
        gang(core, "fallback", ann=misbehaving(lost).url, bob=agent)
        await core.fails(c.Stream(group="gang", message="x"), TransportError, "stream_event")
        (event,) = journal(core, "attempt")
        assert (event.payload["status"], event.payload["state"]) == ("failed", "submitted")


async def test_a_stream_that_is_cut_is_taken_up_again(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "fallback", ann=agent, bob=agent)
        _, result = await streamed(core, "fallback", "break")
        assert (result.agent, result.final_state, result.resumed) == ("ann", "completed", 1)


async def test_the_first_to_begin_is_shown_and_the_others_are_cancelled_at_the_agent(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    async with home.core() as core:

        def when_they_have_it(exchange: Exchange) -> None:
            exchange.start_stream()
            number = exchange.request.json()["id"]
            exchange.event({"jsonrpc": "2.0", "id": number, "result": BUSY[0]})
            deadline = time.monotonic() + 20
            while {row.agent_alias for row in tasks(core)} != {"ann", "bob", "cid"}:
                assert time.monotonic() < deadline
                exchange.wait(0.02)
            exchange.event({"jsonrpc": "2.0", "id": number, "result": status("WORKING")})
            exchange.event({"jsonrpc": "2.0", "id": number, "result": status("COMPLETED")})
            exchange.end_stream()

        # Those that only say "submitted" have not begun; one that rejects at once does not win either.
        queued = says(SendStreamingMessage=events(BUSY[0], end="hang"), CancelTask=answer(task("CANCELED")))
        first, second = misbehaving(queued), misbehaving(queued)
        winner = misbehaving(says(SendStreamingMessage=when_they_have_it))
        gang(core, "first-success", ann=first.url, bob=second.url, cid=winner.url)
        shown, result = await streamed(core, "first-success", "x")
        assert {each.agent for each in shown} == {"cid"}
        assert states(shown) == ["submitted", "working", "completed"]
        assert tried(result.route) == [("ann", "cancelled"), ("bob", "cancelled"), ("cid", "answered")]
        assert methods(first) == methods(second) == ["SendStreamingMessage", "CancelTask"]
        assert {(row.agent_alias, row.state) for row in tasks(core)} == {
            ("ann", "cancelled"), ("bob", "cancelled"), ("cid", "completed"),
        }  # fmt: skip


async def test_real_losers_are_cancelled(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        gang(core, "first-success", ann=agent, bob=agent, cid=agent)
        shown, result = await streamed(core, "first-success", "stream 2 0.5")
        assert {each.agent for each in shown} == {result.agent}
        for row in tasks(core):
            there = await core.one(c.TaskGet(task_id=row.task_id, agent=row.agent_alias, remote=True))
            assert there.task.state == ("completed" if row.agent_alias == result.agent else "cancelled")


async def test_who_rejects_or_fails_at_once_does_not_win(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    refusing = misbehaving(says(SendStreamingMessage=events({"task": task("REJECTED")})))
    failing = misbehaving(says(SendStreamingMessage=events(BUSY[0], status("FAILED"))))
    async with home.core() as core:
        gang(core, "first-success", ann=refusing.url, bob=nobody(), cid=failing.url, dee=agent)
        shown, result = await streamed(core, "first-success", "slow 0.3")
        assert [each.agent for each in shown] == ["dee"]
        assert tried(result.route) == [
            ("ann", "refused"), ("bob", "failed"), ("cid", "answered"), ("dee", "answered"),
        ]  # fmt: skip
        error = await core.fails(c.Stream(group="gang", message="reject"), OrchestrationError)
        assert error.message == "no member of group 'gang' succeeded (4 tried)"


async def test_the_winner_that_breaks_is_the_error(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    lost = says(SendStreamingMessage=events(*BUSY, end="reset"), SubscribeToTask=reply(404), GetTask=reply(404))
    async with home.core() as core:
        gang(core, "first-success", ann=misbehaving(lost).url, bob=agent)
        await core.fails(c.Stream(group="gang", message="slow 5"), TransportError, "stream_event", "stream_event")


@pytest.mark.parametrize("policy", ["broadcast", "quorum"])
async def test_a_stream_comes_from_one(home: Home, agent: AgentProcess, policy: str) -> None:
    async with home.core() as core:
        gang(core, policy, ann=agent, bob=agent)
        error = await core.fails(c.Stream(group="gang", message="x"), ValidationError)
        assert error.message == f"the policy '{policy}' sends to several agents, and a stream comes from one"
        assert error.help == "`missive bcast gang … --stream` shows them all"
        assert core.requests() == []
        assert core.core.agents.in_flight("ann") == 0


async def test_a_message_as_an_answer(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    said = misbehaving(says(SendStreamingMessage=events(message("hi"))))
    async with home.core() as core:
        gang(core, "fallback", ann=said.url)
        for policy in ("direct", "fallback", "first-success"):
            shown, result = await streamed(core, policy, "x")
            assert [each.text for each in shown] == ["hi"]
            assert tried(result.route) == [("ann", "answered")]
