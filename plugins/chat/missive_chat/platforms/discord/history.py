"""What was said while we were away.

Discord replays events to a session that is resumed within minutes. After that the messages are fetched. One position
serves all channels: ids grow with the time, so it is the id up to which everything was received. It is written down
now and then; what was received since then is found again, and known by its event id.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from logging import Logger
from typing import Any

import anyio
import discord

from missive_chat.platform import ChatError, Cursor
from missive_chat.platforms.discord.client import Client
from missive_chat.platforms.discord.outbound import errors

POSITION = "position"
DIRECTS = "directs"
WRITE_EVERY = 5.0
OVERLAP = timedelta(seconds=60)
"""Events of different channels may come out of the order of their ids."""
PAGE = 100
MOST_DIRECTS = 200
"""Discord does not list direct conversations: the latest ones are remembered."""
LONGEST_WAIT = 60.0


class History:
    """Fetches, for one account, and knows the position."""

    def __init__(self, client: Client, cursor: Cursor, options: Mapping[str, Any], log: Logger) -> None:
        self._client = client
        self._cursor = cursor
        self._options = options
        self._log = log
        self._position = int(cursor.get(POSITION) or 0)
        self._written_at = -WRITE_EVERY
        self._directs: list[int] = json.loads(cursor.get(DIRECTS) or "[]")

    async def received(self, message_id: int, direct: int | None) -> None:
        """Note that a message is on the disk. `direct`: the channel, of a direct one."""
        self._position = max(self._position, message_id)
        if direct is not None and direct not in self._directs:
            self._directs = [*self._directs, direct][-MOST_DIRECTS:]
            await self._cursor.set(DIRECTS, json.dumps(self._directs))
        if anyio.current_time() - self._written_at >= WRITE_EVERY:
            await self._cursor.set(POSITION, str(self._position))
            self._written_at = anyio.current_time()

    async def catch_up(self, take: Callable[[discord.Message], Awaitable[None]]) -> None:
        """Hand over the messages after the position: by channel, the oldest first. Raises `ChatError`."""
        now = self._client.now
        newest = self._position
        if newest:  # else it is the first start, and what was said before is none of our business
            oldest = now - timedelta(seconds=self._options["max_age"])
            since = max(discord.utils.snowflake_time(newest) - OVERLAP, oldest)
            after = discord.utils.time_snowflake(since)
            for channel in self._channels(after):
                last = after
                page = await self._page(channel, last)
                while page:
                    for message in page:
                        await take(message)
                    last = page[-1].id
                    newest = max(newest, last)
                    page = await self._page(channel, last) if len(page) == PAGE else []
        self._position = newest or discord.utils.time_snowflake(now)
        await self._cursor.set(POSITION, str(self._position))

    def _channels(self, after: int) -> Iterable[discord.abc.Messageable]:
        policy, chosen = self._options["group_policy"], set(self._options["channels"])
        if policy != "disabled":
            for guild in self._client.guilds:
                for channel in (*guild.channels, *guild.threads):
                    if not isinstance(channel, discord.abc.Messageable) or (channel.last_message_id or 0) <= after:
                        continue
                    above = channel.parent_id if isinstance(channel, discord.Thread) else channel.id
                    if policy == "open" or str(above) in chosen:
                        yield channel
        if self._options["dm_policy"] != "disabled":
            yield from (self._client.get_partial_messageable(channel_id) for channel_id in self._directs)

    async def _page(self, channel: discord.abc.Messageable, after: int) -> list[discord.Message]:
        while True:
            try:
                with errors(f"fetching what was missed in {channel}"):
                    found = channel.history(limit=PAGE, after=discord.Object(after), oldest_first=True)
                    return [message async for message in found]
            except ChatError as error:
                if error.permanent:
                    self._log.warning("discord: %s", error)
                    return []
                if error.retry_after is None or error.retry_after > LONGEST_WAIT:
                    raise
                await anyio.sleep(error.retry_after)
