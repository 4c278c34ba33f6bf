"""A circuit breaker for each agent: one that keeps failing is rested, for longer each time.

The usual three states. Closed: calls go through and failures are counted. Open: policies leave the agent in peace
until ``until``. Half open: after that it may be chosen again, by one message; for the others it rests on until that
one is through. Its failure opens the breaker at once and for twice as long, its success closes it. Only what says
that the agent is not there counts: connections, HTTP 5xx and 429, and being too slow to take a message. A task that
fails is an answer. A message to the agent by its own name is always sent.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from missive_host.errors import DeadlineError, MissiveError, TransportError
from missive_host.store.rows import BreakerRow

if TYPE_CHECKING:
    from missive_host.store import Tables

THRESHOLD = 3
"""Failures in a row that open it."""
REST = 30.0
"""Seconds of the first rest."""
LONGEST_REST = 600.0
TRIAL_SECONDS = 30.0
"""How long others wait for the message that tries an agent: whoever sent it may be killed."""
ERROR_CHARACTERS = 500
"""How much of the last error is kept."""


def counts(error: MissiveError) -> bool:
    """Whether an error of a call says that the agent is not there."""
    if isinstance(error, DeadlineError):
        return True
    if not isinstance(error, TransportError):
        return False
    status = error.a2a.http_status if error.a2a is not None else None
    return status is None or status >= 500 or status == 429


def is_resting(row: BreakerRow | None, at: str) -> bool:
    return row is not None and row.until is not None and row.until > at


def tries(tables: Tables, alias: str, at: str) -> bool:
    """Tell whether a message to this agent is the one that tries whether it is back; then its rest is moved on."""
    row = tables.breakers.get(alias)
    if row is None or row.opened_at is None or row.until is None or is_resting(row, at):
        return False
    until = _later(at, TRIAL_SECONDS)
    opened_at = _later(until, -_seconds(row.opened_at, row.until))  # as long as it was: the next is twice that
    tables.breakers.put(replace(row, opened_at=opened_at, until=until, updated_at=at))
    return True


def failed(tables: Tables, alias: str, error: str, at: str, *, tried: bool = False) -> None:
    """Count a failure, and open the breaker if it is one too many, or if it was `tried` whether the agent is back.

    What else fails while it is open was under way before, or was sent to the agent by name: the rest is not made
    longer.
    """
    row = tables.breakers.get(alias) or BreakerRow(alias=alias, failures=0, updated_at=at)
    failures, opened_at, until = row.failures + 1, row.opened_at, row.until
    if failures >= THRESHOLD and (tried or not is_resting(row, at)):
        rest = min(2 * _seconds(opened_at, until), LONGEST_REST) if opened_at and until else REST
        opened_at, until = at, _later(at, rest)
    tables.breakers.put(
        BreakerRow(
            alias=alias,
            failures=failures,
            opened_at=opened_at,
            until=until,
            last_error=error[:ERROR_CHARACTERS],
            updated_at=at,
        )
    )


def succeeded(tables: Tables, alias: str, at: str) -> None:
    """Close the breaker."""
    tables.breakers.put(BreakerRow(alias=alias, failures=0, updated_at=at))


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def _later(at: str, seconds: float) -> str:
    moved = datetime.fromisoformat(at) + timedelta(seconds=seconds)
    return moved.isoformat(timespec="microseconds").replace("+00:00", "Z")
