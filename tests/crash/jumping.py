"""`missive` under a clock that jumps: now is so many seconds off as the file in JUMPING_CLOCK says.

The clock that only runs forward (`time.monotonic`) is left alone, as a system does that sets its time.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

FILE = Path(os.environ["JUMPING_CLOCK"])
real_time = time.time


def offset() -> float:
    return float(FILE.read_text() or 0)


class Jumping(dt.datetime):
    """Must be in place before anything imports `datetime` from its module."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(real_time() + offset(), tz)


dt.datetime = Jumping  # type: ignore[misc]
time.time = lambda: real_time() + offset()

from missive_host.cli import main  # noqa: E402 - not before

if __name__ == "__main__":
    main()
