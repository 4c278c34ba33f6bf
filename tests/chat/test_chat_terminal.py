"""The terminal as a chat: real descriptors, pipes and pseudo-terminals."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import struct
import termios
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from missive_chat.platform import Inbound, Outgoing, OutgoingFile, Place, PlatformContext
from missive_chat.platforms.terminal import ME, Terminal, harmless, lines, rows_of

HERE = Place(chat=ME, is_direct=True)


class Cursor:
    def get(self, name: str) -> str | None:
        return None

    async def set(self, name: str, value: str) -> None:
        raise AssertionError("a terminal has no position")


class Desk:
    """A platform, and the other ends of its descriptors."""

    def __init__(self, folder: Path, source: int, target: int, keyboard: int, screen: int) -> None:
        context = PlatformContext(
            account="terminal",
            options={},
            log=logging.getLogger("test"),
            data_dir=folder,
            cursor=Cursor(),
            alive=lambda: None,
        )
        self.platform = Terminal(context, source=source, target=target)
        self.keyboard = keyboard
        self.screen = screen
        self.heard: list[Inbound] = []

    async def receive(self, inbound: Inbound) -> bool:
        self.heard.append(inbound)
        return True

    async def send(self, text: str, *, progress: bool = False, key: str = "0" * 24) -> str:
        return await self.platform.send(Outgoing(key=key, place=HERE, text=text, progress=progress))

    def shown(self) -> str:
        os.set_blocking(self.screen, False)
        data = b""
        try:
            while piece := os.read(self.screen, 65536):
                data += piece
        except BlockingIOError:
            pass
        return data.decode().replace("\r\n", "\n")


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        source, keyboard = os.pipe()
        screen, target = os.pipe()
        for fd in (source, screen, target):
            stack.callback(os.close, fd)
        yield Desk(tmp_path, source, target, keyboard, screen)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    with ExitStack() as stack:
        master, slave = pty.openpty()
        stack.callback(os.close, master)
        stack.callback(os.close, slave)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        yield Desk(tmp_path, slave, slave, master, master)


async def test_every_line_is_a_direct_message(piped: Desk) -> None:
    os.write(piped.keyboard, b"hello\n\n  \nfirst \\\nsecond\r\ncaf" + b"\xc3\xa9 \xff\nlast")
    os.close(piped.keyboard)
    await piped.platform.open()
    await piped.platform.listen(piped.receive)
    assert [event.text for event in piped.heard] == ["hello", "first \nsecond", "café �", "last"]
    assert len({event.event_id for event in piped.heard}) == 4
    assert [(event.place, event.sender.id, event.kind) for event in piped.heard] == [(HERE, ME, "message")] * 4
    await piped.platform.close()
    assert piped.shown() == ""


async def test_lines_of_a_file_and_one_that_is_too_long(tmp_path: Path) -> None:
    file = tmp_path / "typed"
    file.write_bytes(b"one\ntwo\\\n")
    with file.open("rb") as source:
        assert [line async for line in lines(source.fileno())] == ["one", "two\n"]
    file.write_bytes(b"x" * (3 * 1024 * 1024))
    with file.open("rb") as source:
        found = [line async for line in lines(source.fileno())]
    assert len(found) > 1
    assert sum(map(len, found)) == 3 * 1024 * 1024


async def test_listening_can_be_cancelled_and_takes_nothing(piped: Desk) -> None:
    with anyio.move_on_after(0.05):
        await piped.platform.listen(piped.receive)
    os.write(piped.keyboard, b"later\n")
    os.close(piped.keyboard)
    await piped.platform.listen(piped.receive)
    assert [event.text for event in piped.heard] == ["later"]


async def test_into_a_pipe_only_whole_answers_are_written(piped: Desk) -> None:
    assert not piped.platform.capabilities.edits
    message = await piped.send("one tw", progress=True)
    await piped.platform.edit(HERE, message, "one two thr")
    assert piped.shown() == ""
    await piped.platform.edit(HERE, message, "one two three", final=True)
    await piped.send("four\n")
    await piped.platform.close()
    assert piped.shown() == "one two three\nfour\n"
    os.close(piped.keyboard)


async def test_on_a_terminal_an_answer_grows(terminal: Desk) -> None:
    assert terminal.platform.capabilities.edits
    message = await terminal.send("one", progress=True)
    await terminal.platform.edit(HERE, message, "one two")
    await terminal.platform.edit(HERE, message, "one two three", final=True)
    assert terminal.shown() == "one two three\n> "


async def test_on_a_terminal_what_has_changed_is_drawn_anew(terminal: Desk) -> None:
    message = await terminal.send("looking\n" + "x" * 50, progress=True)
    await terminal.platform.edit(HERE, message, "found", final=True)
    assert terminal.shown() == "looking\n" + "x" * 50 + "\r\x1b[2A\x1b[J" + "found\n> "


async def test_what_is_longer_than_the_screen_is_written_once_more(terminal: Desk) -> None:
    shown = "\n".join("abcdefghijkl")
    message = await terminal.send(shown, progress=True)
    await terminal.platform.edit(HERE, message, "other", final=True)
    assert terminal.shown() == f"{shown}\nother\n> "


async def test_an_answer_that_was_left_behind_is_written_whole_at_its_end(terminal: Desk) -> None:
    message = await terminal.send("one", progress=True)
    async with anyio.create_task_group() as group:
        group.start_soon(terminal.platform.listen, terminal.receive)
        os.write(terminal.keyboard, b"meanwhile\n")
        with anyio.fail_after(30):
            while not terminal.heard:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    terminal.shown()
    await terminal.platform.edit(HERE, message, "one two")
    assert terminal.shown() == ""
    await terminal.platform.edit(HERE, message, "one two three", final=True)
    assert terminal.shown() == "one two three\n> "
    await terminal.send("next")
    assert terminal.shown() == "\r\x1b[Knext\n> "
    await terminal.platform.close()
    await terminal.platform.close()
    assert terminal.shown() == "\n"


async def test_of_what_is_added_to_a_whole_message_only_that_is_written(terminal: Desk) -> None:
    message = await terminal.send("May it?")
    await terminal.send("something else")
    terminal.shown()
    await terminal.platform.edit(HERE, message, "May it?\n\nApproved.", final=True)
    assert terminal.shown() == "\r\x1b[KApproved.\n> "
    await terminal.platform.edit(HERE, message, "It may.", final=True)
    assert terminal.shown() == "\r\x1b[KIt may.\n> "


async def test_nothing_of_an_answer_is_obeyed(terminal: Desk) -> None:
    evil = "\x1b]0;title\x07red \x1b[31mtext\x1b[0m\x08\x9b2J\u202eright\r\n\tend"
    assert terminal.platform.render(evil) == "red textright\n    end"
    await terminal.send(evil)
    assert terminal.shown() == "red textright\n    end\n> "
    assert harmless("plain é 漢 \U0001f600") == "plain é 漢 \U0001f600"


async def test_a_file_is_kept_and_named(piped: Desk, tmp_path: Path) -> None:
    made = tmp_path / "made.txt"
    made.write_text("content")
    for _ in range(2):  # also when it is sent again
        message = Outgoing(key="ab" * 12, place=HERE, text="Here.", file=OutgoingFile(path=made, name="../report.txt"))
        await piped.platform.send(message)
    kept = tmp_path / "received" / ("ab" * 12) / "report.txt"
    assert kept.read_text() == "content"
    assert piped.shown() == f"Here.\n[file: {kept}]\n" * 2
    os.close(piped.keyboard)


async def test_a_reader_that_has_gone_is_told_as_permanent(tmp_path: Path) -> None:
    from missive_chat.platform import ChatError

    screen, target = os.pipe()
    desk = Desk(tmp_path, 0, target, 0, screen)
    os.close(screen)
    with pytest.raises(ChatError, match="standard output") as caught:
        await desk.send("hello")
    os.close(target)
    assert caught.value.permanent


def test_rows() -> None:
    assert [rows_of(text, 10) for text in ("", "a", "a" * 10, "a" * 11, "漢" * 6, "a\n\nb", "e\u0301" * 10)] == [
        1, 1, 1, 2, 2, 3, 1,
    ]  # fmt: skip
