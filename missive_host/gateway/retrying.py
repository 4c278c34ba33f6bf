"""What is tried again, and when. Pure functions: who runs work calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.errors import TransportError
from missive_host.protocols import IntakeFullError

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = 1.0
"""Seconds before the second try, without jitter; they double from try to try."""
LONGEST = 30.0
LONGEST_ASKED = 3600.0
"""Seconds that an agent may ask us to wait."""


def retryable(error: BaseException) -> bool:
    """Tell whether what has failed so is safe and worth to be tried again.

    That is: the agent is certain not to have got the request, since it could not be reached, or said that it is busy.
    Everything else may have been done already, or would fail in the same way.
    """
    if isinstance(error, IntakeFullError):
        return True
    return isinstance(error, TransportError) and not error.sent


def pause(attempts: int, error: BaseException | None = None, *, jitter: Callable[[], float]) -> float:
    """Return how many seconds to wait after the try with this number, counted from 1.

    1, 2, 4, … 30 s, each shortened by up to a half, so that what has failed together does not come back together.
    `jitter` gives a number from 0 to 1: `random.random`. If the agent has said how long to wait, it is at least that.
    """
    seconds = min(FIRST * 2.0 ** min(max(attempts, 1) - 1, 16), LONGEST)
    seconds *= 1 - jitter() / 2
    return max(seconds, min(_asked(error), LONGEST_ASKED))


def _asked(error: BaseException | None) -> float:
    if isinstance(error, IntakeFullError):
        return error.retry_after
    if isinstance(error, TransportError) and error.a2a is not None:
        return error.a2a.retry_after or 0.0
    return 0.0
