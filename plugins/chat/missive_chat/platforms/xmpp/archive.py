"""What was said while nobody listened: the archives of our account and of the rooms (XEP-0313), page by page."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

from missive_chat.platform import ChatError, Cursor
from missive_chat.platforms.xmpp import names as n
from missive_chat.platforms.xmpp.inbound import seconds
from missive_chat.platforms.xmpp.stream import Stream

if TYPE_CHECKING:
    from slixmpp import JID

_PAGE = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A message of an archive."""

    id: str
    stamp: float | None
    xml: Element
    sender: JID


class Archive:
    """The archive of one room, or, with our own JID as its name, ours."""

    def __init__(self, stream: Stream, name: str, cursor: Cursor, *, is_room: bool) -> None:
        self._stream = stream
        self.name = name
        self._cursor = cursor
        self._is_room = is_room

    async def begin(self) -> None:
        """The first time ever: what is there already was not said to us."""
        if self._cursor.get(self._key) is None:
            found, _ = await self._page({"before": True, "max": "1"}, None)
            await self.passed(found[-1].id if found else "", time.time())

    async def passed(self, archive_id: str, stamp: float) -> None:
        """Remember that everything up to here was taken in."""
        await self._cursor.set(self._key, f"{stamp} {archive_id}")

    async def pages(self, max_age: float) -> AsyncGenerator[list[Found], None]:
        """Yield what came after what was passed, the oldest first."""
        stamp, _, after = (self._cursor.get(self._key) or "0 ").partition(" ")
        start = max(float(stamp) - 60.0, time.time() - max_age)
        while True:
            rsm: dict[str, str | bool] = {"max": str(_PAGE), **({"after": after} if after else {})}
            try:
                found, complete = await self._page(rsm, start if not after else time.time() - max_age)
            except ChatError as error:
                if not after or not error.permanent:
                    raise
                after = ""  # it was forgotten there: by the time, then; what was known is known by its id
                continue
            yield found
            if complete or not found:
                return
            after = found[-1].id

    async def latest(self, count: int, of: str | None = None) -> list[Found]:
        """Return the last messages, the oldest first."""
        found, _ = await self._page({"before": True, "max": str(count)}, None, of)
        return found

    @property
    def _key(self) -> str:
        return f"archive:{self.name}"

    async def _page(
        self, rsm: dict[str, str | bool], start: float | None, of: str | None = None
    ) -> tuple[list[Found], bool]:
        from slixmpp.xmlstream.handler import Collector
        from slixmpp.xmlstream.matcher import MatchXPath

        client = self._stream.client
        iq = client.make_iq_set(ito=self.name if self._is_room else None)
        iq["mam"]["queryid"] = iq["id"]
        if start is not None:
            iq["mam"]["start"] = datetime.fromtimestamp(start, UTC)
        if of is not None:
            iq["mam"]["with"] = of
        for key, value in rsm.items():
            iq["mam"]["rsm"][key] = value
        collector = Collector(f"missive {iq['id']}", MatchXPath(f"{n.CLIENT}message/{n.RESULT}"))
        client.register_handler(collector)
        try:
            answer = await self._stream.ask(iq)
        finally:
            results = collector.stop()
        whole = answer.xml.find(f"{{{n.MAM}}}fin")
        return [
            found for message in results if (found := self._found(message, iq["id"])) is not None
        ], whole is None or whole.get("complete") == "true"

    def _found(self, message: Any, query: str) -> Found | None:
        from slixmpp.jid import JID

        whose = "" if not self._is_room else self.name
        result = message.xml.find(n.RESULT)
        # anybody may send a message that looks like this; ours are from the archive alone
        if message["from"].full not in {whose, whose or self.name} or result.get("queryid") != query:
            return None
        forwarded = result.find(n.FORWARDED)
        xml = forwarded.find(f"{n.CLIENT}message") if forwarded is not None else None
        if xml is None:
            return None
        delay = forwarded.find(n.DELAY)
        stamp = seconds(delay.get("stamp")) if delay is not None else None
        return Found(id=result.get("id") or "", stamp=stamp, xml=xml, sender=JID(xml.get("from") or ""))
