"""The ``filters`` plugin: the filters that come with missive.

This module only declares. The work is in the modules beside it, which are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import InboundFilterSpec, Option, OutboundFilterSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1

_REDACT = ("redact", "missive_filters.redact:Redact", "Takes card numbers, keys and what you name out of texts.")
_REDACT_OPTIONS = (
    Option(
        "kinds",
        "choice",
        choices=("card", "email", "iban", "key"),
        repeated=True,
        default=("card", "key"),
        help="What it knows; an empty list for nothing but `patterns`.",
    ),
    Option("patterns", repeated=True, help="Regular expressions of what else is taken out."),
    Option("mark", default="[redacted]", help="What stands in its place."),
)


@hookimpl
def missive_inbound() -> Iterator[InboundFilterSpec]:
    """Declare what looks at what comes in."""
    yield InboundFilterSpec(*_REDACT, options=_REDACT_OPTIONS)
    yield InboundFilterSpec(
        "limit",
        "missive_filters.limit:Limit",
        "Refuses commands that are too big, or that have too many parts or files.",
        options=(
            Option("size", "size", help="Largest command as JSON. Bytes of files are not in it."),
            Option("parts", "integer", minimum=0, help="How many parts a message may have, files included."),
            Option("files", "integer", minimum=0, help="How many files a message may have; 0: none."),
        ),
    )


@hookimpl
def missive_outbound() -> Iterator[OutboundFilterSpec]:
    """Declare what looks at what goes out."""
    yield OutboundFilterSpec(*_REDACT, options=_REDACT_OPTIONS)
