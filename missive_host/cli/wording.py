"""Words for people that several renderers use: times, sizes, parts, what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen
    from missive_host.outputs import RouteView

FINISHED = frozenset(("completed", "failed", "cancelled", "rejected"))
WAITING = frozenset(("input_required", "auth_required"))
_STYLES = {
    "completed": "green",
    "failed": "red",
    "rejected": "red",
    "input_required": "yellow",
    "auth_required": "yellow",
}


def state_style(state: str) -> str | None:
    """Return the colour of a task's state."""
    return _STYLES.get(state)


def number(count: int, noun: str) -> str:
    """Return ``1 event`` or ``3 events``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Return a number of bytes as people write it: ``512 B``, ``1.5 MiB``."""
    value = float(count)
    unit = "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{f'{value:.1f}'.removesuffix('.0')} {unit}"


def ago(timestamp: object, screen: Screen) -> str:
    """Return an RFC 3339 time: on a terminal as ``5 min ago``, for a pipe as it is. Anything else is nothing."""
    if not isinstance(timestamp, str):
        return ""
    if not screen.out_tty:
        return timestamp
    from datetime import UTC, datetime

    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return timestamp
    seconds = (datetime.now(UTC) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()
    if seconds < 0 or seconds >= 30 * 86400:
        return timestamp[:10]
    for limit, length, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds // 86400)} d ago"


def part_text(part: dict[str, Any]) -> str:
    """Return one A2A part (spec 4.1.6, ProtoJSON) as text: files are only named."""
    if "text" in part:
        return str(part["text"])
    if "data" in part:
        return json.dumps(part["data"], indent=2, ensure_ascii=False)
    about = [str(part[key]) for key in ("filename", "mediaType") if part.get(key)]
    if "url" in part:
        about.append(str(part["url"]))
    elif "raw" in part:
        encoded = str(part["raw"]).rstrip("=")
        about.append(size(len(encoded) * 3 // 4))
    return f"[file: {', '.join(about)}]" if about else "[an empty part]"


def say_parts(screen: Screen, parts: Iterable[dict[str, Any]] | None) -> bool:
    """Write the parts of a message or an artifact, each from a new line. Returns False if there are none."""
    said = False
    for part in parts or ():
        screen.text(part_text(part).removesuffix("\n"))
        said = True
    return said


def next_steps(agent: str, task_id: str, state: str, artifacts: int) -> list[str]:
    """Return the command lines that make sense now, with the reason for each."""
    if state == "input_required":
        return [f'it waits for an answer: missive send {agent} --task {task_id} "…"']
    if state == "auth_required":
        return [f'it waits for an authorisation; give it, then: missive send {agent} --task {task_id} "…"']
    steps = []
    if state not in FINISHED:
        steps.append(f"wait for it: missive task wait {task_id} --agent {agent}")
        steps.append(f"follow it: missive task subscribe {task_id} --agent {agent}")
    if artifacts:
        steps.append(f"save what it made: missive task artifact export {task_id} --agent {agent} -o DIR")
    return steps


def say_route(screen: Screen, agent: str, route: RouteView) -> None:
    """Say which agent of a group answered, and which ones were tried before it in vain."""
    for attempt in route.attempts:
        if attempt.status in ("failed", "timeout", "refused") and attempt.agent != agent:
            why = f": {attempt.error.message}" if attempt.error else ""
            screen.note(f"{attempt.agent}: {attempt.status}{why}", "red")
    screen.note(f"{agent} answers for group {route.group}, by the policy {route.policy}")
