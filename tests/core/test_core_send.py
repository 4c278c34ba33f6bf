"""`send` on real agents, over each binding: the document, the rows and the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from msgspec import UNSET
from support.cores import BINDINGS, assert_journal_agrees
from support.misbehaving import in_turn, reply

from missive_host.commands import AgentAdd, Send, TaskGet
from missive_host.errors import DeadlineError, MissiveError, ProtocolError, TransportError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cores import Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess

STATES = {
    "task": "completed",
    "ask": "input_required",
    "auth": "auth_required",
    "fail": "failed",
    "reject": "rejected",
}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_message_that_is_answered_with_a_message(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        answer = await core.one(Send(agent="echo", message="echo hello there", binding=binding))
        assert answer.agent == "echo"
        assert answer.profile == "default"
        assert answer.selected_interface.binding == binding
        assert answer.selected_interface.protocol_version == "1.0"
        assert answer.selected_interface.source == "agent_card"
        assert answer.response.shape == "message"
        assert answer.response.text == "hello there"
        assert answer.response.task_id is UNSET
        assert answer.response.state is UNSET
        assert answer.response.raw["messageId"] == answer.response.message_id
        assert answer.request.part_count == 1
        assert answer.request.parts[0].kind == "text"
        assert answer.request.local_input_bytes == len("echo hello there")

        request, response = core.messages()
        rows = answer.persistence
        assert (request.direction, request.status, request.role) == ("request", "sent", "user")
        assert request.message_id == rows.request_message_id == answer.request.message_id
        assert request.content["parts"] == [{"text": "echo hello there"}]
        assert (response.direction, response.role) == ("response", "agent")
        assert response.message_id == rows.response_message_id == answer.response.message_id
        # Each agent has a contextId of its own for a context of ours, learnt from its answer.
        assert request.context_id == response.context_id == rows.context_id != answer.response.context_id
        (context,) = core.read(lambda tables: tables.contexts.list())
        assert context.remote_contexts == {"echo": answer.response.context_id}

        asked, said = core.events()
        assert (asked.event_type, said.event_type) == ("a2a.send.request", "a2a.send.response")
        assert asked.message_id == said.message_id == request.message_id
        assert asked.payload["message"] == request.content
        assert said.payload["message"] == response.content
        assert (said.sequence, said.event_id) == (rows.event_sequence, rows.event_id)
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(("text", "state"), STATES.items())
async def test_all_states_are_kept(home: Home, agent: AgentProcess, binding: str, text: str, state: str) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        answer = await core.one(Send(agent="worker", message=text, binding=binding))
        assert answer.response.shape == "task"
        assert answer.response.state == state
        assert answer.persistence.task_id == answer.response.task_id
        assert answer.persistence.response_message_id is UNSET
        task = core.read(lambda tables: tables.tasks.get(answer.response.task_id))
        assert (task.agent_alias, task.state, task.source) == ("worker", state, "remote")
        assert (task.completed_at is not None) == (state in {"completed", "failed", "rejected"})
        assert task.remote_context_id == answer.response.context_id
        assert task.context_id == answer.persistence.context_id
        (request,) = core.messages()
        assert (request.status, request.task_id, request.context_id) == ("sent", task.task_id, task.context_id)
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("text", ["ask What is it?", "auth"])
async def test_a_task_that_waits_is_completed_by_an_answer(
    home: Home, agent: AgentProcess, binding: str, text: str
) -> None:
    async with home.core() as core:
        core.add("asker", agent)
        first = await core.one(Send(agent="asker", message=text, binding=binding))
        task_id = first.response.task_id
        # By the task alone: the context, ours and theirs, goes with it.
        second = await core.one(Send(agent="asker", message="forty-two", task=task_id, binding=binding))
        assert second.request.task_id == second.response.task_id == task_id
        assert second.request.context_id == first.response.context_id == second.response.context_id
        assert second.persistence.context_id == first.persistence.context_id
        assert second.response.state == "completed"
        assert second.response.text == "You answered: forty-two"
        task = core.read(lambda tables: tables.tasks.get(task_id))
        assert task.state == "completed"
        (artifact,) = core.read(lambda tables: tables.artifacts.list(agent="asker", task=task_id))
        assert artifact.content["parts"][0]["text"] == "You answered: forty-two"
        assert len(core.requests()) == 2
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_async_returns_at_once_with_the_ids(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)
        answer = await core.one(Send(agent="worker", message="sleep 30", return_immediately=True))
        assert answer.response.state in {"submitted", "working"}
        task = await core.one(TaskGet(task_id=answer.persistence.task_id, remote=True))
        assert task.task.state == "working"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_metadata_and_output_modes_reach_the_agent(home: Home, agent: AgentProcess, binding: str) -> None:
    metadata = {"ticket": "T-1", "nested": {"numbers": [1, 2.5], "none": None}}
    async with home.core() as core:
        core.add("worker", agent, binding)
        answer = await core.one(
            Send(agent="worker", message="task", metadata=metadata, accepted_output_modes=("text/plain", "text/csv"))
        )
        assert answer.request.metadata == metadata
        assert answer.request.accepted_output_modes == ("text/plain", "text/csv")
        view = await core.one(TaskGet(task_id=answer.response.task_id, remote=True))
        message = view.task.raw_task["history"][0]
        assert message["messageId"] == answer.request.message_id
        assert message["metadata"] == metadata
        (request,) = core.requests()
        assert request.metadata == metadata


@pytest.mark.parametrize("binding", BINDINGS)
async def test_all_kinds_of_parts_arrive_as_they_are(home: Home, agent: AgentProcess, binding: str) -> None:
    command = Send(
        agent="echo",
        message="echo-parts",
        json_parts=({"a": [1, None, "\u2028"]}, [True], "text", None),
        text_parts=("last é 📨",),
        binding=binding,
    )
    async with home.core() as core:
        core.add("echo", agent)
        answer = await core.one(command)
        sent = core.requests()[0].content["parts"]
        assert answer.response.raw["parts"] == sent
        assert [part.kind for part in answer.request.parts] == ["text", "data", "data", "data", "data", "text"]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_deadline_leaves_the_request_as_unknown(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("slow", agent)
        await core.one(Send(agent="slow", message="echo warm", binding=binding))
        error = await core.fails(Send(agent="slow", message="slow 30", timeout="250ms", binding=binding), DeadlineError)
        assert error.exit_code == 82
        assert "0.25 s" in error.message
        request = core.requests()[-1]
        assert (request.status, request.error) == ("unknown", None)
        core.read(assert_journal_agrees)
        # The connection was given up, not the client.
        assert (await core.one(Send(agent="slow", message="echo on", binding=binding))).response.text == "on"


async def test_the_deadline_of_the_process_holds_too(home: Home, agent: AgentProcess) -> None:
    async with home.core(timeout="200ms") as core:
        core.add("slow", agent)
        await core.fails(Send(agent="slow", message="slow 30"), DeadlineError)
        answer = await core.one(Send(agent="slow", message="slow 0.4", timeout="30s"))  # the command's own wins
        assert answer.response.shape == "message"


def _hang(exchange: Exchange) -> None:
    exchange.hang()


async def test_a_deadline_while_the_card_is_fetched_means_that_nothing_was_sent(home: Home, misbehaving: Start) -> None:
    server = misbehaving(_hang, card=False)
    async with home.core() as core:
        core.add("mute", server.url)
        await core.fails(Send(agent="mute", message="hi", timeout="150ms"), DeadlineError)
        assert [row.status for row in core.requests()] == ["failed"]
        core.read(assert_journal_agrees)


def _drop(exchange: Exchange) -> None:
    exchange.close()


A2A_ERROR = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no such thing"}}


@pytest.mark.parametrize(
    ("handler", "error", "status"),
    [
        pytest.param(_drop, TransportError, "unknown", id="connection dropped"),
        pytest.param(reply(500), TransportError, "unknown", id="500"),
        pytest.param(reply(504), TransportError, "unknown", id="504"),
        pytest.param(reply(200, "<html>", content_type="text/html"), ProtocolError, "unknown", id="HTML"),
        pytest.param(reply(200, '{"jsonrpc": "2.0", "result": {"task'), ProtocolError, "unknown", id="truncated"),
        pytest.param(reply(200, A2A_ERROR), ProtocolError, "failed", id="A2A error"),
        pytest.param(reply(404), TransportError, "failed", id="404"),
        pytest.param(reply(413), TransportError, "failed", id="413"),
        pytest.param(reply(503), TransportError, "failed", id="503"),
    ],
)
async def test_the_fate_of_a_request_without_an_answer(
    home: Home,
    misbehaving: Start,
    handler: Callable[[Exchange], None],
    error: type[MissiveError],
    status: str,
) -> None:
    """``failed`` only if the agent cannot be at work on it: a second try is then no duplicate."""
    server = misbehaving(handler)
    async with home.core() as core:
        core.add("bad", server.url)
        failure = await core.fails(Send(agent="bad", message="hi"), error)
        (request,) = core.requests()
        assert request.status == status
        assert request.error is not None
        assert request.error["message"].endswith(failure.message)
        core.read(assert_journal_agrees)


async def test_an_agent_that_cannot_be_reached_at_all(home: Home, misbehaving: Start) -> None:
    server = misbehaving(reply(200))
    async with home.core() as core:
        core.add("gone", server.url)
        server.stop()
        error = await core.fails(Send(agent="gone", message="hi"), TransportError)
        assert not error.sent
        assert [row.status for row in core.requests()] == ["failed"]
        core.read(assert_journal_agrees)


async def test_nothing_is_written_for_a_request_that_cannot_be_made(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        error = await core.fails(Send(agent="ecko", message="hi"), ValidationError)
        assert "did you mean 'echo'?" in error.message
        await core.fails(Send(agent="echo"), ValidationError)
        await core.fails(Send(agent="echo", message=""), ValidationError)
        assert core.messages() == ()
        assert core.events() == []


async def test_a_cancelled_send_is_written_down(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("slow", agent)
        await core.one(Send(agent="slow", message="echo warm"))
        async with anyio.create_task_group() as group:
            group.start_soon(core.all, Send(agent="slow", message="slow 30"))
            while not core.messages(status="pending"):
                await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()
        assert [row.status for row in core.requests()] == ["sent", "unknown"]
        core.read(assert_journal_agrees)


async def test_an_agent_that_uses_one_context_id_for_everything(home: Home, misbehaving: Start) -> None:
    """Its answer must not be lost because that conversation was closed here."""
    from missive_host.commands import ContextClose

    def answer(exchange: Exchange) -> None:
        exchange.result({"message": {"messageId": f"m{len(server.requests)}", "contextId": "default",
                                     "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}})  # fmt: skip

    server = misbehaving(answer)
    async with home.core() as core:
        core.add("one", server.url)
        first = await core.one(Send(agent="one", message="hi"))
        again = await core.one(Send(agent="one", message="hi"))
        assert again.persistence.context_id == first.persistence.context_id
        core.local(ContextClose(context=first.persistence.context_id))
        after = await core.one(Send(agent="one", message="hi"))
        assert after.persistence.context_id != first.persistence.context_id
        assert [row.status for row in core.requests()] == ["sent"] * 3
        core.read(assert_journal_agrees)


def _task(**members: Any) -> dict[str, Any]:
    return {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}, **members}}


async def test_two_agents_may_use_the_same_task_id(home: Home, misbehaving: Start) -> None:
    working = misbehaving(lambda exchange: exchange.result(_task()))
    done = misbehaving(lambda exchange: exchange.result(_task(status={"state": "TASK_STATE_COMPLETED"})))
    async with home.core() as core:
        core.add("one", working.url)
        core.add("two", done.url)
        await core.one(Send(agent="one", message="hi"))
        await core.one(Send(agent="two", message="hi"))
        error = await core.fails(TaskGet(task_id="t"), ValidationError)
        assert "one, two" in error.message
        assert (await core.one(TaskGet(task_id="t", agent="one"))).task.state == "working"
        assert (await core.one(TaskGet(task_id="t", agent="two"))).task.state == "completed"


async def test_a_state_that_a2a_does_not_know_is_unknown(home: Home, misbehaving: Start) -> None:
    states = iter([{"state": "TASK_STATE_DREAMING"}, {}, {"state": 77}])
    server = misbehaving(
        in_turn(*[lambda exchange, status=status: exchange.result(_task(status=status)) for status in states])
    )
    async with home.core() as core:
        core.add("odd", server.url)
        for _ in range(3):
            answer = await core.one(Send(agent="odd", message="hi"))
            assert answer.response.state == "unknown"


async def test_an_agent_is_added_by_running_the_command_too(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        added = await core.one(AgentAdd(agent="echo", url=agent.url))
        assert added.agent.alias == "echo"
