"""What happens on Discord, as `Inbound`.

A thread is a channel of its own there. Here it is a thread of the channel above it, so that `channels` names only
that, and a message that opens a thread has the thread's id: Discord gives it the id of the message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import discord

from missive_chat.platform import Attachment, Inbound, Place, Press, Sender

_SAID = (discord.MessageType.default, discord.MessageType.reply)
"""The others are notices: that somebody joined, that a message was pinned …"""
_USER = re.compile(r"<@!?(\d+)>")
_ROLE = re.compile(r"<@&(\d+)>")
_CHANNEL = re.compile(r"<#(\d+)>")
_EMOJI = re.compile(r"<a?(:\w{2,32}:)\d+>")
_LONGEST_TITLE = 80

TITLE = "thread_title"
"""In `Place.facts`: the answer opens a thread of this name below the message."""
FLAT = "flat"
"""In `Place.facts`: the answer comes into the channel itself, not into a thread."""
WHISPER = "whisper"
"""In `Place.facts`: the token by which an answer is seen only by who pressed the button, for 15 minutes."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Translates for one account."""

    client: discord.Client
    threads: bool
    """A message in a channel is answered in a thread below it."""
    parents: dict[int, int | None]
    """The channel above a thread that the library does not know; None: it is no thread."""

    def message(self, message: discord.Message) -> Inbound | None:
        """Translate a new message; None: nobody said it."""
        if not self._is_said(message):
            return None
        return self._inbound(message, f"m:{message.id}", "message")

    def edit(self, event: discord.RawMessageUpdateEvent) -> Inbound | None:
        """Translate an edit; None: only a preview of a link was added, or suchlike."""
        stamp = event.data.get("edited_timestamp")
        if not stamp or not self._is_said(event.message):
            return None
        return self._inbound(event.message, f"e:{event.message_id}:{stamp}", "edit")

    def deletion(self, message_id: int, channel_id: int, guild_id: int | None) -> Inbound:
        return Inbound(
            event_id=f"d:{message_id}",
            kind="delete",
            place=self.place(channel_id, guild_id),
            message_id=str(message_id),
            sender=Sender(id=""),
        )

    def press(self, interaction: discord.Interaction[Any]) -> Inbound | None:
        """Translate the press of a button; None: it is none."""
        data: Mapping[str, Any] = interaction.data or {}
        message = interaction.message
        if data.get("component_type") != discord.ComponentType.button.value or message is None:
            return None
        place = self.place(message.channel.id, interaction.guild_id)
        return Inbound(
            event_id=f"i:{interaction.id}",
            kind="press",
            place=replace(place, facts={**place.facts, WHISPER: interaction.token}),
            message_id=str(message.id),
            sender=_sender(interaction.user),
            press=Press(value=str(data["custom_id"]), message_id=str(message.id)),
            sent_at=interaction.created_at.timestamp(),
        )

    def command(self, interaction: discord.Interaction[Any], message_id: int | None) -> Inbound | None:
        """Translate a slash command. `message_id`: the message by which it was acknowledged."""
        if interaction.channel_id is None:
            return None
        place = self.place(interaction.channel_id, interaction.guild_id)
        return Inbound(
            event_id=f"i:{interaction.id}",
            place=place if place.is_direct or place.thread is not None else replace(place, facts={FLAT: True}),
            message_id=str(message_id or interaction.id),
            sender=_sender(interaction.user),
            text=command_line(interaction),
            mentions_me=True,
            sent_at=interaction.created_at.timestamp(),
        )

    def place(self, channel_id: int, guild_id: int | None, message: discord.Message | None = None) -> Place:
        """Return where a message in this channel is."""
        if guild_id is None:
            return Place(chat=str(channel_id), is_direct=True)
        parent = self._parent(channel_id, guild_id)
        if parent is not None:
            return Place(chat=str(parent), thread=str(channel_id))
        facts: dict[str, Any] = {}
        if self.threads and message is not None:
            facts[TITLE] = self._title(message)
        return Place(chat=str(channel_id), facts=facts)

    def is_known(self, channel_id: int, guild_id: int | None) -> bool:
        """Tell whether it is known if this is a thread."""
        if guild_id is None or channel_id in self.parents:
            return True
        guild = self.client.get_guild(guild_id)
        return guild is not None and guild.get_channel_or_thread(channel_id) is not None

    def _parent(self, channel_id: int, guild_id: int) -> int | None:
        guild = self.client.get_guild(guild_id)
        thread = guild.get_thread(channel_id) if guild is not None else None
        return thread.parent_id if thread is not None else self.parents.get(channel_id)

    def _is_said(self, message: discord.Message) -> bool:
        if message.type not in _SAID or message.flags.ephemeral:
            return False
        return message.author != self.client.user

    def _inbound(self, message: discord.Message, event_id: str, kind: Any) -> Inbound:
        return Inbound(
            event_id=event_id,
            kind=kind,
            place=self.place(message.channel.id, guild_of(message), message),
            message_id=str(message.id),
            sender=_sender(message.author, webhook=message.webhook_id is not None),
            text=self._text(message),
            mentions_me=self._is_mentioned(message),
            reply_to=_reply_to(message),
            attachments=tuple(_attachment(message, attachment) for attachment in _attachments(message)),
            sent_at=message.created_at.timestamp(),
        )

    def _my_roles(self, message: discord.Message) -> set[int]:
        me = message.guild.me if message.guild is not None else None
        return {role.id for role in me.roles if not role.is_default()} if me is not None else set()

    def _is_mentioned(self, message: discord.Message) -> bool:
        """Tell whether we are named in the text. Whoever is replied to is in the message's `mentions`, too."""
        me = self.client.user
        assert me is not None
        if str(me.id) in _USER.findall(message.content):
            return True
        return not self._my_roles(message).isdisjoint(int(role) for role in _ROLE.findall(message.content))

    def _text(self, message: discord.Message) -> str:
        me = self.client.user
        assert me is not None
        users = {user.id: user.display_name for user in message.mentions}
        roles = {role.id: role.name for role in message.role_mentions}
        mine = self._my_roles(message)
        guild = message.guild

        def user(found: re.Match[str]) -> str:
            number = int(found[1])
            return "" if number == me.id else f"@{users[number]}" if number in users else found[0]

        def role(found: re.Match[str]) -> str:
            number = int(found[1])
            return "" if number in mine else f"@{roles[number]}" if number in roles else found[0]

        def channel(found: re.Match[str]) -> str:
            known = guild.get_channel_or_thread(int(found[1])) if guild is not None else None
            return f"#{known.name}" if known is not None else found[0]

        text = _USER.sub(user, message.content)
        text = _EMOJI.sub(r"\1", _CHANNEL.sub(channel, _ROLE.sub(role, text))).strip()
        forwarded = [snapshot.content for snapshot in message.message_snapshots if snapshot.content]
        return "\n\n".join(filter(None, [text, *("> " + part.replace("\n", "\n> ") for part in forwarded)]))

    def _title(self, message: discord.Message) -> str:
        words = " ".join(self._text(message).split())
        return (words if len(words) <= _LONGEST_TITLE else words[: _LONGEST_TITLE - 1] + "…") or "Conversation"


def guild_of(message: discord.Message) -> int | None:
    """Return the id of the server in which a message is."""
    if message.guild is not None:
        return message.guild.id
    return getattr(message.channel, "guild_id", None)


def command_line(interaction: discord.Interaction[Any]) -> str:
    """Return a slash command as it would be typed."""
    data: Mapping[str, Any] = interaction.data or {}
    values = [str(option["value"]).strip() for option in data.get("options", ()) if "value" in option]
    return " ".join([f"/{data.get('name', '')}", *filter(None, values)])


def _sender(user: discord.User | discord.Member | discord.ClientUser, *, webhook: bool = False) -> Sender:
    return Sender(id=str(user.id), name=user.display_name, is_bot=user.bot or webhook)


def _reply_to(message: discord.Message) -> str | None:
    reference = message.reference
    if reference is None or message.type is not discord.MessageType.reply or reference.message_id is None:
        return None
    return str(reference.message_id)


def _attachments(message: discord.Message) -> list[discord.Attachment]:
    return [*message.attachments, *(item for snapshot in message.message_snapshots for item in snapshot.attachments)]


def _attachment(message: discord.Message, attachment: discord.Attachment) -> Attachment:
    return Attachment(
        id=f"{message.channel.id}/{message.id}/{attachment.id}",  # not the URL: that expires
        name=attachment.filename,
        media_type=(attachment.content_type or "").partition(";")[0].strip() or None,
        size=attachment.size,
    )
