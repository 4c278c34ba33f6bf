"""Where people read: width, colour, tables. Text that others wrote is made harmless before a terminal shows it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

_SEQUENCES = r"(?s)\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
"""Escape sequences: CSI, OSC and the other strings, and the short ones (ECMA-48)."""
_CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""Control characters but tab and line feed; and those that turn the direction of text, which can hide what it says."""
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
MIN_COLUMN = 8


def harmless(text: str) -> str:
    """Return text from elsewhere without anything that a terminal would obey."""
    if text.isprintable():
        return text
    return re.sub(_CONTROLS, "", re.sub(_SEQUENCES, "", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """Return text as one harmless line."""
    return " ".join(harmless(text).split())


def width(text: str) -> int:
    """Return how many columns a terminal needs for `text` (Unicode UAX #11; joined emoji count once)."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    columns = 0
    joined = False
    for char in text:
        if char == "\u200d":
            joined = True
        elif joined:
            joined = False
        elif category(char) not in ("Mn", "Me", "Cf"):
            columns += 2 if east_asian_width(char) in "WF" else 1
    return columns


def shorten(text: str, columns: int) -> str:
    """Return `text`, cut to `columns` with an ellipsis if it is longer."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


class Screen:
    """stdout and stderr as people see them. ``color`` is ``auto``, ``always`` or ``never``."""

    def __init__(self, *, color: str = "auto", out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out if out is not None else sys.stdout
        self.err = err if err is not None else sys.stderr
        self.out_tty = _is_tty(self.out)
        self.err_tty = _is_tty(self.err)
        if os.environ.get("NO_COLOR"):
            color = "never"
        capable = os.environ.get("TERM") != "dumb"
        self._out_color = color == "always" or (color == "auto" and self.out_tty and capable)
        self._err_color = color == "always" or (color == "auto" and self.err_tty and capable)

    @property
    def columns(self) -> int | None:
        """How wide stdout is; None if it is not a terminal, so that nothing is cut."""
        if not self.out_tty:
            return None
        said = os.environ.get("COLUMNS", "")
        if said.isdecimal() and int(said) > 0:
            return int(said)
        try:
            return os.get_terminal_size(self.out.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def style(self, text: str, style: str, *, err: bool = False) -> str:
        """Return `text` in a style, if there may be colour."""
        if not text or not (self._err_color if err else self._out_color):
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    # --- stdout: results

    def text(self, text: str, *, end: str = "\n") -> None:
        """Write text that an agent may have written. A pipe gets it as it is, a terminal without escapes."""
        write(self.out, (harmless(text) if self.out_tty else text) + end)

    def line(self, text: str = "", style: str | None = None) -> None:
        """Write one line of ours."""
        text = one_line(text) if text.strip() else ""
        write(self.out, (self.style(text, style) if style else text) + "\n")

    def fields(self, rows: Sequence[tuple[str, object]]) -> None:
        """Write ``name  value`` lines, aligned; rows without a value are left out."""
        shown = [(name, one_line(_plain(value))) for name, value in rows if _plain(value)]
        widest = max((width(name) for name, _ in shown), default=0)
        for name, value in shown:
            write(self.out, f"{self.style(name, 'dim')}{' ' * (widest - width(name))}  {value}\n")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[object]], *, indent: int = 0) -> None:
        """Write an aligned table without empty columns.

        On a terminal the widest columns are cut until it fits, but never the first: it is what one copies.
        """
        cells = [[one_line(_plain(value)) for value in row] for row in rows]
        kept = [i for i in range(len(headers)) if any(row[i] for row in cells)]
        lines = [[headers[i] for i in kept], *([row[i] for i in kept] for row in cells)]
        widths = [max(width(line[i]) for line in lines) for i in range(len(kept))]
        room = None if self.columns is None else self.columns - indent
        while (
            room is not None and sum(widths) + 2 * (len(widths) - 1) > room and max(widths[1:], default=0) > MIN_COLUMN
        ):
            widths[widths.index(max(widths[1:]), 1)] -= 1
        for number, line in enumerate(lines):
            cut = [shorten(cell, widths[i]) for i, cell in enumerate(line)]
            text = "  ".join(cell + " " * (widths[i] - width(cell)) for i, cell in enumerate(cut)).rstrip()
            write(self.out, " " * indent + (self.style(text, "bold") if number == 0 else text) + "\n")

    # --- stderr: everything else

    def note(self, text: str, style: str | None = "dim") -> None:
        """Write a line about the result on stderr."""
        text = one_line(text)
        try:
            self.err.write((self.style(text, style, err=True) if style else text) + "\n")
            self.err.flush()
        except (OSError, ValueError, AttributeError):
            return  # nobody reads it, and it is not the result


class OutputClosedError(Exception):
    """Nobody reads our stdout any more."""


def write(stream: TextIO, text: str) -> None:
    """Write and flush. Raises `OutputClosedError` when the reader has gone, `IoError` when it cannot be written."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise OutputClosedError from None
    except (OSError, ValueError, AttributeError) as error:
        raise _not_writable(error) from None


def write_bytes(stream: TextIO, data: bytes) -> None:
    """As `write`, for bytes."""
    try:
        stream.buffer.write(data)
        stream.flush()
    except BrokenPipeError:
        raise OutputClosedError from None
    except (OSError, ValueError, AttributeError) as error:
        raise _not_writable(error) from None


def leave_stdout() -> None:
    """Send what is still buffered nowhere, so that Python does not complain about it when it exits."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return


def _not_writable(error: Exception) -> Exception:
    from missive_host.errors import IoError

    leave_stdout()

    why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is closed"
    return IoError(
        f"while writing to standard output: {why}", help="what the command did is done; only its result is lost"
    )


def _is_tty(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _plain(value: object) -> str:
    if value is None or value is False or type(value).__name__ == "UnsetType":
        return ""
    if value is True:
        return "yes"
    if isinstance(value, tuple | list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(item)}" for key, item in value.items())
    return str(value)
