"""The ``transports`` plugin: roads to agents other than HTTP and gRPC that come with missive.

This module only declares. The work is in the module beside it, which is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import TransportSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1


@hookimpl
def missive_agent_transports() -> Iterator[TransportSpec]:
    """Declare the transports."""
    yield TransportSpec(
        "unix", "missive_transports.unix:UnixTransport", "Lines of JSON-RPC over a Unix socket: unix:///path/to/socket."
    )
