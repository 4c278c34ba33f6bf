"""Which traces are recorded: the samplers that OpenTelemetry names in ``OTEL_TRACES_SAMPLER``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from missive_host.telemetry import TraceContext

_RATIOS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}


class Sampler(msgspec.Struct, frozen=True):
    """A share of the traces that begin here, and by default what the caller has decided of those that come in."""

    ratio: float = 1.0
    asks_parent: bool = True

    def samples(self, trace: TraceContext, *, new: bool) -> bool:
        if self.asks_parent and not new:
            return trace.sampled
        # As TraceIdRatioBased does it: whoever else samples by the id keeps the same traces.
        return int(trace.trace_id[16:], 16) < round(self.ratio * 2**64)


def named_sampler(name: str, argument: str) -> Sampler | None:
    """Return the sampler of a name such as ``parentbased_traceidratio``; None if there is none of that name, or its
    argument is no number from 0 to 1.
    """
    plain = name.removeprefix("parentbased_")
    if plain not in _RATIOS:
        return None
    ratio = _RATIOS[plain]
    if ratio is None:
        try:
            ratio = float(argument or 1.0)
        except ValueError:
            return None
    return Sampler(ratio, plain != name) if 0.0 <= ratio <= 1.0 else None
