"""Answers that are no A2A: one error each, of our own kind, and the next call is none the worse for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.cores import assert_journal_agrees
from support.misbehaving import Exchange, in_turn, reply, stream

from missive_host import commands as c
from missive_host.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cores import Home
    from support.misbehaving import Start

    Handler = Callable[[Exchange], None]

bindings = pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
MESSAGE: dict[str, Any] = {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}}
WORKING: dict[str, Any] = {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}


def rpc(result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": result}


def good(exchange: Exchange) -> None:
    """Answer well, as the request asks for it."""
    request = exchange.request
    rest = request.target != "/"
    streaming = request.target.endswith("stream") or (not rest and "Streaming" in request.json()["method"])
    document = MESSAGE if rest else rpc(MESSAGE)
    if streaming:
        exchange.start_stream()
        exchange.event(document)
        exchange.end_stream()
    else:
        exchange.reply(200, document)


ANYWHERE = {
    "empty": "",
    "white space": " \r\n ",
    "HTML": "<html><body>Sign in</body></html>",
    "text": "OK",
    "truncated": '{"jsonrpc": "2.0", "id": 1, "result": {"message": {"messag',
    "number": "7",
    "null": "null",
    "array": "[]",
    "string": '"x"',
    "empty object": "{}",
    "not UTF-8": b'{"jsonrpc": "2.0", "result": {"message": {"messageId": "\xff"}}}',
    "two documents": '{"jsonrpc": "2.0"}{"jsonrpc": "2.0"}',
    "deeply nested": '{"result": ' * 50_000 + "1" + "}" * 50_000,
    "an odd error": '{"jsonrpc": "2.0", "id": 1, "error": "broken"}',
    "no result": '{"jsonrpc": "2.0", "id": 1, "error": null}',
}
SHAPES: dict[str, Any] = {
    "nothing in it": {},
    "null": None,
    "a list": [1],
    "a text": "x",
    "a message that is a text": {"message": "hi"},
    "parts that are a text": {"message": {"messageId": "m", "parts": "hi"}},
    "a part that is a number": {"message": {"messageId": "m", "parts": [7]}},
    "a message without an id": {"message": {"role": "ROLE_AGENT", "parts": [{"text": "x"}]}},
    "an empty message id": {"message": {"messageId": "", "role": "ROLE_AGENT", "parts": []}},
    "a task without an id": {"task": {"status": {"state": "TASK_STATE_COMPLETED"}}},
    "a task id that is a number": {"task": {"id": 7, "status": {}}},
    "an artifact without an id": {"task": {"id": "t", "status": {}, "artifacts": [{"parts": []}]}},
    "a lone surrogate": {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "\ud800"}]}},
    "a task that is null": {"task": None},
}
UPDATES: dict[str, Any] = {
    "a status without its task": {"statusUpdate": {"status": {"state": "TASK_STATE_WORKING"}}},
    "a status update without a status": {"statusUpdate": {"taskId": "t"}},
    "an artifact update without an artifact": {"artifactUpdate": {"taskId": "t"}},
    "an artifact update without an id": {"artifactUpdate": {"taskId": "t", "artifact": {"parts": []}}},
    "an artifact update without its task": {"artifactUpdate": {"artifact": {"artifactId": "a", "parts": []}}},
}


def as_answer(document: Any, binding: str) -> Any:
    return rpc(document) if binding == "JSONRPC" else document


def cases(table: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("broken", table.values(), ids=table.keys())


@bindings
@cases(ANYWHERE)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
async def test_bodies_that_are_no_answer(
    home: Home, misbehaving: Start, binding: str, broken: str | bytes, content_type: str
) -> None:
    server = misbehaving(in_turn(*[reply(200, broken, content_type=content_type)] * 3, good), binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        for command in (
            c.Send(agent="a", message="hi"),
            c.Stream(agent="a", message="hi"),
            c.TaskGet(task_id="t", agent="a", remote=True),
        ):
            error = await core.fails(command, ProtocolError)
            assert error.exit_code == 76
            assert error.message.startswith("agent 'a' ")
        assert [row.status for row in core.requests()] == ["unknown", "unknown"]
        assert (await core.one(c.Send(agent="a", message="hi"))).response.text == "ok"
        core.read(assert_journal_agrees)


@bindings
@cases(SHAPES)
async def test_answers_of_a_wrong_shape(home: Home, misbehaving: Start, binding: str, broken: Any) -> None:
    document = as_answer(broken, binding)
    if document is None:
        document = b"null"
    elif not isinstance(document, dict):
        document = json.dumps(document)
    server = misbehaving(in_turn(reply(200, document), reply(200, document), good), binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        error = await core.fails(c.Send(agent="a", message="hi"), ProtocolError)
        assert error.a2a is not None
        assert error.a2a.name == "InvalidAgentResponseError"
        await core.fails(c.TaskGet(task_id="t", agent="a", remote=True), ProtocolError)
        assert (await core.one(c.Send(agent="a", message="hi"))).response.text == "ok"
        core.read(assert_journal_agrees)


@bindings
@cases({name: body for name, body in ANYWHERE.items() if name != "empty"} | SHAPES | UPDATES)
@pytest.mark.parametrize("first", [True, False], ids=["first event", "after the task"])
async def test_events_that_are_none(home: Home, misbehaving: Start, binding: str, broken: Any, first: bool) -> None:
    if isinstance(broken, str | bytes):
        data = (broken.encode() if isinstance(broken, str) else broken).replace(b"\r\n", b"")
    else:
        data = json.dumps(as_answer(broken, binding)).encode()
    before = [] if first else [b"data: " + json.dumps(as_answer(WORKING, binding)).encode() + b"\n\n"]
    bad = stream(*before, b"data: " + data + b"\n\n")
    # Once the task is known, the agent is asked what became of it; while it works, the error stands.
    asked = [] if first else [reply(200, as_answer(WORKING["task"], binding))]
    server = misbehaving(in_turn(bad, *asked, good), binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        seen = [] if first else ["stream_event"]
        error = await core.fails(c.Stream(agent="a", message="hi"), ProtocolError, *seen)
        assert error.message.startswith("agent 'a' ")
        assert (await core.one(c.Send(agent="a", message="hi"))).response.text == "ok"
        assert core.requests()[0].status == ("unknown" if first else "sent")
        core.read(assert_journal_agrees)


@bindings
async def test_what_is_in_an_event_stream_besides_data(home: Home, misbehaving: Start, binding: str) -> None:
    event = json.dumps(as_answer(MESSAGE, binding)).encode()
    server = misbehaving(
        stream(b": ping\n\n", b"retry: 5\nid: 7\n\n", b"event: ping\n\n", b"data:\n\n", b"data: " + event + b"\n\n"),
        binding=binding,
    )
    async with home.core() as core:
        core.add("a", server.url)
        first, result = await core.data(c.Stream(agent="a", message="hi"))
        assert (first.text, result.event_count) == ("ok", 1)


@bindings
async def test_an_error_in_the_middle_of_a_stream(home: Home, misbehaving: Start, binding: str) -> None:
    """The agent's own name for it is kept; the task is asked for, in case it ended all the same."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INTERNAL", "domain": "x"}]
    error = (
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "boom"}}
        if binding == "JSONRPC"
        else {"error": {"code": 500, "message": "boom", "details": details}}
    )
    first = b"data: " + json.dumps(as_answer(WORKING, binding)).encode() + b"\n\n"
    last = b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
    done = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_FAILED"}}
    server = misbehaving(
        in_turn(
            stream(first, last),
            reply(200, as_answer(WORKING["task"], binding)),
            stream(first, last),
            reply(200, as_answer(done, binding)),
        ),
        binding=binding,
    )
    async with home.core() as core:
        core.add("a", server.url)
        failure = await core.fails(c.Stream(agent="a", message="hi"), ProtocolError, "stream_event")
        assert "boom" in failure.message
        outputs = await core.all(c.Stream(agent="a", message="hi"))
        assert outputs[-1].data.final_state == "failed"  # type: ignore[attr-defined]


@bindings
@pytest.mark.parametrize(("status", "location"), [(302, "http://elsewhere/"), (307, "/login")])
async def test_calls_are_not_redirected(
    home: Home, misbehaving: Start, binding: str, status: int, location: str
) -> None:
    server = misbehaving(reply(status, headers={"Location": location}), binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        for command in (c.Send(agent="a", message="hi"), c.Stream(agent="a", message="hi")):
            error = await core.fails(command, TransportError)
            assert location in (error.help or "")


@bindings
async def test_an_event_stream_that_was_not_asked_for(home: Home, misbehaving: Start, binding: str) -> None:
    event = b"data: " + json.dumps(as_answer(MESSAGE, binding)).encode() + b"\n\n"
    server = misbehaving(in_turn(stream(event), good), binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        await core.fails(c.Send(agent="a", message="hi"), ProtocolError)
        assert (await core.one(c.Send(agent="a", message="hi"))).response.text == "ok"


@bindings
async def test_members_that_nobody_knows_are_passed_over(home: Home, misbehaving: Start, binding: str) -> None:
    document = {"message": {**MESSAGE["message"], "x-new": [1], "futureField": {"a": None}}, "also": 1}
    server = misbehaving(reply(200, as_answer(document, binding)), binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        assert (await core.one(c.Send(agent="a", message="hi"))).response.text == "ok"
