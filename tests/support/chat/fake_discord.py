"""Discord on loopback: REST v10 and the gateway, strict about what Discord documents, for the real client library.

What people do is a method: `says`, `edits`, `deletes`, `presses`, `commands`. What the bot did is to be read:
`said(channel)`, `requests`, `pings`, `whispers`. What may go wrong: `limit`, `fail`, `gateway.drop` and others.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from support.chat import fake_discord_objects as objects
from support.chat.fake_discord_gateway import Gateway
from support.chat.fake_discord_objects import (
    BOT,
    BOT_ROLE,
    CHANNEL,
    DIRECT,
    GUILD,
    HIDDEN,
    MAX_FILE,
    ME,
    Json,
    Refusal,
    Request,
)
from support.chat.fake_discord_rest import route
from support.secrets import planted

TOKEN = "for.tests." + planted("discord")
ALICE, BOB = 42, 43
_NAMES = {ALICE: "alice", BOB: "bob"}
_MENTION = re.compile(r"<@!?(\d+)>")
_ROLE = re.compile(r"<@&(\d+)>")


@dataclass
class _Trouble:
    """What happens to the next requests to a path."""

    pattern: re.Pattern[str]
    times: int
    answer: Callable[[], web.Response] | None
    """None: the connection breaks."""
    after: bool
    """The request is carried out nevertheless."""
    hangs: bool = False
    """There is no answer, and the connection stays."""
    skip: int = 0


def _json(value: Any, status: int = 200, **headers: str) -> web.Response:
    # exactly this content type, as Discord has it: the library takes anything else for text
    headers = {"Content-Type": "application/json", "Via": "1.1 google", **headers}
    return web.Response(body=json.dumps(value).encode(), status=status, headers=headers)


class FakeDiscord:
    """One bot (`objects.BOT`) in one server with `CHANNEL`, and `HIDDEN`, which it may not see."""

    def __init__(self) -> None:
        self.permissions = objects.EVERYTHING
        self.flags = 1 << 18
        """Of the application: Message Content Intent is turned on."""
        self.interactions_url: str | None = None
        self.hanging = 0
        """How many requests have got no answer."""
        self.in_server = True
        self.gateway = Gateway(TOKEN, self._guild_create)
        self.channels: dict[int, Json] = {
            CHANNEL: objects.channel(CHANNEL),
            HIDDEN: objects.channel(HIDDEN, "hidden"),
            DIRECT: objects.direct(DIRECT, objects.user(ALICE, "alice")),
        }
        self.messages: dict[int, dict[int, Json]] = {}
        self.reactions: dict[int, list[str]] = {}
        self.registered: dict[str, Json] = {}
        self.requests: list[Request] = []
        self.whispers: list[Json] = []
        self.pings: list[str] = []
        """Whoever was pinged by the bot."""
        self.acknowledged: dict[int, Json] = {}
        self.edits: list[str] = []
        self.ack_seconds = 3.0
        self.bucket: tuple[int, float] | None = None
        """How many messages may be sent to a channel within how many seconds, as the headers say."""
        self._used: dict[str, int] = {}
        self._interactions: dict[str, tuple[int, float, Json]] = {}
        self._nonces: dict[tuple[int, str], int] = {}
        self._files: dict[str, bytes] = {}
        self._signature = 1
        self._trouble: list[_Trouble] = []
        self._last = 0
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/", self.gateway.serve)
        app.router.add_get("/files/{name:.*}", self._file)
        app.router.add_route("*", "/api/v10/{tail:.*}", self._rest)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base = f"http://127.0.0.1:{port}"
        self.api_url = f"{self.base}/api/v10"
        self.gateway.url = self.gateway_url = f"ws://127.0.0.1:{port}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.drop()
        await self._runner.cleanup()

    # --- to look at

    def said(self, channel: int = CHANNEL) -> list[str]:
        """Return what the bot's messages in a channel say now."""
        return [each["content"] for each in self.sent(channel)]

    def sent(self, channel: int = CHANNEL) -> list[Json]:
        return [each for each in self.messages.get(channel, {}).values() if each["author"]["id"] == str(BOT)]

    def calls(self, method: str, pattern: str) -> list[Request]:
        return [each for each in self.requests if each.method == method and re.fullmatch(pattern, each.path)]

    def file(self, message: Json, index: int = 0) -> bytes:
        return self._files[message["attachments"][index]["url"].partition("/files/")[2].partition("?")[0]]

    # --- what goes wrong

    def limit(
        self, pattern: str, retry_after: float, *, times: int = 1, skip: int = 0, is_global: bool = False
    ) -> None:
        """Answer 429 to the next requests to a path."""
        body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": is_global}
        scope = "global" if is_global else "user"
        headers = {"Retry-After": str(int(retry_after) + 1), "X-RateLimit-Scope": scope}
        self._add_trouble(pattern, times, lambda: _json(body, 429, **headers), skip=skip)

    def ban(self, pattern: str, retry_after: int) -> None:
        """Answer as what stands before the API does to who has made too many bad requests."""
        headers = {"Retry-After": str(retry_after), "Content-Type": "text/html"}
        self._add_trouble(pattern, 1, lambda: web.Response(status=429, headers=headers, body=b"<html>banned</html>"))

    def fail(self, pattern: str, status: int | None, *, times: int = 1, after: bool = False) -> None:
        """Answer a status (None: break the connection) to the next requests; `after` they were carried out."""
        answer = None if status is None else (lambda: web.Response(status=status, text="upstream"))
        self._add_trouble(pattern, times, answer, after=after)

    def hang(self, pattern: str, *, after: bool, skip: int = 0) -> None:
        """Do not answer the next request; `after` it was carried out."""
        self._trouble.append(_Trouble(re.compile(pattern), 1, None, after, hangs=True, skip=skip))

    def _add_trouble(
        self, pattern: str, times: int, answer: Callable[[], web.Response] | None, *, after: bool = False, skip: int = 0
    ) -> None:
        self._trouble.append(_Trouble(re.compile(pattern), times, answer, after, skip=skip))

    def heal(self) -> None:
        self._trouble.clear()

    def forget_interactions(self) -> None:
        """Fifteen minutes have passed."""
        self._interactions.clear()

    def age_by(self, seconds: float) -> None:
        """Everything that was said was said so much earlier."""
        for channel, known in self.messages.items():
            older = {number - (int(seconds * 1000) << 22): message for number, message in known.items()}
            self.messages[channel] = {number: {**message, "id": str(number)} for number, message in older.items()}
            if older:
                self.channels[channel]["last_message_id"] = str(max(older))

    def expire_files(self) -> None:
        """Make all URLs of files invalid: a message that is asked for again has new ones."""
        self._signature += 1

    # --- what people do

    async def says(
        self,
        content: str,
        *,
        channel: int = CHANNEL,
        by: int = ALICE,
        mention: bool = False,
        files: tuple[tuple[str, bytes], ...] = (),
        deaf: bool = False,
        **more: Any,
    ) -> int:
        """Say something; return the message's id. `deaf`: the gateway tells nobody."""
        content = f"<@{BOT}> {content}" if mention else content
        bot = bool(more.pop("bot", False))
        author = ME if by == BOT else objects.user(by, _NAMES.get(by, f"user{by}"), bot=bot)
        made = objects.message(self._snowflake(), channel, author, content, **more)
        made["mentions"] = self._mentioned(content, more)
        made["mention_roles"] = _ROLE.findall(content)
        made["attachments"] = [self._attach(made["id"], name, data, "text/plain") for name, data in files]
        self._keep(made)
        if not deaf:
            await self._tell("MESSAGE_CREATE", made)
        return int(made["id"])

    async def repeats(self, message_id: int, channel: int = CHANNEL) -> None:
        """Discord delivers a message once more."""
        await self._tell("MESSAGE_CREATE", self.messages[channel][message_id])

    async def edits_message(self, message_id: int, content: str, channel: int = CHANNEL) -> None:
        made = self.messages[channel][message_id]
        stamp = f"2026-01-01T00:00:{next(self._numbers) % 60:02}+00:00"
        made.update(content=content, edited_timestamp=stamp, mentions=self._mentioned(content, made))
        await self._tell("MESSAGE_UPDATE", made)

    async def unfurls(self, message_id: int, channel: int = CHANNEL) -> None:
        """A preview of a link is added: an update, but nobody has edited anything."""
        made = self.messages[channel][message_id]
        made["embeds"] = [{"type": "link", "url": "https://example.org/"}]
        await self._tell("MESSAGE_UPDATE", made)

    async def deletes(self, *message_ids: int, channel: int = CHANNEL) -> None:
        for number in message_ids:
            self.messages[channel].pop(number, None)
        guild = {"guild_id": str(GUILD)} if channel in self.channels and self.channels[channel]["type"] != 1 else {}
        if len(message_ids) == 1:
            data: Json = {"id": str(message_ids[0]), "channel_id": str(channel), **guild}
            await self.gateway.dispatch("MESSAGE_DELETE", data)
        else:
            data = {"ids": [str(number) for number in message_ids], "channel_id": str(channel), **guild}
            await self.gateway.dispatch("MESSAGE_DELETE_BULK", data)

    async def opens_thread(self, name: str, parent: int = CHANNEL, *, told: bool = True) -> int:
        number = self._snowflake()
        self.channels[number] = objects.thread(number, name, parent, ALICE)
        if told:
            await self.gateway.dispatch("THREAD_CREATE", self.channels[number])
        return number

    async def presses(self, message: Json, label: str, *, by: int = ALICE) -> int:
        """Press a button of a message."""
        buttons = [button for row in message["components"] for button in row["components"]]
        button = next(button for button in buttons if button["label"] == label)
        data = {"component_type": 2, "custom_id": button["custom_id"], "id": 1}
        return await self._interact(3, data, int(message["channel_id"]), by, message=message)

    async def commands(self, name: str, *values: str, channel: int = CHANNEL, by: int = ALICE) -> int:
        """Give a slash command; it must have been registered, and have these options."""
        known = self.registered[name]
        options = [
            {"type": option["type"], "name": option["name"], "value": value}
            for option, value in zip(known.get("options", ()), values, strict=False)
        ]
        return await self._interact(2, {"id": known["id"], "name": name, "type": 1, "options": options}, channel, by)

    async def _interact(self, kind: int, data: Json, channel: int, by: int, **more: Any) -> int:
        number = self._snowflake()
        token = f"interaction-{number}"
        person = objects.user(by, _NAMES.get(by, f"user{by}"))
        where: Json = {"user": person}
        if self.channels[channel]["type"] != 1:
            about = {**objects.member(person), "permissions": str(objects.EVERYTHING)}
            where = {"guild_id": str(GUILD), "member": about}
        payload = {
            "id": str(number),
            "application_id": str(objects.APPLICATION),
            "type": kind,
            "token": token,
            "version": 1,
            "channel_id": str(channel),
            "channel": self.channels[channel],
            "data": data,
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {},
            "context": 0,
            "app_permissions": str(self.permissions),
            "attachment_size_limit": MAX_FILE,
            **where,
            **more,
        }
        self._interactions[token] = (number, time.monotonic(), payload)
        await self.gateway.dispatch("INTERACTION_CREATE", payload)
        return number

    # --- how it is kept

    def _snowflake(self) -> int:
        self._last = max((int(time.time() * 1000) - objects.EPOCH) << 22, self._last + 1)
        return self._last

    def _mentioned(self, content: str, about: Json) -> list[Json]:
        numbers = {int(found) for found in _MENTION.findall(content)}
        replied = about.get("referenced_message")
        if replied:
            numbers.add(int(replied["author"]["id"]))  # whoever is replied to is pinged
        people = [ME if number == BOT else objects.user(number, _NAMES.get(number, "?")) for number in sorted(numbers)]
        return [{**person, "member": objects.member(None)} for person in people]

    def _keep(self, made: Json) -> None:
        channel = int(made["channel_id"])
        self.messages.setdefault(channel, {})[int(made["id"])] = made
        self.channels[channel]["last_message_id"] = made["id"]

    def _attach(self, message_id: str, name: str, data: bytes, media_type: str) -> Json:
        key = f"{message_id}/{name}"
        self._files[key] = data
        number = str(self._snowflake())
        url = f"{self.base}/files/{key}"
        about = {"size": len(data), "url": url, "proxy_url": url, "content_type": f"{media_type}; charset=utf-8"}
        return {"id": number, "filename": name, **about}

    def _signed(self, made: Json) -> Json:
        files = [{**each, "url": f"{each['url']}?ex={self._signature}"} for each in made["attachments"]]
        return {**made, "attachments": files}

    async def _tell(self, event: str, made: Json) -> None:
        channel = self.channels[int(made["channel_id"])]
        where: Json = {}
        if channel["type"] != 1:
            where = {"guild_id": str(GUILD)}
            if not made.get("webhook_id"):
                where["member"] = objects.member(None, (BOT_ROLE,) if made["author"]["id"] == str(BOT) else ())
        named = any(person["id"] == str(BOT) for person in made["mentions"]) or made["author"]["id"] == str(BOT)
        await self.gateway.dispatch(event, {**self._signed(made), **where}, secret=bool(where) and not named)

    def _guild_create(self) -> Json:
        channels = [each for each in self.channels.values() if each["type"] == 0 and int(each["id"]) != HIDDEN]
        threads = [each for each in self.channels.values() if each["type"] == 11]
        return objects.guild_create(self.permissions, channels, threads)

    # --- REST

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("ex") != str(self._signature):
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=self._files[request.match_info["name"]])

    async def _rest(self, http: web.Request) -> web.StreamResponse:
        request = await _read(http)
        self.requests.append(request)
        trouble = self._next_trouble(f"{request.method} {request.path}")
        if trouble is not None and not trouble.after:
            return await self._break(http, trouble)
        if http.headers.get("Authorization") != f"Bot {TOKEN}" and not request.path.startswith(
            ("/interactions", "/webhooks")
        ):
            return _json({"message": "401: Unauthorized", "code": 0}, 401)
        try:
            result = await route(self, request)
        except Refusal as refusal:
            return _json(refusal.body, refusal.status)
        if trouble is not None:
            return await self._break(http, trouble)
        headers = self._headers(request)
        return web.Response(status=204, headers=headers) if result is None else _json(result, 200, **headers)

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {} if self.gateway.date is None else {"Date": self.gateway.date}
        if self.bucket is not None and request.method == "POST" and request.path.endswith("/messages"):
            limit, seconds = self.bucket
            self._used[request.path] = self._used.get(request.path, 0) + 1
            left = str(max(0, limit - self._used[request.path]))
            names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset-After", "X-RateLimit-Bucket")
            headers |= dict(zip(names, (str(limit), left, str(seconds), "messages"), strict=True))
        return headers

    def _next_trouble(self, name: str) -> _Trouble | None:
        for trouble in self._trouble:
            if trouble.times > 0 and trouble.pattern.fullmatch(name):
                if trouble.skip > 0:
                    trouble.skip -= 1
                    return None
                trouble.times -= 1
                return trouble
        return None

    async def _break(self, http: web.Request, trouble: _Trouble) -> web.StreamResponse:
        if trouble.answer is not None:
            return trouble.answer()
        if trouble.hangs:
            self.hanging += 1
            while http.transport is not None and not http.transport.is_closing():
                await asyncio.sleep(0.01)
            return web.Response(status=500)
        assert http.transport is not None
        http.transport.abort()
        return web.Response(status=500)


async def _read(http: web.Request) -> Request:
    files: list[tuple[str, bytes]] = []
    if http.content_type.startswith("multipart/"):
        form = await http.post()
        body = json.loads(str(form["payload_json"]))
        for name, value in form.items():
            if name.startswith("files[") and isinstance(value, web.FileField):
                files.append((value.filename, value.file.read()))
    else:
        raw = await http.read()
        body = json.loads(raw) if raw else {}
    return Request(http.method, "/" + http.match_info["tail"], body, files, dict(http.query))
