"""Socket Mode: Slack sends envelopes over a WebSocket that we dial, and each is acknowledged by its id.

The library has a client for it, which cannot be used: a refused token never reaches the caller, a used address is
dialled again, and tasks of it outlive its end. What it does is little; the WebSocket is aiohttp's, as there.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from logging import Logger
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import anyio
from aiohttp import ClientWebSocketResponse, WSMsgType
from anyio.abc import TaskStatus

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.slack.api import Api, Secret, broken, is_loopback
from missive_host.errors import MissiveError

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream

    Take = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any] | None]]
    Missed = Callable[[], Awaitable[None]]

FRESH = 20.0
"""Seconds for which an address that Slack gave can be dialled."""
OVERLAP = 10.0
"""Seconds for which the old socket is read while there is a new one."""
GAP = 60.0
"""A longer time without a connection, and what happened in it is fetched."""
PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Before each attempt to be connected again; after them the connection counts as lost."""
SHORT = 5.0
"""Seconds for which a connection at least lasts."""
MAX_MESSAGE = 16 << 20

WAITING = 10_000
"""Envelopes that wait to be taken in. Of those beyond, Slack hears nothing, and sends them again."""

Envelope = tuple[ClientWebSocketResponse, dict[str, Any]]


class SocketMode:
    """The connections of one app, one after the other."""

    def __init__(
        self, api: Api, token: Secret, *, ping_interval: float, alive: Callable[[], None], log: Logger
    ) -> None:
        self._api = api
        self._token = token
        self._ping = ping_interval
        self._alive = alive
        self._log = log
        self._address: tuple[str, float] | None = None
        self._failure: Exception | None = None
        self._seen = -math.inf
        """When the last sign of life came."""

    async def log_in(self) -> None:
        """Ask for an address: Slack says at once if the token is wrong."""
        url = str((await self._api.call("apps_connections_open", app_token=self._token.reveal()))["url"])
        if urlsplit(url).scheme != "wss" and not (self._api.is_local and is_loopback(url)):
            raise ChatError("Slack gave an address for the socket that is not encrypted", permanent=True)
        self._address = url, time.monotonic()

    async def dial(self) -> ClientWebSocketResponse:
        """Open a socket. Raises `ChatError`, `ChatLoginError`."""
        if self._address is None or time.monotonic() - self._address[1] > FRESH:
            await self.log_in()
        assert self._address is not None
        url, _ = self._address
        self._address = None  # it can be used once
        try:
            return await self._api.session.ws_connect(
                url,
                autoping=False,  # so that we see the answers
                heartbeat=self._ping,
                proxy=self._api.proxy(url),
                max_msg_size=MAX_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=2),
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.WSServerHandshakeError):
                raise ChatError(f"Slack refused the socket: HTTP status {error.status}") from None
            raise broken(error, "Slack's socket") from None

    async def run(self, take: Take, missed: Missed) -> None:
        """Hand over what comes, in order, until cancelled. Raises `ChatError`, `ChatLoginError`, and what `take` does.

        An envelope is acknowledged when it was taken. `missed` is called before the first one, and after a gap.
        """
        self._failure = None
        self._seen = -math.inf
        short = 0
        send, receive = anyio.create_memory_object_stream[Envelope | None](WAITING)
        with send, receive:
            async with anyio.create_task_group() as group:
                group.start_soon(self._hand_over, receive, take, missed, group)
                while self._failure is None:
                    try:
                        socket = await self._dial_patiently()
                    except MissiveError as error:
                        self._end(group, error)
                        break
                    if time.monotonic() - self._seen > GAP:
                        await send.send(None)
                    began = time.monotonic()
                    await group.start(self._read, socket, send.send_nowait)
                    short = short + 1 if time.monotonic() - began < SHORT else 0
                    if short > 1 and self._failure is None:  # Slack lets us in, and out at once
                        await anyio.sleep(PAUSES[min(short - 1, len(PAUSES) - 1)])
                group.cancel_scope.cancel()
        assert self._failure is not None
        raise self._failure

    def _end(self, group: TaskGroup, error: Exception) -> None:
        self._failure = self._failure or error
        group.cancel_scope.cancel()

    async def _dial_patiently(self) -> ClientWebSocketResponse:
        for pause in PAUSES:
            await anyio.sleep(pause)
            try:
                return await self.dial()
            except ChatError as error:
                if error.permanent:
                    raise
                self._log.warning("no connection to Slack: %s", error)
                if error.retry_after is not None:
                    await anyio.sleep(error.retry_after)
        return await self.dial()

    async def _read(
        self,
        socket: ClientWebSocketResponse,
        put: Callable[[Envelope | None], None],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Read until the socket ends. Says that it has started when the next one is to be dialled."""
        leaving = False
        try:
            with anyio.CancelScope() as scope:
                while True:
                    message = await socket.receive()
                    if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                        break
                    self._alive()
                    self._seen = time.monotonic()
                    if message.type is WSMsgType.PING:
                        await socket.pong(message.data)
                    elif message.type is WSMsgType.TEXT and self._heard(message.data, socket, put) and not leaving:
                        leaving = True
                        scope.deadline = anyio.current_time() + OVERLAP
                        task_status.started()
                    if self._failure is not None:
                        break
        except (aiohttp.ClientError, OSError) as error:
            self._log.info("the socket broke: %s", type(error).__name__)
        finally:
            if not leaving:
                task_status.started()
            with anyio.CancelScope(shield=True), suppress(Exception):
                await socket.close()

    def _heard(self, text: str, socket: ClientWebSocketResponse, put: Callable[[Envelope | None], None]) -> bool:
        """Take one message. True: Slack is about to end the connection."""
        try:
            message = json.loads(text)
        except ValueError:
            self._log.warning("Slack sent something that is not JSON")
            return False
        if not isinstance(message, dict):
            return False
        kind = message.get("type")
        if kind == "hello":
            self._log.info("connected to Slack; connections of the app: %s", message.get("num_connections", 1))
        elif kind == "disconnect":
            return self._told_to_leave(str(message.get("reason") or ""))
        elif "envelope_id" in message:
            try:
                put((socket, message))
            except anyio.WouldBlock:
                self._log.warning("too many events wait; Slack will send this one again")
        return False

    def _told_to_leave(self, reason: str) -> bool:
        if reason == "link_disabled":
            self._failure = ChatLoginError(
                "Slack ended the connection: link_disabled", help="turn Socket Mode on in the settings of the app"
            )
        elif reason == "too_many_websockets":
            self._failure = ChatError(
                "Slack ended the connection: too_many_websockets",
                help="ten processes are connected with this app token: give each of them an app of its own",
            )
        return True

    async def _hand_over(
        self, envelopes: MemoryObjectReceiveStream[Envelope | None], take: Take, missed: Missed, group: TaskGroup
    ) -> None:
        try:
            async for item in envelopes:
                if item is None:
                    await missed()
                    continue
                socket, envelope = item
                payload = envelope.get("payload")
                answer = await take(str(envelope.get("type")), payload if isinstance(payload, dict) else {})
                ack: dict[str, Any] = {"envelope_id": envelope["envelope_id"]}
                if answer is not None and envelope.get("accepts_response_payload"):
                    ack["payload"] = answer
                with suppress(aiohttp.ClientError, OSError, RuntimeError):  # it comes again, and is known then
                    await socket.send_str(json.dumps(ack))
        except MissiveError as error:
            self._end(group, error)
