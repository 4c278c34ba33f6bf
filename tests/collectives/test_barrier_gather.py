"""`barrier` and `gather` with real agents: slow ones, failing ones, such that vanish, ask, answer with a Message."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from collectives_kit import enlist, mixed, outcome, statuses
from route_kit import answer, hangs, message, says, task
from support.cores import QUICK, checked

from missive_host import commands as c
from missive_host.collectives.asking import PAGE
from missive_host.demo.fleet import AgentSpec, Fleet
from missive_host.errors import (
    AuthRequiredError,
    DeadlineError,
    InputRequiredError,
    MissiveError,
    TaskCancelledError,
    TaskFailedError,
    ValidationError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output

FAST: dict[str, Any] = {"interval": "50ms"}


async def scattered(core: Commands, agent: AgentProcess, *parts: str) -> str:
    """Make the group `crew` with a member for each part, send them without waiting, and return the context."""
    bindings = ("json-rpc", "http+json", "grpc")
    enlist(core, "crew", *[(f"m{i}", agent, bindings[i % 3]) for i in range(len(parts))])
    result = await core.one(c.Scatter(group="crew", parts=parts, return_immediately=True, context="ctx"))
    assert result.success_count == len(parts)
    return "ctx"


async def test_it_waits_for_all(home: Home, agent: AgentProcess, agent_03: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", *mixed(agent, agent_03, 4))
        sent = await core.one(c.Bcast(group="crew", message="task 0.3", return_immediately=True))
        context = sent.request.context_id
        result = await core.one(c.Barrier(group="crew", context=context, **FAST))
        assert result.kind == "barrier_result"
        assert (result.status, result.reached_count, result.required, result.pending_count) == ("succeeded", 4, 4, 0)
        assert (result.from_bcast, result.broadcast) == (True, sent.operation_id)
        assert set(statuses(result).values()) == {"satisfied"}
        assert {m.state for m in result.members} == {"completed"}
        assert {m.agent: m.context_id for m in result.members} == core.read(
            lambda tables: tables.contexts.find(context).remote_contexts
        )
        assert core.read(lambda tables: tables.operations.get(result.operation_id)).status == "succeeded"


@pytest.mark.parametrize(
    ("part", "status", "member", "error"),
    [
        ("fail", "failed", "failed", TaskFailedError),
        ("reject", "failed", "failed", TaskFailedError),
        ("ask Who are you?", "input_required", "input_required", InputRequiredError),
        ("auth", "auth_required", "auth_required", AuthRequiredError),
    ],
)
async def test_one_that_cannot_succeed_decides(
    home: Home, agent: AgentProcess, part: str, status: str, member: str, error: type[MissiveError]
) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "task", part, "sleep 20")
        data, failure = await outcome(core, c.Barrier(group="crew", context=context, **FAST))
        assert type(failure) is error
        assert data.status == status
        assert data.members[1].status == member
        assert data.members[1].state in (status, "rejected")
        assert data.members[2].status == "pending"
        assert failure is not None
        assert "m1" in failure.message
        # Two are enough, if one may fail; the sleeper is not waited for.
        data, failure = await outcome(
            core, c.Barrier(group="crew", context=context, required=1, failure_policy="continue", **FAST)
        )
        assert (failure, data.status, data.reached_count) == (None, "succeeded", 1)


async def test_a_cancelled_task_cancels_it(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "sleep 20", "echo hi")
        task = core.read(lambda tables: tables.tasks.list(agent="m0").tasks[0])
        await core.one(c.TaskCancel(task_id=task.task_id, agent="m0"))
        data, failure = await outcome(core, c.Barrier(group="crew", context=context, **FAST))
        assert type(failure) is TaskCancelledError
        assert (data.status, data.cancellation_count, data.reached_count) == ("cancelled", 1, 1)


async def test_a_message_is_a_finished_answer(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "echo one", "task")
        result = await core.one(c.Barrier(group="crew", context=context, **FAST))
        assert [(m.status, m.shape) for m in result.members] == [("satisfied", "message"), ("satisfied", "task")]
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert [(m.status, m.shape, m.text) for m in gathered.members] == [
            ("gathered", "message", "one"),
            ("gathered", "task", "Worked for 0 s."),
        ]
        assert gathered.members[0].message_count == 1
        assert gathered.members[0].response_message_id == gathered.members[0].messages[0].message_id


async def test_the_time_is_up(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "echo one", "sleep 20")
        data, failure = await outcome(core, c.Barrier(group="crew", context=context, timeout="400ms", **FAST))
        assert type(failure) is DeadlineError
        assert (data.status, data.timeout_ms, data.reached_count, data.pending_count) == ("timeout", 400, 1, 1)
        assert statuses(data) == {"m0": "satisfied", "m1": "pending"}
        assert data.attempts >= 2
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert (gathered.status, gathered.gathered_count, gathered.missing_count) == ("partial", 1, 1)
        assert statuses(gathered) == {"m0": "gathered", "m1": "pending"}


async def test_states_that_are_asked_for(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "ask", "sleep 20")
        command = c.Barrier(group="crew", context=context, states=("input_required", "working"), **FAST)
        result = await core.one(command)
        assert (result.status, result.target_states) == ("succeeded", ("input_required", "working"))
        data, failure = await outcome(core, c.Barrier(group="crew", context=context, states=("failed",), **FAST))
        assert type(failure) is InputRequiredError
        assert statuses(data)["m0"] == "input_required"


async def test_an_answer_given_meanwhile_counts(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "ask Name?", "echo x")
        data, failure = await outcome(core, c.Barrier(group="crew", context=context, **FAST))
        assert type(failure) is InputRequiredError
        await core.one(c.Send(agent="m0", message="Ada", task=data.members[0].task_id))
        result = await core.one(c.Barrier(group="crew", context=context, **FAST))
        assert set(statuses(result).values()) == {"satisfied"}
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert gathered.members[0].text == "You answered: Ada"


async def test_a_member_that_is_asked_again_is_judged_by_its_newest_answer(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "fail", "echo x")
        _, failure = await outcome(core, c.Barrier(group="crew", context=context, **FAST))
        assert type(failure) is TaskFailedError
        await core.one(c.Send(agent="m0", message="echo better", context=context))
        result = await core.one(c.Barrier(group="crew", context=context, **FAST))
        assert result.members[0].shape == "message"
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert [m.text for m in gathered.members] == ["better", "x"]


async def test_only_what_came_after_the_broadcast_counts(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "echo old", "echo old")
        parts = ("sleep 20", "echo new")
        await core.one(c.Scatter(group="crew", parts=parts, context=context, return_immediately=True))
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert [(m.status, m.text) for m in gathered.members][1] == ("gathered", "new")
        assert gathered.members[0].status == "pending"


async def test_what_answers_another_broadcast_in_the_same_context_does_not_count(
    home: Home, agent: AgentProcess
) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, "json-rpc"), ("b", agent, "grpc"))
        first = await core.one(c.Bcast(group="crew", message="task", context="ctx"))
        await core.one(c.Bcast(group="crew", message="sleep 30", context="ctx", return_immediately=True))
        result = await core.one(c.Barrier(group="crew", operation=first.operation_id, timeout="1s", **FAST))
        assert [m.task_id for m in result.members] == [m.task_id for m in first.members]
        data, failure = await outcome(core, c.Barrier(group="crew", context="ctx", timeout="300ms", **FAST))
        assert (type(failure), data.pending_count) == (DeadlineError, 2)  # without a name it is the last one

        # Two at once, of which each has answers of its own.
        results: dict[str, Any] = {}

        async def reduced(text: str) -> None:
            results[text] = await core.one(
                c.Allreduce(group="crew", message=f"echo {text}", context="talk", strategy="concat")
            )

        async with anyio.create_task_group() as group:
            for text in ("one", "two", "three"):
                group.start_soon(reduced, text)
        assert {text: result.reduced_text for text, result in results.items()} == {
            text: f"{text}\n{text}" for text in ("one", "two", "three")
        }


async def test_an_agent_may_use_the_id_of_a_message_again(home: Home, misbehaving: Start) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", misbehaving(answer(message("hi"))).url, ""))
        for _ in range(2):
            await core.one(c.Bcast(group="crew", message="x", context="ctx"))
            waited = await core.one(c.Barrier(group="crew", context="ctx", timeout="1s", **FAST))
            gathered = await core.one(c.Gather(group="crew", context="ctx"))
            assert (statuses(waited), gathered.members[0].text) == ({"a": "satisfied"}, "hi")


async def test_members_are_those_of_the_broadcast(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "echo one", "echo two")
        core.add("late", agent)
        core.local(c.GroupAdd(group="crew", agent="late", rank="0"))
        core.local(c.GroupRemove(group="crew", agent="m1"))
        result = await core.one(c.Barrier(group="crew", context=context, **FAST))
        assert list(statuses(result)) == ["m0", "m1"]
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert list(statuses(gathered)) == ["m0", "m1"]


async def test_what_a_group_did_outlives_it(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "echo one", "echo two")
        core.local(c.GroupDelete(group="crew"))
        result = await core.one(c.Barrier(group="crew", context=context, **FAST))
        assert result.reached_count == 2
        gathered = await core.one(c.Gather(group="crew", context=context, refresh=True))
        assert [m.text for m in gathered.members] == ["one", "two"]


async def test_without_a_broadcast_the_group_is_as_it_is_now(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("b", agent, ""))
        core.local(c.ContextCreate(id="talk", name="our talk"))
        await core.one(c.Send(agent="a", message="echo first", context="talk"))
        await core.one(c.Send(agent="a", message="task", context="talk"))
        gathered = await core.one(c.Gather(group="crew", context="our talk"))
        assert statuses(gathered) == {"a": "gathered", "b": "missing_task"}
        assert (gathered.members[0].text, gathered.context_id) == ("Worked for 0 s.", "talk")
        data, failure = await outcome(core, c.Barrier(group="crew", context="talk", timeout="300ms", **FAST))
        assert type(failure) is DeadlineError
        assert (data.from_bcast, statuses(data)) == (False, {"a": "satisfied", "b": "missing"})


async def test_a_member_that_the_broadcast_did_not_reach_is_not_waited_for(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""), ("dead", "http://127.0.0.1:9", ""))
        sent, _ = await outcome(core, c.Bcast(group="crew", message="echo x"))
        data, failure = await outcome(core, c.Barrier(group="crew", operation=sent.operation_id, timeout="1h"))
        assert type(failure) is TaskFailedError
        assert statuses(data) == {"a": "satisfied", "dead": "error"}
        assert data.members[1].error.category == "transport"
        assert data.members[1].attempts == 0


async def test_an_agent_that_vanishes_is_asked_until_the_deadline(home: Home, agent: AgentProcess) -> None:
    home.configure(QUICK + 'connect_timeout = "500ms"\n')
    with Fleet([AgentSpec("mortal", bindings=("json-rpc",))]) as fleet:
        async with home.core() as core:
            enlist(core, "crew", ("a", agent, ""), ("mortal", fleet["mortal"], ""))
            parts = ("echo alive", "sleep 20")
            await core.one(c.Scatter(group="crew", parts=parts, return_immediately=True, context="ctx"))
            async with anyio.create_task_group() as group:

                async def kill() -> None:
                    await anyio.sleep(0.3)
                    os.kill(fleet["mortal"].pid, signal.SIGKILL)

                group.start_soon(kill)
                data, failure = await outcome(core, c.Barrier(group="crew", context="ctx", timeout="2s", **FAST))
            assert type(failure) is DeadlineError
            assert failure is not None
            assert failure.sources[0].startswith("mortal: ")
            assert (data.status, statuses(data)) == ("timeout", {"a": "satisfied", "mortal": "error"})
            assert data.members[1].attempts > 2
            gathered = await core.one(c.Gather(group="crew", context="ctx", refresh=True))
            assert statuses(gathered) == {"a": "gathered", "mortal": "pending"}
            assert gathered.members[1].error.category == "transport"


async def test_a_question_that_fails_is_asked_again(home: Home, misbehaving: Start) -> None:
    """Two answers of HTTP 500, then one that hangs for a moment, then the task has completed."""
    asked = 0

    def answer(exchange: Any) -> None:
        nonlocal asked
        method = exchange.request.json()["method"]
        task = {"id": "t1", "contextId": "theirs", "status": {"state": "TASK_STATE_WORKING"}}
        if method == "SendMessage":
            exchange.result({"task": task})
            return
        asked += 1
        if asked <= 8:
            exchange.reply(500, b"no")
        else:
            exchange.result({**task, "status": {"state": "TASK_STATE_COMPLETED"}})

    async with home.core() as core:
        server = misbehaving(answer)
        enlist(core, "crew", ("a", server.url, ""))
        await core.one(c.Bcast(group="crew", message="x", context="ctx"))
        result = await core.one(c.Barrier(group="crew", context="ctx", timeout="20s", **FAST))
        assert (result.status, result.members[0].state) == ("succeeded", "completed")
        assert result.members[0].attempts >= 2
        assert not result.members[0].error


async def test_a_barrier_that_watches_the_store_alone_asks_nobody(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "task 0.1", "echo x")
        data, failure = await outcome(
            core, c.Barrier(group="crew", context=context, watch_local=True, timeout="500ms", **FAST)
        )
        assert type(failure) is DeadlineError
        assert (data.local, statuses(data), data.attempts) == (True, {"m0": "pending", "m1": "satisfied"}, 0)
        task_id = data.members[0].task_id
        await core.one(c.TaskGet(task_id=task_id, agent="m0", remote=True))
        result = await core.one(c.Barrier(group="crew", context=context, watch_local=True, **FAST))
        assert result.status == "succeeded"


async def test_cancelling_a_barrier_emits_and_stores_how_it_stands(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "echo x", "sleep 20")
        seen: list[Any] = []

        async def emit(output: Output) -> None:
            seen.append(checked(output).data)

        with anyio.move_on_after(0.5):
            await core.core.run(c.Barrier(group="crew", context=context, **FAST), emit)
        assert (seen[0].status, statuses(seen[0])) == ("interrupted", {"m0": "satisfied", "m1": "pending"})
        assert core.read(lambda tables: tables.operations.get(seen[0].operation_id)).status == "interrupted"


async def test_what_a_barrier_cannot_wait_for_is_refused(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "echo x")
        enlist(core, "others", "m0")
        operation = core.read(lambda tables: tables.operations.latest("crew", context))
        assert operation is not None
        for command, words in (
            (c.Barrier(group="crew"), "`context` is missing"),
            (c.Barrier(group="crew", context="nowhere"), "nowhere"),
            (c.Barrier(group="crew", context=context, required=2), "2 of 1 members"),
            (c.Barrier(group="crew", operation="bcast/1"), "no operation 'bcast/1'"),
            (c.Barrier(group="others", operation=operation.operation_id), "is of the group 'crew', not of 'others'"),
            (c.Gather(group="crew", context="nowhere"), "nowhere"),
        ):
            error = await core.fails(command, ValidationError)
            assert words in error.message
        done = await core.one(c.Barrier(group="crew", context=context))
        error = await core.fails(c.Barrier(group="crew", operation=done.operation_id), ValidationError)
        assert "is a barrier, not a broadcast" in error.message


# --- gather


async def test_all_kinds_of_answers_are_gathered(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        parts = ("task", "fail", "ask Who?", "big 1", "stream 2", "sleep 0")
        context = await scattered(core, agent, *parts)
        await outcome(core, c.Barrier(group="crew", context=context, required=4, failure_policy="continue", **FAST))
        gathered = await core.one(c.Gather(group="crew", context=context, refresh=True))
        assert gathered.kind == "gather_result"
        assert [(m.status, m.text or None) for m in gathered.members] == [
            ("gathered", "Worked for 0 s."),
            ("failed", "This task was told to fail."),
            ("input_required", "Who?"),
            ("gathered", None),
            ("gathered", "chunk 1\nchunk 2\n"),
            ("gathered", "Awake."),
        ]
        first = gathered.members[0]
        assert first.data == ({"ok": True, "seconds": 0.0, "steps": ["work"]},)
        assert first.files == ("report.csv",)
        assert [(a.name, a.kind) for a in first.artifacts] == [
            ("summary", "text"), ("result", "json"), ("report", "bytes"),
        ]  # fmt: skip
        assert gathered.members[3].files == ("big.bin",)
        assert (gathered.status, gathered.gathered_count, gathered.missing_count) == ("partial", 4, 2)
        journal = [e.event_type for e in core.read(lambda tables: tables.events.list(context="ctx"))]
        assert journal.count("missive.gather.member.gathered") == 4
        assert journal.count("missive.gather.member.failed") == 1


async def test_files_are_written_with_rank_and_agent_in_their_names(
    home: Home, agent: AgentProcess, tmp_path: Path
) -> None:
    async with home.core() as core:
        context = await scattered(core, agent, "task", "echo said", "task")
        await core.one(c.Barrier(group="crew", context=context, **FAST))
        folder = tmp_path / "out"
        gathered = await core.one(c.Gather(group="crew", context=context, output_dir=str(folder)))
        names = sorted(path.name for path in folder.iterdir())
        assert names == [
            "1-m0-report.csv", "1-m0-result.json", "1-m0-summary.txt", "2-m1-answer.txt",
            "3-m2-report.csv", "3-m2-result.json", "3-m2-summary.txt",
        ]  # fmt: skip
        assert sorted(file.path for file in gathered.files) == [str(folder / name) for name in names]
        assert {file.agent for file in gathered.files} == {"m0", "m1", "m2"}
        assert (folder / "2-m1-answer.txt").read_text() == "said"
        assert json.loads((folder / "3-m2-result.json").read_text())["ok"] is True
        (folder / "1-m0-report.csv").unlink()
        command = c.Gather(group="crew", context=context, output_dir=str(folder))
        await core.fails(command, ValidationError)
        assert not (folder / "1-m0-report.csv").exists()
        await core.one(c.Gather(group="crew", context=context, output_dir=str(folder), force=True))
        assert (folder / "1-m0-report.csv").exists()


async def test_nothing_to_gather_is_no_error(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, ""))
        core.local(c.ContextCreate(id="empty"))
        gathered = await core.one(c.Gather(group="crew", context="empty", refresh=True))
        assert (gathered.status, gathered.missing_count) == ("missing", 1)
        assert gathered.members[0].status == "missing_task"


async def test_an_agent_that_cannot_be_asked_in_time_is_told_and_the_rest_gathered(
    home: Home, agent: AgentProcess, misbehaving: Start
) -> None:
    async with home.core() as core:
        silent = misbehaving(says(SendMessage=answer({"task": task("WORKING")}), GetTask=hangs)).url
        enlist(core, "crew", ("a", agent, ""), ("silent", silent, ""))
        await core.one(c.Bcast(group="crew", message="task", context="ctx"))
        gathered = await core.one(c.Gather(group="crew", context="ctx", refresh=True, timeout="1s"))
        assert (gathered.status, statuses(gathered)) == ("partial", {"a": "gathered", "silent": "pending"})
        assert gathered.members[1].error.message == "transport error: agent 'silent' gave no answer within 1 s"


# --- after a crash


async def test_an_answer_that_never_arrived_is_found_at_the_agent(home: Home, agent: AgentProcess) -> None:
    """The deadline of the broadcast passes while the agents are at work: no task id has come back."""
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, "json-rpc"), ("b", agent, "http+json"), ("c", agent, "grpc"))
        sent, failure = await outcome(core, c.Bcast(group="crew", message="task 1", timeout="500ms", context="ctx"))
        assert type(failure) is DeadlineError
        assert {m.task_id for m in sent.members if m.task_id} == set()
    async with home.core() as core:
        result = await core.one(c.Barrier(group="crew", context="ctx", **FAST))
        assert (result.status, result.reached_count) == ("succeeded", 3)
        gathered = await core.one(c.Gather(group="crew", context="ctx"))
        assert {m.text for m in gathered.members} == {"Worked for 1 s."}
        assert {row.status for row in core.requests()} == {"sent"}
        remote = core.read(lambda tables: tables.contexts.find("ctx").remote_contexts)
        assert {m.agent: m.context_id for m in result.members} == remote


async def test_an_answer_that_never_arrived_is_found_behind_many_others(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        enlist(core, "crew", ("a", agent, "json-rpc"), ("b", agent, "grpc"))
        sent, _ = await outcome(core, c.Bcast(group="crew", message="task 1", timeout="500ms", context="ctx"))
        assert {m.task_id for m in sent.members if m.task_id} == set()
        for _ in range(2 * PAGE):
            await core.one(c.Send(agent="a", message="task"))
        result = await core.one(c.Barrier(group="crew", context="ctx", **FAST))
        assert (result.status, result.reached_count) == ("succeeded", 2)
