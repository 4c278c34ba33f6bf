"""The platform: an account of a bot, as `missive_chat.platform.Platform` has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import discord
import discord.http

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
from missive_chat.platforms.discord import commands, doctor
from missive_chat.platforms.discord.client import UNREADABLE, Client, endpoint
from missive_chat.platforms.discord.connection import stay_connected
from missive_chat.platforms.discord.history import History
from missive_chat.platforms.discord.inbound import Reader, command_line, guild_of
from missive_chat.platforms.discord.outbound import Sender, errors
from missive_chat.platforms.discord.rendering import render

MAX_TEXT = 2000
MAX_FILE = 10 * 1024 * 1024
ACK_SECONDS = 3.0
BUFFER = 1000
"""Events between the socket and the bridge. When it is full the socket is not read, and later resumed."""
CLOSE_SECONDS = 5.0
_COMPONENT, _COMMAND = discord.InteractionType.component, discord.InteractionType.application_command


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    data: Any
    acknowledged: anyio.Event | None = None
    """Of an interaction."""
    answer: list[int] = field(default_factory=list)
    """The id of the message by which a slash command was acknowledged."""


@dataclass(frozen=True, slots=True)
class _Login:
    """What there is from `open` to `close`."""

    client: Client
    reader: Reader
    sender: Sender


class Discord:
    """One bot."""

    def __init__(self, context: PlatformContext, *, heartbeat_timeout: float = 60.0) -> None:
        options = context.options
        self._context = context
        self._heartbeat_timeout = heartbeat_timeout
        self._api = endpoint(options["api_url"], discord.http.Route.BASE, ("https", "http"), "api_url")
        self._gateway = (
            None
            if options["gateway_url"] is None
            else endpoint(options["gateway_url"], "wss://gateway.discord.gg", ("wss", "ws"), "gateway_url")
        )
        self._capabilities = ChatCapabilities(
            max_text=MAX_TEXT,
            unit="characters",
            edits=True,
            edit_interval=1.2,
            send_interval=1.0,
            burst=5,
            threads="flat",
            begins_threads=options["threads"],
            buttons=True,
            reactions=True,
            typing_ttl=10.0,
            attachments_in=500 * 1024 * 1024,
            attachments_out=MAX_FILE,
            idempotent_send=True,
            ack_deadline=ACK_SECONDS,
            command_prefix="/" if options["commands"] else "!",
            dialect="markdown",
        )
        self._login: _Login | None = None
        self._identity = ""

    @property
    def capabilities(self) -> ChatCapabilities:
        return self._capabilities

    @property
    def identity(self) -> str:
        return self._identity

    async def open(self) -> None:
        client = Client(api_url=self._api, heartbeat_timeout=self._heartbeat_timeout)
        reader = Reader(client, threads=self._context.options["threads"], parents={})
        self._login = _Login(client, reader, Sender(client))
        try:
            with errors("logging in"):
                await client.login(self._context.options["token"].reveal())
        except discord.LoginFailure as failure:
            raise ChatLoginError(
                f"Discord does not take the token: {failure.__cause__ or failure}",
                help="Copy it again from the page Bot of the application, at https://discord.com/developers/applications.",
            ) from None  # its traceback would have the token
        assert client.user is not None
        self._identity = str(client.user.id)

    async def close(self) -> None:
        login, self._login = self._login, None
        if login is None:
            return
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await login.client.close()
            except Exception as error:  # noqa: BLE001 - whatever the library cannot end
                self._context.log.debug("discord: closing: %r", error)

    def _now(self) -> _Login:
        if self._login is None:
            raise ChatError("not connected to Discord")
        return self._login

    async def listen(self, receive: Receive) -> None:
        login = self._now()
        client = login.client
        if self._context.options["commands"]:
            await self._offer_commands(client)
        try:
            async with anyio.create_task_group() as group:
                push, pull = anyio.create_memory_object_stream[_Event](BUFFER)
                history = History(client, self._context.cursor, self._context.options, self._context.log)

                async def hand_over() -> None:
                    async with pull:
                        async for event in pull:
                            await self._handle(login, event, receive, history)

                async def take() -> None:
                    while client.events:
                        event = _event(*client.events.popleft())
                        if event.acknowledged is not None:
                            group.start_soon(self._acknowledge, client, event)
                        await push.send(event)

                group.start_soon(hand_over)
                async with push:
                    await stay_connected(client, self._gateway, take, self._context.alive, self._context.log)
        except BaseExceptionGroup as several:
            error: BaseException = several
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    async def _offer_commands(self, client: Client) -> None:
        try:
            await commands.offer(client)
        except ChatError as error:  # `!help` is understood all the same
            self._context.log.warning("discord: %s", error)

    # --- what happens

    async def _handle(self, login: _Login, event: _Event, receive: Receive, history: History) -> None:
        reader, data = login.reader, event.data

        async def take(read: Callable[..., Inbound | None], *about: Any) -> None:
            inbound = self._read(read, *about)
            if inbound is not None:
                await receive(inbound)
                self._context.alive()

        match event.name:
            case "connect":
                await login.client.ready.wait()
                await history.catch_up(lambda message: take(reader.message, message))
            case "message":
                await self._know(login, data.channel.id, guild_of(data))
                await take(reader.message, data)
                await history.received(data.id, data.channel.id if guild_of(data) is None else None)
            case "raw_message_edit":
                await self._know(login, data.channel_id, guild_of(data.message))
                await take(reader.edit, data)
            case "raw_message_delete" | "raw_bulk_message_delete":
                await self._know(login, data.channel_id, data.guild_id)
                gone = sorted(data.message_ids) if event.name == "raw_bulk_message_delete" else [data.message_id]
                for message_id in gone:
                    await take(reader.deletion, message_id, data.channel_id, data.guild_id)
            case "interaction" if event.acknowledged is not None:
                await event.acknowledged.wait()
                await self._know(login, data.channel_id, data.guild_id)
                if data.type is _COMPONENT:
                    await take(reader.press, data)
                else:
                    await take(reader.command, data, event.answer[0] if event.answer else None)

    def _read(self, read: Callable[..., Inbound | None], *about: Any) -> Inbound | None:
        try:
            return read(*about)
        except UNREADABLE as error:  # it would come again, and end everything again
            self._context.log.warning("discord: an event was left out, because it could not be read: %r", error)
            return None

    async def _know(self, login: _Login, channel_id: int, guild_id: int | None) -> None:
        """Ask what a channel is that the library does not know: a thread that was archived, or has just begun."""
        if login.reader.is_known(channel_id, guild_id):
            return
        try:
            with errors(f"asking for channel {channel_id}"):
                channel = await login.client.fetch_channel(channel_id)
        except ChatError as error:
            if not error.permanent:
                raise
            login.reader.parents[channel_id] = None
            return
        login.reader.parents[channel_id] = channel.parent_id if isinstance(channel, discord.Thread) else None

    async def _acknowledge(self, client: Client, event: _Event) -> None:
        """Tell Discord within its three seconds that a press or a slash command has come in."""
        interaction: discord.Interaction[Any] = event.data
        assert event.acknowledged is not None
        if interaction.type is _COMPONENT:
            payload: dict[str, Any] = {"type": discord.InteractionResponseType.deferred_message_update.value}
        else:
            text = f"`{command_line(interaction).replace('`', '')}`"[:MAX_TEXT]
            message = {"content": text, "allowed_mentions": {"parse": []}}
            payload = {"type": discord.InteractionResponseType.channel_message.value, "data": message}
        route = discord.http.Route(
            "POST",
            "/interactions/{webhook_id}/{webhook_token}/callback",
            webhook_id=interaction.id,
            webhook_token=interaction.token,
        )
        try:
            with anyio.move_on_after(ACK_SECONDS), errors("acknowledging an interaction"):
                answer = await client.http.request(route, json=payload, params={"with_response": "true"})
                message_id = ((answer or {}).get("interaction") or {}).get("response_message_id")
                if message_id is not None:
                    event.answer.append(int(message_id))
        except ChatError as error:  # it was acknowledged before, or it is too late: what it says counts all the same
            self._context.log.debug("discord: %s", error)
        finally:
            event.acknowledged.set()

    # --- what goes out

    def render(self, text: str) -> str:
        return render(text)

    async def send(self, message: Outgoing) -> str:
        return await self._now().sender.send(message)

    async def edit(
        self,
        place: Place,
        message_id: str,
        text: str,
        *,
        buttons: tuple[Button, ...] = (),
        final: bool = False,  # noqa: ARG002
    ) -> None:
        await self._now().sender.edit(place, message_id, text, buttons)

    async def find(self, message: Outgoing) -> str | None:
        raise NotImplementedError("Discord does not show the key of a message; it takes it only once")

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        await self._now().sender.react(place, message_id, reaction, instead_of)

    async def typing(self, place: Place) -> None:
        await self._now().sender.typing(place)

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        return await self._now().sender.download(attachment, path, limit)

    async def check(self) -> tuple[Check, ...]:
        return await doctor.check(self._now().client, self._context.options)


def _event(name: str, data: Any) -> _Event:
    if name == "interaction" and data.type in (_COMPONENT, _COMMAND):
        return _Event(name, data, anyio.Event())
    return _Event(name, data)
