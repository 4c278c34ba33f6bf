"""Ids made here, and the clock they come from."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta


def new_id() -> str:
    """Return a UUID version 7 (RFC 9562 section 5.7): unique, and in the order of time."""
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (
        (millis & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & (2**62 - 1)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(*parts: str) -> str:
    """Return a UUID version 8 (RFC 9562 section 5.8) that is always the same for the same texts."""
    from hashlib import sha256

    digest = sha256("\0".join(parts).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = value & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def now() -> str:
    """Return the time now: RFC 3339 in UTC with microseconds, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def after(seconds: float) -> str:
    """Return the time so many seconds from now (negative: ago), as `now` does."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="microseconds")[:26] + "Z"
