"""The members of a group at work, for people: rows that move on a terminal, tagged lines elsewhere."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from missive_host.cli.screen import harmless, one_line, shorten, write
from missive_host.cli.wording import FINISHED, WAITING, part_text, state_style

if TYPE_CHECKING:
    from missive_host import outputs as o
    from missive_host.cli.screen import Screen

_PAUSE = 0.05
"""Seconds between two drawings of the rows for words alone; another state is drawn at once."""


class _Row:
    """What is shown of one member."""

    def __init__(self) -> None:
        self.state = ""
        self.text = ""
        self.line = ""
        """The beginning of a line that is not complete yet."""
        self.made = False


class GroupView:
    """Shows the events of the streams of several agents.

    On a terminal each agent has a row with its state and its last words, on stderr; they go away when the result
    comes. Elsewhere each line that an agent writes goes to stdout with ``[agent]`` before it, its states to stderr.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._live = screen.out_tty and screen.err_tty
        self._rows: dict[str, _Row] = {}
        self._drawn = 0
        self._drawn_at = 0.0

    def show(self, data: o.StreamEvent) -> None:
        """Show one event."""
        row = self._rows.setdefault(data.agent, _Row())
        before = row.state
        value: dict[str, Any] = next(iter(data.raw.values()), {}) if data.raw else {}
        if data.event_type == "message":
            self._say(data.agent, row, value.get("parts"), whole=True)
            self._state(data.agent, row, "completed", None)
        elif data.event_type == "artifact_update":
            row.made = True
            self._say(data.agent, row, (value.get("artifact") or {}).get("parts"), whole=data.last_chunk is True)
        else:
            for artifact in value.get("artifacts") or ():
                row.made = True
                self._say(data.agent, row, artifact.get("parts"), whole=True)
            self._state(
                data.agent, row, str(data.state), ((value.get("status") or {}).get("message") or {}).get("parts")
            )
        if self._live and (row.state != before or time.monotonic() - self._drawn_at >= _PAUSE):
            self._draw()

    def close(self) -> None:
        """The streams are over: the rows make room for the result."""
        for agent, row in self._rows.items():
            self._end_line(agent, row)
        self._erase()
        self._rows.clear()

    # ---

    def _state(self, agent: str, row: _Row, state: str, parts: list[dict[str, Any]] | None) -> None:
        # What a task made is its answer; what it says when it completes is the answer only if it made nothing.
        if state in WAITING or (state in FINISHED and not (state == "completed" and row.made)):
            self._say(agent, row, parts, whole=True)
            said = ""
        else:
            said = one_line(" ".join(part_text(part) for part in parts or ()))
        if (state, said) != (row.state, ""):
            if not self._live:
                self._screen.note(f"[{agent}] {state}" + (f": {said}" if said else ""), state_style(state) or "dim")
            row.text = said or row.text
        row.state = state

    def _say(self, agent: str, row: _Row, parts: list[dict[str, Any]] | None, *, whole: bool) -> None:
        for part in parts or ():
            *lines, row.line = (row.line + part_text(part)).split("\n")
            for line in lines:
                self._line(agent, row, line)
            if row.line:
                row.text = row.line
            if "text" not in part:
                self._end_line(agent, row)
        if whole:
            self._end_line(agent, row)

    def _end_line(self, agent: str, row: _Row) -> None:
        if row.line:
            line, row.line = row.line, ""
            self._line(agent, row, line)

    def _line(self, agent: str, row: _Row, line: str) -> None:
        row.text = line or row.text
        if not self._live:
            text = harmless(line) if self._screen.out_tty else line
            write(self._screen.out, f"[{agent}] {text}\n")

    # --- rows

    def _draw(self) -> None:
        room = max(1, _lines(self._screen) - 2)
        columns = (self._screen.columns or 80) - 1
        shown = list(self._rows.items())
        if len(shown) > room:  # those that are at work are the ones to look at
            shown = sorted(shown, key=lambda item: item[1].state in FINISHED)[:room]
        name, state = (max((len(text) for text in texts), default=0) for texts in _widths(shown))
        out = [f"\x1b[{self._drawn}A"] if self._drawn else []
        for agent, row in shown:
            tail = shorten(one_line(row.text), max(8, columns - name - state - 4))
            style = state_style(row.state)
            word = row.state.ljust(state)
            coloured = self._screen.style(word, style, err=True) if style else word
            out.append(f"\r\x1b[2K{agent.ljust(name)}  {coloured}  {tail}\n")
        if len(shown) < self._drawn:
            out.append("\x1b[0J")
        write(self._screen.err, "".join(out))
        self._drawn, self._drawn_at = len(shown), time.monotonic()

    def _erase(self) -> None:
        if self._drawn:
            write(self._screen.err, f"\x1b[{self._drawn}A\r\x1b[0J")
            self._drawn = 0


def _widths(rows: list[tuple[str, _Row]]) -> tuple[list[str], list[str]]:
    return [agent for agent, _ in rows], [row.state for _, row in rows]


def _lines(screen: Screen) -> int:
    try:
        return os.get_terminal_size(screen.err.fileno()).lines or 24
    except (OSError, ValueError):
        return 24
