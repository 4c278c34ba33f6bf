"""The reader on every kind of input, and lines out of any chunks."""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
from pathlib import Path

import anyio
import pytest
import stdio_kit as kit
from hypothesis import given, settings, strategies as st
from missive_stdio.reader import Input, Line, Lines, LineSplitter
from stdio_kit import Pipe, request

LIMIT = 12
_pieces = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"  ", b"long enough", b"\x00", b"\xff\xfe"]), max_size=30
)


def split(chunks: list[bytes], limit: int = LIMIT) -> list[Line]:
    splitter = LineSplitter(limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    last = splitter.close()
    return lines if last is None else [*lines, last]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(edge, len(data)) for edge in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(_pieces, st.lists(st.integers(0, 200), max_size=20))
def test_any_cut_into_chunks_gives_the_same_lines(pieces: list[bytes], at: list[int]) -> None:
    data = b"".join(pieces)
    expected = [
        Line(number, line.removesuffix(b"\r") if len(line) <= LIMIT else None)
        for number, line in enumerate(data.split(b"\n"), 1)
        if len(line) > LIMIT or line.strip()
    ]
    assert split(cut(data, at)) == expected
    assert split([data[n : n + 1] for n in range(len(data))]) == expected


def test_only_a_line_feed_ends_a_line() -> None:
    data = "a\u2028b\u2029c\x85d\x0b\x0ce\rf".encode()
    assert split([data + b"\r\nnext"], 100) == [Line(1, data), Line(2, b"next")]


def test_the_limit_is_that_of_the_line_without_its_end() -> None:
    assert split([b"x" * LIMIT + b"\n"]) == [Line(1, b"x" * LIMIT)]
    assert split([b"x" * (LIMIT + 1) + b"\n", b"y"]) == [Line(1, None), Line(2, b"y")]
    assert split([b"x" * (LIMIT + 1)]) == [Line(1, None)]


def test_a_long_line_in_small_chunks_is_not_quadratic() -> None:
    """Each byte is copied a bounded number of times: 4 MiB in 64-byte chunks would otherwise copy 137 GB."""
    splitter = LineSplitter(8 * 1024 * 1024)
    chunk = b"x" * 64
    for _ in range(65536):
        splitter.feed(chunk)
    (line,) = splitter.feed(b"\n")
    assert line.data == chunk * 65536


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.text(max_size=20).map(str.encode),
            st.sampled_from([request("x"), b'{"id":"\\ud800"}', b"[" * 5000, b'{"a":1,"a":2}', b"1e999", b'"\\u0000"']),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(), child, max_size=3),
                max_leaves=8,
            ).map(lambda value: json.dumps(value).encode()),
        ),
        max_size=8,
    )
)
def test_no_bytes_end_the_loop(lines: list[bytes]) -> None:
    data = b"\n".join([*lines, request("the-last-one")])
    code, found = anyio.run(kit.run, data)
    assert code == 0
    assert "the-last-one" in [frame.get("id") for frame in found]
    in_it = [line for line in data.split(b"\n") if line and not line.isspace()]
    assert len(found) == len(in_it)


# --- kinds of input


async def read_lines(fd: int, *, threaded: bool = False) -> list[Line]:
    source = Input(fd, threaded=threaded)
    lines = Lines(source, 1024)
    found = []
    while (line := await lines.next()) is not None:
        found.append(line)
    assert await lines.next() is None
    source.close()
    return found


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_regular_file(tmp_path: Path, threaded: bool) -> None:
    path = tmp_path / "frames"
    path.write_bytes(b"one\ntwo" * 30_000)
    with path.open("rb") as file:
        found = await read_lines(file.fileno(), threaded=threaded)
    assert len(found) == 30_001
    assert found[-1] == Line(30_001, b"two")


@pytest.mark.parametrize("threaded", [False, True])
async def test_dev_null(threaded: bool) -> None:
    with Path(os.devnull).open("rb") as file:
        assert await read_lines(file.fileno(), threaded=threaded) == []


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_pipe(threaded: bool) -> None:
    with Pipe() as pipe:
        pipe.put(b"one\ntwo")
        pipe.close_w()
        assert await read_lines(pipe.r, threaded=threaded) == [Line(1, b"one"), Line(2, b"two")]


async def test_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"one\ntwo")
        theirs.shutdown(socket.SHUT_WR)
        assert await read_lines(ours.fileno()) == [Line(1, b"one"), Line(2, b"two")]


async def test_a_terminal() -> None:
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"one\n\x04")  # ^D on an empty line is the end of input
        assert await read_lines(theirs) == [Line(1, b"one")]
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_waiting_reader_can_be_cancelled(threaded: bool) -> None:
    with Pipe() as pipe:
        source = Input(pipe.r, threaded=threaded)
        with anyio.move_on_after(0.01) as scope:
            await source.read()
        source.close()
        assert scope.cancelled_caught


async def test_a_description_that_somebody_made_non_blocking() -> None:
    with Pipe() as pipe:
        os.set_blocking(pipe.r, False)

        def later() -> None:
            pipe.put(b"one\n")
            pipe.close_w()

        threading.Timer(0.02, later).start()
        assert await read_lines(pipe.r) == [Line(1, b"one")]


async def test_the_description_is_left_as_it_was() -> None:
    with Pipe() as stdin, Pipe() as stdout:
        stdin.put(request("a"))
        stdin.close_w()
        async with anyio.create_task_group() as group:
            await kit.adapter(stdin.r, stdout.w).run(kit.RecordingIntake(group, kit.answer))
        assert os.get_blocking(stdin.r)
        assert os.get_blocking(stdout.w)
