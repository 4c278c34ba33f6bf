"""The writer on every kind of output: whole frames, in order, never faster than they are read."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from missive_stdio.writer import FrameWriter
from stdio_kit import Drain, Pipe, idle, until

from missive_host.errors import IoError

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = b"x" * 3_000_000 + b"\n"


def nothing() -> None:
    """What a writer calls that broke, where the test looks at the writer itself."""


def frame(data: bytes) -> Callable[[], bytes]:
    return lambda: data


async def put(fd: int, *data: bytes, threaded: bool = False) -> None:
    writer = FrameWriter(fd, on_broken=nothing, threaded=threaded)
    for each in data:
        await writer.write(frame(each))


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_pipe(threaded: bool) -> None:
    with Pipe() as pipe:
        drain = Drain(pipe.r)
        await put(pipe.w, b"one\n", HUGE, b"two\n", threaded=threaded)
        pipe.close_w()
        drain.join()
    assert drain.data == b"one\n" + HUGE + b"two\n"


async def test_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        drain = Drain(theirs.fileno())
        await put(ours.fileno(), b"one\n", HUGE, b"two\n")
        ours.shutdown(socket.SHUT_WR)
        drain.join()
    assert drain.data == b"one\n" + HUGE + b"two\n"


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_regular_file(tmp_path: Path, threaded: bool) -> None:
    with (tmp_path / "out").open("wb") as file:
        await put(file.fileno(), b"one\n", HUGE, threaded=threaded)
    assert (tmp_path / "out").read_bytes() == b"one\n" + HUGE


async def test_dev_null() -> None:
    with Path(os.devnull).open("wb") as file:
        await put(file.fileno(), HUGE)


async def test_a_terminal() -> None:
    ours, theirs = os.openpty()
    try:
        await put(theirs, b"one\n")
        assert os.read(ours, 100) == b"one\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_description_that_somebody_made_non_blocking() -> None:
    with Pipe() as pipe:
        os.set_blocking(pipe.w, False)
        drain = Drain(pipe.r)
        await put(pipe.w, HUGE, b"two\n")
        pipe.close_w()
        drain.join()
    assert drain.data == HUGE + b"two\n"


async def test_the_loop_is_not_blocked_while_nobody_reads() -> None:
    """If a write blocked the loop, the cancellation below would never come, and the test would time out."""
    with Pipe() as pipe:
        writer = FrameWriter(pipe.w, on_broken=nothing)
        with anyio.move_on_after(0.05) as scope:
            await writer.write(frame(HUGE))
        assert scope.cancelled_caught
        assert os.get_blocking(pipe.w)


async def test_a_frame_is_made_only_when_there_is_room() -> None:
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"late\n")
        return made[-1]

    with Pipe() as pipe:
        pipe.fill()
        writer = FrameWriter(pipe.w, on_broken=nothing)
        async with anyio.create_task_group() as group:
            group.start_soon(writer.write, make)
            await idle()
            assert made == []
            os.read(pipe.r, 65536)
        assert made == [b"late\n"]


async def test_flush_finishes_a_frame_whose_sender_was_cancelled() -> None:
    with Pipe() as pipe:
        writer = FrameWriter(pipe.w, on_broken=nothing)
        with anyio.move_on_after(0.01):
            await writer.write(frame(HUGE))
        drain = Drain(pipe.r)
        await writer.flush()
        pipe.close_w()
        drain.join()
    assert drain.data == HUGE


async def test_waiting_senders_keep_their_order() -> None:
    with Pipe() as pipe:
        writer = FrameWriter(pipe.w, on_broken=nothing)
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(writer.write, frame(b"%d" % number * 20_000 + b"\n"))
            await idle()
            drain = Drain(pipe.r)
        pipe.close_w()
        drain.join()
    assert [line[:1] for line in drain.data.splitlines()] == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_reader_that_goes_away_breaks_it_once(threaded: bool) -> None:
    broke: list[bool] = []
    with Pipe() as pipe:
        writer = FrameWriter(pipe.w, on_broken=lambda: broke.append(True), threaded=threaded)
        await writer.write(frame(b"one\n"))
        pipe.close_r()
        for _ in range(2):
            with pytest.raises(IoError, match="while writing standard output: it was closed"):
                await writer.write(frame(b"two\n"))
        with pytest.raises(IoError):
            await writer.flush()
    assert broke == [True]
    assert writer.broken
    assert writer.failure is None


async def test_a_reader_that_goes_away_wakes_every_waiting_sender() -> None:
    refused: list[IoError] = []
    with Pipe() as pipe:
        writer = FrameWriter(pipe.w, on_broken=nothing)

        async def send() -> None:
            try:
                await writer.write(frame(HUGE))
            except IoError as error:
                refused.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(send)
            await idle()
            pipe.close_r()
    assert len(refused) == 3


async def test_in_a_thread_a_cancelled_frame_is_the_last() -> None:
    with Pipe() as pipe:
        broke: list[bool] = []
        writer = FrameWriter(pipe.w, on_broken=lambda: broke.append(True), threaded=True)
        with anyio.move_on_after(0.05):
            await writer.write(frame(HUGE))
        with pytest.raises(IoError):
            await writer.write(frame(b"two\n"))
        drain = Drain(pipe.r)
        await until(lambda: len(drain.data) == len(HUGE))
        pipe.close_w()
        drain.join()
    assert drain.data == HUGE
    assert broke == [True]
