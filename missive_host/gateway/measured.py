"""The metrics on their way to a collector: what Prometheus would read, from time to time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from missive_host.core.telemetry import LAST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.core.telemetry import Telemetry
    from missive_host.gateway.metrics import Metrics
    from missive_host.outputs_gateway import Status
    from missive_host.telemetry.otlp import MetricExport


class Measured:
    """Sends the metrics of one gateway."""

    def __init__(self, export: MetricExport, interval: float, metrics: Metrics, status: Callable[[], Status]) -> None:
        self._export = export
        self._interval = interval
        self._metrics = metrics
        self._status = status

    async def run(self) -> None:
        """Send them, until cancelled."""
        while True:
            await anyio.sleep(self._interval)
            await self._send()

    async def end(self) -> None:
        """Send them a last time, if that does not take long."""
        with anyio.move_on_after(LAST_SECONDS):
            await self._send()

    async def _send(self) -> None:
        readings = self._metrics.readings(self._status())
        await anyio.to_thread.run_sync(self._export.send, readings, abandon_on_cancel=True)


def measured(telemetry: Telemetry | None, metrics: Metrics, status: Callable[[], Status]) -> Measured | None:
    """Return what sends the metrics, if they are to be sent; and let them count the spans."""
    if telemetry is None:
        return None
    metrics.spans = telemetry.spans
    if telemetry.metrics is None:
        return None
    return Measured(telemetry.metrics, telemetry.interval, metrics, status)
