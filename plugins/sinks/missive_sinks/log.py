"""``log``: events as lines of the gateway's own log."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from missive_sinks.documents import is_trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missive_host.protocols import JournalEvent, SinkContext

LONGEST = 2000


class LogSink:
    """An `EventSink`."""

    def __init__(self, context: SinkContext) -> None:
        self._level = getattr(logging, context.options["level"].upper())
        self._payload = context.options["payload"]
        self._log = context.log
        # Who configures a log wants to see it: this logger does not wait for -v.
        self._log.setLevel(min(self._level, logging.WARNING))

    async def write(self, events: Sequence[JournalEvent]) -> None:
        for event in events:
            self._log.log(logging.WARNING if is_trouble(event) else self._level, "%s", self._line(event))

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _line(self, event: JournalEvent) -> str:
        about = [("agent", event.agent), ("task", event.task), ("context", event.context)]
        words = [event.type, *(f"{name}={value}" for name, value in about if value)]
        if self._payload:
            text = json.dumps(dict(event.payload), ensure_ascii=False, separators=(",", ":"))
            words.append(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
        return " ".join(words)
