"""The library's client, bent to our needs, per instance: two accounts in one process do not touch each other.

- The endpoints can be others.
- It does not wait in secret: a rate limit that takes longer than `PATIENCE` is raised, also a global one, so that the
  bridge can plan with it. Left to itself the library sleeps, for minutes if it must, while it holds the message.
- Events are not started as tasks, of which nobody knows the order: they are put in `Client.events`, in order.

What stays: an answer 500, 502 or 504 is tried again up to four times. That cannot double a message: it has a nonce.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of `audioop`, which the library imports for voice
    import discord
    import discord.http

from missive_host.errors import ConfigError

PATIENCE = 1.0
"""Seconds that a request waits for its turn: reactions have a limit of one in 250 ms, and are two requests."""
_NEVER = 1e-9
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
"""What reading an event raises that is not as it was known when this was written."""

_SERVERS = frozenset({"connect", "guild_available", "guild_join"})
WANTED = frozenset(
    {"connect", "interaction", "message", "raw_message_edit", "raw_message_delete", "raw_bulk_message_delete"}
)


def endpoint(value: str | None, default: str, schemes: tuple[str, str], option: str) -> str:
    """Return an endpoint without a slash at its end. Raises `ConfigError` if a token would be sent in the clear."""
    if value is None:
        return default
    parts = urlsplit(value)
    if parts.scheme not in schemes or not parts.hostname:
        message = f"`{option}` is not a URL of {schemes[0]}: {value}"
        raise ConfigError(message, help=f"Write it like {default}.")
    if parts.scheme != schemes[0] and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        message = f"`{option}` must be {schemes[0]}, because the token is sent there: {value}"
        raise ConfigError(message, help=f"Use {schemes[0]}; without it only this machine can be talked to.")
    return value.rstrip("/")


class Bucket(discord.http.Ratelimit):
    """What is left of one of Discord's limits. A request that would have to wait long is refused at once."""

    __slots__ = ()

    async def acquire(self) -> None:
        self._last_request = self._loop.time()
        while True:
            if self.is_expired():
                self.reset()  # type: ignore[no-untyped-call]
            wait = (self.expires - self._loop.time()) if self.expires is not None else 0.0
            if self.remaining > 0 or wait <= 0:
                break
            if wait > PATIENCE:
                raise discord.RateLimited(wait)
            await asyncio.sleep(wait)
        self.remaining -= 1
        self.outgoing += 1

    async def __aexit__(self, *exc_info: object) -> None:
        self.outgoing -= 1


class Http(discord.http.HTTPClient):
    """The library's HTTP client with an endpoint of its own."""

    def __init__(self, *args: Any, api_url: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._api_url = api_url
        self.max_ratelimit_timeout = _NEVER  # each 429 is raised; the constructor would make it 30 seconds

    def get_ratelimit(self, key: str) -> Bucket:
        bucket = self._buckets.get(key)
        if not isinstance(bucket, Bucket):
            bucket = self._buckets[key] = Bucket(None)
            self._try_clear_expired_ratelimits()
        return bucket

    async def request(self, route: discord.http.Route, **options: Any) -> Any:
        route.url = self._api_url + route.url.removeprefix(route.BASE)
        return await super().request(route, **options)


class Client(discord.Client):
    """The library's client. `events` has what happened, in order; `ready` says that all servers are known."""

    def __init__(self, *, api_url: str, heartbeat_timeout: float) -> None:
        quieten()
        self._api_url = api_url
        self.events: deque[tuple[str, Any]] = deque()
        self.ready = asyncio.Event()
        self.clock_offset: float | None = None
        """Seconds by which our clock is ahead of Discord's, as it was seen last."""
        intents = discord.Intents.none()
        intents.guilds = True
        intents.guild_messages = True
        intents.dm_messages = True
        intents.message_content = True
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._note_clock)
        super().__init__(
            intents=intents,
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            allowed_mentions=discord.AllowedMentions.none(),
            heartbeat_timeout=heartbeat_timeout,
            http_trace=trace,
        )

    def _get_state(self, **options: Any) -> Any:
        self.http = Http(self.loop, api_url=self._api_url, http_trace=self.http.http_trace)
        return super()._get_state(**options)

    def dispatch(self, event: str, /, *args: Any, **_: Any) -> None:
        """Take an event; the library calls this while it reads the socket."""
        if event == "connect":
            self.ready.clear()
        if event == "ready" or (event in _SERVERS and not any(guild.unavailable for guild in self.guilds)):
            self.ready.set()  # the library's own event comes two seconds after the last server
        if event in WANTED:
            self.events.append((event, args[0] if args else None))

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """The library would wait here; `connection` does it before there is a socket."""

    async def _note_clock(self, _session: Any, _context: Any, end: aiohttp.TraceRequestEndParams) -> None:
        date = end.response.headers.get("Date")
        if date is not None:
            try:
                self.clock_offset = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
            except (TypeError, ValueError):
                self.clock_offset = None

    @property
    def now(self) -> datetime:
        """The time by Discord's clock, which its ids have in them."""
        return datetime.now(UTC) - timedelta(seconds=self.clock_offset or 0.0)

    async def close(self) -> None:
        """Close the socket and the sessions, and end the task that waits for servers."""
        waiting = self._connection._ready_task
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait([waiting])
        await super().close()


def quieten() -> None:
    """Have the library write no payloads: they hold tokens, at its level DEBUG; and not that it has no voice."""
    for name, level in (("discord", logging.WARNING), ("discord.client", logging.ERROR)):
        logger = logging.getLogger(name)
        if logger.level < level:
            logger.setLevel(level)
