"""The result documents of ``missive logs``."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the gateway's log."""

    message: str
    level: str | UnsetType = UNSET
    """``debug``, ``info``, ``warn`` or ``error``. Not there if the line is not one of missive's: then ``message`` has
    the line as it stands."""
    timestamp: str | UnsetType = UNSET
    target: str | UnsetType = UNSET
    """Which part of missive, or which library, has logged it."""
    exception: str | UnsetType = UNSET
    trace_id: str | UnsetType = UNSET
    span_id: str | UnsetType = UNSET
    fields: dict[str, str]
    """What it is about: ``work_id``, ``frame_id``, ``adapter``, ``agent``, ``message_id``, ``task_id``,
    ``context_id`` …"""
    extra: dict[str, Any] | UnsetType = UNSET
    """What a library has attached."""


class LogRecord(LogLine, Data, frozen=True, kw_only=True):
    """One record, where results are lines."""

    kind = "log_record"


class LogsResult(Data, frozen=True, kw_only=True):
    kind = "logs"
    profile: str
    path: str
    """The newest file of the log; full ones lie beside it as ``.1``, ``.2`` …"""
    filters: dict[str, Any]
    count: int
    records: tuple[LogLine, ...]
    """The oldest first. Where results are lines, each is a ``log_record`` of its own."""
    message: str
