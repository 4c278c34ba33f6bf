"""Durations and sizes as people write them: ``30s``, ``8MiB``."""

from __future__ import annotations

import re

from missive_host.commands import duration_seconds
from missive_host.errors import ValidationError

_DURATION = re.compile(r"0*[1-9][0-9]{0,11}(ms|s|m|h)")
_SIZE = re.compile(r"(?P<number>0*[1-9][0-9]{0,14}) ?(?P<unit>B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_FACTORS = {
    None: 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}


def parse_duration(text: str, what: str = "duration") -> float:
    """Return `text` (``500ms``, ``30s``, ``5m``, ``1h``; more than zero) in seconds, or raise a `ValidationError`."""
    if not _DURATION.fullmatch(text):
        raise ValidationError(
            f"{what}: expected a whole number and ms, s, m or h, more than zero",
            help="for example 500ms, 30s, 5m or 1h",
        )
    return duration_seconds(text)


def parse_size(value: str | int, what: str = "size") -> int:
    """Return a size (``8MiB``, ``1048576``; more than zero) in bytes, or raise a `ValidationError`."""
    match = _SIZE.fullmatch(str(value))
    if isinstance(value, bool) or not match:
        raise ValidationError(
            f"{what}: expected a number of bytes, more than zero", help="for example 1048576, 512KiB or 8MiB"
        )
    return int(match["number"]) * _FACTORS[match["unit"]]
