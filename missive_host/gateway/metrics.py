"""What Prometheus reads, and a collector of OpenTelemetry gets.

What happened is counted here; how things stand is read from the `Status` each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import UNSET
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from missive_host.outputs_gateway import Status
    from missive_host.telemetry.otlp import Reading, SpanExport

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Seconds. An agent may think for minutes."""


_CALLS = "rpc_client_call_duration_seconds"
_NAMES = {_CALLS: "rpc.client.call.duration"}
"""Names that OpenTelemetry's conventions have for what Prometheus writes otherwise; so have its labels."""
_LABELS = {
    _CALLS: {
        "agent": "gen_ai.agent.name",
        "rpc_system": "rpc.system.name",
        "rpc_method": "rpc.method",
        "error_type": "error.type",
    }
}


class Metrics:
    """The numbers of one daemon, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._deliveries = Counter(
            "missive_deliveries", "Deliveries that have ended.", ("adapter", "outcome"), registry=self._registry
        )
        self._seconds = Histogram(
            "missive_delivery_seconds",
            "From the acceptance of a delivery to its end.",
            ("adapter",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._agent_errors = Counter(
            "missive_agent_errors", "Calls on agents that have failed.", ("agent", "category"), registry=self._registry
        )

        self._calls = Histogram(
            _CALLS,
            "Calls on agents, each try by itself; of a stream until it ends.",
            ("agent", "rpc_system", "rpc_method", "error_type"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.spans: SpanExport | None = None
        """What sends spans, to tell how many."""

    def called(self, agent: str, system: str, method: str, error: str, seconds: float) -> None:
        """Count a call on an agent; `error` is empty if there was none."""
        self._calls.labels(agent, system, method, error).observe(seconds)

    def delivered(self, adapter: str, outcome: str, seconds: float) -> None:
        """Count a delivery that has ended (``done``, ``failed``, ``dead``, ``cancelled``) so long after acceptance."""
        self._deliveries.labels(adapter, outcome).inc()
        self._seconds.labels(adapter).observe(max(seconds, 0.0))

    def agent_error(self, agent: str, category: str) -> None:
        """Count a failed call, by the category of the error."""
        self._agent_errors.labels(agent, category).inc()

    def render(self, status: Status, accept: str = "") -> tuple[bytes, str]:
        """Return the text of a scrape and its media type: OpenMetrics if `accept` asks for it."""
        encode, media_type = choose_encoder(accept)
        return encode(self._snapshot(status)), media_type

    def readings(self, status: Status) -> tuple[Reading, ...]:
        """Return the same as OpenTelemetry has it."""
        return tuple(_reading(metric) for metric in self._snapshot(status).collect() if metric.samples)

    def _snapshot(self, status: Status) -> CollectorRegistry:
        snapshot = CollectorRegistry()
        snapshot.register(self._registry)
        snapshot.register(_Now(status, self.spans))
        return snapshot


def _reading(metric: Metric) -> Reading:
    from missive_host.telemetry.otlp import Buckets, Point, Reading

    labels = _LABELS.get(metric.name, {})
    unit = "s" if metric.name.endswith("_seconds") else "By" if metric.name.endswith("_bytes") else "1"
    points: list[Point] = []
    series: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in metric.samples:
        own = {labels.get(name, name): value for name, value in sample.labels.items() if name != "le" and value}
        if metric.type == "histogram":
            found = series.setdefault(tuple(own.items()), {})
            found[sample.labels.get("le") or sample.name.removeprefix(metric.name)] = sample.value
        elif not sample.name.endswith("_created"):
            points.append(Point(own, sample.value))
    for attributes, values in series.items():
        edges = {float(edge): count for edge, count in values.items() if not edge.startswith("_")}
        totals = [int(count) for _, count in sorted(edges.items())]  # each with all that are below it
        counts = tuple(high - low for low, high in zip([0, *totals], totals, strict=False))
        bounds = tuple(edge for edge in sorted(edges) if edge != float("inf"))
        points.append(Point(dict(attributes), Buckets(bounds, counts, values["_sum"])))
    kind = metric.type if metric.type in ("counter", "histogram") else "gauge"
    return Reading(_NAMES.get(metric.name, metric.name), kind, unit, metric.documentation, tuple(points))


class _Now:
    """How things stand, as metrics. Made anew for each scrape, so that what is gone leaves no series behind."""

    def __init__(self, status: Status, spans: SpanExport | None = None) -> None:
        self._status = status
        self._spans = spans

    def collect(self) -> Iterator[Metric]:
        status = self._status
        build = GaugeMetricFamily("missive_build_info", "The version that runs.", labels=("version", "profile"))
        build.add_metric((status.version, status.profile), 1)
        yield build
        yield GaugeMetricFamily("missive_ready", "1 if /readyz says so.", float(status.ready))
        yield GaugeMetricFamily("missive_uptime_seconds", "Since the daemon was started.", status.uptime_seconds)
        yield GaugeMetricFamily("missive_sessions", "Sessions that there are.", status.sessions)
        yield from self._adapters()
        yield from self._sinks()
        yield from self._queue()
        yield from self._agents()
        yield from self._telemetry()
        if status.store is not UNSET:
            yield GaugeMetricFamily("missive_journal_events", "Events in the journal.", status.store.events)
            yield GaugeMetricFamily("missive_store_bytes", "Size of the database file.", status.store.bytes)
            yield GaugeMetricFamily(
                "missive_store_writable", "1 if the store can be written.", float(status.store.writable)
            )

    def _telemetry(self) -> Iterator[Metric]:
        if self._spans is not None:
            spans = CounterMetricFamily(
                "missive_telemetry_spans", "Spans for the collector, by what became of them.", labels=("outcome",)
            )
            spans.add_metric(("exported",), self._spans.exported)
            spans.add_metric(("lost",), self._spans.lost)
            yield spans

    def _adapters(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("missive_adapter_up", "1 while the adapter runs.", labels=("adapter",))
        restarts = CounterMetricFamily(
            "missive_adapter_restarts", "How often it was started again.", labels=("adapter",)
        )
        flying = GaugeMetricFamily("missive_deliveries_in_flight", "Deliveries that run now.", labels=("adapter",))
        own = CounterMetricFamily(
            "missive_adapter_counter", "What the adapter itself has counted.", labels=("adapter", "kind", "counter")
        )
        for adapter in self._status.adapters:
            for name, value in adapter.counters.items():
                own.add_metric((adapter.name, adapter.kind, name), value)
            up.add_metric((adapter.name,), float(adapter.state == "running"))
            restarts.add_metric((adapter.name,), adapter.restarts)
            flying.add_metric((adapter.name,), adapter.in_flight)
        yield from (up, restarts, flying, own)

    def _sinks(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("missive_sink_up", "1 while the event sink is written to.", labels=("sink",))
        behind = GaugeMetricFamily("missive_sink_behind", "Events that it has yet to look at.", labels=("sink",))
        counters = {
            field: CounterMetricFamily(f"missive_sink_{name}", text, labels=("sink",))
            for field, name, text in (
                ("written", "events_written", "Events that it has kept."),
                ("dropped", "events_dropped", "Events that it did not get, or refused."),
                ("failures", "failures", "How often it has failed."),
            )
        }
        for sink in self._status.sinks:
            up.add_metric((sink.name,), float(sink.state == "running"))
            behind.add_metric((sink.name,), sink.behind)
            for field, counter in counters.items():
                counter.add_metric((sink.name,), getattr(sink, field))
        yield from (up, behind, *counters.values())

    def _queue(self) -> Iterator[Metric]:
        queue = self._status.queue
        depth = GaugeMetricFamily("missive_queue_depth", "Deliveries that have not ended.", labels=("adapter", "state"))
        for adapter, counts in queue.by_adapter.items():
            for state in ("queued", "ready", "running"):
                depth.add_metric((adapter, state), getattr(counts, state))
        yield depth
        yield GaugeMetricFamily("missive_dead_letters", "Deliveries in the dead-letter list.", queue.dead)
        waiting = 0.0 if queue.oldest_waiting_seconds is UNSET else queue.oldest_waiting_seconds
        yield GaugeMetricFamily("missive_queue_oldest_waiting_seconds", "How long the oldest waits.", waiting)

    def _agents(self) -> Iterator[Metric]:
        resting = GaugeMetricFamily("missive_agent_resting", "1 while its breaker is open.", labels=("agent",))
        flying = GaugeMetricFamily("missive_agent_in_flight", "Deliveries that it has now.", labels=("agent",))
        for agent in self._status.agents:
            resting.add_metric((agent.agent,), float(agent.breaker == "open"))
            flying.add_metric((agent.agent,), agent.in_flight)
        yield from (resting, flying)
