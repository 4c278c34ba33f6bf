"""What is tried again, how often, and always with the same messageId."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.cores import QUICK, assert_journal_agrees
from support.misbehaving import Exchange, in_turn, reply

from missive_host import commands as c
from missive_host.errors import AuthError, MissiveError, ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cores import Home
    from support.misbehaving import Misbehaving, Start

    Handler = Callable[[Exchange], None]

MESSAGE = {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "ok"}]}}


def ok(exchange: Exchange) -> None:
    body = exchange.request.json()
    if body["method"] == "SendStreamingMessage":
        exchange.start_stream()
        exchange.event({"jsonrpc": "2.0", "id": body["id"], "result": MESSAGE})
        exchange.end_stream()
    elif body["method"] == "GetTask":
        exchange.result({"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}})
    else:
        exchange.result(MESSAGE)


def card_file(home: Home, server: Misbehaving) -> str:
    """Return the path of a file with the server's card, so that the first call is on a new connection."""
    file = home.folder / "card.json"
    file.write_text(json.dumps(server.card()))
    return str(file)


def drop(exchange: Exchange) -> None:
    exchange.close()


def half(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    exchange.close()


BUSY = reply(503, headers={"Retry-After": "0"})
LIMITED = reply(429, {"error": "slow down"}, headers={"Retry-After": "0"})


@pytest.mark.parametrize("command", [c.Send, c.Stream])
@pytest.mark.parametrize("busy", [BUSY, LIMITED, reply(503)])
async def test_a_busy_agent_is_asked_again_with_the_same_message(
    home: Home, misbehaving: Start, busy: Handler, command: type[c.Send | c.Stream]
) -> None:
    server = misbehaving(in_turn(busy, busy, ok))
    async with home.core() as core:
        core.add("a", server.url)
        await core.all(command(agent="a", message="hi"))
        ids = [request.json()["params"]["message"]["messageId"] for request in server.requests]
        (row,) = core.requests()
        assert ids == [row.message_id] * 3
        assert row.status == "sent"
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("command", [c.Send, c.Stream])
@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        pytest.param(drop, TransportError, id="dropped"),
        pytest.param(half, TransportError, id="half an answer"),
        pytest.param(reply(500), TransportError, id="500"),
        pytest.param(reply(502), TransportError, id="502"),
        pytest.param(reply(400), TransportError, id="400"),
        pytest.param(reply(401), AuthError, id="401"),
        pytest.param(reply(403), AuthError, id="403"),
        pytest.param(reply(200, "{}"), ProtocolError, id="not an answer"),
    ],
)
async def test_a_message_that_may_have_arrived_is_not_sent_again(
    home: Home, misbehaving: Start, trouble: Handler, kind: type[MissiveError], command: type[c.Send | c.Stream]
) -> None:
    server = misbehaving(in_turn(trouble, ok))
    async with home.core() as core:
        core.add("a", card_file(home, server))
        await core.fails(command(agent="a", message="hi"), kind)
        assert len(server.requests) == 1
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("trouble", [drop, half, BUSY, LIMITED])
async def test_a_question_may_be_asked_again(home: Home, misbehaving: Start, trouble: Handler) -> None:
    server = misbehaving(in_turn(trouble, trouble, ok))
    async with home.core() as core:
        core.add("a", server.url)
        assert (await core.one(c.TaskGet(task_id="t", agent="a", remote=True))).task.state == "completed"
        assert len(server.requests) == 3


async def test_a_cancel_is_not(home: Home, misbehaving: Start) -> None:
    server = misbehaving(in_turn(drop, ok))
    async with home.core() as core:
        core.add("a", card_file(home, server))
        await core.fails(c.TaskCancel(task_id="t", agent="a"), TransportError)
        assert len(server.requests) == 1


@pytest.mark.parametrize("command", [c.Send, c.Stream])
async def test_a_kept_connection_that_closes_under_a_message_does_not_send_it_twice(
    home: Home, misbehaving: Start, command: type[c.Send | c.Stream]
) -> None:
    """The agent may have read it before the connection closed: nobody can know, so the sender is told."""
    server = misbehaving(in_turn(ok, drop, ok))
    async with home.core() as core:
        core.add("a", server.url)
        await core.all(command(agent="a", message="one"))
        await core.fails(command(agent="a", message="two"), TransportError)
        await core.all(command(agent="a", message="three"))
        sent = [request.json()["params"]["message"]["messageId"] for request in server.requests]
        assert sent == [row.message_id for row in core.requests()]
        assert [row.status for row in core.requests()] == ["sent", "unknown", "sent"]
        core.read(assert_journal_agrees)


@pytest.mark.parametrize("attempts", [0, 1, 3])
async def test_how_often(home: Home, misbehaving: Start, attempts: int) -> None:
    home.configure(QUICK + f"retry_attempts = {attempts}\n")
    server = misbehaving(BUSY)
    async with home.core() as core:
        core.add("a", server.url)
        error = await core.fails(c.Send(agent="a", message="hi"), TransportError)
        assert error.a2a is not None
        assert error.a2a.http_status == 503
        assert len(server.requests) == 1 + attempts
        assert len(core.requests()) == 1


@pytest.mark.parametrize(
    ("status", "kind", "retry_after", "headers"),
    [
        (401, AuthError, None, {"WWW-Authenticate": 'Bearer realm="x"'}),
        (403, AuthError, None, {}),
        (429, TransportError, 3600.0, {"Retry-After": "3600"}),
        (503, TransportError, 3600.0, {"Retry-After": "3600"}),
        (429, TransportError, None, {"Retry-After": "soon"}),
    ],
)
@pytest.mark.parametrize("command", [c.Send, c.Stream])
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_statuses_and_retry_after_are_kept(
    home: Home,
    misbehaving: Start,
    binding: str,
    command: type[c.Send | c.Stream],
    status: int,
    kind: type[MissiveError],
    retry_after: float | None,
    headers: dict[str, str],
) -> None:
    server = misbehaving(reply(status, {"detail": "because"}, headers=headers), binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        error = await core.fails(command(agent="a", message="hi"), kind)
        assert error.a2a is not None
        assert (error.a2a.http_status, error.a2a.retry_after) == (status, retry_after)
        assert f"HTTP {status}: because" in error.message
        # A pause of an hour is reported instead of waited for.
        assert len(server.requests) == (3 if headers.get("Retry-After") == "soon" else 1)


async def test_retry_after_may_be_a_date(home: Home, misbehaving: Start) -> None:
    server = misbehaving(reply(503, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}))
    async with home.core() as core:
        core.add("a", server.url)
        error = await core.fails(c.Send(agent="a", message="hi"), TransportError)
        assert error.a2a is not None
        assert (error.a2a.retry_after or 0) > 1e9


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_an_error_of_a2a_keeps_its_name(home: Home, misbehaving: Start, binding: str) -> None:
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONTENT_TYPE_NOT_SUPPORTED",
         "domain": "a2a-protocol.org"}
    ]  # fmt: skip
    answer = (
        reply(200, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "no png", "data": details}})
        if binding == "JSONRPC"
        else reply(415, {"error": {"code": 415, "message": "no png", "details": details}})
    )
    server = misbehaving(answer, binding=binding)
    async with home.core() as core:
        core.add("a", server.url)
        for command in (c.Send(agent="a", message="hi"), c.Stream(agent="a", message="hi")):
            error = await core.fails(command, ProtocolError)
            assert error.a2a is not None
            assert (error.a2a.name, error.a2a.code) == ("ContentTypeNotSupportedError", -32005)
            assert error.a2a.data == details
            assert "no png" in error.message
        assert len(server.requests) == 2
        assert {row.status for row in core.requests()} == {"failed"}
