"""The ``sinks`` plugin: the event sinks that come with missive.

This module only declares. The work is in the modules beside it, which are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import Option, SinkSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1


@hookimpl
def missive_event_sinks() -> Iterator[SinkSpec]:
    """Declare the event sinks."""
    yield SinkSpec(
        "log",
        "missive_sinks.log:LogSink",
        "Lines in the gateway's own log.",
        options=(
            Option(
                "level",
                "choice",
                default="info",
                choices=("debug", "info", "warning"),
                help="Level of what is no trouble; failures are warnings.",
            ),
            Option("payload", "boolean", default=True, help="With what the event says, cut at 2000 characters."),
        ),
    )
    yield SinkSpec(
        "jsonl",
        "missive_sinks.jsonl:JsonLinesSink",
        "A file with one JSON object a line, which is rotated.",
        options=(
            Option("path", "path", required=True, help="The file. Its folder is made."),
            Option("max_size", "size", default="10MiB", help="A file that would become bigger is put aside."),
            Option("keep", "integer", default=5, minimum=0, maximum=1000, help="How many old files stay: path.1 …"),
        ),
    )
    yield SinkSpec(
        "otel",
        "missive_sinks.otel:OtelSink",
        "Log records of OpenTelemetry, sent by OTLP over HTTP.",
        options=(
            Option(
                "endpoint",
                help="Such as http://127.0.0.1:4318/v1/logs; without it OTEL_EXPORTER_OTLP_ENDPOINT or localhost.",
            ),
            Option("headers", "table", help='For a token: { Authorization = { secret = "env:OTLP_HEADER" } }.'),
            Option("service", default="missive", help="The attribute `service.name`."),
            Option("timeout", "duration", default="10s", help="How long one request may take."),
        ),
        extra="otel",
    )
