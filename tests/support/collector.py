"""A collector of OpenTelemetry on the loopback interface: it takes OTLP over HTTP and keeps what it got."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric


class GotSpan:
    """A span as it arrived."""

    def __init__(self, span: Any, resource: dict[str, Any]) -> None:
        self.name: str = span.name
        self.kind: int = span.kind
        self.trace_id: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.attributes = attributes(span)
        self.failed = span.status.code == 2
        self.links = [link.trace_id.hex() for link in span.links]
        self.state: str = span.trace_state
        self.begun: int = span.start_time_unix_nano
        self.ended: int = span.end_time_unix_nano
        self.resource = resource

    def __repr__(self) -> str:
        return f"{self.name} {self.id} < {self.parent} {self.attributes}"


def attributes(thing: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in thing.attributes}


class Collector:
    """Runs while it is entered. `status` is what it answers; with `slow` it takes its time."""

    def __init__(self, *, status: int = 200, slow: float = 0.0) -> None:
        self.status, self.slow = status, slow
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[GotSpan] = []
        self.metrics: list[Metric] = []
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.stopping.wait(collector.slow)
                collector.take(self.path, body, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        with self._changed:
            self.bodies.append(body)
            self.headers.append(headers)
            if self.status == 200 and path == "/v1/traces":
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    resource = attributes(group.resource)
                    self.spans += [GotSpan(span, resource) for scope in group.scope_spans for span in scope.spans]
            elif self.status == 200 and path == "/v1/metrics":
                for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    self.metrics += [metric for scope in metrics.scope_metrics for metric in scope.metrics]
            self._changed.notify_all()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def until(self, *names: str, seconds: float = 30) -> list[GotSpan]:
        """Wait until spans of these names have come, and return all that have."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while missing := set(names) - {span.name for span in self.spans}:
                left = deadline - time.monotonic()
                assert left > 0, (missing, self.spans)
                self._changed.wait(left)
            return list(self.spans)

    def one(self, name: str) -> GotSpan:
        """Return the one span of this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


def seen_by_agent(answer: Any) -> dict[str, Any]:
    """Return what the agent has told of the request that it got."""
    found: list[Any] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if "traceparent" in value and "a2a-version" in value:
                found.append(value)
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(answer)
    told: dict[str, Any] = found[0]
    return told
