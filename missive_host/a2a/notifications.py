"""Push notifications as they come: StreamResponse objects of 1.0, and the bare objects of 0.3."""

from __future__ import annotations

from typing import Any

from missive_host.a2a.shapes import EVENT_TYPES, Json


def decode_notification(value: Any) -> Json:
    """Return a notification as a canonical StreamResponse. Raises `ValueError` or `TypeError` if it is none."""
    from missive_host.a2a.codec import Codec, Codec03, Codec10

    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    codec: Codec = Codec10() if any(name in value for name in EVENT_TYPES) else Codec03()
    return codec.decode("subscribe", value, rest=False)
