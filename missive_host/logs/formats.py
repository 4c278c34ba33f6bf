"""The two formats of the log. Whatever is logged, a record is one line, and nothing in it looks like another one."""

from __future__ import annotations

import logging
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.logs.scrubbing import names_credential
from missive_host.security.redact import MARK
from missive_host.telemetry import current_fields, current_trace

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 32 * 1024
"""Characters of a message, or of a traceback, that are kept."""
_LOOKED_AT = 1024 * 1024
"""Characters of it that are searched for secrets; what is behind them is not kept anyway."""
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, what ends a line, and what turns the direction of text; the tab does none of that."""
_INVISIBLE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Those of them that JSON lets through."""
_PLAIN = re.compile(r"[\w.:@/+-]+")
_SHOWN = (("adapter", "adapter"), ("work_id", "work"), ("agent", "agent"), ("task_id", "task"))
"""The fields that people see, and how they are called there."""
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "exc_text"}
_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"), (-(10**9), "debug"))


def level_name(number: int) -> str:
    """Return a level as records have it, whatever a library calls its own: ``debug``, ``info``, ``warn``, ``error``."""
    return next(name for least, name in _LEVELS if number >= least)


def escaped(text: str) -> str:
    """Return a text as one line in which control characters can be seen."""
    return text if text.isprintable() else _CONTROL.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\r": "\\r"}.get(match[0]) or (
        f"\\x{ord(match[0]):02x}" if ord(match[0]) < 256 else f"\\u{ord(match[0]):04x}"
    )


class _Format(logging.Formatter):
    """Base of both: takes a record apart, without secrets."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        super().__init__()
        self._scrub = scrub

    def text(self, text: str) -> str:
        """Return a text as it may be logged."""
        clean = self._scrub(text if len(text) <= _LOOKED_AT else text[:_LOOKED_AT])
        left = len(clean) - LONGEST + max(0, len(text) - _LOOKED_AT)
        return clean if left <= 0 else f"{clean[:LONGEST]}… ({left} more characters)"

    def message(self, record: logging.LogRecord) -> str:
        try:
            said = record.getMessage()
        except Exception as error:  # noqa: BLE001 - a library's mistake must not cost the line
            said = f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"
        return self.text(said)

    def exception(self, record: logging.LogRecord) -> str:
        """Return the traceback, and the stack where one was asked for; empty without both."""
        parts = []
        if record.exc_info:
            try:
                parts.append(self.formatException(record.exc_info))
            except Exception:  # noqa: BLE001 - an exception that cannot be shown is named
                parts.append(getattr(record.exc_info[0], "__name__", "exception"))
        elif record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(record.stack_info)
        return self.text("\n".join(parts)) if parts else ""

    def attached(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what was attached to the record with ``extra``."""
        if record.__dict__.keys() <= _STANDARD:
            return {}
        return {
            self.text(name): self._value(name, value)
            for name, value in record.__dict__.items()
            if name not in _STANDARD and not name.startswith("_")
        }

    def _value(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if names_credential(name):
            return MARK
        try:
            return self.text(str(value))
        except Exception as error:  # noqa: BLE001 - as above
            return f"({type(error).__name__})"


class Lines(_Format):
    """For people: ``12:30:01 warning missive.gateway: text  adapter=http work=…``. A traceback is indented below."""

    def format(self, record: logging.LogRecord) -> str:
        message = escaped(self.message(record))
        words = [time.strftime("%H:%M:%S", time.localtime(record.created)), record.levelname.lower()]
        line = f"{' '.join(words)} {escaped(record.name)}: {message}{self._about(message)}"
        below = self.exception(record)
        return "\n  ".join((line, *(escaped(each) for each in below.splitlines()))) if below else line

    def _about(self, message: str) -> str:
        fields = current_fields()
        said = [
            f"{name}={_word(self._scrub(value))}"
            for field, name in _SHOWN
            if (value := fields.get(field)) is not None and value not in message
        ]
        return "  " + " ".join(said) if said else ""


def _word(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else f'"{escaped(value)}"'


class Json(_Format):
    """For programs: one object with ``timestamp``, ``level``, ``target``, ``message``, the ids of what it is about
    (``trace_id``, ``work_id``, ``agent`` …), what was attached as ``extra``, and ``exception``.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": level_name(record.levelno),
            "target": record.name,
            "message": self.message(record),
        }
        trace = current_trace()
        if trace is not None:
            line["trace_id"], line["span_id"] = trace.trace_id, trace.span_id
        fields = current_fields()
        if fields:
            joined = "\n".join(fields.values())
            clean = self._scrub(joined) == joined and len(joined) <= LONGEST  # at once, since it nearly always is
            for name, value in fields.items():
                line.setdefault(name, value if clean else self.text(value))
        if attached := self.attached(record):
            line["extra"] = attached
        if exception := self.exception(record):
            line["exception"] = exception
        return _INVISIBLE.sub(_unicode, _encoded(line))


def _unicode(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _encoded(line: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(line).decode()
    except (UnicodeEncodeError, OverflowError, ValueError):  # half a character, from a name of a file or elsewhere
        from json import dumps

        return dumps(line, default=str)
