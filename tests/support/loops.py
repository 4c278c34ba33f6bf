"""The event loop of the tests.

Each test has a loop of its own, and gRPC one queue of events for the whole process: whichever loop reads it passes an
event on to the loop whose call it belongs to. A stream that is left before its end is cancelled at once, but gRPC hears
of that a moment later, when the loop of that test may be closed. Then it would be another test, with a loop that reads
the queue, to fail with ``Event loop is closed``. Nobody waits for such an event, so it is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")


class Loop(asyncio.SelectorEventLoop):
    """A loop that takes events of gRPC also when it is closed."""

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if self.is_closed() and getattr(callback, "__module__", None) == "grpc._cython.cygrpc":
            return asyncio.Handle(callback, args, self, context)  # never called
        return super().call_soon_threadsafe(callback, *args, context=context)
