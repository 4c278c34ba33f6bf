"""The raw server that other tests rely on does what they ask of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from support.misbehaving import Exchange, in_turn, raw, reply, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.misbehaving import Start


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=5, verify=False) as client:
        yield client


def test_replies_in_turn_on_one_connection(misbehaving: Start, http: httpx.Client) -> None:
    server = misbehaving(
        in_turn(reply(503, headers={"Retry-After": "7"}), reply(200, "<html>", content_type="text/html"))
    )
    first = http.post(server.url, content=b"abc")
    second = http.post(server.url + "/x", json={"a": 1})
    third = http.post(server.url)
    assert (first.status_code, first.headers["retry-after"]) == (503, "7")
    assert (second.text, third.text) == ("<html>", "<html>")
    assert server.connections == 1
    assert [(each.method, each.target, each.connection) for each in server.requests] == [
        ("POST", "/", 1),
        ("POST", "/x", 1),
        ("POST", "/", 1),
    ]
    assert server.requests[0].body == b"abc"
    assert server.requests[1].json() == {"a": 1}


def test_it_serves_a_card(misbehaving: Start, http: httpx.Client) -> None:
    server = misbehaving(reply(500), binding="HTTP+JSON", streaming=False)
    card = http.get(server.url + "/.well-known/agent-card.json").json()
    interface = {"url": server.url, "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}
    assert (card["supportedInterfaces"], card["capabilities"]) == ([interface], {"streaming": False})
    assert (server.card_requests, server.requests) == (1, [])


def test_the_card_can_be_left_to_the_handler(misbehaving: Start, http: httpx.Client) -> None:
    server = misbehaving(reply(404), card=False)
    assert http.get(server.url + "/.well-known/agent-card.json").status_code == 404


def test_a_chunked_request_body_is_read(misbehaving: Start, http: httpx.Client) -> None:
    server = misbehaving(reply(200))
    http.post(server.url, content=iter([b"ab", b"cd"]))
    http.post(server.url, content=b"next")
    assert [each.body for each in server.requests] == [b"abcd", b"next"]


def test_a_json_rpc_result(misbehaving: Start, http: httpx.Client) -> None:
    server = misbehaving(lambda exchange: exchange.result({"message": {}}))
    assert http.post(server.url, json={"id": "7"}).json() == {"jsonrpc": "2.0", "id": "7", "result": {"message": {}}}


def test_a_clean_stream(misbehaving: Start, http: httpx.Client) -> None:
    server = misbehaving(stream("data: 1\n\n", b"data: \xe2\x80\xa8\n\n"))
    answer = http.post(server.url)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.content == b"data: 1\n\ndata: \xe2\x80\xa8\n\n"


def test_a_stream_that_is_cut(misbehaving: Start, http: httpx.Client) -> None:
    server = misbehaving(stream("data: 1\n\n", end="cut"))
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        http.post(server.url)


def test_a_stream_that_is_reset(misbehaving: Start, http: httpx.Client) -> None:
    read = threading.Event()  # a reset throws away what has not been read yet

    def handle(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.event({"a": 1})
        assert read.wait(10)
        exchange.end_stream("reset")

    with http.stream("POST", misbehaving(handle).url) as answer:
        chunks = answer.iter_bytes()
        assert next(chunks) == b'data: {"a": 1}\r\n\r\n'
        read.set()
        with pytest.raises(httpx.ReadError):
            next(chunks)


def test_a_stream_that_hangs_ends_with_its_client(misbehaving: Start, http: httpx.Client) -> None:
    left = threading.Event()

    def handle(exchange: Exchange) -> None:
        stream("data: 1\n\n", end="hang")(exchange)
        left.set()

    with http.stream("POST", misbehaving(handle).url) as answer:
        chunks = answer.iter_bytes()  # kept: its end would close the response
        assert next(chunks) == b"data: 1\n\n"
        assert not left.is_set()
    assert left.wait(10)


def test_a_silent_server_does_not_hold_up_the_end_of_the_test(misbehaving: Start) -> None:
    server = misbehaving(reply(200, after=600))
    silence = httpx.Timeout(5, read=0.2)
    with httpx.Client(trust_env=False, timeout=silence, verify=False) as http, pytest.raises(httpx.ReadTimeout):
        http.post(server.url)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", b"\x00\x01\x02\r\n\r\n"])
def test_raw_bytes(misbehaving: Start, http: httpx.Client, data: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(misbehaving(raw(data)).url)


def test_every_connection_is_counted(misbehaving: Start) -> None:
    server = misbehaving(reply(200, headers={"Connection": "close"}))
    for _ in range(3):
        httpx.post(server.url, trust_env=False, verify=False)
    assert server.connections == 3
