"""Logging to stderr. Without a flag only warnings are shown, and ``logging`` is not even imported."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.cli.flags import Flags


def configure(flags: Flags, redact: Callable[[str], str] | None = None) -> None:
    """Set the log up as flags and environment say; `redact` takes secrets out of each line.

    ``-v`` shows what missive does, ``-vv`` its details, ``-vvv`` and ``--trace`` the details of every library, too.
    ``MISSIVE_LOG_FORMAT=json`` (or ``MISSIVE_LOG_JSON=1``) makes each record one line of JSON.
    """
    as_json = os.environ.get("MISSIVE_LOG_FORMAT") == "json" or os.environ.get("MISSIVE_LOG_JSON") == "1"
    level = 3 if flags.trace else min(flags.verbose, 3)
    if not level and not as_json and "logging" not in sys.modules:
        return  # Python itself shows warnings on stderr if somebody logs one
    from missive_host.cli.logformat import install

    install(level, as_json=as_json, redact=redact)
