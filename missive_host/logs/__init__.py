"""The log: what it looks like, where it goes, and how it is read again. Only the gateway writes a file.

Without a flag only warnings are shown, and ``logging`` is not even imported.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def configure(verbosity: int, redact: Callable[[str], str] | None = None) -> None:
    """Set the log of a command up: on stderr, as flags and environment say; `redact` takes secrets out of each line.

    `verbosity` counts from 0 to 3: ``-v`` shows what missive does, ``-vv`` its details, ``-vvv`` and ``--trace`` the
    details of every library, too. ``MISSIVE_LOG_FORMAT=json`` (or ``MISSIVE_LOG_JSON=1``) makes each record one line
    of JSON.
    """
    if not verbosity and not wants_json() and "logging" not in sys.modules:
        return  # Python itself shows warnings on stderr if somebody logs one
    from missive_host.logs.setup import install

    install(verbosity, as_json=bool(wants_json()), redact=redact)


def wants_json() -> bool | None:
    """Return what the environment says about the format of the log on stderr; None: nothing."""
    said = os.environ.get("MISSIVE_LOG_FORMAT")
    if said == "json" or os.environ.get("MISSIVE_LOG_JSON") == "1":
        return True
    return False if said == "text" else None
