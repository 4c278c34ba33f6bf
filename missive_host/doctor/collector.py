"""The collector of traces and metrics, if there is to be one: whether it can be reached at all."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from missive_host.core.telemetry import INSTALL, is_installed, wanted_urls
from missive_host.doctor.findings import failed, passed, quoted, warned

if TYPE_CHECKING:
    from missive_host.config import Settings
    from missive_host.outputs_doctor import DoctorCheck

EXIT_CONFIG = 78


def collector(settings: Settings, seconds: float) -> tuple[DoctorCheck, ...]:
    """Connect to the collector. Nothing waits for it, so one that is away is a warning."""
    block, environ = settings.config.telemetry, settings.environ
    urls = wanted_urls(block, environ)
    if not urls:
        return ()
    name = "telemetry.collector"
    if not is_installed():
        if block.endpoint is not None:
            return (failed(name, EXIT_CONFIG, "what sends traces and metrics is not installed", INSTALL),)
        return (warned(name, "the environment names a collector, but what sends to it is not installed", INSTALL),)
    named = [environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT") for signal in urls]
    found = [*named, environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"), *urls.values()]
    parts = urlsplit(next(url for url in found if url).strip())
    place = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    try:
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=seconds * 0.8):
            return (passed(name, f"the collector at {place} can be reached", signals=list(urls)),)
    except OSError as error:
        said = f"the collector at {place} cannot be reached: {(error.strerror or str(error)).lower()}"
        mend = f"curl -i {quoted(f'{parts.scheme}://{place}')}"
        return (warned(name, said, mend, signals=list(urls)),)
