"""The HTTP client against raw servers: framing, the pool, streams, what is refused."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import subprocess
import sys

import anyio
import pytest
from raw_http import CHUNKED, RawServer, Reader, Writer, answering, chunk, ok

from missive_host.a2a.connection import Exchange
from missive_host.a2a.http import HttpClient
from missive_host.a2a.http_head import parse_url
from missive_host.errors import TransportError, ValidationError

NO_PROXY: dict[str, str] = {}


def make_client(**options: float) -> HttpClient:
    return HttpClient(environ=NO_PROXY, **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- framing


async def test_a_call_and_its_answer() -> None:
    answer = ok(b"{}", "Content-Type: application/json", "Vary: a", "vary: b")
    async with RawServer(answering(answer)) as server, make_client() as client:
        response = await client.request(
            "POST", server.url + "?a=%2F#part", headers=[("A2A-Version", "1.0")], body=b"hi"
        )
    assert (response.status, response.body, response.url) == (200, b"{}", server.url + "?a=%2F#part")
    assert response.header("CONTENT-type") == "application/json"
    assert response.header("vary") == "a, b"
    assert response.header("etag") is None
    assert ("Vary", "a") in response.headers
    (request,) = server.requests
    assert request.line == "POST /rpc?a=%2F HTTP/1.1"
    assert request.body == b"hi"
    assert request.headers["host"] == f"localhost:{server.port}"
    assert request.headers["a2a-version"] == "1.0"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (ok(b""), 200, b""),
        (CHUNKED + chunk(b"one ") + b"3;ext=1\r\ntwo\r\n" + b"0\r\nX-Trailer: t\r\n\r\n", 200, b"one two"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 99\r\n\r\n', 304, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"late"), 200, b"late"),
        (ok(b"busy", "Retry-After: 3", status="503 Service Unavailable"), 503, b"busy"),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    ],
)
async def test_answers_that_leave_the_connection_open(answer: bytes, status: int, body: bytes) -> None:
    async with RawServer(answering(answer)) as server, make_client() as client:
        for _ in range(3):
            response = await client.request("GET", server.url)
            assert (response.status, response.body) == (status, body)
            assert response.header("link") is None
            assert response.header("x-trailer") is None
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    ],
)
async def test_answers_that_end_the_connection(answer: bytes) -> None:
    async with RawServer(answering(answer, close_after=True)) as server, make_client() as client:
        for _ in range(2):
            assert (await client.request("POST", server.url, body=b"{}")).body == b"ok"
    assert server.connections == 2


async def test_head_has_no_body_whatever_the_length_says() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    async with RawServer(answering(head, head, ok(b"whole"))) as server, make_client() as client:
        for _ in range(2):
            response = await client.request("HEAD", server.url, max_body=10)
            assert (response.body, response.header("content-length")) == (b"", "1000")
        assert (await client.request("GET", server.url)).body == b"whole"
    assert server.connections == 1


async def test_an_answer_in_single_bytes() -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            for byte in CHUNKED + chunk(b"slow") + b"0\r\n\r\n":
                writer.write(bytes([byte]))
                await writer.drain()

    async with RawServer(handle) as server, make_client() as client:
        for _ in range(2):
            assert (await client.request("GET", server.url)).body == b"slow"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "was closed before an answer came"),
        (b"HTTP/1.1 200 O", "broke in the headers of the answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "broke in the headers of the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour", "broke after 4 bytes of the answer's body"),
        (CHUNKED + chunk(b"12345") + b"5\r\nab", "broke after 7 bytes of the answer's body"),
        (CHUNKED + chunk(b"12345"), "broke after 5 bytes of the answer's body"),
        (CHUNKED, "broke after 0 bytes of the answer's body"),
    ],
)
async def test_an_answer_that_is_cut_short_is_an_error(answer: bytes, message: str) -> None:
    async with RawServer(answering(answer, close_after=True)) as server, make_client() as client:
        with pytest.raises(TransportError, match=message) as caught:
            await client.request("POST", server.url, body=b"{}")
    assert caught.value.sent
    assert caught.value.help
    assert f"http://localhost:{server.port}" in caught.value.message
    assert server.connections == 1  # never tried again: the server may have acted on it


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", None),
        (b"HTTP/2 200 OK\r\n\r\n", None),
        (b"\0\0\x12\x04\0\0\0\0\0", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", None),
        (CHUNKED + b"zz\r\n", None),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000, "headers are larger"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 70_000, "headers are larger"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, "headers are larger"),
        (CHUNKED + b"0\r\n" + b"X: 1\r\n" * 70_000, "headers are larger"),
        (CHUNKED + b"1;" + b"x" * 400_000, "headers are larger"),
    ],
)
async def test_what_is_not_http_is_an_error(answer: bytes, why: str | None) -> None:
    async with RawServer(answering(answer)) as server, make_client() as client:
        with pytest.raises(TransportError, match=r"did not answer in HTTP/1\.1") as caught:
            await client.request("POST", server.url, body=b"{}")
    assert caught.value.sent
    assert (why or "") in caught.value.sources[0]


@pytest.mark.parametrize("answer", [ok(b"x" * 101), CHUNKED + chunk(b"x" * 50) + chunk(b"x" * 51) + b"0\r\n\r\n"])
async def test_a_body_over_the_limit_is_an_error(answer: bytes) -> None:
    async with RawServer(answering(answer)) as server, make_client() as client:
        with pytest.raises(TransportError, match="larger than 100 bytes"):
            await client.request("GET", server.url, max_body=100)
        assert len((await client.request("GET", server.url, max_body=101)).body) == 101


@pytest.mark.parametrize("surplus", [ok(b"nobody's"), ok(b"", status="500 Oh"), b"HTTP/1.1 100 Continue\r\n\r\n", b"x"])
async def test_bytes_after_an_answer_spoil_the_connection_and_never_the_next_answer(surplus: bytes) -> None:
    async with RawServer(answering(ok(b"mine") + surplus)) as server, make_client() as client:
        for _ in range(3):
            response = await client.request("GET", server.url)
            assert (response.status, response.body, len(response.headers)) == (200, b"mine", 1)
    assert server.connections == 3


async def test_bytes_that_come_while_a_connection_is_idle_spoil_it() -> None:
    late = asyncio.Event()
    sent = asyncio.Event()

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            writer.write(ok(b"mine"))
            await late.wait()
            writer.write(ok(b"nobody's"))
            await writer.drain()
            sent.set()

    async with RawServer(handle) as server, make_client() as client:
        assert (await client.request("GET", server.url)).body == b"mine"
        late.set()
        await sent.wait()
        assert (await client.request("GET", server.url)).body == b"mine"
    assert server.connections == 2


# ---------------------------------------------------------------------- the pool


@pytest.mark.parametrize("in_flight", [1, 16, 64, 200])
async def test_no_connection_per_message(in_flight: int) -> None:
    """Bursts of calls, all answered together, so that each burst gives back and takes all connections at once."""
    together = asyncio.Barrier(in_flight)

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while request := await server.read(number, reader):
            await together.wait()
            writer.write(ok(request.body))

    async with RawServer(handle) as server, make_client() as client:
        answers: list[bytes] = []

        async def call(body: bytes) -> None:
            answers.append((await client.request("POST", server.url, body=body)).body)

        for burst in range(4):
            async with anyio.create_task_group() as group:
                for index in range(in_flight):
                    group.start_soon(call, f"{burst}-{index}".encode())
        assert sorted(answers) == sorted(f"{b}-{i}".encode() for b in range(4) for i in range(in_flight))
        assert server.connections == in_flight
    assert len({request.connection for request in server.requests}) == in_flight


async def test_the_connection_used_last_is_taken_first() -> None:
    together = asyncio.Barrier(3)

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while request := await server.read(number, reader):
            if request.body == b"burst":
                await together.wait()
            writer.write(ok())

    async with RawServer(handle) as server, make_client() as client:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(lambda: client.request("POST", server.url, body=b"burst"))
        for _ in range(5):
            await client.request("POST", server.url, body=b"alone")
    assert len({request.connection for request in server.requests[3:]}) == 1


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with RawServer(answering(ok())) as server, make_client(idle_timeout=0.01) as client:
        await client.request("GET", server.url)
        await anyio.sleep(0.02)
        await client.request("GET", server.url)
        await server.closed.wait()
    assert [request.connection for request in server.requests] == [1, 2]


async def test_no_more_idle_connections_are_kept_than_allowed() -> None:
    together = asyncio.Barrier(3)

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            await together.wait()
            writer.write(ok())

    async with RawServer(handle) as server, make_client(max_idle_per_host=1) as client:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(client.request, "GET", server.url)
        while server.open > 1:
            await server.closed.wait()
            server.closed.clear()
        assert server.open == 1


async def test_a_connection_that_the_server_closed_while_idle_is_not_used() -> None:
    async with RawServer(answering(ok(), close_after=True)) as server, make_client() as client:
        for count in range(1, 4):
            await client.request("POST", server.url, body=b"{}")
            await server.closed.wait()
            server.closed.clear()
            assert len(server.requests) == count
    assert server.connections == 3


def hanging_up_on_the_second(*, answer: bytes = b"") -> RawServer:
    """On its first connection the server answers once, and hangs up on the second request after sending `answer`."""

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            if len(server.requests) == 2:
                writer.write(answer)
                return
            writer.write(ok(f"from {number}".encode()))

    return RawServer(handle)


async def test_a_reused_connection_that_dies_without_an_answer_is_replaced_once() -> None:
    async with hanging_up_on_the_second() as server, make_client() as client:
        assert (await client.request("GET", server.url)).body == b"from 1"
        assert (await client.request("GET", server.url)).body == b"from 2"
    assert [request.connection for request in server.requests] == [1, 1, 2]


async def test_what_is_not_safe_to_repeat_is_not_repeated_behind_the_callers_back() -> None:
    async with hanging_up_on_the_second() as server, make_client() as client:
        assert (await client.request("POST", server.url, body=b"1")).body == b"from 1"
        with pytest.raises(TransportError) as caught:
            await client.request("POST", server.url, body=b"2")
        assert caught.value.sent
        assert len(server.requests) == 2
        assert (await client.request("POST", server.url, body=b"3")).body == b"from 2"


async def test_a_reused_connection_that_dies_late_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """By then the agent was at work: only the caller, who knows the request, can decide to send it again."""
    monkeypatch.setattr("missive_host.a2a.http.STALE_SECONDS", 0.0)
    async with hanging_up_on_the_second() as server, make_client() as client:
        await client.request("GET", server.url)
        with pytest.raises(TransportError, match="closed before an answer came") as caught:
            await client.request("GET", server.url)
    assert caught.value.sent
    assert len(server.requests) == 2


async def test_a_reused_connection_that_dies_within_an_answer_is_an_error() -> None:
    async with hanging_up_on_the_second(answer=b"HTTP/1.1 2") as server, make_client() as client:
        await client.request("POST", server.url, body=b"1")
        with pytest.raises(TransportError, match="in the headers"):
            await client.request("POST", server.url, body=b"2")
    assert len(server.requests) == 2


async def test_the_second_try_failing_to_connect_does_not_hide_that_the_first_was_sent() -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        await server.read(number, reader)
        writer.write(ok())
        await server.read(number, reader)
        server.server.close()

    async with RawServer(handle) as server, make_client() as client:
        await client.request("GET", server.url)
        with pytest.raises(TransportError, match="connection refused") as caught:
            await client.request("GET", server.url)
    assert caught.value.sent


async def test_a_cancelled_call_closes_its_connection_and_hurts_no_other() -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while request := await server.read(number, reader):
            if request.body != b"hang":
                writer.write(ok(request.body))

    async with RawServer(handle) as server, make_client() as client:
        await client.request("POST", server.url, body=b"first")
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await client.request("POST", server.url, body=b"hang")
        await server.closed.wait()
        assert (await client.request("POST", server.url, body=b"after")).body == b"after"
    assert [request.connection for request in server.requests] == [1, 1, 2]


async def test_closing_the_client_closes_what_is_idle_now_and_the_rest_when_done() -> None:
    go = asyncio.Event()

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while request := await server.read(number, reader):
            if request.body == b"long":
                await go.wait()
            writer.write(ok(request.body))

    async with RawServer(handle) as server:
        client = make_client()
        async with anyio.create_task_group() as group:
            bodies: list[bytes] = []

            async def call(body: bytes) -> None:
                bodies.append((await client.request("POST", server.url, body=body)).body)

            group.start_soon(call, b"long")
            while not server.requests:
                await anyio.sleep(0)
            await call(b"short")
            await client.aclose()
            await server.closed.wait()
            server.closed.clear()
            go.set()
        await server.closed.wait()
        assert bodies == [b"short", b"long"]
        assert server.open == 0
        with pytest.raises(TransportError, match="client is closed") as caught:
            await client.request("GET", server.url)
    assert not caught.value.sent


async def test_nothing_listens() -> None:
    async with RawServer(answering(ok())) as server:
        pass
    async with make_client() as client:
        with pytest.raises(TransportError, match="connection refused") as caught:
            await client.request(
                "POST", server.url + "?key=k1", headers=[("Authorization", "Bearer s3cret")], body=b"{}"
            )
    report = caught.value.report()
    assert not caught.value.sent
    assert f"http://localhost:{server.port}" in report.message
    assert "start the agent" in (report.help or "")
    assert report.sources == ("connection refused",)
    assert "s3cret" not in str(report)
    assert "k1" not in str(report)


async def test_a_host_name_that_cannot_be() -> None:
    async with make_client() as client:
        with pytest.raises(TransportError, match="could not connect") as caught:
            await client.request("GET", f"http://{'a' * 70}.test/")
    assert not caught.value.sent
    assert "host name" in (caught.value.help or "")


async def test_exchanges_leave_no_garbage() -> None:
    """What a call used is freed when it ends, not when the collector comes by: bodies can be large."""
    async with RawServer(answering(ok(), CHUNKED + chunk(b"x") + b"0\r\n\r\n")) as server, make_client() as client:
        await client.request("GET", server.url)
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                await client.request("GET", server.url)
            assert [item for item in gc.get_objects() if isinstance(item, Exchange)] == []
        finally:
            gc.enable()


# ---------------------------------------------------------------------- streams


async def test_a_stream_is_live() -> None:
    seen = asyncio.Event()

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            writer.write(CHUNKED)
            for index in range(3):
                seen.clear()
                writer.write(chunk(b"event %d" % index))
                await seen.wait()
            writer.write(b"0\r\n\r\n")

    async with RawServer(handle) as server, make_client() as client:
        for _ in range(2):
            async with client.stream("POST", server.url, body=b"{}") as response:
                assert response.status == 200
                assert response.header("content-type") == "text/event-stream"
                for index in range(3):
                    assert await response.receive() == b"event %d" % index
                    seen.set()
                assert await response.receive() == b""
                assert await response.receive() == b""
    assert server.connections == 1


async def test_a_stream_that_breaks_says_so() -> None:
    answer = CHUNKED + chunk(b"event")
    async with RawServer(answering(answer, close_after=True)) as server, make_client() as client:
        async with client.stream("GET", server.url) as response:
            assert await response.receive() == b"event"
            with pytest.raises(TransportError, match="broke after 5 bytes"):
                await response.receive()
            with pytest.raises(TransportError, match="broke after 5 bytes"):
                await response.receive()
        await server.closed.wait()


async def test_the_rest_of_a_stream_can_be_read_whole() -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            writer.write(CHUNKED + chunk(b"first"))
            await first.wait()
            writer.write(chunk(b"se") + chunk(b"cond") + b"0\r\n\r\n")

    async with RawServer(handle) as server, make_client() as client:
        for limit in (6, 5):
            first = asyncio.Event()
            async with client.stream("GET", server.url) as response:
                assert await response.receive() == b"first"
                first.set()
                if limit == 6:
                    assert await response.read(limit) == b"second"
                else:
                    with pytest.raises(TransportError, match="larger than 5 bytes"):
                        await response.read(limit)


@pytest.mark.parametrize("failing", [False, True])
async def test_a_stream_left_just_before_its_end_keeps_the_connection(failing: bool) -> None:
    """As with a direct Message or an error: the caller knows that it is the last event, the end is on its way."""

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while await server.read(number, reader):
            writer.write(CHUNKED + chunk(b"last"))
            await seen.wait()
            seen.clear()
            writer.write(chunk(b": bye") + b"0\r\n\r\n")
            sent.set()

    seen, sent = asyncio.Event(), asyncio.Event()
    async with RawServer(handle) as server, make_client() as client:
        for _ in range(4):
            try:
                async with client.stream("POST", server.url, body=b"{}") as response:
                    assert await response.receive() == b"last"
                    seen.set()
                    await sent.wait()
                    sent.clear()
                    if failing:
                        raise ValueError
            except ValueError:
                assert failing
    assert server.connections == 1


@pytest.mark.parametrize("rest", [b"", chunk(b"x" * 300_000)])
async def test_a_stream_left_long_before_its_end_closes_the_connection(rest: bytes) -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        assert await server.read(number, reader)
        writer.write(CHUNKED + chunk(b"first"))
        await left.wait()
        writer.write(rest)
        assert await server.read(number, reader) is None

    left = asyncio.Event()
    async with RawServer(handle) as server, make_client() as client:
        async with client.stream("GET", server.url) as response:
            assert await response.receive() == b"first"
            left.set()
        await server.closed.wait()
        with pytest.raises(TransportError):
            await response.receive()


async def test_a_cancelled_stream_closes_the_connection() -> None:
    async with RawServer(answering(CHUNKED + chunk(b"first"))) as server, make_client() as client:
        with anyio.CancelScope() as scope:
            async with client.stream("GET", server.url) as response:
                await response.receive()
                scope.cancel()
                await response.receive()
        assert scope.cancelled_caught
        await server.closed.wait()


# ---------------------------------------------------------------------- large requests


async def test_a_large_request_arrives_whole_and_a_large_answer_comes_back() -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        while request := await server.read(number, reader):
            writer.write(ok(hashlib.sha256(request.body).digest() * 100_000))

    body = bytes(range(256)) * 30_000
    async with RawServer(handle) as server, make_client() as client:
        for _ in range(2):
            response = await client.request("POST", server.url, body=body)
            assert response.body == hashlib.sha256(body).digest() * 100_000
    assert server.connections == 1


async def test_a_large_request_that_is_refused_before_it_was_read() -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"too large", status="413 Content Too Large"))
        await writer.drain()
        await over.wait()

    over = asyncio.Event()
    async with RawServer(handle) as server, make_client() as client:
        response = await client.request("POST", server.url, body=b"x" * 20_000_000)
        assert (response.status, response.body) == (413, b"too large")
        over.set()
        await server.closed.wait()


async def test_a_large_request_on_which_the_server_hangs_up() -> None:
    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with RawServer(handle) as server, make_client() as client:
        with pytest.raises(TransportError, match="closed before an answer came") as caught:
            await client.request("POST", server.url, body=b"x" * 20_000_000)
    assert caught.value.sent


# ---------------------------------------------------------------------- redirects


def redirecting(location: str, status: str = "302 Found") -> bytes:
    return ok(b"moved", f"Location: {location}", status=status)


async def test_redirects_are_followed_only_when_asked_and_only_for_get() -> None:
    async with RawServer(answering(redirecting("/new"), ok(b"here"))) as server, make_client() as client:
        response = await client.request("GET", server.url)
        assert (response.status, response.header("location")) == (302, "/new")
        with pytest.raises(ValidationError, match="redirects of POST"):
            await client.request("POST", server.url, body=b"{}", follow=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_within_the_origin_keeps_the_headers_and_the_connection(status: str) -> None:
    answers = answering(redirecting("../card?v=1#x", status), ok(b"here"))
    async with RawServer(answers) as server, make_client() as client:
        response = await client.request("GET", server.url, headers=[("Authorization", "Bearer s")], follow=True)
    assert (response.body, response.url) == (b"here", f"http://localhost:{server.port}/card?v=1#x")
    assert [request.line for request in server.requests] == ["GET /rpc HTTP/1.1", "GET /card?v=1 HTTP/1.1"]
    assert server.requests[1].headers["authorization"] == "Bearer s"
    assert server.connections == 1


async def test_a_redirect_to_another_origin_loses_the_credentials() -> None:
    async with (
        RawServer(answering(ok(b"there"))) as other,
        RawServer(answering(redirecting(other.url))) as server,
        make_client() as client,
    ):
        headers = [("Authorization", "Bearer s"), ("X-Api-Key", "k"), ("Accept", "application/json")]
        response = await client.request("GET", server.url, headers=headers, follow=True)
    assert response.body == b"there"
    assert server.requests[0].headers["x-api-key"] == "k"
    (request,) = other.requests
    assert request.headers["accept"] == "application/json"
    assert not {"authorization", "x-api-key"} & set(request.headers)


@pytest.mark.parametrize(
    ("location", "message", "requests"),
    [
        ("/rpc", "more than 5 times", 6),
        ("ftp://localhost/", "no address", 1),
        ("http://user:pw@localhost/", "no address", 1),
        ("http://[::1", "no address", 1),
    ],
)
async def test_redirects_that_lead_nowhere(location: str, message: str, requests: int) -> None:
    async with RawServer(answering(redirecting(location))) as server, make_client() as client:
        with pytest.raises(TransportError, match=message):
            await client.request("GET", server.url, follow=True)
    assert len(server.requests) == requests


# ---------------------------------------------------------------------- what is refused before anything is sent


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://a", ("http", "a", 80, "/", "a")),
        ("HTTPS://Agent.Example/A%2fb?x=%0A#f", ("https", "agent.example", 443, "/A%2fb?x=%0A", "agent.example")),
        ("http://a:8080?x=1", ("http", "a", 8080, "/?x=1", "a:8080")),
        ("https://a:443/", ("https", "a", 443, "/", "a")),
        ("http://my_agent:/#f?x", ("http", "my_agent", 80, "/", "my_agent")),
        ("http://[::1]:81/x", ("http", "::1", 81, "/x", "[::1]:81")),
        ("http://10.0.0.1/a@b:c", ("http", "10.0.0.1", 80, "/a@b:c", "10.0.0.1")),
    ],
)
def test_addresses(url: str, parts: tuple[object, ...]) -> None:
    parsed = parse_url(url)
    assert (parsed.scheme, parsed.host, parsed.port, parsed.target, parsed.authority) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:80/",
        "/rpc",
        "ftp://a/",
        "http:///x",
        "http://",
        "http://a:0/",
        "http://a:65536/",
        "http://a:b/",
        "http://user:s3cret@a/",
        "http://s3cret@a/",
        "http://a b/",
        "http://a/s3cret\r\nX: 1",
        "http://a/\0",
        "http://a/ä",
        "http://ä/",
        "http://a\\@b/",
        "http://[::1/",
        "http://[::g]/",
        "http://[1:2]/",
        "http://::1/",
        " http://a/",
        "http://a/\n",
    ],
)
async def test_addresses_that_are_refused(url: str) -> None:
    async with make_client() as client:
        with pytest.raises(ValidationError) as caught:
            await client.request("GET", url)
        with pytest.raises(ValidationError):
            async with client.stream("GET", url):
                raise AssertionError
    assert "s3cret" not in str(caught.value.report())


@pytest.mark.parametrize(
    "header",
    [
        ("X", "s3cret\r\nY: 1"),
        ("X", "s3cret\n"),
        ("X", "s3cret\r"),
        ("X", "s3cret\0"),
        ("X", "s3crét"),
        ("X", "s3cret\x7f"),
        ("X\r\nY", "s3cret"),
        ("X:", "s3cret"),
        ("X ", "s3cret"),
        ("", "s3cret"),
        ("Ä", "s3cret"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic s3cret"),
    ],
)
async def test_headers_that_are_refused(header: tuple[str, str]) -> None:
    async with RawServer(answering(ok())) as server, make_client() as client:
        with pytest.raises(ValidationError) as caught:
            await client.request("GET", server.url, headers=[header])
        assert "s3cret" not in str(caught.value.report())
        with pytest.raises(ValidationError):
            await client.request("GET", server.url, headers=[("Host", "a"), ("Host", "b")])
        with pytest.raises(ValidationError):
            await client.request("GET / HTTP/1.1\r\nX: 1", server.url)
    assert server.connections == 0


async def test_defaults_can_be_replaced() -> None:
    own = [("host", "virtual.test"), ("user-agent", "me"), ("ACCEPT", "text/plain"), ("accept-encoding", "br")]
    async with RawServer(answering(ok())) as server, make_client() as client:
        await client.request("POST", server.url, headers=own)
    (request,) = server.requests
    assert request.headers == {"content-length": "0"} | {name.lower(): value for name, value in own}


def test_importing_the_client_brings_in_no_other_http_stack() -> None:
    code = "import sys, missive_host.a2a.http, missive_host.a2a.sse; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "httpx",
        "httpcore",
        "h11",
        "aiohttp",
        "a2a",
        "pydantic",
        "google.protobuf",
        "certifi",
        "http.client",
        "email",
    }
    assert not heavy & set(done.stdout.split())
