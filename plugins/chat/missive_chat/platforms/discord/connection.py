"""The gateway's socket: connecting, resuming, giving up.

The library's own loop reconnects for ever, with a traceback in the log each time, and never says that it is in vain.
This one uses the library's socket, and tells the bridge after some attempts.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from logging import Logger
from typing import Any

import aiohttp
import anyio
import discord
import yarl
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.discord.client import UNREADABLE, Client

GATEWAY = "wss://gateway.discord.gg"
CONNECT_TIMEOUT = 60.0
ATTEMPTS = 8
"""In a row, with doubling pauses: about a minute."""
LOGIN_EVERY = 5.0
"""Seconds between two logins, as Discord asks; resuming is none."""
STABLE = 60.0
"""A connection that lasted so many seconds was a good one. Discord resets a bot's token after 1000 logins a day."""

_REFUSED = {
    4004: ("Authentication failed", "The token is not valid: make a new one on the page Bot of the application."),
    4010: ("Invalid shard", None),
    4011: ("Sharding required", "The bot is in too many servers for one connection: take it out of some."),
    4012: ("Invalid API version", "Update missive."),
    4013: ("Invalid intents", "Update missive."),
    4014: (
        "Disallowed intents",
        "Turn on Message Content Intent on the page Bot of the application, at https://discord.com/developers/applications.",
    ),
}


async def stay_connected(
    client: Client, gateway: str | None, take: Callable[[], Awaitable[None]], alive: Callable[[], None], log: Logger
) -> None:
    """Stay connected until cancelled; call `take` after each frame, for what it made happen.

    `gateway`: also resume there, and not where Discord says. Raises `ChatLoginError`; `ChatError` after some attempts.
    """
    first = yarl.URL(gateway or GATEWAY)
    session: dict[str, Any] = {"gateway": first}
    failures, logged_in = 0, -LOGIN_EVERY
    while True:
        if not session.get("resume"):
            await anyio.sleep(max(0.0, logged_in + LOGIN_EVERY - anyio.current_time()))
            logged_in = anyio.current_time()
        began = anyio.current_time()
        try:
            with anyio.fail_after(CONNECT_TIMEOUT):
                socket = client.ws = await DiscordWebSocket.from_client(client, **session)
            session = {"gateway": first}
            while True:
                await _next_frame(socket, log)
                alive()
                await take()
        except ReconnectWebSocket as order:
            reason = f"asked to {order.op.lower()}"
            session = _resuming(client, first if gateway else None) if order.resume else {"gateway": first}
        except discord.ConnectionClosed as closed:
            why, fix = _REFUSED.get(closed.code, (None, None))
            if why is not None:
                message = f"Discord closed the connection: {closed.code} {why}"
                raise ChatLoginError(message, help=fix) from closed
            reason = f"closed with {closed.code}"
            session = _resuming(client, first if gateway else None)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            session = _resuming(client, first if gateway else None)
        finally:
            _stop_heart(client)
        failures = 0 if anyio.current_time() - began > STABLE else failures + 1
        if failures >= ATTEMPTS:
            raise ChatError(f"the connection to Discord was lost, and {failures} attempts failed: {reason}")
        pause = 0.0 if failures <= 1 else min(2.0 ** (failures - 2), 30.0) * random.uniform(0.5, 1.5)  # noqa: S311
        log.info("discord: the connection ended (%s); connecting again in %.1f s", reason, pause)
        await anyio.sleep(pause)
        if failures >= ATTEMPTS - 2:  # where the session is, nobody answers any more: begin a new one
            session = {"gateway": first}


async def _next_frame(socket: DiscordWebSocket, log: Logger) -> None:
    """Wait for a frame, and have the library read it. One that it cannot read is left out."""
    try:
        await socket.poll_event()
    except UNREADABLE as error:
        log.warning("discord: an event was left out, because it could not be read: %r", error)


def _resuming(client: Client, gateway: yarl.URL | None) -> dict[str, Any]:
    """Return how to go on with the session, if there is one."""
    socket: DiscordWebSocket | None = client.ws
    if socket is None or socket.session_id is None:
        return {"gateway": gateway or yarl.URL(GATEWAY)}
    return {
        "gateway": gateway or socket.gateway,
        "resume": True,
        "session": socket.session_id,
        "sequence": socket.sequence,
    }


def _stop_heart(client: Client) -> None:
    """Stop the thread that keeps a socket alive which is not used any more."""
    socket: DiscordWebSocket | None = client.ws
    if socket is not None and socket._keep_alive is not None:
        socket._keep_alive.stop()
        socket._keep_alive = None
