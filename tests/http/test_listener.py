"""The listener by itself: clients that do not behave, paths that come and go, stopping. Raw sockets."""

from __future__ import annotations

import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from missive_host.errors import ConfigError
from missive_host.gateway.listener import HttpListener
from missive_host.gateway.protocol import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMITS = Limits(
    head_bytes=2048, head_seconds=0.3, body_seconds=0.3, body_bytes=64, keep_alive_seconds=1, linger_seconds=0.5
)
GET = b"GET /app HTTP/1.1\r\nHost: x\r\n\r\n"


class App:
    """Reads the body and says how long it was; notes what became of clients."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.release = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        total = 0
        if scope["path"].endswith("/refuse"):
            await answer(send, 413, b"no")
            return
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.seen.append("gone")
                return
            total += len(message["body"])
            if not message["more_body"]:
                break
        self.seen.append(scope["path"])
        if scope["path"].endswith("/wait"):
            await self.release.wait()
        if scope["path"].endswith("/flood"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(2000):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            self.seen.append("flooded")
            return
        await answer(send, 200, str(total).encode())


async def answer(send: Any, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(limits: Limits = LIMITS, app: Any = None) -> AsyncIterator[tuple[HttpListener, App]]:
    listener = HttpListener("127.0.0.1:0", limits=limits, graceful=1)
    app = app or App()
    async with anyio.create_task_group() as group:
        await group.start(listener.serve)
        with listener.mount("/app", app):
            yield listener, app
        group.cancel_scope.cancel()


async def talk(listener: HttpListener, *parts: bytes | float) -> bytes:
    """Send texts, with pauses between them, and return all that is answered until the connection ends."""

    def run() -> bytes:
        with socket.create_connection(("127.0.0.1", int(listener.url.rpartition(":")[2])), timeout=20) as sock:
            for part in parts:
                if isinstance(part, bytes):
                    try:
                        sock.sendall(part)
                    except OSError:
                        break
                else:
                    sock.settimeout(part)
                    try:
                        if not (first := sock.recv(1, socket.MSG_PEEK)):
                            break
                        del first
                    except TimeoutError:
                        pass
                    sock.settimeout(20)
            found = b""
            while True:
                try:
                    more = sock.recv(65536)
                except ConnectionResetError:
                    return found
                if not more:
                    return found
                found += more

    return await anyio.to_thread.run_sync(run)


def status(text: bytes) -> int:
    return int(text.split(b" ")[1]) if text else 0


CLOSE = b"Connection: close\r\n\r\n"


async def test_what_is_mounted_is_answered() -> None:
    async with listening() as (listener, _):
        found = await talk(listener, b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + CLOSE + b"hello")
        assert (status(found), found[-1:]) == (200, b"5")
        assert b"\r\ndate: " in found
        assert b"\r\nserver: " not in found


async def test_paths_come_and_go() -> None:
    async with listening() as (listener, _):
        assert status(await talk(listener, b"GET /other HTTP/1.1\r\nHost: x\r\n" + CLOSE)) == 404
        assert status(await talk(listener, b"GET /application HTTP/1.1\r\nHost: x\r\n" + CLOSE)) == 404
        with listener.mount("/app/deep", App()):
            with pytest.raises(ConfigError, match="/app/deep"), listener.mount("/app/deep", App()):
                pass
            assert status(await talk(listener, b"GET /app/deep/er HTTP/1.1\r\nHost: x\r\n" + CLOSE)) == 200
        gone = await talk(listener, b"GET /app/deep HTTP/1.1\r\nHost: x\r\n" + CLOSE)
        assert status(gone) == 503
        assert b"retry-after: 1" in gone


@pytest.mark.parametrize(
    "parts",
    [
        (b"GET /app HT", 5.0),
        (b"G", 0.1, b"E", 0.1, b"T", 0.1, b" ", 0.1, b"/", 5.0),
        (b"GET /app HTTP/1.1\r\n", *[piece for _ in range(9) for piece in (b"A: b\r\n", 0.08)]),
    ],
)
async def test_a_slow_head(parts: tuple[bytes | float, ...]) -> None:
    async with listening() as (listener, app):
        found = await talk(listener, *parts)
        assert status(found) == 408
        assert app.seen == []


async def test_a_silent_connection_is_ended() -> None:
    async with listening() as (listener, _):
        assert await talk(listener) == b""
        with anyio.fail_after(5):
            while listener.connections:
                await anyio.sleep(0.01)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /app HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 4000 + b"\r\n\r\n",
        b"GET /app HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        b"GET /app?" + b"a" * 4000 + b" HTTP/1.1\r\n\r\n",
        b"GET /app HTTP/1.1\r\nA: " + b"a" * 4000,
    ],
)
async def test_a_big_head(head: bytes) -> None:
    async with listening() as (listener, app):
        found = await talk(listener, head)
        assert status(found) == 431
        assert json.loads(found.partition(b"\r\n\r\n")[2])["status"] == 431
        assert app.seen == []


async def test_trailers_without_an_end() -> None:
    async with listening() as (listener, app):
        head = b"POST /app HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
        found = await talk(listener, head, *[b"A: " + b"a" * 1000 + b"\r\n"] * 8)
        assert status(found) == 431
        assert app.seen in ([], ["gone"])


async def test_a_body_in_small_chunks_is_no_harm() -> None:
    async with listening() as (listener, _):
        body = b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n"
        head = b"POST /app HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        found = await talk(listener, head + body)
        assert (status(found), found[-4:]) == (200, b"3000")


async def test_a_slow_body() -> None:
    async with listening() as (listener, app):
        head = b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        found = await talk(listener, head, *[piece for _ in range(30) for piece in (b"x", 0.05)])
        assert status(found) == 408
        assert app.seen == ["gone"]


async def test_a_body_that_goes_on_may_take_its_time() -> None:
    async with listening() as (listener, _):
        head = b"POST /app HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n"
        found = await talk(listener, head, *[piece for _ in range(10) for piece in (b"x" * 200, 0.1)])
        assert (status(found), found[-4:]) == (200, b"2000")


async def test_a_client_that_waits_for_leave_to_send_is_not_slow() -> None:
    """``Expect: 100-continue``: what is refused is never sent."""
    async with listening() as (listener, _):
        head = b"POST /app/refuse HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n"
        found = await talk(listener, head)
        assert status(found) == 413
        assert b"100 Continue" not in found


async def test_a_gibibyte_is_refused_before_it_has_come() -> None:
    async with listening() as (listener, _):

        def run() -> tuple[bytes, int]:
            with socket.create_connection(("127.0.0.1", int(listener.url.rpartition(":")[2])), timeout=20) as sock:
                sock.sendall(b"POST /app/refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
                found = sock.recv(65536)
                sent = 0
                try:
                    while sent < 2**30:
                        sent += sock.send(b"x" * 65536)
                except OSError:
                    pass
                return found, sent

        found, sent = await anyio.to_thread.run_sync(run)
        assert status(found) == 413
        assert sent < 2**30


async def test_a_client_that_does_not_read() -> None:
    async with listening(Limits(write_seconds=0.3)) as (listener, app):

        def run() -> socket.socket:
            sock = socket.create_connection(("127.0.0.1", int(listener.url.rpartition(":")[2])), timeout=20)
            sock.sendall(b"GET /app/flood HTTP/1.1\r\nHost: x\r\n\r\n")
            return sock

        sock = await anyio.to_thread.run_sync(run)
        with anyio.fail_after(10):
            while "flooded" not in app.seen:  # its sends come to nothing once the connection is gone
                await anyio.sleep(0.02)
        assert listener.connections == 0
        sock.close()


async def test_more_connections_than_are_let_in() -> None:
    async with listening(Limits(connections=3, head_seconds=20)) as (listener, _):
        streams = [await anyio.connect_tcp("127.0.0.1", int(listener.url.rpartition(":")[2])) for _ in range(3)]
        with anyio.fail_after(5):
            while listener.connections < 3:
                await anyio.sleep(0.01)
        assert status(await talk(listener, GET)) == 503
        for stream in streams:
            await stream.aclose()
        with anyio.fail_after(5):
            while status(await talk(listener, b"GET /app HTTP/1.1\r\nHost: x\r\n" + CLOSE)) != 200:
                await anyio.sleep(0.01)


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /app HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /app HTTP/1.1\r\nHost : x\r\n\r\n",
    ],
)
async def test_what_is_not_http(text: bytes) -> None:
    async with listening() as (listener, app):
        found = await talk(listener, text)
        assert status(found) == 400
        assert b"application/problem+json" in found
        assert [path for path in app.seen if path != "gone"] == []


async def test_requests_in_one_piece_are_answered_in_order() -> None:
    async with listening() as (listener, app):
        found = await talk(listener, GET.replace(b"/app", b"/app/a") + GET.replace(b"/app", b"/app/b"), 0.1)
        assert found.count(b"HTTP/1.1 200") == 2
        assert app.seen == ["/app/a", "/app/b"]


async def test_stopping_answers_what_is_under_way() -> None:
    listener, app = HttpListener("127.0.0.1:0", graceful=10), App()
    found: list[bytes] = []

    async def ask() -> None:
        found.append(await talk(listener, b"GET /app/wait HTTP/1.1\r\nHost: x\r\n\r\n"))

    async with anyio.create_task_group() as group:
        await group.start(listener.serve)
        with listener.mount("/app", app):
            group.start_soon(ask)
            with anyio.fail_after(5):
                while not app.seen:
                    await anyio.sleep(0.01)
            listener.stop()
            await anyio.sleep(0.2)
            assert found == []
            app.release.set()
    assert status(found[0]) == 200


async def test_stopping_does_not_wait_for_ever() -> None:
    listener, app = HttpListener("127.0.0.1:0", graceful=0.2), App()
    async with anyio.create_task_group() as group:
        await group.start(listener.serve)
        with listener.mount("/app", app):
            group.start_soon(talk, listener, b"GET /app/wait HTTP/1.1\r\nHost: x\r\n\r\n")
            with anyio.fail_after(5):
                while not app.seen:
                    await anyio.sleep(0.01)
            listener.stop()


def test_an_address_that_is_taken() -> None:
    listener = HttpListener("127.0.0.1:0")
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:.*in use"):
        HttpListener(listener.url.removeprefix("http://"))
    listener.close()


@pytest.mark.parametrize(
    ("bind", "loopback", "start"),
    [("127.0.0.1:0", True, "http://127.0.0.1:"), ("[::1]:0", True, "http://[::1]:"), ("0.0.0.0:0", False, "http://0")],
)
def test_where_it_listens(bind: str, loopback: bool, start: str) -> None:
    listener = HttpListener(bind)
    assert (listener.is_loopback, listener.url.startswith(start)) == (loopback, True)
    listener.close()
