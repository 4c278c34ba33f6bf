"""Events as log records of OpenTelemetry, in the JSON encoding of OTLP: what a collector reads from a file.

Each line is a ``LogsData``, as the file exporter of OpenTelemetry writes it. The names are those of the sink ``otel``.
It needs no SDK.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host import __version__
from missive_host.core.journal import told_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from missive_host.store import EventRow

_TROUBLE = frozenset(("failed", "rejected", "dead_letter", "skipped"))
_SEVERITIES = {False: (9, "INFO"), True: (13, "WARN")}


def log_records(rows: Iterable[EventRow], profile: str) -> Iterator[str]:
    """Yield one line with all of these events, none if there are none."""
    records = [_record(row, profile) for row in rows]
    if records:
        scope = {"scope": {"name": "missive.journal", "version": __version__}, "logRecords": records}
        resource = {"attributes": [_attribute("service.name", "missive")]}
        data = {"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]}
        yield msgspec.json.encode(data).decode() + "\n"


def _record(row: EventRow, profile: str) -> dict[str, Any]:
    trouble = row.event_type.rpartition(".")[2] in _TROUBLE or told_state(row.payload) in _TROUBLE
    number, text = _SEVERITIES[trouble]
    at = str(_nanoseconds(row.timestamp))
    about: dict[str, str | int | None] = {
        "missive.event.id": row.event_id,
        "missive.event.position": row.sequence,
        "missive.event.source": row.source,
        "missive.profile": profile,
        "missive.agent": row.agent_alias,
        "missive.context.id": row.context_id,
        "missive.task.id": row.task_id,
        "missive.message.id": row.message_id,
        "missive.work.id": row.work_id,
    }
    return {
        "timeUnixNano": at,
        "observedTimeUnixNano": at,
        "severityNumber": number,
        "severityText": text,
        "eventName": row.event_type,
        # As text: collectors agree about that, and not about maps with nothing or mixed lists in them.
        "body": {"stringValue": json.dumps(row.payload, ensure_ascii=False)},
        "attributes": [_attribute(name, value) for name, value in about.items() if value],
    }


def _attribute(name: str, value: str | int) -> dict[str, Any]:
    # 64-bit numbers are texts in the JSON of Protocol Buffers.
    return {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def _nanoseconds(timestamp: str) -> int:
    moment = datetime.fromisoformat(timestamp)
    return (int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond) * 1000
