"""The connection to one Slack workspace as one app."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from missive_chat.platform import (
    Attachment,
    Button,
    ChatCapabilities,
    ChatError,
    ChatLoginError,
    Check,
    Inbound,
    Outgoing,
    Place,
    PlatformContext,
    Reaction,
    Receive,
)
from missive_chat.platforms.slack import checks, files
from missive_chat.platforms.slack.api import Api, SlackError
from missive_chat.platforms.slack.markup import bare, harmless
from missive_chat.platforms.slack.messages import MAX_TEXT, blocks, fallback, key_of, metadata, plain_blocks
from missive_chat.platforms.slack.missed import Missed
from missive_chat.platforms.slack.socket_mode import SocketMode
from missive_chat.platforms.slack.streams import Streams
from missive_chat.platforms.slack.translate import PREFIX, Me, inbound
from missive_host.errors import ConfigError

if TYPE_CHECKING:
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

EMOJI: Mapping[Reaction, str] = {"seen": "eyes", "done": "white_check_mark", "failed": "x"}
TYPING = "is thinking…"
ALIVE_EVERY = 60.0
"""Seconds between two calls that show that Slack is there, when it calls us."""
PAGE, PAGES = 200, 10
UNREADABLE = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})


class SlackPlatform:
    """A `missive_chat.platform.Platform`."""

    def __init__(self, context: PlatformContext) -> None:
        options = context.options
        self._context = context
        self._signed = options.get("mode") == "events"
        needed = "signing_secret" if self._signed else "app_token"
        if options.get(needed) is None:
            raise ConfigError(
                f"`mode = {options.get('mode')}` of Slack needs {needed}",
                help=f'set {needed} = {{ secret = "env:…" }} in [adapters.{context.account}.settings]',
            )
        self._api = Api(options["api_url"], options["bot_token"])
        self._streams = Streams(self._api, wanted=bool(options["native_streams"]))
        self._socket = None if self._signed else self._socket_mode()
        self._missed: Missed | None = None
        self._me: Me | None = None
        self._order = anyio.Lock()
        self._silent: set[str] = set()
        """Channels in which Slack shows no typing."""
        self._typing: set[tuple[str, str | None]] = set()
        """Where it shows it."""

    def _socket_mode(self) -> SocketMode:
        options = self._context.options
        return SocketMode(
            self._api,
            options["app_token"],
            ping_interval=options["ping_interval"],
            alive=self._context.alive,
            log=self._context.log,
        )

    @property
    def capabilities(self) -> ChatCapabilities:
        return ChatCapabilities(
            max_text=MAX_TEXT,
            edits=True,
            edit_interval=1.2,
            send_interval=1.0,
            threads="flat",
            buttons=True,
            reactions=True,
            typing_ttl=60.0,
            attachments_in=files.MAX_FILE,
            attachments_out=files.MAX_FILE,
            can_find=True,
            native_stream=bool(self._context.options["native_streams"]),
            ack_deadline=3.0,
            command_prefix=PREFIX,
            dialect="markdown",
        )

    @property
    def identity(self) -> str:
        return f"{self.me.team}/{self.me.user}"

    # --- the connection

    async def open(self) -> None:
        await self._api.__aenter__()
        await self._log_in()
        if self._socket is not None:
            await self._socket.log_in()

    async def _log_in(self) -> AsyncSlackResponse:
        who = await self._api.call("auth_test")
        if not who.get("bot_id"):
            raise ChatLoginError("the token of Slack is not that of a bot", help="a bot token begins with xoxb-")
        self._me = Me(
            user=str(who["user_id"]),
            bot=str(who["bot_id"]),
            team=str(who["team_id"]),
            enterprise=who.get("enterprise_id"),
            name=str(who.get("user") or ""),
        )
        return who

    @property
    def me(self) -> Me:
        if self._me is None:
            raise ChatError("the connection to Slack is closed")
        return self._me

    async def close(self) -> None:
        with suppress(Exception):
            await self._api.close()

    async def listen(self, receive: Receive) -> None:
        options = self._context.options
        missed = self._missed = Missed(
            self._api,
            self._context.cursor,
            self._context.log,
            max_age=options["max_age"],
            channels=tuple(options.get("channels") or ()),
        )
        has_position = self._context.cursor.get("latest") is not None
        await missed.begin()
        first = True

        async def take(kind: str, payload: Mapping[str, Any]) -> dict[str, Any] | None:
            try:
                new = inbound(kind, payload, self.me)
            except (AttributeError, KeyError, TypeError, ValueError):
                self._context.log.warning("an event of Slack that cannot be read, of the kind %s", kind)
                return None
            if new is None:
                if payload.get("type") == "app_rate_limited":
                    self._context.log.warning("Slack sends no more events for now: more than 30,000 in an hour")
                return None
            async with self._order:
                await self._take(new, receive)
            return {"response_type": "in_channel"} if kind == "slash_commands" else None

        async def catch_up() -> None:
            nonlocal first
            if has_position or not first:
                for new in await missed.find(self.me):
                    async with self._order:
                        await self._take(new, receive)
            first = False

        try:
            if self._socket is None:
                await self._answer_requests(take, catch_up)
            else:
                await self._socket.run(take, catch_up)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await missed.note(None, now=True)

    async def _take(self, new: Inbound, receive: Receive) -> None:
        await receive(new)
        if self._missed is not None and new.kind == "message":
            await self._missed.note(new.sent_at)

    async def _answer_requests(self, take: Any, catch_up: Any) -> None:
        from missive_chat.platforms.slack.requests import application

        listener = self._context.listener
        if listener is None:
            raise ConfigError("`mode = events` of Slack needs the gateway's listener", help="run `missive gateway`")
        path = f"/chat/{self._context.account}"
        app = application(path, self._context.options["signing_secret"], take, alive=self._context.alive)
        with listener.mount(path, app):
            self._context.log.info("Slack is to call <public address>%s", path)
            await catch_up()
            while True:
                with suppress(ChatError):
                    await self._api.call("auth_test")
                    self._context.alive()
                await anyio.sleep(ALIVE_EVERY)

    # --- messages

    def render(self, text: str) -> str:
        return harmless(text)

    async def send(self, message: Outgoing) -> str:
        self._typing.discard((message.place.chat, message.place.thread))
        if message.file is not None:
            return await files.send(self._api, message)
        if len(self.render(message.text)) > MAX_TEXT:
            raise ChatError(f"the message has more than {MAX_TEXT} characters", permanent=True)
        if message.progress and not message.buttons:
            ts = await self._streams.start(message)
            if ts is not None:
                return ts
        where = {"thread_ts": message.place.thread} if message.place.thread else {}
        answer = await self._write(
            "chat_postMessage",
            message.text,
            message.buttons,
            channel=message.place.chat,
            metadata=metadata(message.key),
            unfurl_links=False,  # the address in an agent's text is not fetched: it could carry what it should not
            unfurl_media=False,
            **where,
        )
        return str(answer["ts"])

    async def edit(
        self, place: Place, message_id: str, text: str, *, buttons: tuple[Button, ...] = (), final: bool = False
    ) -> None:
        if not _is_ts(message_id):
            return
        if len(self.render(text)) > MAX_TEXT:
            raise ChatError(f"the message has more than {MAX_TEXT} characters", permanent=True)
        if final:
            await self._no_typing(place)
        if not buttons and not final and await self._streams.grow(place.chat, message_id, text):
            return
        if self._streams.is_open(place.chat, message_id):
            await self._streams.stop(place.chat, message_id)
        try:
            await self._write("chat_update", text, buttons, channel=place.chat, ts=message_id)
        except SlackError as error:
            if error.code != "streaming_state_conflict":
                raise
            await self._streams.stop(place.chat, message_id)  # a stream that an earlier process began
            await self._write("chat_update", text, buttons, channel=place.chat, ts=message_id)

    async def _write(self, method: str, text: str, buttons: tuple[Button, ...], **arguments: Any) -> AsyncSlackResponse:
        shown = fallback(text)
        try:
            return await self._api.call(method, text=shown, blocks=blocks(text, buttons), **arguments)
        except SlackError as error:
            if error.code not in UNREADABLE:
                raise
            return await self._api.call(method, text=shown, blocks=plain_blocks(text, buttons), **arguments)

    async def find(self, message: Outgoing) -> str | None:
        place = message.place
        oldest = message.reply_to if message.reply_to and _is_ts(message.reply_to) else place.thread
        try:
            async with aclosing(self._own_messages(place, oldest)) as messages:
                async for item in messages:
                    if self._is_it(item, message):
                        return str(item["ts"])
        except SlackError as error:
            if not error.permanent:
                raise
            self._context.log.warning("whether a message was sent cannot be seen: %s", error)  # twice, or not at all
        return None

    def _is_it(self, item: dict[str, Any], message: Outgoing) -> bool:
        """A stream has our key when it is stopped, so one that was begun, and no more, is known by how it begins.

        A file never has the key: its name and size have to do.
        """
        shared = item.get("files") or ()
        if message.file is not None:
            return any(files.is_same(file, message.file) for file in shared)
        if not item.get("metadata") and not shared:
            begun = bare(str(item.get("text") or ""))
            return bool(begun) and bare(message.text).startswith(begun)
        return key_of(item) == message.key

    async def _own_messages(self, place: Place, oldest: str | None) -> AsyncGenerator[dict[str, Any]]:
        method, where = "conversations_history", {"channel": place.chat}
        if place.thread:
            method, where = "conversations_replies", {"channel": place.chat, "ts": place.thread}
        if oldest:
            where["oldest"] = oldest
        for _ in range(PAGES):
            answer = await self._api.call(method, include_all_metadata=True, limit=PAGE, **where)
            for item in answer.get("messages") or ():
                own = item.get("bot_id") == self.me.bot or item.get("user") == self.me.user
                if own and (oldest is None or float(item["ts"]) > float(oldest)):
                    yield item
            where["cursor"] = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
            if not where["cursor"]:
                return

    # --- small things

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        if not _is_ts(message_id):
            return
        where = {"channel": place.chat, "timestamp": message_id}
        if instead_of is not None and instead_of != reaction:
            await self._unless("no_reaction", "reactions_remove", name=EMOJI[instead_of], **where)
        await self._unless("already_reacted", "reactions_add", name=EMOJI[reaction], **where)

    async def _unless(self, harmless_code: str, method: str, **arguments: Any) -> None:
        try:
            await self._api.call(method, **arguments)
        except SlackError as error:
            if error.code != harmless_code:
                raise

    async def typing(self, place: Place) -> None:
        if place.thread is None or place.chat in self._silent:
            return
        try:
            await self._api.call(
                "assistant_threads_setStatus", channel_id=place.chat, thread_ts=place.thread, status=TYPING
            )
        except SlackError as error:
            if not error.permanent:
                raise
            self._silent.add(place.chat)
        else:
            self._typing.add((place.chat, place.thread))

    async def _no_typing(self, place: Place) -> None:
        """Slack takes it away when we send something, not when we change it."""
        where = place.chat, place.thread
        if where in self._typing:
            self._typing.discard(where)
            with suppress(ChatError):
                await self._api.call(
                    "assistant_threads_setStatus", channel_id=place.chat, thread_ts=place.thread, status=""
                )

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        return await files.download(self._api, attachment, path, limit=limit)

    async def check(self) -> tuple[Check, ...]:
        try:
            who = await self._log_in()
        except (ChatError, ChatLoginError) as error:
            return (Check("token", "fail", error.message, fix=error.help),)
        found = [
            checks.of_token(self.me.name, str(who.get("team") or self.me.team)),
            checks.of_scopes(who.headers),
            checks.of_clock(who.headers, signed=self._signed),
        ]
        if self._signed:
            said = "the signing secret can be seen to be right only when Slack calls"
            found.append(Check("signing_secret", "ok", said))
        else:
            found.extend(await checks.of_socket(self._socket_mode()))
        return tuple(found)


def _is_ts(message_id: str) -> bool:
    whole, dot, part = message_id.partition(".")
    return bool(dot) and whole.isdigit() and part.isdigit()
