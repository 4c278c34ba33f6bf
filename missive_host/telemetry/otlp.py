"""Spans and metrics on their way to a collector, by OTLP over HTTP. Needs the extra ``otel``.

::

    road ─ take ─► queue (bounded) ─► one thread ─► OTLPSpanExporter ─► collector
                     └ full: dropped, and counted     └ refused, away, slow: lost, counted, and said once

Nothing here is waited for, but at the end, for a bounded time. The exporter is called without the SDK's own queue,
which cannot be told by when it has to be done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.telemetry.sampling import Sampler
from missive_host.telemetry.spans import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

    from missive_host.telemetry import TraceContext

log = logging.getLogger("missive.telemetry")

QUEUE = 8192
"""Spans that wait to be sent; more are dropped."""
BATCH = 512
EVERY = 2.0
"""Seconds after which less than a batch is sent, too."""
SCOPE = "missive"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send to, and as whom. What is None is as the variables ``OTEL_*`` say."""

    urls: Mapping[str, str | None]
    """Of each signal that is sent: ``traces``, ``metrics``."""
    headers: Mapping[str, str] | None = None
    attributes: Mapping[str, str] = {}
    """Of the resource: ``service.name`` …"""
    redact: Callable[[str], str] = str
    """Takes secrets out of a text."""
    timeout: float | None = None
    """Seconds for a batch, with all its retries."""

    def resource(self) -> Resource:
        from opentelemetry.sdk.resources import Resource

        return Resource.create(dict(self.attributes))


class Voice(logging.Filter):
    """Keeps what an exporter says of each failure; the first of a row of them is said, and their end."""

    def __init__(self, exporter: str, what: str) -> None:
        super().__init__()
        self._what = what
        self.reason = ""
        self.failing = False
        self._logger = logging.getLogger(exporter)
        self._logger.addFilter(self)

    def close(self) -> None:
        self._logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        self.reason = self.reason or record.getMessage()  # the first says what is wrong, the last that it is given up
        return False

    def failed(self) -> None:
        if not self.failing:
            self.failing = True
            log.warning(
                "the collector does not take %s; this is not said again until it does: %s", self._what, self.reason
            )
        self.reason = ""

    def succeeded(self, lost: int) -> None:
        if self.failing:
            self.failing = False
            log.warning("the collector takes %s again; %d were lost", self._what, lost)
        self.reason = ""


class SpanExport:
    """A `Recorder` that sends what it takes to a collector. `start` is for who runs long: others send at the end."""

    def __init__(self, target: Target, sampler: Sampler, make: Callable[[], SpanExporter] | None = None) -> None:
        self._target = target
        self._sampler = sampler
        self._make = make or self._exporter
        self._made: SpanExporter | None = None
        self._queue: deque[Span] = deque()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._sending = 0
        self._voice = Voice("opentelemetry.exporter.otlp.proto.http.trace_exporter", "spans")
        self.exported = 0
        self.lost = 0
        """Spans that were dropped because the queue was full, or that the collector did not take."""

    def samples(self, trace: TraceContext, *, new: bool) -> bool:
        return self._sampler.samples(trace, new=new)

    def take(self, span: Span) -> None:
        if len(self._queue) >= QUEUE:
            self.lost += 1
            return
        self._queue.append(span)
        if len(self._queue) >= BATCH and not self._wake.is_set():
            self.start()
            self._wake.set()

    def start(self) -> None:
        """Send what comes from time to time."""
        if self._thread is None and not self._stopping:
            thread = threading.Thread(target=self._work, name="missive-telemetry", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there may be no more threads: the next call tries again
                return
            self._thread = thread

    def close(self, seconds: float) -> None:
        """Send what is left, for so long at the most; then what could not be sent is lost."""
        if self._queue:
            self.start()
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                left = len(self._queue) + self._sending
                log.warning("not all spans could be sent within %g s: %d are lost", seconds, left)
                if self._made is not None:
                    self._made.shutdown()  # ends its retries
                return
        else:
            self.lost += len(self._queue)
        if self.lost:
            log.info("%d spans were lost", self.lost)
        if self._made is not None:
            self._made.shutdown()
        self._voice.close()

    # --- the thread

    def _work(self) -> None:
        while True:
            self._wake.wait(EVERY)
            self._wake.clear()
            while self._queue:
                self._send([self._queue.popleft() for _ in range(min(len(self._queue), BATCH))])
            if self._stopping:
                return

    def _send(self, spans: list[Span]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            if self._made is None:
                self._made = self._make()
                self._resource = self._target.resource()
            self._sending = len(spans)
            sent = self._made.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS
        except Exception as error:
            log.debug("spans", exc_info=True)
            self._voice.reason = type(error).__name__
            sent = False
        self._sending = 0
        if sent:
            self.exported += len(spans)
            self._voice.succeeded(self.lost)
        else:
            self.lost += len(spans)
            self._voice.failed()

    def _exporter(self) -> SpanExporter:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        target = self._target
        return OTLPSpanExporter(endpoint=target.urls["traces"], headers=target.headers, timeout=target.timeout)

    def _readable(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        redact = self._target.redact
        attributes: dict[str, Any] = {
            name: redact(value) if isinstance(value, str) else value for name, value in span.attributes.items()
        }
        return ReadableSpan(
            name=redact(span.name),
            context=_context(span.trace, span.trace.span_id),
            parent=None if span.parent is None else _context(span.trace, span.parent),
            resource=self._resource,
            attributes=attributes,
            links=[Link(_context(link, link.span_id)) for link in span.links],
            kind=SpanKind[span.kind.upper()],
            status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR),
            start_time=span.begun,
            end_time=span.ended,
            instrumentation_scope=InstrumentationScope(SCOPE),
        )


def _context(trace: TraceContext, span_id: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    return SpanContext(
        int(trace.trace_id, 16),
        int(span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([trace.state]) if trace.state else None,
    )


# --- metrics


class Buckets(msgspec.Struct, frozen=True):
    """What a histogram has counted: in each bucket (one more than there are bounds), in all, and their sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Point(msgspec.Struct, frozen=True):
    """A series and its value."""

    attributes: dict[str, str]
    value: float | Buckets


class Reading(msgspec.Struct, frozen=True):
    """One instrument as it stands. ``kind`` is ``counter``, ``gauge`` or ``histogram``."""

    name: str
    kind: str
    unit: str
    help: str
    points: tuple[Point, ...]


class MetricExport:
    """Sends readings to a collector. `send` waits, so it is for a thread."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._began = time.time_ns()
        self._exporter: Any = None
        self._voice = Voice("opentelemetry.exporter.otlp.proto.http.metric_exporter", "metrics")
        self._lost = 0
        self._sending = threading.Lock()

    def send(self, readings: Sequence[Reading]) -> None:
        """Send them, unless another is still being sent; never raises."""
        if self._sending.acquire(blocking=False):
            try:
                self._send(readings)
            finally:
                self._sending.release()

    def _send(self, readings: Sequence[Reading]) -> None:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        try:
            if self._exporter is None:
                from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

                self._exporter = OTLPMetricExporter(endpoint=self._target.urls["metrics"], headers=self._target.headers)
                self._resource = self._target.resource()
            sent = self._exporter.export(self._data(readings)) is MetricExportResult.SUCCESS
        except Exception as error:
            log.debug("metrics", exc_info=True)
            self._voice.reason = type(error).__name__
            sent = False
        if sent:
            self._voice.succeeded(self._lost)
        else:
            self._lost += 1
            self._voice.failed()

    def close(self) -> None:
        if self._exporter is not None:
            self._exporter.shutdown()
        if not self._sending.locked():
            self._voice.close()

    def _data(self, readings: Sequence[Reading]) -> Any:
        from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        now = time.time_ns()
        metrics = [Metric(each.name, each.help, each.unit, self._points(each, now)) for each in readings]
        scope = ScopeMetrics(InstrumentationScope(SCOPE), metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    def _points(self, reading: Reading, now: int) -> Any:
        from opentelemetry.sdk.metrics.export import (
            AggregationTemporality,
            Gauge,
            Histogram,
            HistogramDataPoint,
            NumberDataPoint,
            Sum,
        )

        cumulative = AggregationTemporality.CUMULATIVE
        unknown: Any = None
        if reading.kind == "histogram":
            buckets = [(point.attributes, point.value) for point in reading.points]
            return Histogram(
                [
                    HistogramDataPoint(
                        attributes=attributes,
                        start_time_unix_nano=self._began,
                        time_unix_nano=now,
                        count=sum(value.counts),
                        sum=value.total,
                        bucket_counts=value.counts,
                        explicit_bounds=value.bounds,
                        min=unknown,
                        max=unknown,
                    )
                    for attributes, value in buckets
                    if isinstance(value, Buckets)
                ],
                cumulative,
            )
        began = self._began if reading.kind == "counter" else 0
        points = [
            NumberDataPoint(attributes=point.attributes, start_time_unix_nano=began, time_unix_nano=now, value=value)
            for point in reading.points
            if isinstance(value := point.value, int | float)
        ]
        return Gauge(points) if reading.kind == "gauge" else Sum(points, cumulative, is_monotonic=True)
