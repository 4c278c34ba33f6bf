"""Where the log of this process goes, and from which level on."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from missive_host.logs.files import LogFile
from missive_host.logs.formats import Json, Lines
from missive_host.logs.scrubbing import scrubber

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from missive_host.config.model import Logging

OWN = ("missive", "missive_host")
"""The loggers of missive itself; all others are those of libraries."""
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
_FLAGS = (logging.WARNING, logging.INFO, logging.DEBUG, logging.DEBUG)


class Thresholds(logging.Filter):
    """From which level on the records of each logger go to one place. The nearest name above a logger counts."""

    def __init__(self, own: int, others: int, levels: Mapping[str, int]) -> None:
        super().__init__()
        self.levels = {"": others, **dict.fromkeys(OWN, own), **levels}

    def of(self, name: str) -> int:
        known = logging.Logger.manager.loggerDict
        while name not in self.levels:
            logger = known.get(name)
            if isinstance(logger, logging.Logger) and logger.level:
                return logger.level  # set by whoever it belongs to, as event sinks do
            name = name.rpartition(".")[0]
        return self.levels[name]

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.of(record.name)


class Stderr(logging.StreamHandler):  # type: ignore[type-arg]  # generic since Python 3.12 only
    """Writes to stderr. What cannot be written is lost: there is no other place to say so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Show nothing: what Python shows here has the record in it, secrets and all."""


def install(
    verbosity: int,
    *,
    as_json: bool,
    redact: Callable[[str], str] | None = None,
    block: Logging | None = None,
    path: Path | None = None,
) -> None:
    """Send the log to stderr, and where the config says so to a file. In the place of what was installed before.

    `verbosity` counts from 0 (warnings) to 3 (all details of all libraries); it adds to what `block` says, and never
    takes away.
    """
    root = logging.getLogger()
    for old in root.handlers:
        for place in old.filters:
            if isinstance(place, Thresholds):
                for name in place.levels:
                    logging.getLogger(name).setLevel(logging.NOTSET)
        if isinstance(old, LogFile):
            old.close()
    scrub = scrubber(redact)
    kept = Thresholds(*_levels(verbosity, block))
    stderr = Stderr(sys.stderr)
    stderr.setFormatter(Json(scrub) if as_json else Lines(scrub))
    quiet = block is not None and block.destination == "file"
    stderr.addFilter(_as_flags_say(verbosity, kept) if quiet else kept)
    handlers: list[logging.Handler] = [stderr]
    if block is not None and block.destination != "stderr" and path is not None:
        file = LogFile(path, max_bytes=block.max_bytes, keep=block.keep, tell=lambda text: _tell(stderr, text))
        file.setFormatter(Json(scrub))
        file.addFilter(kept)
        handlers.append(file)
    root.handlers[:] = handlers
    places = [place for handler in handlers for place in handler.filters if isinstance(place, Thresholds)]
    for name in {name for place in places for name in place.levels}:
        logging.getLogger(name).setLevel(min(place.of(name) for place in places))


def last_words(error: Exception) -> None:
    """Keep in the file what ends this process; on stderr it is shown in another way."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    said = getattr(error, "message", None)
    record = logging.LogRecord(
        "missive.gateway",
        logging.ERROR,
        "",
        0,
        "the gateway ends: %s",
        (said or f"unexpected {type(error).__name__}",),
        None if said else (type(error), error, error.__traceback__),
    )
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile):
            handler.handle(record)


def _levels(verbosity: int, block: Logging | None) -> tuple[int, int, dict[str, int]]:
    """Return the level of missive's own loggers, that of all others, and those of single ones."""
    flag, everything = _FLAGS[verbosity], logging.DEBUG if verbosity >= 3 else logging.CRITICAL
    if block is None:
        return flag, min(everything, logging.WARNING), {}
    level = _LEVELS[block.level]
    own = min(level, flag) if verbosity else level
    levels = {
        name: min(_LEVELS[said], flag if verbosity and name.partition(".")[0] in OWN else everything)
        for name, said in block.levels.items()
    }
    return own, min(everything, max(level, logging.WARNING)), levels


def _as_flags_say(verbosity: int, kept: Thresholds) -> Thresholds:
    """Return the thresholds of stderr beside a file: warnings, or what flags ask for, and no more than the file has."""
    own, others, _ = _levels(verbosity, None)
    levels = {name: max(level, own if name.partition(".")[0] in OWN else others) for name, level in kept.levels.items()}
    return Thresholds(own, others, levels)


def _tell(stderr: logging.Handler, text: str) -> None:
    """Say on stderr what the log has to say about itself."""
    fields: dict[str, Any] = {"name": "missive.logs", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
    stderr.handle(logging.makeLogRecord(fields))
