"""A Slack on loopback, as the documentation has it: Web API, Socket Mode, signed requests, files.

Strict where Slack is: tokens, scopes, arguments that a method does not know, limits, states of streams. The client on
the other side is the real one. Every call is in `calls`; what went wrong at the wire is in `faults`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web
from support.chat.fake_slack_api import APP_TOKEN, BOT_ID, BOT_TOKEN, BOT_USER, SIGNING_SECRET, TEAM
from support.chat.fake_slack_files import SlackFiles
from support.chat.fake_slack_rules import buttons, shown

__all__ = [
    "APP_TOKEN",
    "BOT_ID",
    "BOT_TOKEN",
    "BOT_USER",
    "SIGNING_SECRET",
    "TEAM",
    "FakeSlack",
    "buttons",
    "shown",
    "signed",
]


class FakeSlack(SlackFiles):
    """
    ::

        async with FakeSlack() as slack:
            ...  # a client with api_url = slack.api_url
            await slack.say("hello", channel="D1", user="U1")
    """

    # --- life

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link/", self._socket)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_get("/files/{file}", self._download)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.api_url = f"{self.base}/api/"
        self._client = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        self.frozen = False
        self.let_go()
        for socket in list(self.sockets):
            _cut(socket)
        await self._runner.cleanup()

    # --- Socket Mode

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=403)
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.opened += 1
        self.sockets.append(socket)
        try:
            if len(self.sockets) > self.max_sockets:
                await socket.send_json({"type": "disconnect", "reason": "too_many_websockets", "debug_info": {}})
                return socket
            await socket.send_json(
                {
                    "type": "hello",
                    "num_connections": len(self.sockets),
                    "debug_info": {"host": "applink", "approximate_connection_time": 18060},
                    "connection_info": {"app_id": "A1"},
                }
            )
            async for message in socket:
                if self.frozen:
                    continue
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    self._acknowledged(json.loads(message.data))
        finally:
            if socket in self.sockets:
                self.sockets.remove(socket)
        return socket

    def _acknowledged(self, ack: dict[str, Any]) -> None:
        envelope = ack.get("envelope_id")
        if envelope not in self._acked:
            self.faults.append(f"an unknown envelope was acknowledged: {ack}")
            return
        self.acks[envelope] = ack
        self._acked[envelope].set()

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Say what Slack says before it ends a connection, and end it."""
        for socket in list(self.sockets):
            await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink"}})

    def cut(self) -> None:
        """The network breaks: no close frame."""
        for socket in list(self.sockets):
            _cut(socket)

    # --- what people do

    async def deliver(self, kind: str, payload: dict[str, Any], *, attempts: int = 3, accepts: bool = False) -> bool:
        """Send an event until it is acknowledged; return if it was."""
        for attempt in range(attempts):
            if await self.attempt(kind, payload, attempt=attempt, accepts=accepts):
                return True
        return False

    async def attempt(self, kind: str, payload: dict[str, Any], *, attempt: int = 0, accepts: bool = False) -> bool:
        started = time.monotonic()
        if self.request_url is not None:
            done = await self._post(kind, payload, attempt)
            self.deliveries.append((payload.get("event_id", kind), time.monotonic() - started, done))
            return done
        envelope = str(uuid.uuid4())
        self._acked[envelope] = asyncio.Event()
        body = {"envelope_id": envelope, "type": kind, "payload": payload, "accepts_response_payload": accepts}
        if kind == "events_api":
            body |= {"retry_attempt": attempt, "retry_reason": "timeout" if attempt else ""}
        try:
            async with asyncio.timeout(self.ack_timeout):
                await self._send(body, attempt)
                await self._acked[envelope].wait()
        except TimeoutError:
            self.deliveries.append((envelope, time.monotonic() - started, False))
            return False
        self.deliveries.append((envelope, time.monotonic() - started, True))
        return True

    async def _send(self, body: dict[str, Any], attempt: int) -> None:
        """Send over one of the sockets; wait for one if there is none."""
        while True:
            with suppress(ConnectionError, IndexError):
                await self.sockets[attempt % max(1, len(self.sockets))].send_json(body)
                return
            await asyncio.sleep(0.01)

    async def _post(self, kind: str, payload: dict[str, Any], attempt: int) -> bool:
        if kind == "events_api":
            body, content_type = json.dumps(payload), "application/json"
        elif kind == "interactive":
            body, content_type = urlencode({"payload": json.dumps(payload)}), "application/x-www-form-urlencoded"
        else:
            body, content_type = urlencode(payload), "application/x-www-form-urlencoded"
        headers = signed(body) | {"Content-Type": content_type}
        if attempt:
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": "http_timeout"}
        assert self.request_url is not None
        try:
            async with asyncio.timeout(self.ack_timeout):
                async with self._client.post(self.request_url, data=body.encode(), headers=headers) as response:
                    return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        return {
            "token": "deprecated",
            "team_id": TEAM,
            "api_app_id": "A1",
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{next(self._numbers):09d}",
            "event_time": int(time.time()),
            "authorizations": [{"enterprise_id": None, "team_id": TEAM, "user_id": BOT_USER, "is_bot": True}],
        }

    def spoken(
        self,
        text: str,
        *,
        channel: str = "C1",
        user: str = "U1",
        thread: str | None = None,
        files: Iterable[dict[str, Any]] = (),
        **more: Any,
    ) -> dict[str, Any]:
        """A message that somebody wrote, as the event; it is in the history."""
        ts = self.ts()
        event: dict[str, Any] = {
            "type": "message",
            "user": user,
            "text": text,
            "channel": channel,
            "channel_type": self.channels[channel],
            "ts": ts,
            "event_ts": ts,
            "team": TEAM,
            "client_msg_id": str(uuid.uuid4()),
            **({"thread_ts": thread} if thread else {}),
            **more,
        }
        if files:
            event |= {"subtype": "file_share", "files": list(files)}
        self.messages[channel, ts] = dict(event)
        return event

    async def say(self, text: str, **more: Any) -> str:
        """Say something; with a mention Slack sends it twice, in two kinds. Return the time stamp."""
        event = self.spoken(text, **more)
        await self.deliver("events_api", self.event(event))
        if f"<@{BOT_USER}" in text and event["channel_type"] != "im":
            mention = {k: v for k, v in event.items() if k not in ("channel_type", "subtype")}
            await self.deliver("events_api", self.event(mention | {"type": "app_mention"}))
        return str(event["ts"])

    async def edited(self, channel: str, ts: str, text: str) -> None:
        before = dict(self.messages[channel, ts])
        now = before | {"text": text, "edited": {"user": before["user"], "ts": self.ts()}}
        self.messages[channel, ts] = now
        event = {
            "type": "message",
            "subtype": "message_changed",
            "hidden": True,
            "channel": channel,
            "channel_type": self.channels[channel],
            "ts": self.ts(),
            "message": _inner(now),
            "previous_message": _inner(before),
        }
        await self.deliver("events_api", self.event(event))

    async def deleted(self, channel: str, ts: str) -> None:
        before = self.messages.pop((channel, ts))
        event = {
            "type": "message",
            "subtype": "message_deleted",
            "hidden": True,
            "channel": channel,
            "channel_type": self.channels[channel],
            "ts": self.ts(),
            "deleted_ts": ts,
            "previous_message": _inner(before),
        }
        await self.deliver("events_api", self.event(event))

    def pressed(self, channel: str, ts: str, value: str, *, user: str = "U1") -> dict[str, Any]:
        message = self.messages[channel, ts]
        elements = [e for b in message.get("blocks", ()) if b["type"] == "actions" for e in b["elements"]]
        button = next(element for element in elements if element["value"] == value)
        container = {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False}
        if message.get("thread_ts"):
            container["thread_ts"] = message["thread_ts"]
        return {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": TEAM},
            "api_app_id": "A1",
            "token": "deprecated",
            "container": container,
            "trigger_id": f"1.2.{uuid.uuid4().hex}",
            "team": {"id": TEAM, "domain": "team"},
            "channel": {"id": channel, "name": "general"},
            "message": _inner(message),
            "response_url": f"{self.base}/response",
            "actions": [{**button, "block_id": "b1", "action_ts": self.ts()}],
        }

    async def press(self, channel: str, ts: str, value: str, *, user: str = "U1") -> None:
        await self.deliver("interactive", self.pressed(channel, ts, value, user=user))

    def slashed(self, command: str, text: str, *, channel: str = "C1", user: str = "U1") -> dict[str, Any]:
        return {
            "token": "deprecated",
            "team_id": TEAM,
            "team_domain": "team",
            "channel_id": channel,
            "channel_name": "general",
            "user_id": user,
            "user_name": user.lower(),
            "command": command,
            "text": text,
            "api_app_id": "A1",
            "response_url": f"{self.base}/response",
            "trigger_id": f"1.2.{uuid.uuid4().hex}",
        }

    async def slash(self, command: str, text: str = "", **more: Any) -> None:
        await self.deliver("slash_commands", self.slashed(command, text, **more), accepts=True)


def signed(body: str, *, at: float | None = None, secret: str = SIGNING_SECRET) -> dict[str, str]:
    """The headers of a request that Slack makes."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


def _inner(message: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in message.items() if k not in ("channel", "channel_type", "event_ts")}


def _cut(socket: web.WebSocketResponse) -> None:
    request = socket._req
    if request is not None and request.transport is not None:
        request.transport.abort()
