"""`stream` on real agents, over each binding: events as they happen, and what is written down of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from msgspec import UNSET
from support.cores import BINDINGS, assert_journal_agrees, checked

from missive_host.commands import Send, Stream, TaskGet
from missive_host.errors import DeadlineError, MissiveError, ProtocolError, TransportError, ValidationError

if TYPE_CHECKING:
    from support.cores import Commands, Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output


def events_of(outputs: list[Output]) -> list[str]:
    return [output.data.event_type for output in outputs[:-1]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_long_task(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        outputs = await core.all(Stream(agent="worker", message="stream 3", binding=binding))
        assert [output.kind for output in outputs] == ["stream_event"] * 9 + ["stream_result"]
        assert [output.sequence for output in outputs] == list(range(10))
        assert events_of(outputs) == ["task", "status_update", *["status_update", "artifact_update"] * 3,
                                      "status_update"]  # fmt: skip
        events: list[Any] = [output.data for output in outputs[:-1]]
        result: Any = outputs[-1].data
        assert [event.sequence for event in events] == list(range(9))
        assert [event.state for event in events if event.state is not UNSET] == [
            "submitted", "working", "working", "working", "working", "completed",
        ]  # fmt: skip
        assert [(event.append, event.last_chunk) for event in events if event.artifact_id is not UNSET] == [
            (False, False), (True, False), (True, True),
        ]  # fmt: skip
        assert "".join(event.text for event in events if event.artifact_id is not UNSET) == (
            "chunk 1\nchunk 2\nchunk 3\n"
        )
        assert {event.task_id for event in events} == {result.final_task_id}
        assert {event.context_id for event in events} == {result.final_context_id}
        assert (result.event_count, result.status_update_count, result.artifact_update_count) == (9, 5, 3)
        assert (result.final_state, result.resumed, result.events) == ("completed", 0, ())
        assert result.selected_interface.binding == binding
        assert (result.capability.advertised_streaming, result.capability.forced) == (True, False)

        # The chunks are one artifact, the statuses one task, the status messages rows of their own.
        (artifact,) = core.read(lambda tables: tables.artifacts.list(agent="worker", task=result.final_task_id))
        assert [part["text"] for part in artifact.content["parts"]] == ["chunk 1\n", "chunk 2\n", "chunk 3\n"]
        assert artifact.complete
        task = core.read(lambda tables: tables.tasks.get(result.final_task_id))
        assert (task.state, task.context_id) == ("completed", result.persistence.context_id)
        request, *said = core.messages()
        assert (request.direction, request.status) == ("request", "sent")
        assert (request.task_id, request.context_id) == (task.task_id, task.context_id)
        assert [row.message_id for row in said] == list(result.persistence.stream_message_ids)
        assert {row.direction for row in said} == {"stream_event"}
        journal = core.events()
        assert journal[0].event_type == "a2a.stream.request"
        assert [row.event_type for row in journal[1:]] == [f"a2a.stream.{event.event_type}" for event in events]
        assert [row.event_id for row in journal[1:]] == list(result.persistence.event_ids)
        assert [row.payload for row in journal[1:]] == [event.raw for event in events]
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_stream_of_one_message(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        event, result = await core.data(Stream(agent="echo", message="hi", binding=binding))
        assert (event.event_type, event.text) == ("message", "hi")
        assert (result.event_count, result.final_task_id, result.final_state) == (1, UNSET, UNSET)
        _, row = core.messages()
        assert (row.direction, row.message_id) == ("stream_event", event.message_id)
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_events_are_handed_on_while_the_agent_works(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        first = anyio.Event()

        async def emit(output: Output) -> None:
            if checked(output).data.state == "working":  # type: ignore[attr-defined]
                first.set()

        async with anyio.create_task_group() as group:
            group.start_soon(core.core.run, Stream(agent="worker", message="sleep 60", binding=binding), emit)
            with anyio.fail_after(20):
                await first.wait()
            group.cancel_scope.cancel()


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("text", ["ask", "auth"])
async def test_a_stream_ends_when_the_task_waits_and_goes_on_with_the_answer(
    home: Home, agent: AgentProcess, binding: str, text: str
) -> None:
    async with home.core() as core:
        core.add("asker", agent)
        asked: Any = (await core.all(Stream(agent="asker", message=text, binding=binding)))[-1].data
        assert asked.final_state == STATE[text]
        outputs = await core.all(Stream(agent="asker", message="me", task=asked.final_task_id, binding=binding))
        answered: Any = outputs[-1].data
        assert (answered.final_state, answered.final_task_id) == ("completed", asked.final_task_id)
        assert answered.persistence.context_id == asked.persistence.context_id
        assert outputs[-2].data.text == "You answered: me"  # type: ignore[attr-defined]
        core.read(assert_journal_agrees)


STATE = {"ask": "input_required", "auth": "auth_required"}


def _task(state: str) -> dict[str, Any]:
    return {"task": {"id": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}}}


def _status(state: str) -> dict[str, Any]:
    return {"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}}}


def streams(exchange: Exchange, *events: dict[str, Any]) -> None:
    exchange.start_stream()
    for event in events:
        exchange.event({"jsonrpc": "2.0", "id": exchange.request.json()["id"], "result": event})
    exchange.end_stream()


async def _answer(core: Commands, *events: dict[str, Any]) -> list[Any]:
    await core.one(Send(agent="js", message="first"))
    return await core.data(Stream(agent="js", message="answer", task="t"))


def _asking(*events: dict[str, Any]) -> Any:
    def handle(exchange: Exchange) -> None:
        if exchange.request.json()["method"] == "SendMessage":
            exchange.result(_task("INPUT_REQUIRED"))
        else:
            streams(exchange, *events)

    return handle


async def test_a_follow_up_that_begins_with_the_task_as_it_was(home: Home, misbehaving: Start) -> None:
    """Some servers begin the stream of an answer with the task that still waits for it."""
    server = misbehaving(_asking(_task("INPUT_REQUIRED"), _status("WORKING"), _status("COMPLETED")))
    async with home.core() as core:
        core.add("js", server.url)
        *events, result = await _answer(core)
        assert [event.state for event in events] == ["input_required", "working", "completed"]
        assert (result.final_state, result.resumed) == ("completed", 0)


async def test_a_follow_up_after_which_the_task_waits_again(home: Home, misbehaving: Start) -> None:
    server = misbehaving(_asking(_task("INPUT_REQUIRED")))
    async with home.core() as core:
        core.add("js", server.url)
        *events, result = await _answer(core)
        assert [event.state for event in events] == ["input_required"]
        assert (result.final_state, result.resumed) == ("input_required", 0)
        assert len(server.requests) == 2


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_deadline_cuts_a_stream_off_and_keeps_what_came(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        command = Stream(agent="worker", message="sleep 60", timeout="400ms", binding=binding)
        error = await core.fails(command, DeadlineError, "stream_event", "stream_event")
        assert error.exit_code == 82
        (request,) = core.requests()
        assert request.status == "sent"
        task = core.read(lambda tables: tables.tasks.get(request.task_id or ""))
        assert task.state == "working"
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_deadline_before_the_first_event(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("slow", agent)
        await core.one(Send(agent="slow", message="warm", binding=binding))
        await core.fails(Stream(agent="slow", message="slow 60", timeout="200ms", binding=binding), DeadlineError)
        assert [row.status for row in core.requests()] == ["sent", "unknown"]
        core.read(assert_journal_agrees)


async def test_an_agent_that_does_not_stream(home: Home, misbehaving: Start) -> None:
    server = misbehaving(lambda exchange: exchange.result(_task("COMPLETED")), streaming=False)
    async with home.core() as core:
        core.add("plain", server.url)
        error = await core.fails(Stream(agent="plain", message="hi"), ProtocolError)
        assert error.a2a is not None
        assert error.a2a.name == "UnsupportedOperationError"
        assert server.requests == []
        assert [row.status for row in core.requests()] == ["failed"]
        # With force it is asked all the same; here it answers with a whole document.
        event, result = await core.data(Stream(agent="plain", message="hi", force=True))
        assert event.state == result.final_state == "completed"
        assert (result.capability.advertised_streaming, result.capability.forced) == (False, True)
        core.read(assert_journal_agrees)


@pytest.mark.parametrize(
    ("binding", "kind", "said"),
    [
        ("json-rpc", ProtocolError, "InternalError"),
        ("http+json", TransportError, "HTTP 500"),
        ("grpc", TransportError, "UNKNOWN"),
    ],
)
async def test_an_agent_that_crashes_before_the_first_event(
    home: Home, agent: AgentProcess, binding: str, kind: type[MissiveError], said: str
) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        error = await core.fails(Stream(agent="worker", message="crash", binding=binding), kind)
        assert said in error.message
        core.read(assert_journal_agrees)


async def test_status_messages_without_an_id_do_not_end_the_stream(home: Home, misbehaving: Start) -> None:
    update = _status("WORKING")
    update["statusUpdate"]["status"]["message"] = {"role": "ROLE_AGENT", "parts": [{"text": "so far"}]}
    server = misbehaving(lambda exchange: streams(exchange, _task("WORKING"), update, _status("COMPLETED")))
    async with home.core() as core:
        core.add("odd", server.url)
        outputs = await core.all(Stream(agent="odd", message="hi"))
        assert outputs[1].data.text == "so far"  # type: ignore[attr-defined]
        assert outputs[-1].data.final_state == "completed"  # type: ignore[attr-defined]


async def test_a_slow_reader_holds_the_stream_up(home: Home, agent: AgentProcess) -> None:
    """Nothing is read ahead of who takes the events: what was committed is what was handed on, or the next one."""
    async with home.core() as core:
        core.add("worker", agent)
        taken = anyio.Semaphore(0)
        seen = 0

        async def emit(_output: Output) -> None:
            nonlocal seen
            seen += 1
            await taken.acquire()

        async with anyio.create_task_group() as group:
            group.start_soon(core.core.run, Stream(agent="worker", message="stream 50"), emit)
            for count in (1, 2, 3):
                with anyio.fail_after(20):
                    while seen < count:
                        await anyio.sleep(0.005)
                await anyio.sleep(0.02)
                assert seen == count
                assert len(core.events()) == 1 + count
                taken.release()
            group.cancel_scope.cancel()


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_failing_reader_ends_the_stream_and_not_the_task(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("worker", agent, binding)

        async def emit(_output: Output) -> None:
            raise ValidationError("nobody reads this")

        with pytest.raises(ValidationError, match="nobody reads this"):
            await core.core.run(Stream(agent="worker", message="stream 3 0.05"), emit)
        (request,) = core.requests()
        assert request.status == "sent"
        with anyio.fail_after(20):
            while (view := await core.one(TaskGet(task_id=request.task_id or "", remote=True))).task.state == "working":
                await anyio.sleep(0.02)
        assert view.task.state == "completed"
        core.read(assert_journal_agrees)


async def test_an_agent_that_moves_in_the_middle_of_a_stream(
    home: Home, misbehaving: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task is taken up where it is now; the message is not sent a second time."""
    monkeypatch.setattr("missive_host.a2a.client.POLL_INTERVAL", 0.01)
    monkeypatch.setattr("missive_host.a2a.client.MAX_POLL_INTERVAL", 0.01)
    new = misbehaving(lambda exchange: streams(exchange, _status("WORKING"), _status("COMPLETED")))
    card = home.folder / "card.json"

    def leave(exchange: Exchange) -> None:
        old.refuse()
        exchange.start_stream()
        exchange.event({"jsonrpc": "2.0", "id": 1, "result": _task("WORKING")})
        card.write_text(json.dumps(new.card()))
        exchange.close()

    old = misbehaving(leave)
    card.write_text(json.dumps(old.card()))
    async with home.core() as core:
        core.add("mover", str(card))
        *events, result = await core.data(Stream(agent="mover", message="hi"))
        assert [event.state for event in events] == ["working", "working", "completed"]
        assert result.final_state == "completed"
        assert result.resumed >= 1
        assert [request.json()["method"] for request in new.requests] == ["SubscribeToTask"]
        assert len(core.requests()) == 1
        core.read(assert_journal_agrees)
