"""The ``http`` plugin: frames in the bodies of HTTP requests, answers as JSON or as live streams.

This module only declares. The work is in ``adapter``, which is imported when the door is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1

_CONTRACT = "missive.http.v1"


@hookimpl
def missive_adapters() -> Iterator[AdapterSpec]:
    """Declare the adapter and its options."""
    yield AdapterSpec(
        name="http",
        factory="missive_http.adapter:HttpAdapter",
        summary="Frames by HTTP: answers as JSON, as events, or later under a receipt; signed webhooks.",
        accepts=(_CONTRACT,),
        emits=(_CONTRACT,),
        options=(
            Option(
                "auth",
                "choice",
                choices=("token", "none"),
                help="Ask for a bearer token (see `missive token`), or for nothing. Without this: token, unless the "
                "gateway listens on the loopback interface only.",
            ),
            Option(
                "wait",
                "duration",
                default=30.0,
                help="How long a request waits for its answer; then it gets a receipt. `Prefer: wait=N` overrides it.",
            ),
            Option("max_wait", "duration", default=300.0, help="The longest wait that a request may ask for."),
            Option(
                "max_body",
                "size",
                default=8 * 1024 * 1024,
                minimum=1024,
                help="The longest body, but of multipart/form-data.",
            ),
            Option(
                "max_upload",
                "size",
                default=64 * 1024 * 1024,
                minimum=1024,
                help="The longest body of multipart/form-data: the frame and all its files.",
            ),
            Option(
                "rate_limit",
                "integer",
                minimum=1,
                maximum=1_000_000,
                help="How many frames a minute each token may send; without this no limit.",
            ),
            Option(
                "burst",
                "integer",
                minimum=1,
                maximum=1_000_000,
                help="How many of them at once, after a while without any; without this as many as in a minute.",
            ),
            Option(
                "heartbeat",
                "duration",
                default=15.0,
                help="How long an event stream is silent before it says that it lives.",
            ),
            Option(
                "routes",
                "table",
                help="Webhooks by name, each a table: `scheme` (github or standard), `secret`, and `agent` or `group`; "
                "also `message`.",
            ),
        ),
        foreground=False,
        carries_files=True,
        status="stable",
    )
