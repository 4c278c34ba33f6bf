"""What a person sees of ``missive demo``: frames in, frames out, and a word about each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from missive_host.cli.screen import harmless, shorten, width, write

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen
    from missive_host.demo.outputs import DemoAgent, DemoChatResult, DemoResult, DemoServeResult, DemoStep
    from missive_host.demo.steps import Step

_TELLING: tuple[tuple[int, tuple[str, ...]], ...] = (
    (3, ("id",)),
    (1, ("sequence",)),
    (4, ("data", "kind")),
    (5, ("data", "data", "state")),
    (2, ("data", "data", "artifact_id")),
    (6, ("data", "data", "text")),
    (5, ("data", "data", "response", "state")),
    (6, ("data", "data", "response", "text")),
    (5, ("data", "data", "final_state")),
    (2, ("data", "data", "event_count")),
    (2, ("data", "data", "count")),
    (5, ("data", "data", "status")),
    (6, ("data", "data", "tasks")),
    (6, ("error", "message")),
)
"""What tells something in an answer frame, in the order of the frame. When there is no room, the lowest goes first."""


def abridged(frame: dict[str, Any], room: int | None) -> str:
    """Return an answer frame with ``…`` for what tells nothing, in `room` columns (None: as long as it is)."""
    pieces = []
    for worth, path in _TELLING:
        value: Any = frame
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            pieces.append((worth, f'"{path[-1]}":{_tasks(value) if path[-1] == "tasks" else _json(value)}'))
    while room is not None and len(pieces) > 1 and width(_joined(pieces)) > room:
        pieces.remove(min(pieces, key=lambda piece: piece[0]))
    text = _joined(pieces)
    return text if room is None else shorten(text, room)


def wrapped(frame: str, room: int | None) -> list[str]:
    """Return a frame as lines of `room` columns, which end behind a comma. A piece that is longer is cut."""
    if room is None:
        return [frame]
    lines = [""]
    for piece in re.split(r"(?<=,)(?=\")", frame):
        if lines[-1] and width(lines[-1] + piece) > room:
            lines.append("")
        lines[-1] += piece
    return [shorten(line, room) for line in lines]


def _joined(pieces: Sequence[tuple[int, str]]) -> str:
    return "{" + "…".join(text for _, text in pieces) + "…}"


def _tasks(tasks: Sequence[dict[str, Any]]) -> str:
    each = (f'{{"agent":{_json(task.get("agent"))}…"state":{_json(task.get("state"))}…}}' for task in tasks)
    return "[" + ",".join(each) + "]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class TourView:
    """Shows a tour while it happens. Without a screen it shows nothing."""

    def __init__(self, screen: Screen | None) -> None:
        self._screen = screen
        if screen is not None:
            _write(screen, "Three small A2A agents are started, each a process on this machine, and frames", "")
            _write(screen, "are piped to them through missive. What it keeps is removed at the end.", "")

    def ready(self, agents: tuple[DemoAgent, ...]) -> None:
        if self._screen is None:
            return
        from missive_host.demo.tour import ADAPTER

        _heading(self._screen, "The agents are ready, and registered with missive")
        show_agents(agents, self._screen)
        _heading(self._screen, f"missive adapter {' '.join(ADAPTER)}")
        _write(self._screen, "  It reads frames of JSON, one a line (→), and writes frames as answers (←).", "dim")
        _write(self._screen, "  … stands for what is left out here: see them whole with --json.", "dim")

    def step(self, number: int, step: Step) -> None:
        if self._screen is not None:
            if step.act:
                _heading(self._screen, step.act)
            _heading(self._screen, f"{number}. {step.title}")
            _write(self._screen, f"  {step.why}", "dim")

    def sent(self, frame: dict[str, Any]) -> None:
        if self._screen is not None:
            first, *others = wrapped(harmless(_json(frame)), self._room("  → "))
            self._line("→", "cyan", first)
            for text in others:
                _write(self._screen, f"    {text}", "")

    def received(self, frame: dict[str, Any], seconds: float) -> None:
        if self._screen is not None:
            after = f"{seconds:5.2f} s  "
            text = harmless(abridged(frame, self._room("  ← " + after)))
            self._line("←", "green" if frame.get("ok") else "red", self._screen.style(after, "dim") + text)

    def ended(self, step: DemoStep) -> None:
        if self._screen is None:
            return
        if isinstance(step.problem, str):
            _write(self._screen, f"  not as expected: {step.problem}", "red")
        else:
            self._table(step)
            _write(self._screen, f"  {step.outcome}", "green")

    def _table(self, step: DemoStep) -> None:
        from missive_host.demo.steps import group_of

        group = group_of(step)
        if self._screen is None or group is None:
            return
        self._screen.line()
        self._screen.table(
            ("RANK", "AGENT", "STATE", "ANSWER", "MS"),
            [(each.rank, each.agent, each.state, each.text, each.duration_ms) for each in group.members],
            indent=2,
        )
        self._screen.line()
        for line in group.reduced_text.splitlines():
            _write(self._screen, f"  {line}", "")

    def _room(self, before: str) -> int | None:
        assert self._screen is not None
        return None if self._screen.columns is None else max(20, self._screen.columns - len(before))

    def _line(self, arrow: str, style: str, text: str) -> None:
        assert self._screen is not None
        write(self._screen.out, f"  {self._screen.style(arrow, style)} {text}\n")


def show_agents(agents: Sequence[DemoAgent], screen: Screen) -> None:
    """Write a line for each agent: its name, its URL, its bindings."""
    names, urls = (max(len(text) for text in texts) for texts in zip(*((a.agent, a.url) for a in agents), strict=True))
    for each in agents:
        _write(screen, f"  {each.agent:<{names}}  {each.url:<{urls}}  {', '.join(each.bindings)}", "")


def show_end(data: DemoResult, screen: Screen) -> None:
    """Write the last lines of a tour."""
    screen.line()
    _write(screen, data.message, "green" if data.passed else "red")
    if data.passed:
        serve, *others = data.next_commands
        _heading(screen, "Three commands to try next")
        _write(screen, f"  {serve}", "bold")
        _write(screen, "    keeps these agents running until Ctrl-C, and says how to make a group of", "dim")
        _write(screen, "    them; then, in another terminal:", "dim")
        for command in others:
            _write(screen, f"  {command}", "bold")


def show_serve(data: DemoServeResult, screen: Screen) -> None:
    """Write where the agents are and how to register them."""
    show_agents(data.agents, screen)
    _heading(screen, "Register them with missive, in another terminal")
    for command in data.next_commands:
        _write(screen, f"  {command}", "bold")
    _heading(screen, "Then make a group of them, and ask it")
    for command in data.group_commands:
        _write(screen, f"  {command}", "bold")
    screen.note("they run until Ctrl-C")


def show_chat(data: DemoChatResult, screen: Screen) -> None:
    """Write where the chat is, and what to say there."""
    show_agents(data.agents, screen)
    screen.line()
    _write(screen, f"{data.message[:1].upper()}{data.message[1:]}.", "bold")
    if isinstance(data.connect_commands, tuple):
        _heading(screen, "Join with any IRC program, such as one of these, in another terminal")
        for command in data.connect_commands:
            _write(screen, f"  {command}", "bold")
        _heading(screen, f"Then /join {data.room} and say, for example")
        before = f"{data.nick}: "
    else:
        _heading(screen, "Say, for example")
        before = ""
    for word, why in (
        ("hello", "it comes back"),
        ("stream one two three", "an answer that grows"),
        ("ask which colour", "a question; your next message is the answer"),
        ("auth deploy", "leave is asked for"),
        ("!help", "what missive itself understands"),
    ):
        _write(screen, f"  {before + word:<34}{why}", "")
    screen.line()
    if isinstance(data.connect_commands, tuple):
        screen.note("it runs until Ctrl-C")


def _heading(screen: Screen, text: str) -> None:
    screen.line()
    _write(screen, text, "bold")


def _write(screen: Screen, text: str, style: str) -> None:
    """Write a line with its indentation: what is in it is ours, or has been made harmless."""
    text = harmless(text)
    write(screen.out, (screen.style(text, style) if style else text) + "\n")
