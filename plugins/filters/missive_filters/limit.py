"""``limit``: refuses what is too big."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from missive_host.envelopes import Envelope, stored
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from missive_host.protocols import FilterContext

TEXTS = ("message", "stdin_text")
PARTS = ("files", "file_bytes", "json_parts", "text_parts")
FILES = ("files", "file_bytes")


class Limit:
    """An `InboundFilter`."""

    def __init__(self, context: FilterContext) -> None:
        self._limits = context.options
        if all(limit is None for limit in self._limits.values()):
            raise ValidationError("`limit` has nothing to limit", help="set size, parts or files")

    def inbound(self, envelope: Envelope) -> Envelope:
        command = stored(envelope)["command"]
        if self._limits["size"] is not None:
            self._check("size", len(json.dumps(command, ensure_ascii=False, separators=(",", ":")).encode()), "bytes")
        texts = sum(command.get(key) is not None for key in TEXTS)
        self._check("parts", texts + _count(command, PARTS), "parts")
        self._check("files", _count(command, FILES), "files")
        return envelope

    def _check(self, name: str, count: int, what: str) -> None:
        limit = self._limits[name]
        if limit is not None and count > limit:
            raise ValidationError(f"it has {count} {what}, at most {limit} are allowed", help="send less at once")


def _count(command: dict[str, Any], keys: tuple[str, ...]) -> int:
    return sum(len(command.get(key) or ()) for key in keys)
