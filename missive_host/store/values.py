"""How values become columns and back, and how an optional filter becomes a WHERE clause."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from missive_host.errors import ValidationError

_encode = msgspec.json.Encoder(order="deterministic").encode
_encode_as_it_is = msgspec.json.Encoder().encode
from_json = msgspec.json.decode


def to_json(value: Any, *, sort: bool = True) -> str:
    """Return compact JSON with sorted keys: equal values give equal text. Raises `ValidationError`.

    Without `sort` keys keep their order.
    """
    try:
        return (_encode if sort else _encode_as_it_is)(value).decode()
    except UnicodeEncodeError:
        raise ValidationError("a string has an unpaired surrogate (\\ud800 to \\udfff)") from None


def normal_time(text: str) -> str:
    """Return any RFC 3339 time as the store writes times, so that they compare as text. Raises `ValidationError`."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"
    except (ValueError, OverflowError):
        pass
    raise ValidationError(
        f"{text!r} is not an RFC 3339 time", help="write it with a time zone, such as 2026-01-31T09:30:00Z"
    )


def rank_order(rank: str) -> tuple[tuple[int, int, str], ...]:
    """Return the key to sort ranks by: numbers within them count as numbers, so that ``2`` is before ``10``."""
    import re

    parts = re.findall(r"[0-9]+|[^0-9]+", rank)
    return (*((0, int(part), "") if part[0].isdigit() else (1, 0, part) for part in parts), (2, 0, rank))


class Where:
    """Conditions joined by AND. The conditions are constants of this package; values are always bound."""

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[Any] = []

    def add(self, condition: str, *values: Any) -> Where:
        self._conditions.append(condition)
        self.values += values
        return self

    def given(self, condition: str, value: Any) -> Where:
        """Add a condition with one placeholder, unless `value` is None."""
        return self if value is None else self.add(condition, value)

    def sql(self, head: str, tail: str = "") -> str:
        if not self._conditions:
            return f"{head} {tail}"
        return f"{head} WHERE {' AND '.join(self._conditions)} {tail}"
