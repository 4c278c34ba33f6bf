"""The parser of server-sent events: WHATWG HTML 9.2, and what real agents do to it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from missive_host.a2a.sse import SseEvent, SseParser
from missive_host.errors import ProtocolError


def parse(*chunks: bytes) -> list[SseEvent]:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def message(data: bytes, event: str = "message", last_id: str | None = None) -> SseEvent:
    return SseEvent(event, data, last_id)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", [message(b"one"), message(b"two")]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [message(b"one"), message(b"two")]),
        (b"data: one\r\rdata: two\r\r", [message(b"one"), message(b"two")]),
        (b"data: a\ndata:b\ndata:  c\n\n", [message(b"a\nb\n c")]),
        (b"data\n\ndata\ndata\n\ndata:\n", [message(b""), message(b"\n")]),
        (b"event: error\ndata: x\n\ndata: y\n\n", [message(b"x", "error"), message(b"y")]),
        (b"event: lost\n\ndata: y\n\n", [message(b"y")]),
        (b"id: 7\ndata: x\n\ndata: y\n\n", [message(b"x", last_id="7"), message(b"y", last_id="7")]),
        (b"id: 7\nid: a\0b\ndata: x\n\nid\ndata: y\n\n", [message(b"x", last_id="7"), message(b"y", last_id="")]),
        (b": ping\n\n: ping\n\ndata: x\n: inside\n\n", [message(b"x")]),
        (b"retry: 10\nother: 1\ndata: x\n\n", [message(b"x")]),
        (b"\n\n\ndata: x\n\n\n\n", [message(b"x")]),
        (b"data: a:b: c\n\n", [message(b"a:b: c")]),
        (b"\xef\xbb\xbfdata: first\n\ndata: second\n\n", [message(b"first"), message(b"second")]),
        (b"data: \xef\xbb\xbfx\n\n", [message(b"\xef\xbb\xbfx")]),
        (b"data: \xff\xfe\n\n", [message(b"\xff\xfe")]),
        (b"", []),
    ],
)
def test_events(stream: bytes, events: list[SseEvent]) -> None:
    assert parse(stream) == events
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == events


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_only_line_feed_and_carriage_return_end_a_line(character: str) -> None:
    text = f'{{"text": "a{character}b"}}'.encode()
    assert parse(b"data: " + text + b"\n\n") == [message(text)]


def test_an_event_comes_out_at_a_lone_carriage_return_without_waiting_for_the_next_byte() -> None:
    parser = SseParser()
    assert parser.feed(b"data: x\r\r") == [message(b"x")]
    assert parser.feed(b"\ndata: y\r\n\r") == [message(b"y")]
    assert parser.feed(b"\n") == []
    assert not parser.pending


@pytest.mark.parametrize(
    ("stream", "pending"),
    [
        (b"", False),
        (b"data: x\n\n", False),
        (b"data: x\n\n: ping", False),
        (b"\xef\xbb\xbf", False),
        (b"\xef\xbb\xbf: ping", False),
        (b"data: x\n", True),
        (b"data: x", True),
        (b"event: e\n", True),
        (b"d", True),
        (b"event: e\n\n", False),
    ],
)
def test_half_an_event_at_the_end_is_told(stream: bytes, pending: bool) -> None:
    parser = SseParser()
    parser.feed(stream)
    assert parser.pending is pending


@pytest.mark.parametrize("chunks", [[b"data: " + b"x" * 90], [b"data: xxxxxx\n"] * 9, [b"data: "] + [b"x"] * 90])
def test_an_event_over_the_limit_is_an_error(chunks: list[bytes]) -> None:
    parser = SseParser(max_event=80)

    def feed() -> None:
        for chunk in chunks:
            parser.feed(chunk)

    with pytest.raises(ProtocolError, match="larger than 80 bytes"):
        feed()


def test_the_limit_is_per_event_and_comments_do_not_count() -> None:
    parser = SseParser(max_event=80)
    seen = [event for _ in range(100) for event in parser.feed(b": a comment\ndata: " + b"x" * 60 + b"\n\n")]
    assert seen == [message(b"x" * 60)] * 100
    for _ in range(100):
        assert parser.feed(b": pi") + parser.feed(b"ng\n\n") == []


def test_a_line_in_pieces_is_counted_once() -> None:
    parser = SseParser(max_event=80)
    stream = b"data: " + b"x" * 60 + b"\n\n"
    for _ in range(3):
        events = [event for i in range(len(stream)) for event in parser.feed(stream[i : i + 1])]
        assert events == [message(b"x" * 60)]


def test_large_events_are_cut_and_joined_once() -> None:
    data = bytes(range(32, 127)) * 60_000  # 5.7 MB, without a line end
    stream = b"data: " + data + b"\n\n"
    pieces = [stream[i : i + 1000] for i in range(0, len(stream), 1000)]
    assert parse(*pieces, *pieces) == [message(data)] * 2


LINES = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data",
        b": c",
        b"event: e",
        b"id: 1",
        b"",
        b"",
        b"\xef\xbb\xbfdata: b",
        b"data: \xe2\x80\xa8",
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(stream=STREAMS | st.binary(max_size=60), cuts=st.lists(st.integers(0, 200), max_size=12))
def test_how_the_stream_is_cut_makes_no_difference(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole, cut = SseParser(), SseParser()
    expected = whole.feed(stream)
    assert [event for a, b in pairwise(edges) for event in cut.feed(stream[a:b])] == expected
    assert cut.pending == whole.pending
