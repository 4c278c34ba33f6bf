"""The log, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host.cli.screen import harmless, one_line, write

if TYPE_CHECKING:
    from missive_host.cli.screen import Screen
    from missive_host.outputs_logs import LogLine, LogsResult

_STYLES = {"warn": "yellow", "error": "red", "debug": "dim"}
_SHOWN = (("adapter", "adapter"), ("work_id", "work"), ("agent", "agent"), ("task_id", "task"))
"""The fields that people see; `--json` has all of them."""


def _record(line: LogLine, screen: Screen) -> None:
    message = one_line(line.message)
    if not isinstance(line.level, str):
        write(screen.out, message + "\n")
        return
    time = one_line(str(line.timestamp)[:23].replace("T", " "))
    level = screen.style(f"{one_line(line.level):<5}", _STYLES.get(line.level, "bold"))
    about = " ".join(
        f"{name}={one_line(value)}"
        for field, name in _SHOWN
        if (value := line.fields.get(field)) is not None and value not in line.message
    )
    about = f"  {screen.style(about, 'dim')}" if about else ""
    write(screen.out, f"{time} {level} {one_line(str(line.target))}: {message}{about}\n")
    if isinstance(line.exception, str):
        for each in line.exception.splitlines():
            write(screen.out, f"  {harmless(each)}\n")


def _logs(data: LogsResult, screen: Screen) -> None:
    for line in data.records:
        _record(line, screen)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {"log_record": _record, "logs": _logs}
