"""What was said while nobody listened: read from the history, back to the last message that was taken."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from logging import Logger
from typing import TYPE_CHECKING, Any

import anyio

from missive_chat.platform import ChatError, Cursor, Inbound
from missive_chat.platforms.slack.api import SlackError
from missive_chat.platforms.slack.translate import Me, message

if TYPE_CHECKING:
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

    from missive_chat.platforms.slack.api import Api

NAME = "latest"
MARGIN = 600.0
"""Seconds further back than the last one: Slack sends again for five minutes, and so not in order."""
THREADS = 86_400.0
"""Of older threads no new replies are found."""
EVERY = 5.0
"""Seconds between two notes of the position: each is a commit."""
PAGE = 200
PAGES = 5
CHATS = 100
KINDS = ("public_channel", "private_channel", "mpim", "im")
WAITS, LONGEST_WAIT = 3, 30.0


class Missed:
    """Keeps the time of the last message, and finds what came after it."""

    def __init__(self, api: Api, cursor: Cursor, log: Logger, *, max_age: float, channels: tuple[str, ...]) -> None:
        self._api = api
        self._cursor = cursor
        self._log = log
        self._max_age = max_age
        self._channels = channels
        found = cursor.get(NAME)
        self._latest = float(found) if found else 0.0
        self._noted = self._latest
        self._noted_at = 0.0

    async def begin(self) -> None:
        """Without a position the time begins now."""
        if not self._latest:
            await self.note(time.time(), now=True)

    async def note(self, sent_at: float | None, *, now: bool = False) -> None:
        """A message of this time was taken."""
        if sent_at is not None:
            self._latest = max(self._latest, min(sent_at, time.time()))
        due = now or time.monotonic() - self._noted_at >= EVERY
        if due and self._latest > self._noted:
            await self._cursor.set(NAME, f"{self._latest:.6f}")
            self._noted, self._noted_at = self._latest, time.monotonic()

    async def find(self, me: Me) -> list[Inbound]:
        """Return what was said since, oldest first. What cannot be read is left out, and said in the log."""
        oldest = max(self._latest - MARGIN, time.time() - self._max_age)
        found: list[Inbound] = []
        try:
            for chat, direct in await self._chats():
                try:
                    async with aclosing(self._messages(chat, oldest)) as messages:
                        async for event in messages:
                            new = message(event, me, chat, direct=direct)
                            if new is not None:
                                found.append(new)
                except SlackError as error:
                    if not error.permanent:
                        raise
                    self._log.warning("what was said in %s in the meantime cannot be read: %s", chat, error)
        except ChatError as error:
            self._log.warning("what was said in the meantime cannot all be read: %s", error)
        return sorted(found, key=lambda new: new.sent_at or 0.0)

    async def _chats(self) -> list[tuple[str, bool]]:
        """Return the conversations that we are in, as far as the scopes let us see them, with those of the options."""
        found = {chat: chat.startswith("D") for chat in self._channels}
        for kinds in (",".join(KINDS), *KINDS):
            try:
                answer = await self._call("users_conversations", types=kinds, exclude_archived=True)
            except SlackError as error:
                if error.code != "missing_scope":
                    raise
                continue
            found |= {str(item["id"]): bool(item.get("is_im")) for item in answer.get("channels") or ()}
            if kinds not in KINDS:
                break
        if len(found) > CHATS:
            self._log.warning("%d conversations; only %d are looked through", len(found), CHATS)
        return list(found.items())[:CHATS]

    async def _call(self, method: str, **arguments: Any) -> AsyncSlackResponse:
        """Call a method that reads; if it is called too often, do it again when Slack says so."""
        for _ in range(WAITS):
            try:
                return await self._api.call(method, limit=PAGE, **arguments)
            except SlackError as error:
                if error.retry_after is None or error.retry_after > LONGEST_WAIT:
                    raise
                await anyio.sleep(error.retry_after)
        return await self._api.call(method, limit=PAGE, **arguments)

    async def _messages(self, chat: str, oldest: float) -> AsyncGenerator[dict[str, Any]]:
        """Yield messages of a conversation and of its threads."""
        pages = self._pages("conversations_history", channel=chat, oldest=f"{oldest - THREADS:.6f}")
        async with aclosing(pages):
            async for item in pages:
                if float(item.get("ts") or 0) > oldest:
                    yield item
                if float(item.get("latest_reply") or 0) > oldest:
                    replies = self._pages("conversations_replies", channel=chat, ts=item["ts"], oldest=f"{oldest:.6f}")
                    async with aclosing(replies):
                        async for reply in replies:
                            if reply.get("ts") != item["ts"]:
                                yield reply

    async def _pages(self, method: str, **arguments: Any) -> AsyncGenerator[dict[str, Any]]:
        for _ in range(PAGES):
            answer = await self._call(method, **arguments)
            for item in answer.get("messages") or ():
                yield item
            arguments["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
            if not arguments["cursor"]:
                return
