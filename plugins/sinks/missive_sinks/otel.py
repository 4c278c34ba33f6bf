"""``otel``: events as log records of OpenTelemetry.

The exporter is called by itself, without the SDK's queue behind which records are lost in silence: what it did not
hand over stays in the journal, and comes again.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from missive_host.errors import ConfigError, TransportError
from missive_sinks.documents import is_trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from missive_host.protocols import JournalEvent, SinkContext


class OtelSink:
    """An `EventSink`."""

    def __init__(self, context: SinkContext) -> None:
        options = context.options
        endpoint = options["endpoint"]
        where = f"sinks.{context.name}.settings"
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"{where}.endpoint: expected an http or https URL", help="its path is usually /v1/logs")
        self._exporter = OTLPLogExporter(
            endpoint=endpoint, headers=_headers(options["headers"] or {}, where), timeout=options["timeout"]
        )
        self._profile = context.profile
        self._resource = Resource.create({"service.name": options["service"]})
        self._scope = InstrumentationScope("missive.journal")

    async def write(self, events: Sequence[JournalEvent]) -> None:
        records = [self._record(event) for event in events]
        result = await anyio.to_thread.run_sync(self._exporter.export, records, abandon_on_cancel=True)
        if result is not LogRecordExportResult.SUCCESS:
            raise TransportError(
                f"the collector did not take {len(records)} log records",
                help="what it or the network said is in the log, under `opentelemetry`",
            )

    async def aclose(self) -> None:
        await anyio.to_thread.run_sync(self._exporter.shutdown)

    def _record(self, event: JournalEvent) -> ReadableLogRecord:
        found: dict[str, str | int | None] = {
            "missive.event.id": event.id,
            "missive.event.position": event.position,
            "missive.event.source": event.source,
            "missive.profile": self._profile,
            "missive.agent": event.agent,
            "missive.context.id": event.context,
            "missive.task.id": event.task,
            "missive.message.id": event.message,
        }
        severity = SeverityNumber.WARN if is_trouble(event) else SeverityNumber.INFO
        at = int(datetime.fromisoformat(event.at).timestamp() * 1_000_000) * 1000
        record = LogRecord(
            timestamp=at,
            observed_timestamp=at,
            severity_number=severity,
            severity_text=severity.name,
            # As text: collectors agree about that, and not about maps with nothing or mixed lists in them.
            body=json.dumps(dict(event.payload), ensure_ascii=False),
            attributes={name: value for name, value in found.items() if value},
            event_name=event.type,
        )
        return ReadableLogRecord(record, self._resource, self._scope)


def _headers(table: Mapping[str, Any], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        text = value.reveal() if hasattr(value, "reveal") else value
        if not isinstance(text, str):
            raise ConfigError(f"{where}.headers.{name}: expected text or a reference to a secret")
        found[name] = text
    return found
