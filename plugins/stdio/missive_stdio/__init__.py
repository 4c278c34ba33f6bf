"""The ``stdio`` plugin: JSON frames on standard input, answers on standard output.

This module only declares. The work is in ``adapter``, which is imported when the door is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import AdapterSpec, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1

_CONTRACT = "missive.stdio.v1"


@hookimpl
def missive_adapters() -> Iterator[AdapterSpec]:
    """Declare the adapter and its options."""
    yield AdapterSpec(
        name="stdio",
        factory="missive_stdio.adapter:StdioAdapter",
        summary="JSON frames on standard input, answers on standard output.",
        accepts=(_CONTRACT,),
        emits=(_CONTRACT,),
        options=(
            Option(
                "mode",
                "choice",
                choices=("single-shot", "long-running"),
                help="single-shot reads one frame and ends; long-running reads one frame a line until the input ends. "
                "single-shot is the default on the command line, long-running in the gateway.",
            ),
            Option(
                "framing",
                "choice",
                choices=("json", "ndjson"),
                help="How answers are written: json (indented, single-shot only) or ndjson (one line each). "
                "json is the default of single-shot, ndjson that of long-running.",
            ),
            Option(
                "concurrency",
                "integer",
                default=4,
                minimum=1,
                maximum=1024,
                help="How many frames are worked on at once; no more are read while so many are in flight.",
            ),
            Option(
                "max_line",
                "size",
                default=8 * 1024 * 1024,
                minimum=1024,
                help="The longest frame that is read, in bytes. A longer one is skipped and gets an error frame.",
            ),
        ),
        examples=(
            """printf '%s\\n' '{"id":"req-1","command":"task_list"}' | missive adapter stdio""",
            "missive adapter stdio --mode long-running < frames.ndjson",
            "missive adapter stdio --mode long-running --concurrency 16",
        ),
        owns_stdio=True,
        status="stable",
    )
