"""The TCP stream under the HTTP client: dialling, reading ahead within limits, every way in which it can end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import anyio
import anyio.to_thread
import pytest
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream

from missive_host.a2a.tcp import BUFFER, TcpStream, dial


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def free_port() -> int:
    with listening() as server:
        return int(server.getsockname()[1])


async def connected(server: socket.socket) -> tuple[TcpStream, socket.socket]:
    stream, _ = await dial(*server.getsockname()[:2])
    peer, _ = await anyio.to_thread.run_sync(server.accept)
    return stream, peer


def silent(stream: TcpStream) -> bool:
    return stream.silent


async def test_bytes_go_both_ways_and_the_end_is_told() -> None:
    with listening() as server:
        stream, peer = await connected(server)
        with peer:
            assert stream.silent
            await stream.send(b"ping")
            assert peer.recv(100) == b"ping"
            peer.sendall(b"pong")
            assert await stream.receive() == b"pong"
            peer.shutdown(socket.SHUT_WR)
            with pytest.raises(EndOfStream):
                await stream.receive()
            assert not silent(stream)
            await stream.send(b"still here")  # the other direction is open
            assert peer.recv(100) == b"still here"
        await stream.aclose()


async def test_what_is_left_before_the_end_can_be_received_in_small_pieces() -> None:
    with listening() as server:
        stream, peer = await connected(server)
        peer.sendall(b"abcdef")
        peer.close()
        pieces = []
        with suppress(EndOfStream):
            while True:
                pieces.append(await stream.receive(4))
        assert b"".join(pieces) == b"abcdef"
        assert max(map(len, pieces)) <= 4
        await stream.aclose()


async def test_it_reads_ahead_only_so_far() -> None:
    amount = 32 * 1024 * 1024

    def pour(peer: socket.socket) -> None:
        with peer:
            peer.sendall(b"x" * amount)

    with listening() as server:
        stream, peer = await connected(server)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, pour, peer)
            while stream._held < BUFFER:
                await anyio.sleep(0.001)
            for _ in range(50):
                await anyio.sleep(0)
            assert stream._held < 2 * BUFFER
            received = 0
            with suppress(EndOfStream):
                while True:
                    received += len(await stream.receive(1024 * 1024))
        assert received == amount
        await stream.aclose()


async def test_a_sender_waits_for_a_reader_that_does_not_read() -> None:
    data = b"x" * (32 * 1024 * 1024)
    with listening() as server:
        stream, peer = await connected(server)
        with peer:
            with anyio.move_on_after(0.1) as waiting:
                await stream.send(data)
            assert waiting.cancelled_caught
            sent = 0
            while sent < len(data):
                sent += len(await anyio.to_thread.run_sync(peer.recv, 1024 * 1024))
            await stream.send(b"")  # there is room again
        await stream.aclose()


async def test_a_reset_breaks_whoever_waits_and_whoever_comes_later() -> None:
    with listening() as server:
        stream, peer = await connected(server)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close sends RST
        peer.close()
        with pytest.raises(BrokenResourceError):
            await stream.receive()
        with pytest.raises(BrokenResourceError):
            await stream.send(b"x")
        await stream.aclose()


async def test_a_closed_stream_says_so() -> None:
    with listening() as server:
        stream, peer = await connected(server)
        with peer:
            await stream.aclose()
            await stream.aclose()
            with pytest.raises(ClosedResourceError):
                await stream.receive()
            with pytest.raises(ClosedResourceError):
                await stream.send(b"x")
            assert peer.recv(10) == b""


async def test_a_cancelled_receive_loses_nothing() -> None:
    with listening() as server:
        stream, peer = await connected(server)
        with peer:
            with anyio.move_on_after(0.01):
                await stream.receive()
            peer.sendall(b"late")
            assert await stream.receive() == b"late"
        await stream.aclose()


async def test_the_second_address_is_tried_when_the_first_one_refuses() -> None:
    with listening() as server:  # on 127.0.0.1 alone; localhost may be ::1 as well
        stream, _ = await dial("localhost", server.getsockname()[1])
        await stream.aclose()


async def test_an_address_that_does_not_answer_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as server:
        port = server.getsockname()[1]

        async def two(*_: object, **__: object) -> list[object]:
            # 192.0.2.1 (RFC 5737) answers nobody: no route, a refusal or silence, as the network has it.
            return [(socket.AF_INET, 1, 6, "", (host, port)) for host in ("192.0.2.1", "127.0.0.1")]

        monkeypatch.setattr(anyio, "getaddrinfo", two)
        with anyio.fail_after(20):
            stream, sock = await dial("two.example", port)
        assert sock.getpeername() == ("127.0.0.1", port)
        await stream.aclose()


async def test_all_refuse() -> None:
    with pytest.raises(OSError, match="no address answered") as caught:
        await dial("localhost", free_port())
    cause = caught.value.__cause__
    causes = cause.exceptions if isinstance(cause, ExceptionGroup) else (cause,)
    assert {type(error) for error in causes} <= {ConnectionRefusedError, OSError}


async def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(socket.gaierror):
        await dial("no-such-host.invalid", 80)
