"""The two formats of the log. Apart from ``logs`` because it needs ``logging``."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from missive_host.cli.screen import harmless

if TYPE_CHECKING:
    from collections.abc import Callable


class _Lines(logging.Formatter):
    """``12:30:01 warning missive.core: text``"""

    default_time_format = "%H:%M:%S"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(lowered)s %(name)s: %(message)s", self.default_time_format)

    def format(self, record: logging.LogRecord) -> str:
        record.lowered = record.levelname.lower()
        return harmless(super().format(record))


class _Json(logging.Formatter):
    """``timestamp``, ``level``, ``target``, ``message``, and ``exception`` if there is one."""

    LEVELS: ClassVar[dict[int, str]] = {logging.WARNING: "warn", logging.CRITICAL: "error"}

    def format(self, record: logging.LogRecord) -> str:
        import msgspec

        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": self.LEVELS.get(record.levelno, record.levelname.lower()),
            "target": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic since Python 3.12 only
    """Writes to stderr what is left when secrets are taken out."""

    def __init__(self, redact: Callable[[str], str] | None) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return self._redact(line) if self._redact is not None else line


def install(level: int, *, as_json: bool, redact: Callable[[str], str] | None = None) -> None:
    """Send the log to stderr. `level` counts from 0 (warnings) to 3 (all details of all libraries)."""
    handler = _Handler(redact)
    handler.setFormatter(_Json() if as_json else _Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if level >= 3 else logging.WARNING)
    own = (logging.WARNING, logging.INFO, logging.DEBUG, logging.DEBUG)[level]
    for name in ("missive", "missive_host"):
        logging.getLogger(name).setLevel(own)
