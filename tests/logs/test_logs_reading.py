"""Reading the log again: from the end, from the beginning, and what comes."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from missive_host.logs import reading
from missive_host.logs.reading import (
    LONGEST,
    Chosen,
    Follower,
    LogFiles,
    Reader,
    all_lines,
    last_lines,
    newest,
    parsed,
    time_of,
    whole,
)
from missive_host.outputs_logs import LogLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def line(number: int, **fields: Any) -> bytes:
    record = {
        "timestamp": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}.000Z",
        "level": "info",
        "target": "missive.x",
        "message": f"n{number}",
        **fields,
    }
    return json.dumps(record).encode() + b"\n"


def messages(lines: Any) -> list[str]:
    return [each.message for each in lines]


class Files:
    """The files of a log, written by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gateway.log"
        self.files = LogFiles(self.path)

    def write(self, *data: bytes, to: str = "") -> None:
        with Path(f"{self.path}{to}").open("ab") as file:
            file.write(b"".join(data))

    def rotate(self) -> None:
        for number in range(9, 0, -1):
            old = self.path.with_name(f"gateway.log.{number}")
            if old.exists():
                old.rename(self.path.with_name(f"gateway.log.{number + 1}"))
        self.path.rename(self.path.with_name("gateway.log.1"))

    def last(self, count: int, chosen: Chosen | None = None) -> list[LogLine]:
        with ExitStack() as stack:
            files = self.files.open(stack)
            return last_lines(files, [os.fstat(file.fileno()).st_size for file in files], count, chosen or Chosen())

    def all(self, chosen: Chosen | None = None) -> list[LogLine]:
        wanted = chosen or Chosen()
        with ExitStack() as stack:
            files = self.files.open(stack, since=wanted.since)
            return list(all_lines(files, [os.fstat(file.fileno()).st_size for file in files], wanted))


@pytest.fixture
def kept(tmp_path: Path) -> Files:
    return Files(tmp_path)


# --- lines


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), max_size=30), st.integers(1, 20))
def test_both_directions_read_the_same_lines(lines: list[bytes], chunk: int) -> None:
    data = b"\n".join(lines)
    wanted = [each for each in lines if each]
    before, reading.CHUNK = reading.CHUNK, chunk
    try:
        assert list(newest(BytesIO(data), len(data)))[::-1] == wanted
        reader = Reader(BytesIO(data))
        assert [*reader.lines(), *reader.rest()] == wanted
        assert whole(BytesIO(data), len(data)) == data.rfind(b"\n") + 1
    finally:
        reading.CHUNK = before


@pytest.mark.parametrize("ended", [b"", b"\n"])
def test_a_huge_line_is_not_kept_in_memory(ended: bytes) -> None:
    huge = LONGEST * 2 + 7
    data = b"one\n" + b"x" * huge + b"\ntwo" + ended
    told = b"(a line of %d bytes is left out)" % huge
    assert list(newest(BytesIO(data), len(data))) == [b"two", told, b"one"]
    reader = Reader(BytesIO(data))
    assert [*reader.lines(), *reader.rest()] == [b"one", told, b"two"]
    data = b"x" * huge + ended
    assert list(newest(BytesIO(data), len(data))) == [told]
    reader = Reader(BytesIO(data))
    assert [*reader.lines(), *reader.rest()] == [told]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"timestamp":"2026-01-01T00:00:00Z","lev', '{"timestamp":"2026-01-01T00:00:00Z","lev'),
        (b"plain text", "plain text"),
        (b"[1,2]", "[1,2]"),
        (b'{"message":1,"timestamp":"x"}', '{"message":1,"timestamp":"x"}'),
        (b'{"a":"b"}', '{"a":"b"}'),
        (b"caf\xe9 \xff", "caf\ufffd \ufffd"),
        (b"\x00\x00\x00", "\x00\x00\x00"),
    ],
)
def test_what_is_no_record_is_shown_as_it_is(data: bytes, text: str) -> None:
    found = parsed(data)
    assert found.message == text
    assert not isinstance(found.level, str)
    assert time_of(found) is None
    assert Chosen().has(found)
    assert Chosen(grep=re.compile(re.escape(text))).has(found)
    for chosen in (
        Chosen(level="debug"),
        Chosen(since=0.0),
        Chosen(targets=("missive",)),
        Chosen(ids=("x",)),
        Chosen(agent="x"),
    ):
        assert not chosen.has(found)


# --- what is wanted


def test_selectors() -> None:
    found = parsed(
        line(
            1, level="warn", target="missive.gateway.push", adapter="web", agent="echo", work_id="w", trace_id="t", n=1
        )
    )
    assert found.fields == {"adapter": "web", "agent": "echo", "work_id": "w", "n": "1"}
    yes = (
        Chosen(level="warn"),
        Chosen(level="debug"),
        Chosen(targets=("missive",)),
        Chosen(targets=("x", "missive.gateway")),
        Chosen(targets=("missive.gateway.push",)),
        Chosen(adapter="web", agent="echo"),
        Chosen(ids=("w",)),
        Chosen(ids=("x", "t")),
        Chosen(grep=re.compile("^n")),
        Chosen(since=time_of(found), until=time_of(found)),
    )
    no = (
        Chosen(level="error"),
        Chosen(targets=("missive.gate",)),
        Chosen(adapter="drop"),
        Chosen(agent="web"),
        Chosen(ids=("W",)),
        Chosen(grep=re.compile("x")),
        Chosen(since=time_of(parsed(line(2)))),
        Chosen(until=time_of(parsed(line(0)))),
    )
    assert all(chosen.has(found) for chosen in yes)
    assert not any(chosen.has(found) for chosen in no)


def test_the_newest_and_all_over_several_files(kept: Files, follow: Callable[[], Followed]) -> None:
    for number in range(30):
        kept.write(line(number))
        if number in (9, 19):
            kept.rotate()
    every = [f"n{number}" for number in range(30)]
    assert messages(kept.all()) == every
    for count in (0, 1, 5, 10, 11, 25, 30, 99):
        assert messages(kept.last(count)) == every[30 - min(count, 30) :]
    since = Chosen(since=time_of(parsed(line(15))), until=time_of(parsed(line(22))))
    assert messages(kept.all(since)) == every[15:23]
    assert messages(kept.last(3, since)) == every[20:23]


def test_only_what_is_looked_at_is_read(kept: Files) -> None:
    """The newest lines of a large log cost the same as those of a small one."""
    kept.write(*(line(number % 3600) for number in range(20_000)))
    kept.rotate()
    kept.write(*(line(number % 3600) for number in range(20_000)))
    read = 0

    class Counting:
        def __init__(self, file: Any) -> None:
            self._file = file

        def seek(self, position: int) -> None:
            self._file.seek(position)

        def read(self, size: int) -> bytes:
            nonlocal read
            read += size
            data: bytes = self._file.read(size)
            return data

    with kept.path.open("rb") as file:
        counting: Any = Counting(file)
        assert len(last_lines([counting], [kept.path.stat().st_size], 100, Chosen())) == 100
    assert read == reading.CHUNK


def test_other_files_beside_it_are_left_alone(kept: Files) -> None:
    kept.write(line(1))
    for name in (".2.gz", "-20260101", ".old", ".", ".1x"):
        kept.write(b"not this\n", to=name)
    kept.write(line(0), to=".1")
    kept.path.with_name("gateway.log.3").mkdir()
    assert messages(kept.all()) == ["n0", "n1"]


def test_there_need_be_no_file(kept: Files) -> None:
    assert kept.last(10) == kept.all() == []
    kept.write(line(0), to=".1")
    assert messages(kept.last(10)) == ["n0"]
    assert LogFiles(kept.path.parent / "no" / "folder.log").rotated() == []


# --- following


class Followed:
    """A follower that begins at the end of what there is, as `missive logs -f` does."""

    def __init__(self, kept: Files) -> None:
        self._stack = ExitStack()
        files = kept.files.open(self._stack)
        end = whole(files[0], os.fstat(files[0].fileno()).st_size) if files else 0
        self.follower = Follower(kept.files, *((files[0], end) if files else (None, 0)))

    def news(self) -> list[str]:
        return messages(map(parsed, self.follower.news()))

    def close(self) -> None:
        self.follower.close()
        self._stack.close()


@pytest.fixture
def follow(kept: Files) -> Iterator[Callable[[], Followed]]:
    begun: list[Followed] = []

    def begin() -> Followed:
        begun.append(Followed(kept))
        return begun[-1]

    yield begin
    for each in begun:
        each.close()


def test_it_follows(kept: Files, follow: Callable[[], Followed]) -> None:
    kept.write(line(0), line(1)[:20])
    followed = follow()
    assert followed.news() == []
    kept.write(line(1)[20:50])
    assert followed.news() == []
    kept.write(line(1)[50:], line(2), line(3)[:5])
    assert followed.news() == ["n1", "n2"]
    kept.write(line(3)[5:])
    assert followed.news() == ["n3"]


def test_it_waits_for_the_file(kept: Files, follow: Callable[[], Followed]) -> None:
    followed = follow()
    assert followed.news() == []
    kept.write(line(0))
    assert followed.news() == ["n0"]
    assert followed.news() == []


@pytest.mark.parametrize("rotations", [1, 2, 5])
def test_it_follows_over_files_that_are_put_aside(kept: Files, follow: Callable[[], Followed], rotations: int) -> None:
    kept.write(line(0))
    kept.rotate()
    kept.write(line(1))
    followed = follow()
    kept.write(line(2))
    assert followed.news() == ["n2"]
    kept.write(line(3))
    for number in range(rotations):
        kept.rotate()
        kept.write(line(4 + number))
    assert followed.news() == [f"n{number}" for number in range(3, 4 + rotations)]
    kept.write(line(50))
    assert followed.news() == ["n50"]
    assert followed.news() == []


def test_it_follows_when_the_new_file_comes_later(kept: Files, follow: Callable[[], Followed]) -> None:
    kept.write(line(0))
    followed = follow()
    kept.rotate()
    kept.write(line(1), to=".1")  # who has it open goes on for a moment
    assert followed.news() == ["n1"]
    assert followed.news() == []
    kept.write(line(2))
    assert followed.news() == ["n2"]


@pytest.mark.parametrize("rotations", [1, 3])
def test_it_misses_nothing_that_is_put_aside_before_it_has_seen_any_file(
    kept: Files, follow: Callable[[], Followed], rotations: int
) -> None:
    followed = follow()
    for number in range(rotations):
        kept.write(line(number))
        kept.rotate()
    assert followed.news() == [f"n{number}" for number in range(rotations)]
    assert followed.news() == []
    kept.write(line(7))
    kept.rotate()
    kept.write(line(8))
    assert followed.news() == ["n7", "n8"]
    assert followed.news() == []


def test_what_somebody_writes_to_the_file_before_is_not_missed(kept: Files, follow: Callable[[], Followed]) -> None:
    """logrotate makes the new file at once; a gateway notices that a second later."""
    kept.write(line(0))
    followed = follow()
    kept.rotate()
    kept.path.touch()
    assert followed.news() == []
    kept.write(line(1), to=".1")
    kept.write(line(2))
    assert followed.news() == ["n1", "n2"]


def test_a_file_that_is_moved_back_goes_on(kept: Files, follow: Callable[[], Followed]) -> None:
    kept.write(line(0))
    followed = follow()
    kept.rotate()
    kept.write(line(1))
    assert followed.news() == ["n1"]
    kept.path.unlink()
    kept.path.with_name("gateway.log.1").rename(kept.path)
    kept.write(line(2))
    assert followed.news() + followed.news() == ["n2"]
    kept.write(line(3))
    assert followed.news() == ["n3"]


def test_it_goes_on_after_the_clock_was_set_back(kept: Files, follow: Callable[[], Followed]) -> None:
    kept.write(line(0))
    followed = follow()
    later = time.time() + 3600
    os.utime(kept.path, (later, later))
    kept.path.unlink()
    kept.write(line(1))
    assert followed.news() == ["n1"]


def test_a_line_that_is_too_deep_is_shown_as_it_stands() -> None:
    deep = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert parsed(deep).message == deep.decode()


@pytest.mark.parametrize("aside", [True, False])
def test_a_file_that_was_removed_or_cut_is_begun_anew(kept: Files, follow: Callable[[], Followed], aside: bool) -> None:
    kept.write(line(0))
    kept.rotate()
    os.utime(kept.path.with_name("gateway.log.1"), (0, 0))
    kept.write(line(1), line(2))
    followed = follow()
    if aside:
        kept.path.unlink()
    else:
        os.truncate(kept.path, 0)
        assert followed.news() == []
    kept.write(line(3))
    assert followed.news() == ["n3"]
