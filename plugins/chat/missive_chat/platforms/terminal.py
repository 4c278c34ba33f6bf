"""The terminal as a chat: what is typed are direct messages of the person who sits there, answers appear below.

On a terminal an answer grows in place, as long as nothing else was written or typed since it began; else, and where
the output is a pipe or a file, only whole answers are written. What an agent sends is text: nothing of it is obeyed by
the terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from missive_chat.options import SHARED
from missive_chat.platform import (
    Attachment,
    Button,
    ChatCapabilities,
    ChatError,
    Check,
    Inbound,
    Outgoing,
    Place,
    PlatformContext,
    Reaction,
    Receive,
    Sender,
)

if TYPE_CHECKING:
    from missive_chat.adapter import ChatAdapter
    from missive_host.protocols import AdapterContext

ME = "local"
"""The id of the person at the terminal."""
LONGEST_LINE = 1024 * 1024
CHUNK = 64 * 1024
KNOWN_MESSAGES = 32
_FIXED = {"dm_policy": "open", "group_policy": "disabled", "approvers": (ME,), "rate": 1_000_000}


def adapter(context: AdapterContext) -> ChatAdapter:
    """Return the adapter. Of the options that all platforms have, most say nothing at a terminal."""
    from missive_chat.adapter import ChatAdapter

    shared = {option.name: () if option.repeated else option.default for option in SHARED}
    context = replace(context, options={**shared, **_FIXED, **context.options})
    if context.progress is not None and sys.stdin is not None and sys.stdin.isatty():
        context.progress("type a message; !help says what else there is, Ctrl-D ends it")
    return ChatAdapter(context, Terminal)


class Terminal:
    """A `missive_chat.platform.Platform` of two descriptors."""

    def __init__(self, context: PlatformContext, *, source: int = 0, target: int = 1) -> None:
        self._data_dir = context.data_dir
        self._alive = context.alive
        self._source = source
        self._paper = Paper(target)
        self._run = f"{time.time_ns():x}"
        self._typed = 0
        self._written = 0

    @property
    def capabilities(self) -> ChatCapabilities:
        return ChatCapabilities(
            max_text=LONGEST_LINE,
            edits=self._paper.is_terminal,
            native_stream=self._paper.is_terminal,
            edit_interval=0.1,
            send_interval=0.0,
            burst=1_000_000,
            attachments_out=1 << 30,
            ends=True,
        )

    @property
    def identity(self) -> str:
        return str(self._data_dir)

    async def open(self) -> None:
        """Nothing to log in to."""
        self._alive()

    async def listen(self, receive: Receive) -> None:
        """Hand over line after line; return at the end of the input."""
        await self._paper.prompt()
        async with aclosing(lines(self._source)) as found:
            async for line in found:
                self._paper.moved()
                self._alive()
                if not line.strip():
                    await self._paper.prompt()
                    continue
                self._typed += 1
                known_as = f"{self._run}-{self._typed}"
                await receive(
                    Inbound(
                        event_id=known_as,
                        place=Place(chat=ME, is_direct=True),
                        message_id=known_as,
                        sender=Sender(id=ME),
                        text=line,
                        sent_at=time.time(),
                    )
                )

    async def close(self) -> None:
        """The descriptors are not ours."""
        await self._paper.end()

    def render(self, text: str) -> str:
        return harmless(text)

    async def send(self, message: Outgoing) -> str:
        self._written += 1
        message_id = f"{self._run}+{self._written}"
        text = harmless(message.text)
        if message.file is not None:
            kept = await anyio.to_thread.run_sync(self._keep, message)
            text = f"{text}\n" if text else ""
            text += f"[file: {kept}]"
        await self._paper.write(message_id, text, new=True, grows=message.progress)
        return message_id

    async def edit(
        self,
        place: Place,  # noqa: ARG002 - there is one place
        message_id: str,
        text: str,
        *,
        buttons: tuple[Button, ...] = (),  # noqa: ARG002 - what may be said to them is in the text
        final: bool = False,
    ) -> None:
        await self._paper.write(message_id, harmless(text), new=False, grows=not final)

    async def find(self, message: Outgoing) -> str | None:  # noqa: ARG002 - paper does not tell
        return None

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        """Not declared, so never called."""

    async def typing(self, place: Place) -> None:
        """Not declared, so never called."""

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:  # noqa: ARG002
        raise ChatError("a terminal has no files", permanent=True)

    async def check(self) -> tuple[Check, ...]:
        kind = "a terminal" if self._paper.is_terminal else "no terminal: only whole answers are written"
        return (Check("output", "ok", f"standard output is {kind}"),)

    def _keep(self, message: Outgoing) -> Path:
        """Put a file where it stays; a message that is sent again finds it there."""
        assert message.file is not None
        folder = self._data_dir / "received" / message.key
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Path(shutil.copyfile(message.file.path, folder / Path(message.file.name).name))
        except OSError as error:
            raise ChatError(f"while keeping the file {message.file.name}: {error.strerror}", permanent=True) from None


# --- reading


async def lines(fd: int) -> AsyncGenerator[str, None]:
    """Yield what is typed, line by line; a line that ends with ``\\`` goes on in the next one.

    The descriptor may be shared with other processes, so it stays in blocking mode: it is waited for, then read.
    """
    pending, text = b"", ""
    while True:
        data = await _read(fd)
        *ended, pending = (pending + data).split(b"\n")
        if not data:
            ended = [pending] if pending or text else []
        elif len(pending) > LONGEST_LINE:
            ended, pending = [*ended, pending], b""
        for line in ended:
            text += line.decode("utf-8", "replace").rstrip("\r")
            if data and text.endswith("\\"):
                text = text[:-1] + "\n"
            else:
                yield text
                text = ""
        if not data:
            return


async def _read(fd: int) -> bytes:
    if fd == 0 and sys.__stdin__ is None:  # closed at start (`<&-`): the number may be some other file by now
        return b""
    try:
        await anyio.wait_readable(fd)
    except PermissionError:  # epoll's EPERM: reading such a file never waits
        await anyio.lowlevel.checkpoint()
    except (OSError, NotImplementedError):  # Windows
        return await anyio.to_thread.run_sync(os.read, fd, CHUNK, abandon_on_cancel=True)
    try:
        return os.read(fd, CHUNK)
    except OSError:  # EIO: the terminal has gone
        return b""


# --- writing


class Paper:
    """Where answers are written. Knows what it wrote last, which is all that can still be changed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.is_terminal = os.isatty(fd) and os.environ.get("TERM") != "dumb"
        self._lock = anyio.Lock()
        self._last: tuple[str, str] | None = None
        """The message that the cursor stands behind: it may grow."""
        self._whole: dict[str, str] = {}
        """The last messages that were written to their end. Of what is added to them later, only that is written."""
        self._prompted = False

    def moved(self) -> None:
        """The cursor is at the beginning of a line, because somebody typed."""
        self._last = None
        self._prompted = False

    async def prompt(self) -> None:
        """Show that something can be typed."""
        async with self._lock:
            if self.is_terminal and not self._prompted and self._last is None:
                await self._put("> ")
                self._prompted = True

    async def end(self) -> None:
        """Leave the cursor at the beginning of a line."""
        async with self._lock:
            if self._prompted or self._last is not None:
                self.moved()
                await self._put("\n")

    async def write(self, message_id: str, text: str, *, new: bool, grows: bool) -> None:
        """Write a message, or what is new of it. Of one that was left behind only the end is written, as a whole."""
        async with self._lock:
            left_behind = not new and (self._last is None or self._last[0] != message_id)
            if grows and (left_behind or not self.is_terminal):
                return
            if not grows:
                text = self._added(message_id, text)
                if not text:
                    return
            if not self.is_terminal:
                await self._put(text.rstrip("\n") + "\n")
                return
            moves = self._erased() + text if new or left_behind else self._changed(text)
            if grows:
                self._last, self._prompted = (message_id, text), False
                await self._put(moves)
            else:
                self._last, self._prompted = None, True
                await self._put(moves + ("" if text.endswith("\n") else "\n") + "> ")

    def _added(self, message_id: str, text: str) -> str:
        known = self._whole.pop(message_id, None)
        self._whole[message_id] = text
        if len(self._whole) > KNOWN_MESSAGES:
            del self._whole[next(iter(self._whole))]
        return text if known is None or not text.startswith(known) else text[len(known) :].lstrip("\n")

    def _erased(self) -> str:
        """Return what makes room for another message."""
        if self._last is not None:
            return "\n"
        return "\r\x1b[K" if self._prompted else ""

    def _changed(self, text: str) -> str:
        """Return what makes the last message say `text`."""
        assert self._last is not None
        shown, size = self._last[1], shutil.get_terminal_size()
        if text.startswith(shown):
            return text[len(shown) :]
        rows = rows_of(shown, size.columns)
        if rows >= size.lines:  # its beginning is out of reach
            return f"\n{text}"
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J{text}"

    async def _put(self, text: str) -> None:
        try:
            await anyio.to_thread.run_sync(_write_all, self._fd, text.encode("utf-8", "replace"))
        except OSError as error:
            raise ChatError(f"while writing to standard output: {error.strerror}", permanent=True) from None


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


_SEQUENCES = re.compile(
    r"(?s)\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
"""Escape sequences: CSI, OSC and the other strings, and the short ones (ECMA-48)."""
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed; and those that turn the direction of text, which can hide what it says."""


def harmless(text: str) -> str:
    """Return text from elsewhere without anything that a terminal would obey."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n").expandtabs(4)))


def rows_of(text: str, columns: int) -> int:
    """Return how many rows of a terminal a text takes."""
    return sum(max(1, -(-_columns(line) // columns)) for line in text.split("\n"))


def _columns(text: str) -> int:
    """Return how many columns a line takes (Unicode UAX #11)."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    shown = (char for char in text if category(char) not in ("Mn", "Me", "Cf"))
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in shown)
