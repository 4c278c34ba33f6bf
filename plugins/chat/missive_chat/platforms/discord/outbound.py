"""What goes out: messages, edits, reactions, files; and their errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import discord
import discord.http

from missive_chat.platform import Attachment, Button, ChatError, ChatLoginError, Outgoing, Place, Reaction
from missive_chat.platforms.discord.client import Client
from missive_chat.platforms.discord.inbound import FLAT, TITLE, WHISPER
from missive_chat.platforms.discord.rendering import render

EMOJI: dict[Reaction, str] = {"seen": "👀", "done": "✅", "failed": "❌"}
_STYLES = {
    None: discord.ButtonStyle.secondary,
    "primary": discord.ButtonStyle.success,
    "danger": discord.ButtonStyle.danger,
}
_GONE = {10008, 10014}  # the message; the reaction
_HAS_A_THREAD = 160004
_HELP = {
    50001: "Let the bot see the channel: its role needs View Channel there.",
    50013: "Give the bot's role what is missing; `missive chat doctor` says what that is.",
    50007: "They do not take direct messages from this server's members, or have blocked the bot.",
    10003: "The channel is gone, or it is not a channel's id.",
}
_PART = 64 * 1024
WAIT = 30.0
"""Seconds for which a rate limit holds that does not say how long."""


@contextmanager
def errors(doing: str, *, sending: bool = False) -> Iterator[None]:
    """Raise the library's errors as `ChatError`. `sending`: after some of them nobody knows whether it was done."""
    try:
        yield
    except discord.RateLimited as error:
        raise ChatError(f"{doing}: Discord's rate limit", retry_after=error.retry_after) from error
    except discord.LoginFailure:
        raise
    except discord.HTTPException as error:
        raise _http_error(doing, error, sending=sending) from error
    except aiohttp.ClientConnectorError as error:
        raise ChatError(f"{doing}: Discord cannot be reached: {error}") from error
    except (discord.DiscordException, KeyError, TypeError) as error:
        raise ChatError(f"{doing}: this is no answer of Discord: {error!r}", maybe_sent=sending) from error
    except RuntimeError as error:  # of the HTTP client, when it is closed while somebody still wants to send
        raise ChatError(f"{doing}: not connected to Discord") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ChatError(f"{doing}: {type(error).__name__}: {error}", maybe_sent=sending) from error


def _http_error(doing: str, error: discord.HTTPException, *, sending: bool) -> ChatError | ChatLoginError:
    message = f"{doing}: Discord says: {error}"
    if error.status == 401:
        return ChatLoginError(message, help="The token is not valid any more: make a new one, and restart.")
    if error.status == 429:  # without the marks of the API: refused before it, for too many bad requests
        after = error.response.headers.get("Retry-After", "")
        return ChatError(message, retry_after=float(after) if after.replace(".", "", 1).isdigit() else WAIT)
    if error.status >= 500 or error.status == 408:
        return ChatError(message, maybe_sent=sending)
    return ChatError(message, permanent=True, help=_HELP.get(error.code))


class Sender:
    """Sends for one account."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._opened: set[str] = set()

    async def send(self, message: Outgoing) -> str:
        """Send a message; return its id. The key makes it one, however often it is tried."""
        place = message.place
        whisper = place.facts.get(WHISPER)
        if isinstance(whisper, str):
            sent = await self._whisper(message, whisper)
            if sent is not None:
                return sent
        channel_id = await self._open_thread(place)
        options: dict[str, Any] = {}
        if message.reply_to is not None and channel_of(place, message.reply_to) == channel_id:
            options["reference"] = discord.MessageReference(
                message_id=number(message.reply_to), channel_id=channel_id, fail_if_not_exists=False
            )
        if message.buttons:
            options["view"] = view(message.buttons)
        if message.file is not None:
            try:
                options["file"] = discord.File(message.file.path, filename=message.file.name)
            except OSError as error:
                raise ChatError(f"the file {message.file.name!r} cannot be read: {error}", permanent=True) from error
        with errors(f"sending to {channel_id}", sending=True):
            sent_message = await self._client.get_partial_messageable(channel_id).send(
                render(message.text) or None,
                nonce=message.key,
                allowed_mentions=discord.AllowedMentions.none(),
                mention_author=False,
                suppress_embeds=True,  # a preview would fetch a link that nobody has clicked
                **options,
            )
        return str(sent_message.id)

    async def _whisper(self, message: Outgoing, token: str) -> str | None:
        """Answer a press so that only its sender sees it; None: it is too late for that."""
        payload = {"content": render(message.text), "flags": 1 << 6, "allowed_mentions": {"parse": []}}
        route = discord.http.Route(
            "POST",
            "/webhooks/{webhook_id}/{webhook_token}",
            webhook_id=self._client.application_id,
            webhook_token=token,
        )
        try:
            with errors("answering a press", sending=True):
                sent = await self._client.http.request(route, json=payload, params={"wait": "true"})
        except ChatError as error:
            if error.permanent:
                return None
            raise
        return str(sent["id"])

    async def _open_thread(self, place: Place) -> int:
        """Return the channel to send to; make the thread if there is none below the message yet."""
        title = place.facts.get(TITLE)
        if place.thread is None or title is None or place.thread in self._opened:
            return channel_of(place)
        starter = self._client.get_partial_messageable(number(place.chat)).get_partial_message(number(place.thread))
        route = discord.http.Route(
            "POST",
            "/channels/{channel_id}/messages/{message_id}/threads",
            channel_id=starter.channel.id,
            message_id=starter.id,
        )
        try:
            with errors(f"opening a thread in {place.chat}"):
                await self._client.http.request(route, json={"name": str(title), "auto_archive_duration": 1440})
        except ChatError as error:
            cause = error.__cause__
            if not isinstance(cause, discord.HTTPException) or cause.code != _HAS_A_THREAD:
                raise
        self._opened.add(place.thread)
        return number(place.thread)

    async def edit(self, place: Place, message_id: str, text: str, buttons: tuple[Button, ...]) -> None:
        with errors(f"editing {message_id}"):
            await self._message(place, message_id).edit(
                content=render(text),
                view=view(buttons) if buttons else None,
                allowed_mentions=discord.AllowedMentions.none(),
            )

    async def react(self, place: Place, message_id: str, reaction: Reaction, instead_of: Reaction | None) -> None:
        message = self._message(place, message_id)
        assert self._client.user is not None
        with errors(f"reacting to {message_id}"):
            await message.add_reaction(EMOJI[reaction])
        if instead_of is None or instead_of == reaction:
            return
        try:
            with errors(f"taking a reaction from {message_id}"):
                await message.remove_reaction(EMOJI[instead_of], self._client.user)
        except ChatError as error:
            cause = error.__cause__
            if not isinstance(cause, discord.NotFound) or cause.code not in _GONE:
                raise

    async def typing(self, place: Place) -> None:
        if place.thread is not None and TITLE in place.facts and place.thread not in self._opened:
            return  # it is not there yet
        with errors(f"typing in {channel_of(place)}"):
            await self._client.http.send_typing(channel_of(place))

    async def download(self, attachment: Attachment, path: Path, limit: int) -> int:
        """Fetch a file. Its URL is asked for anew: it is signed, and is good for a day only."""
        channel_id, message_id, attachment_id = (int(part) for part in attachment.id.split("/"))
        doing = f"fetching the file {attachment.name!r}"
        with errors(doing):
            message = await self._client.get_partial_messageable(channel_id).fetch_message(message_id)
        files = [*message.attachments, *(item for part in message.message_snapshots for item in part.attachments)]
        found = next((item for item in files if item.id == attachment_id), None)
        if found is None:
            raise ChatError(f"{doing}: it is not in the message any more", permanent=True)
        try:
            with errors(doing):
                return await _fetch(found.url, path, limit, doing)
        except ChatError:
            await anyio.Path(path).unlink(missing_ok=True)
            raise

    def _message(self, place: Place, message_id: str) -> discord.PartialMessage:
        channel = self._client.get_partial_messageable(channel_of(place, message_id))
        return channel.get_partial_message(number(message_id))


async def _fetch(url: str, path: Path, limit: int, doing: str) -> int:
    """Write to a file what is at a URL; return its size."""
    size = 0
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise ChatError(f"{doing}: the server of files answers {answer.status}", permanent=answer.status < 500)
        async with await anyio.open_file(path, "wb") as file:
            async for part in answer.content.iter_chunked(_PART):
                size += len(part)
                if size > limit:
                    raise ChatError(f"{doing}: it is larger than {limit} bytes", permanent=True)
                await file.write(part)
    return size


def number(text: str) -> int:
    """Return an id as the library takes it."""
    if not text.isdecimal():
        help_text = "Turn on Developer Mode in Discord; then the menu of a channel has Copy Channel ID."
        raise ChatError(f"this is not an id of Discord: {text!r}", permanent=True, help=help_text)
    return int(text)


def channel_of(place: Place, message_id: str | None = None) -> int:
    """Return the channel in which a message is. The one below which a thread was opened is in the channel above it."""
    if place.thread is None or FLAT in place.facts or (message_id == place.thread and TITLE in place.facts):
        return number(place.chat)
    return number(place.thread)


def view(buttons: tuple[Button, ...]) -> discord.ui.View:
    """Return buttons as the library takes them. It keeps none: a press is told by its value, also after a restart."""
    made = discord.ui.View(timeout=None)
    for button in buttons:
        made.add_item(discord.ui.Button(label=button.label[:80], custom_id=button.value, style=_STYLES[button.style]))
    made.stop()
    return made
