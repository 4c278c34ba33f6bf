"""The channels that we want to be in: joining, coming back after a kick, and what was heard there already."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from missive_chat.platforms.irc.wire import command, fold, target

if TYPE_CHECKING:
    from irctokens.line import Line

    from missive_chat.platform import Cursor, Inbound
    from missive_chat.platforms.irc.link import Link

_REFUSALS = {"403", "405", "407", "437", "471", "473", "474", "475", "476", "477", "480", "489", "495", "520"}
_FIRST_PAUSE, _LONGEST_PAUSE = 3.0, 300.0
_CURSOR_STEP = 10.0
"""Seconds: the position is not written down for every line. What is played back twice is known by its id."""


class Channels:
    def __init__(self, names: Iterable[str], keys: Mapping[str, Any], cursor: Cursor) -> None:
        self._names = tuple(target(name) for name in names)
        self._keys = dict(keys)
        self._cursor = cursor
        self._again: dict[str, float] = {}
        """Folded name: when to try again."""
        self._pauses: dict[str, float] = {}

    def are_ours(self, link: Link, name: str) -> bool:
        return link.fold(name) in map(link.fold, self._names)

    async def join(self, link: Link) -> None:
        self._again.clear()
        for name in self._names:
            await self._join(link, name)

    async def join_again(self, link: Link) -> None:
        """Try the channels whose time has come."""
        now = time.monotonic()
        for name in self._names:
            folded = link.fold(name)
            if folded in self._again and self._again[folded] <= now:
                self._put_off(folded)
                await self._join(link, name)

    def unanswered(self, link: Link) -> bool:
        return any(link.fold(name) not in link.joined | link.refused.keys() for name in self._names)

    async def moved(self, link: Link, line: Line) -> None:
        """Somebody has joined or left; it matters if it was us."""
        who = line.hostmask.nickname if line.source else ""
        if line.command == "KICK":
            who = line.params[1] if len(line.params) > 1 else ""
        if not link.is_me(who) or not line.params:
            return
        folded = link.fold(line.params[0])
        if line.command == "JOIN":
            link.joined.add(folded)
            link.refused.pop(folded, None)
            link.mask = line.source or ""
            self._again.pop(folded, None)
            if self._cursor.get(f"heard:{fold(folded)}") is None:
                await self._cursor.set(f"heard:{fold(folded)}", str(time.time()))
            return
        link.joined.discard(folded)
        if line.command == "KICK":
            by = line.hostmask.nickname if line.source else "somebody"
            link.refused[folded] = f"{by} has thrown us out ({line.params[-1]})"
        self._put_off(folded)

    def answered(self, link: Link, line: Line) -> None:
        """A numeric about one of our channels: it may be a refusal."""
        if line.command not in _REFUSALS or len(line.params) < 3:
            return
        folded = link.fold(line.params[1])
        if folded in map(link.fold, self._names) and folded not in link.joined:
            link.refused[folded] = line.params[-1]
            self._put_off(folded)

    def _put_off(self, folded: str) -> None:
        pause = self._pauses.get(folded, _FIRST_PAUSE)
        self._again[folded] = time.monotonic() + pause
        self._pauses[folded] = min(2 * pause, _LONGEST_PAUSE)

    async def _join(self, link: Link, name: str) -> None:
        key = self._keys.get(name)
        words = [name] if key is None else [name, key.reveal() if hasattr(key, "reveal") else str(key)]
        await link.write(command("JOIN", *words))

    def reasons(self, link: Link) -> dict[str, str | None]:
        """Return for each channel why we are not in it; None: we are."""
        return {
            name: None
            if link.fold(name) in link.joined
            else link.refused.get(link.fold(name), "the server has not answered yet")
            for name in self._names
        }

    # --- the history that some servers play back after a JOIN

    def is_old(self, inbound: Inbound) -> bool:
        """Tell whether a line of the history was said before we first came, or was heard by us."""
        heard = self._cursor.get(f"heard:{fold(inbound.place.chat)}")
        return heard is None or inbound.sent_at is None or inbound.sent_at <= float(heard) - _CURSOR_STEP

    async def seen(self, inbound: Inbound) -> None:
        """Remember how far a channel was heard."""
        if inbound.place.is_direct or inbound.sent_at is None:
            return
        key = f"heard:{fold(inbound.place.chat)}"
        heard = self._cursor.get(key)
        if heard is not None and inbound.sent_at > float(heard) + _CURSOR_STEP:
            await self._cursor.set(key, str(inbound.sent_at))
