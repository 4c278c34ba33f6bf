"""`bcast` and `scatter` with real agents."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from collectives_kit import enlist, mixed, outcome, statuses
from support.agents import BEARER_TOKEN
from support.cores import QUICK, assert_journal_agrees, checked

from missive_host import commands as c
from missive_host.a2a.parts import FileAccess
from missive_host.errors import (
    DeadlineError,
    IoError,
    OrchestrationError,
    StorageError,
    ValidationError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output


@pytest.fixture
def nobody() -> str:
    """A URL at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


async def test_all_members_get_the_message_in_contexts_of_their_own(
    home: Home, agent: AgentProcess, agent_03: AgentProcess
) -> None:
    async with home.core() as core:
        enlist(core, "crew", *mixed(agent, agent_03, 4))
        result = await core.one(c.Bcast(group="crew", message="echo hello", metadata={"run": 7}))
        assert result.kind == "bcast_result"
        assert (result.status, result.execution, result.failure_policy) == ("succeeded", "concurrent", "stop")
        assert (result.member_count, result.success_count, result.failure_count) == (4, 4, 0)
        assert [(m.rank, m.agent, m.status, m.text) for m in result.members] == [
            (str(i + 1), f"m{i}", "succeeded", "hello") for i in range(4)
        ]
        assert [m.response_shape for m in result.members] == ["message"] * 4
        assert [m.selected_interface.binding for m in result.members] == ["json-rpc", "http+json", "grpc", "json-rpc"]
        assert len({m.request_message_id for m in result.members}) == 4

        local = result.request.context_id
        assert result.request.context_created
        context = core.read(lambda tables: tables.contexts.find(local))
        assert context.agent_alias is None
        assert context.metadata == {"missive.collective": "bcast", "missive.group": "crew"}
        assert context.remote_contexts == {m.agent: m.context_id for m in result.members}
        assert len(set(context.remote_contexts.values())) == 4
        assert local not in context.remote_contexts.values()
        for row in core.requests():
            assert row.context_id == local
            assert row.metadata == {"run": 7}
            assert "contextId" not in row.content

        operation = core.read(lambda tables: tables.operations.get(result.operation_id))
        assert (operation.kind, operation.status, operation.context_id) == ("bcast", "succeeded", local)
        assert operation.document is not None
        assert operation.document["data"]["operation_id"] == result.operation_id
        rows = core.read(lambda tables: tables.operations.members(result.operation_id))
        assert [(r.agent, r.status, r.shape, r.request_message_id, r.response_message_id) for r in rows] == [
            (m.agent, "succeeded", "message", m.request_message_id, m.response_message_id) for m in result.members
        ]
        core.read(assert_journal_agrees)
        journal = [e.event_type for e in core.read(lambda tables: tables.events.list())]
        assert journal.count("missive.bcast.started") == journal.count("missive.bcast.completed") == 1
        assert journal.count("missive.bcast.member.succeeded") == 4


async def test_a_second_broadcast_goes_on_in_each_agents_own_context(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", *mixed(agent, agent, 3))
        first = await core.one(c.Bcast(group="crew", message="context", context="talk"))
        second = await core.one(c.Bcast(group="crew", message="context", context="talk"))
        assert first.request.context_id == second.request.context_id == "talk"
        assert (first.request.context_created, second.request.context_created) == (True, False)
        assert [m.text for m in first.members] == [m.text for m in second.members]
        assert [m.text for m in second.members] == [m.context_id for m in second.members]


async def test_one_member_that_fails_takes_nothing_from_the_others(
    home: Home, agent: AgentProcess, bearer_agent: AgentProcess, nobody: str
) -> None:
    async with home.core() as core:
        members = (("a", agent, "json-rpc"), ("dead", nobody, ""), ("shut", bearer_agent, ""), ("b", agent, "grpc"))
        enlist(core, "crew", *members)
        outputs: list[Output] = []

        async def emit(output: Output) -> None:
            outputs.append(checked(output))

        with pytest.raises(OrchestrationError, match="2 of 4 members failed") as caught:
            await core.core.run(c.Bcast(group="crew", message="echo x"), emit)
        assert caught.value.exit_code == 70
        assert [line.partition(":")[0] for line in caught.value.sources] == ["dead", "shut"]
        data: Any = outputs[0].data
        assert (data.status, data.success_count, data.failure_count) == ("partial_failure", 2, 2)
        assert statuses(data) == {"a": "succeeded", "dead": "failed", "shut": "failed", "b": "succeeded"}
        assert [m.error.category for m in data.members if m.error] == ["transport", "auth"]
        by_agent = {row.agent_alias: row for row in core.requests()}
        assert {alias: row.status for alias, row in by_agent.items()} == {
            "a": "sent", "dead": "failed", "shut": "failed", "b": "sent",
        }  # fmt: skip
        assert (by_agent["dead"].error or {})["exit_code"] == 69
        core.read(assert_journal_agrees)

        result = await core.one(c.Bcast(group="crew", message="echo x", failure_policy="continue"))
        assert result.status == "partial_failure"


async def test_a_broadcast_that_nobody_takes_fails(home: Home, nobody: str) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("x", nobody, ""), ("y", nobody, ""))
        for policy in ("stop", "continue"):
            error = await core.fails(
                c.Bcast(group="crew", message="hi", failure_policy=policy),
                OrchestrationError,
                "bcast_result",
            )
            assert error.exit_code == 70


async def test_one_by_one_it_stops_at_the_first_failure(home: Home, agent: AgentProcess, nobody: str) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("dead", nobody, ""), ("b", agent, ""))
        seen: list[Any] = []

        async def emit(output: Output) -> None:
            seen.append(checked(output).data)

        with pytest.raises(OrchestrationError):
            await core.core.run(c.Bcast(group="crew", message="hi", execution="sequential"), emit)
        assert statuses(seen[0]) == {"a": "succeeded", "dead": "failed"}
        assert (seen[0].member_count, seen[0].failure_count, seen[0].status) == (3, 1, "partial_failure")
        assert {row.agent_alias for row in core.requests()} == {"a", "dead"}
        result = await core.one(c.Bcast(group="crew", message="hi", execution="sequential", failure_policy="continue"))
        assert statuses(result) == {"a": "succeeded", "dead": "failed", "b": "succeeded"}
        core.read(assert_journal_agrees)


async def test_the_request_is_in_the_store_before_the_agent_has_it(home: Home, misbehaving: Start) -> None:
    seen: list[tuple[str, str]] = []

    def answer(exchange: Any) -> None:
        message = exchange.request.json()["params"]["message"]
        with home.store() as store:
            row = store.read(lambda tables: tables.messages.find("a", message["messageId"]))
            assert row is not None
            members = store.read(
                lambda tables: tables.operations.members(
                    tables.operations.latest("crew", row.context_id or "").operation_id  # type: ignore[union-attr]
                )
            )
        seen.append((row.status, members[0].request_message_id or ""))
        exchange.result({"message": {"messageId": "r1", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}})

    async with home.core() as core:
        server = misbehaving(answer)
        enlist(core, "crew", ("a", server.url, ""))
        for execution in ("concurrent", "sequential"):
            result = await core.one(c.Bcast(group="crew", message="hi", execution=execution))
            assert seen.pop() == ("pending", result.members[0].request_message_id)
        assert server.errors == []


async def test_calls_are_bounded_by_qos_concurrency(home: Home, misbehaving: Start) -> None:
    import threading
    import time

    lock, now, most = threading.Lock(), 0, 0

    def answer(exchange: Any) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        exchange.result({"message": {"messageId": "r", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}})

    home.configure(QUICK + "concurrency = 3\n")
    async with home.core() as core:
        server = misbehaving(answer)
        enlist(core, "crew", *[(f"m{i}", server.url, "") for i in range(9)])
        result = await core.one(c.Bcast(group="crew", message="hi"))
        assert result.success_count == 9
        assert most == 3


async def test_the_deadline_is_one_for_all_and_loses_nothing(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, "json-rpc"), ("b", agent, "http+json"), ("c", agent, "grpc"))
        seen: list[Any] = []

        async def emit(output: Output) -> None:
            seen.append(checked(output).data)

        parts = ("echo quick", "slow 30", "sleep 30")
        with pytest.raises(DeadlineError, match="2 of 3 members had not answered after 1 s") as caught:
            await core.core.run(c.Scatter(group="crew", parts=parts, timeout="1s"), emit)
        assert caught.value.exit_code == 82
        data = seen[0]
        assert data.kind == "scatter_result"
        assert (data.status, data.timeout_ms) == ("timeout", 1000)
        assert statuses(data) == {"a": "succeeded", "b": "timeout", "c": "timeout"}
        assert data.members[0].text == "quick"
        assert data.members[1].error.exit_code == 82
        assert [row.status for row in sorted(core.requests(), key=lambda row: row.agent_alias)] == [
            "sent", "unknown", "unknown",
        ]  # fmt: skip
        stored = core.read(lambda tables: tables.operations.get(data.operation_id))
        assert stored.document is not None
        assert stored.document["data"]["members"][0]["text"] == "quick"
        assert stored.document["data"]["members"][1]["status"] == "timeout"
        core.read(assert_journal_agrees)


async def test_members_that_were_not_reached_in_time_are_told_too(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        seen: list[Any] = []

        async def emit(output: Output) -> None:
            seen.append(checked(output).data)

        with pytest.raises(DeadlineError):
            await core.core.run(c.Bcast(group="crew", message="slow 30", execution="sequential", timeout="500ms"), emit)
        assert statuses(seen[0]) == {"a": "timeout", "b": "timeout"}
        assert [row.agent_alias for row in core.requests()] == ["a"]


async def test_cancelling_it_emits_and_stores_what_has_arrived(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, "json-rpc"), ("b", agent, "json-rpc"))
        seen: list[Any] = []

        async def emit(output: Output) -> None:
            await anyio.sleep(0)  # a door that waits must get it all the same
            seen.append(checked(output).data)

        async with anyio.create_task_group() as group:

            async def run() -> None:
                await core.core.run(c.Scatter(group="crew", parts=("echo here", "slow 30")), emit)

            group.start_soon(run)
            while "sent" not in {row.status for row in core.requests()}:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert statuses(seen[0]) == {"a": "succeeded", "b": "interrupted"}
        assert seen[0].status == "interrupted"
        assert {row.agent_alias: row.status for row in core.requests()} == {"a": "sent", "b": "unknown"}
        operation = core.read(lambda tables: tables.operations.get(seen[0].operation_id))
        assert operation.status == "interrupted"
        assert operation.finished_at is not None
        core.read(assert_journal_agrees)


async def test_members_that_stream_are_seen_live(home: Home, agent: AgentProcess, agent_03: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", *mixed(agent, agent_03, 4))
        *events, last = await core.all(c.Bcast(group="crew", message="stream 3 0.05", stream=True))
        assert {output.kind for output in events} == {"stream_event"}
        for alias in ("m0", "m1", "m2", "m3"):
            own = [output for output in events if output.data.agent == alias]  # type: ignore[attr-defined]
            assert [output.sequence for output in own] == list(range(len(own)))
            assert own[-1].data.state == "completed"  # type: ignore[attr-defined]
        first_end = next(i for i, o in enumerate(events) if getattr(o.data, "state", None) == "completed")
        assert len({output.data.agent for output in events[:first_end]}) == 4  # type: ignore[attr-defined]
        data: Any = last.data
        assert data.status == "succeeded"
        assert [(m.response_shape, m.state, m.text) for m in data.members] == [
            ("task", "completed", "chunk 1\nchunk 2\nchunk 3\n")
        ] * 4
        assert {row.status for row in core.requests()} == {"sent"}
        core.read(assert_journal_agrees)


async def test_a_member_that_cannot_stream_is_sent_to(home: Home, agent: AgentProcess, misbehaving: Any) -> None:
    def answer(exchange: Any) -> None:
        assert exchange.request.json()["method"] == "SendMessage"
        exchange.result({"message": {"messageId": "r", "role": "ROLE_AGENT", "parts": [{"text": "whole"}]}})

    async with home.core() as core:
        server = misbehaving(answer, streaming=False)
        enlist(core, "crew", ("a", agent, ""), ("plain", server.url, ""), ("dead", "http://127.0.0.1:9", ""))
        command = c.Bcast(group="crew", message="echo hi", stream=True, failure_policy="continue")
        *_, last = await core.all(command)
        data: Any = last.data
        assert statuses(data) == {"a": "succeeded", "plain": "succeeded", "dead": "failed"}
        assert [m.text for m in data.members[:2]] == ["hi", "whole"]
        assert {row.agent_alias: row.status for row in core.requests()} == {
            "a": "sent", "plain": "sent", "dead": "failed",
        }  # fmt: skip
        core.read(assert_journal_agrees)


async def test_what_cannot_be_broadcast_is_refused_before_anything_is_sent(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""))
        core.local(c.GroupCreate(group="empty"))
        for command, words in (
            (c.Bcast(group="crw", message="x"), "did you mean 'crew'"),
            (c.Bcast(group="empty", message="x"), "has no members"),
            (c.Bcast(group="crew"), "nothing to send"),
            (c.Bcast(group="crew", files=("x",)), "may not read files"),
        ):
            error = await core.fails(command, ValidationError)
            assert words in error.message
        await core.one(c.Bcast(group="crew", message="x", context="done"))
        core.local(c.ContextClose(context="done"))
        error = await core.fails(c.Bcast(group="crew", message="x", context="done"), ValidationError)
        assert "not open" in error.message
        assert len(core.requests()) == 1


@pytest.mark.secrets_in("home/state/*")  # a message is kept as it was written, to be sent again
async def test_a_members_credential_is_in_no_journal(home: Home, bearer_agent: AgentProcess) -> None:
    """Though the message itself has it, and it is written down before the first member is called."""
    home.environ["TOKEN"] = BEARER_TOKEN
    home.configure(QUICK + '[auth_refs.mine]\nenv = "TOKEN"\n')
    async with home.core() as core:
        core.add("safe", bearer_agent, auth_ref="mine")
        enlist(core, "crew", "safe")
        await core.one(c.Bcast(group="crew", message=f"echo {BEARER_TOKEN}", context="ctx"))
    async with home.core() as core:
        await core.one(c.Reduce(group="crew", context="ctx", reducer_agent="safe", template=f"echo {BEARER_TOKEN}"))
        journal = core.read(lambda tables: [event.payload for event in tables.events.list()])
        assert BEARER_TOKEN not in str(journal)
        assert "a2a.send.request" in {event.event_type for event in core.events()}


async def test_two_may_begin_the_same_context_at_once(home: Home, agent: AgentProcess) -> None:
    async with home.core() as one, home.core() as other:
        enlist(one, "crew", ("a", agent, ""), ("b", agent, ""))
        async with anyio.create_task_group() as group:
            for core in (one, other):
                group.start_soon(core.one, c.Bcast(group="crew", message="echo x", context="ctx"))
        assert [row.status for row in one.requests()] == ["sent"] * 4


@pytest.mark.parametrize(
    "command",
    [
        c.Bcast(group="crew", message="echo x"),
        c.Scatter(group="crew", parts=("x", "x")),
        c.Allreduce(group="crew", message="echo x"),
    ],
)
async def test_what_cannot_be_written_down_does_not_begin(home: Home, agent: AgentProcess, command: c.Command) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        refuse(home, "INSERT ON operations")
        error = await core.fails(command, StorageError)
        assert "the disk is full" in error.sources[0]
        assert core.requests() == []


async def test_what_arrived_is_shown_when_it_cannot_be_written_down(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        refuse(home, "UPDATE OF status ON operations")
        for command in (
            c.Bcast(group="crew", message="echo x", context="ctx"),
            c.Allreduce(group="crew", message="echo x", strategy="concat"),
            c.Barrier(group="crew", context="ctx"),
            c.Gather(group="crew", context="ctx"),
            c.Reduce(group="crew", context="ctx"),
        ):
            data, failure = await outcome(core, command)
            assert type(failure) is StorageError, command
            assert data.status in ("succeeded", "partial"), command
        assert [row.status for row in core.requests()] == ["sent"] * 4


def refuse(home: Home, what: str) -> None:
    """Let the store fail at something, as if the disk were full."""
    with closing(sqlite3.connect(home.settings().paths.database)) as link, link:
        link.execute(f"CREATE TRIGGER refuse BEFORE {what} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")


async def test_a_reader_that_goes_away_ends_it_with_the_reason(home: Home, agent: AgentProcess) -> None:
    class ClosedError(Exception):
        pass

    async def emit(output: Output) -> None:
        raise ClosedError(output.kind)

    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        with pytest.raises(ClosedError):
            await core.core.run(c.Bcast(group="crew", message="stream 3 0.1", stream=True), emit)
        operation = core.read(lambda tables: tables.operations.latest("crew", core.requests()[0].context_id or ""))
        assert operation is not None
        assert operation.status == "interrupted"
        core.read(assert_journal_agrees)


# --- scatter


async def test_each_member_gets_its_own_part(home: Home, agent: AgentProcess, agent_03: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", *mixed(agent, agent_03, 4))
        result = await core.one(
            c.Scatter(
                group="crew", message="echo-parts", parts=("one", "two", "three", "four"), json_parts=(1, 2, 3, 4)
            )
        )
        assert result.kind == "scatter_result"
        # The demo agent reads the first word of all texts together, and sends all parts back.
        assert [m.text for m in result.members] == [f"echo-parts\n{word}" for word in ("one", "two", "three", "four")]
        sent = {row.agent_alias: row.content["parts"] for row in core.requests()}
        assert [part.get("data") for part in sent["m2"]] == [None, 3, None]
        result = await core.one(c.Scatter(group="crew", template="echo {{agent}} {{rank}} {{index}}/{{count}}"))
        assert [m.text for m in result.members] == ["m0 1 0/4", "m1 2 1/4", "m2 3 2/4", "m3 4 3/4"]


async def test_files_are_dealt_out(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.bin").write_bytes(name.encode())
    async with home.core(files=FileAccess(tmp_path)) as core:
        enlist(core, "crew", ("x", agent, ""), ("y", agent, ""))
        await core.one(c.Scatter(group="crew", message="echo-parts", file_bytes=("a.bin", "b.bin")))
        sent = {row.agent_alias: row.content["parts"][-1] for row in core.requests()}
        assert [sent["x"]["filename"], sent["y"]["filename"]] == ["a.bin", "b.bin"]
        error = await core.fails(c.Scatter(group="crew", file_bytes=("a.bin", "gone.bin")), IoError)
        assert "gone.bin" in error.message


async def test_parts_that_do_not_go_round_are_refused(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("x", agent, ""), ("y", agent, ""))
        for command, words in (
            (c.Scatter(group="crew", parts=("one",)), "1 for 2 members"),
            (c.Scatter(group="crew", json_parts=(1, 2, 3)), "3 for 2 members"),
            (c.Scatter(group="crew", message="all"), "nothing to deal out"),
            (c.Scatter(group="crew", template="{{rnk}}"), "did you mean 'rank'"),
        ):
            error = await core.fails(command, ValidationError)
            assert words in error.message
        assert core.requests() == []


# --- many


@pytest.mark.parametrize("count", [16, 64])
async def test_many_members(home: Home, agent: AgentProcess, agent_03: AgentProcess, count: int) -> None:
    home.configure(QUICK + "concurrency = 32\n")
    async with home.core() as core:
        enlist(core, "crew", *mixed(agent, agent_03, count))
        result = await core.one(c.Bcast(group="crew", message="task"))
        assert result.success_count == count
        assert [m.agent for m in result.members] == [f"m{i}" for i in range(count)]
        context = result.request.context_id
        assert (await core.one(c.Barrier(group="crew", context=context))).reached_count == count
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert gathered.gathered_count == count
        assert {m.text for m in gathered.members} == {"Worked for 0 s."}
        core.read(assert_journal_agrees)
