"""The traps of A2A clients that were seen in practice, one test each: streams and silence.

Broken answers are in ``test_traps_answers.py``, connections in ``test_traps_connections.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.cores import BINDINGS, assert_journal_agrees
from support.cutting import CuttingProxy
from support.misbehaving import Exchange, in_turn

from missive_host import commands as c
from missive_host.demo.behaviours import UNICODE_TEXT, big_bytes
from missive_host.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands, Home
    from support.misbehaving import End, Start

    from missive_host.demo.fleet import AgentProcess

HTTP = ("JSONRPC", "HTTP+JSON")


async def follow(core: Commands, **fields: Any) -> tuple[list[Any], Any]:
    """Run a stream; return its events and its result."""
    *events, result = await core.data(c.Stream(agent="a", **fields))
    return events, result


def joined(core: Commands, task_id: str) -> dict[str, str]:
    """Return the texts of a task's artifacts."""
    rows = core.read(lambda tables: tables.artifacts.list(agent="a", task=task_id))
    return {row.artifact_id: "".join(part["text"] for part in row.content["parts"]) for row in rows}


# --- characters that are line ends only to careless readers


@pytest.mark.parametrize("binding", BINDINGS)
async def test_line_separators_in_a_stream(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("a", agent)
        events, result = await follow(core, message="unicode", binding=binding)
        assert [event.text for event in events if event.text] == [UNICODE_TEXT] * 3
        assert (result.final_state, result.resumed) == ("completed", 0)
        assert joined(core, result.final_task_id) == {"unicode": UNICODE_TEXT}
        # And on the way there.
        echoed, _ = await follow(core, message=f"echo {UNICODE_TEXT}", binding=binding)
        assert echoed[0].text == UNICODE_TEXT
        assert (await core.one(c.Send(agent="a", message=f"echo {UNICODE_TEXT}", binding=binding))).response.text == (
            UNICODE_TEXT
        )


@pytest.mark.parametrize("binding", HTTP)
async def test_line_separators_that_are_sent_raw(home: Home, misbehaving: Start, binding: str) -> None:
    """Not escaped, and in the middle of a line: what the other SDKs send."""
    text = "a\u2028b\u2029c\x85d"

    def handle(exchange: Exchange) -> None:
        message = {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": text}]}}
        whole = {"jsonrpc": "2.0", "id": 1, "result": message} if binding == "JSONRPC" else message
        exchange.start_stream()
        for piece in json.dumps(whole, ensure_ascii=False).encode().split(b"\xc2"):  # also cut within a character
            exchange.chunk((b"data: " if piece.startswith(b"{") else b"\xc2") + piece)
        exchange.chunk(b"\n\n")
        exchange.end_stream()

    server = misbehaving(handle, binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        events, _ = await follow(core, message="hi")
        assert events[0].text == text


# --- streams that end before the task does


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("text", ["cut 0.2", "break 0.2"])
async def test_a_stream_that_ends_before_its_task(home: Home, agent: AgentProcess, binding: str, text: str) -> None:
    async with home.core() as core:
        core.add("a", agent)
        events, result = await follow(core, message=text, binding=binding)
        assert result.resumed >= 1
        assert result.final_state == events[-1].state == "completed"
        assert joined(core, result.final_task_id) == {text.split(maxsplit=1)[0]: "first half, second half"}
        assert len(core.requests()) == 1
        core.read(assert_journal_agrees)


def sse(exchange: Exchange, *events: dict[str, Any], end: End = "clean", half: bytes = b"") -> None:
    exchange.start_stream()
    for event in events:
        exchange.event({"jsonrpc": "2.0", "id": 1, "result": event})
    if half:
        exchange.chunk(half)
    exchange.end_stream(end)


def task(state: str, **members: Any) -> dict[str, Any]:
    return {"id": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}, **members}


def chunk(text: str, **members: Any) -> dict[str, Any]:
    artifact = {"artifactId": "x", "parts": [{"text": text}]}
    return {"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": artifact, **members}}


WHOLE = task("COMPLETED", artifacts=[{"artifactId": "x", "parts": [{"text": text} for text in "123"]}])


async def test_a_reader_that_was_evicted_gets_what_it_missed(home: Home, misbehaving: Start) -> None:
    """Servers drop readers that are slow by ending their stream as if it were over; the task goes on."""
    server = misbehaving(
        in_turn(
            lambda exchange: sse(exchange, {"task": task("WORKING")}, chunk("1")),
            lambda exchange: sse(exchange, {"task": WHOLE}),
        )
    )
    async with home.core() as core:
        core.add("a", server.url)
        events, result = await follow(core, message="hi")
        assert [event.event_type for event in events] == ["task", "artifact_update", "task"]
        assert (result.final_state, result.resumed) == ("completed", 1)
        assert joined(core, "t") == {"x": "123"}
        assert [request.json()["method"] for request in server.requests] == ["SendStreamingMessage", "SubscribeToTask"]


@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
@pytest.mark.parametrize("half", [b'data: {"jsonrpc": "2.0", "id": 1, "resu', b'data: {"jsonrpc": "2.0"}\n', b"da"])
async def test_a_connection_cut_in_the_middle_of_an_event(
    home: Home, misbehaving: Start, end: End, half: bytes
) -> None:
    server = misbehaving(
        in_turn(
            lambda exchange: sse(exchange, {"task": task("WORKING")}, chunk("1"), end=end, half=half),
            lambda exchange: sse(exchange, {"task": WHOLE}),
        )
    )
    async with home.core() as core:
        core.add("a", server.url)
        _, result = await follow(core, message="hi")
        assert (result.final_state, result.resumed) == ("completed", 1)
        assert joined(core, "t") == {"x": "123"}


async def test_a_stream_that_is_cut_again_and_again(home: Home, misbehaving: Start) -> None:
    """As long as it makes progress, there is no end to taking it up again."""
    count = 12
    parts = [
        lambda exchange, n=n: sse(
            exchange, {"task": task("WORKING", metadata={"n": n})}, chunk(f"{n} ", append=n > 0), end="cut"
        )
        for n in range(count)
    ]
    server = misbehaving(in_turn(*parts, lambda exchange: sse(exchange, {"task": task("COMPLETED")})))
    async with home.core() as core:
        core.add("a", server.url)
        _, result = await follow(core, message="hi")
        assert (result.final_state, result.resumed) == ("completed", count)
        assert joined(core, "t") == {"x": "".join(f"{n} " for n in range(count))}


async def test_a_stream_that_cannot_be_taken_up_again_is_polled(home: Home, misbehaving: Start) -> None:
    refusal = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32004, "message": "no subscriptions here"}}
    server = misbehaving(
        in_turn(
            lambda exchange: sse(exchange, {"task": task("WORKING")}, end="reset"),
            lambda exchange: exchange.reply(200, refusal),
            lambda exchange: exchange.result(task("WORKING")),
            lambda exchange: exchange.result(WHOLE),
        )
    )
    async with home.core() as core:
        core.add("a", server.url)
        events, result = await follow(core, message="hi")
        assert [event.state for event in events] == ["working", "completed"]
        assert joined(core, "t") == {"x": "123"}
        methods = [request.json()["method"] for request in server.requests]
        assert methods == ["SendStreamingMessage", "SubscribeToTask", "GetTask", "GetTask"]
        assert result.resumed >= 1


async def test_a_stream_that_ends_without_anything(home: Home, misbehaving: Start) -> None:
    server = misbehaving(sse)
    async with home.core() as core:
        core.add("a", server.url)
        error = await core.fails(c.Stream(agent="a", message="hi"), ProtocolError)
        assert "without an answer" in error.message
        assert [row.status for row in core.requests()] == ["unknown"]


@pytest.mark.parametrize("when", ["send", "stream"])
async def test_a_grpc_connection_that_is_reset(home: Home, agent: AgentProcess, tmp_path: Path, when: str) -> None:
    """It may have brought the message there, so it is not sent again; a stream is taken up again."""
    async with CuttingProxy(agent.interfaces["GRPC"]) as proxy:
        card = {"name": "x", "capabilities": {"streaming": True}, "supportedInterfaces": [
            {"url": proxy.address, "protocolBinding": "GRPC", "protocolVersion": "1.0"}]}  # fmt: skip
        (tmp_path / "card.json").write_text(json.dumps(card))
        async with home.core() as core:
            core.add("a", str(tmp_path / "card.json"))
            await core.one(c.Send(agent="a", message="warm"))
            results: list[Any] = []

            async def run(command: c.Command) -> None:
                try:
                    results.extend(await core.all(command))
                except TransportError as error:
                    results.append(error)

            async with anyio.create_task_group() as group:
                if when == "send":
                    group.start_soon(run, c.Send(agent="a", message="sleep 1"))
                    while not core.messages(status="pending"):
                        await anyio.sleep(0.01)
                    await anyio.sleep(0.15)
                else:
                    group.start_soon(run, c.Stream(agent="a", message="stream 3 0.2"))
                    while len(core.events()) < 5:
                        await anyio.sleep(0.01)
                proxy.reset()
            if when == "send":
                (error,) = results
                assert isinstance(error, TransportError)
                assert error.sent
                assert [row.status for row in core.requests()] == ["sent", "unknown"]
            else:
                result = results[-1].data
                assert (result.final_state, result.resumed) == ("completed", 1)
                assert joined(core, result.final_task_id) == {"stream": "chunk 1\nchunk 2\nchunk 3\n"}
            core.read(assert_journal_agrees)


# --- silence


async def test_silence_of_more_than_five_seconds_is_no_fault(home: Home, agent: AgentProcess) -> None:
    """The HTTP clients of the SDKs give up after five seconds without a byte, in calls and in streams."""
    async with home.core() as core:
        core.add("a", agent)
        answers: dict[str, Any] = {}

        async def call(binding: str) -> None:
            answers["send " + binding] = (
                await core.one(c.Send(agent="a", message="slow 5.5", binding=binding))
            ).response.text

        async def stream(binding: str) -> None:
            _, result = await follow(core, message="sleep 5.5", binding=binding)
            answers["stream " + binding] = (result.final_state, result.resumed)

        async with anyio.create_task_group() as group:
            for binding in BINDINGS:
                group.start_soon(call, binding)
                group.start_soon(stream, binding)
        assert answers == {
            **{"send " + binding: "Answered after 5.5 s." for binding in BINDINGS},
            **{"stream " + binding: ("completed", 0) for binding in BINDINGS},
        }


# --- size


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_artifact_of_5_mib(home: Home, agent: AgentProcess, binding: str, tmp_path: Path) -> None:
    """More than gRPC takes in one message unless told to, and more than other clients take in one event."""
    async with home.core() as core:
        core.add("a", agent)
        _, result = await follow(core, message="big 5", binding=binding)
        assert (result.final_state, result.resumed) == ("completed", 0)
        sent = await core.one(c.Send(agent="a", message="big 5", binding=binding))
        for number, task_id in enumerate((result.final_task_id, sent.response.task_id)):
            folder = tmp_path / str(number)
            core.local(c.ArtifactExport(task_id=task_id, output_dir=str(folder)))
            assert (folder / "big.bin").read_bytes() == big_bytes(5)


@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
async def test_a_connection_cut_in_the_first_event(home: Home, misbehaving: Start, end: End) -> None:
    """The agent may have the message, so it is not sent again."""
    server = misbehaving(lambda exchange: sse(exchange, end=end, half=b'data: {"jsonrpc": "2.0", "id": 1'))
    async with home.core() as core:
        core.add("a", server.url)
        error = await core.fails(c.Stream(agent="a", message="hi"), TransportError)
        assert error.sent
        assert len(server.requests) == 1
        assert [row.status for row in core.requests()] == ["unknown"]
        core.read(assert_journal_agrees)
