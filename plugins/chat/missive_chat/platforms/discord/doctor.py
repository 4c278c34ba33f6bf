"""What ``missive chat doctor`` looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import discord
import discord.http

from missive_chat.platform import ChatError, Check
from missive_chat.platforms.discord.client import Client
from missive_chat.platforms.discord.outbound import errors

PORTAL = "https://discord.com/developers/applications"
CLOCK_TOLERANCE = 10.0
_NEEDED = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "read_message_history": "Read Message History",
    "attach_files": "Attach Files",
}


async def check(client: Client, options: Mapping[str, Any]) -> tuple[Check, ...]:
    """Look at everything that must be right."""
    found = [Check("token", "ok", f"logged in as {client.user} ({client.user.id if client.user else '?'})")]
    try:
        with errors("looking"):
            found.extend(_application(client))
            found.append(await _socket(client))
            found.append(await _servers(client, options))
            found += [await _channel(client, str(channel_id), options) for channel_id in options["channels"]]
    except ChatError as error:
        found.append(
            Check("api", "fail", error.message, fix="Try again; if it stays, look at https://discordstatus.com.")
        )
    found.append(_clock(client))
    return tuple(found)


def _application(client: Client) -> Iterator[Check]:
    application = client.application
    assert application is not None
    flags = application.flags
    if flags.gateway_message_content or flags.gateway_message_content_limited:
        yield Check("intents", "ok", "Message Content Intent is on")
    else:
        fix = f"Turn it on at {PORTAL}/{application.id}/bot, and restart."
        yield Check("intents", "fail", "Message Content Intent is off: the bot cannot log in to listen", fix=fix)
    if application.interactions_endpoint_url:
        fix = f"Delete Interactions Endpoint URL at {PORTAL}/{application.id}/information."
        message = f"buttons and slash commands go to {application.interactions_endpoint_url}, not to us"
        yield Check("interactions", "fail", message, fix=fix)


async def _socket(client: Client) -> Check:
    answer = await client.http.request(discord.http.Route("GET", "/gateway/bot"))
    limits = answer["session_start_limit"]
    left = limits["remaining"]
    if answer["shards"] > 1:
        message = f"Discord wants {answer['shards']} connections for so many servers, and there is one"
        return Check("socket", "warn", message, fix="Take the bot out of some servers.")
    if left < 20:
        minutes = limits["reset_after"] // 60_000
        return Check(
            "socket", "warn", f"only {left} logins are left, for {minutes} minutes", fix="Do not restart often."
        )
    return Check("socket", "ok", f"the gateway is {answer['url']}; {left} of {limits['total']} logins are left today")


async def _servers(client: Client, options: Mapping[str, Any]) -> Check:
    guilds = [guild async for guild in client.fetch_guilds(limit=None)]
    if guilds:
        names = ", ".join(f"{guild.name} ({guild.id})" for guild in guilds[:10])
        return Check("servers", "ok", f"the bot is in {len(guilds)}: {names}" + (" …" if len(guilds) > 10 else ""))
    assert client.application_id is not None
    needed = discord.Permissions(
        view_channel=True,
        send_messages=True,
        read_message_history=True,
        attach_files=True,
        add_reactions=bool(options["reactions"]),
        send_messages_in_threads=True,
        create_public_threads=bool(options["threads"]),
    )
    url = discord.utils.oauth_url(client.application_id, permissions=needed, scopes=("bot", "applications.commands"))
    return Check("servers", "warn", "the bot is in no server", fix=f"Invite it: {url}")


async def _channel(client: Client, channel_id: str, options: Mapping[str, Any]) -> Check:
    name, kind = f"channel {channel_id}", f"channel:{channel_id}"
    if not channel_id.isdecimal():
        fix = "Turn on Developer Mode in Discord, then: right click on the channel, Copy Channel ID."
        return Check(kind, "fail", f"{name}: this is not an id", fix=fix)
    try:
        with errors(name):
            channel = await client.fetch_channel(int(channel_id))
            if isinstance(channel, discord.abc.PrivateChannel):
                return Check(kind, "warn", f"{name}: it is a direct conversation", fix="Name people in `users`.")
            if isinstance(channel, discord.Thread):
                fix = f"Name the channel above it: {channel.parent_id}."
                return Check(kind, "warn", f"{name}: it is a thread", fix=fix)
            guild = await client.fetch_guild(channel.guild.id, with_counts=False)
            assert client.user is not None
            me = await guild.fetch_member(client.user.id)
            full = next(item for item in await guild.fetch_channels() if item.id == channel.id)
    except ChatError as error:
        if not error.permanent:
            raise
        return Check(kind, "fail", error.message, fix=error.help or "Copy the id again; let the bot see the channel.")
    needed = dict(_NEEDED)
    if options["reactions"]:
        needed["add_reactions"] = "Add Reactions"
    if options["threads"]:
        needed["create_public_threads"] = "Create Public Threads"
        needed["send_messages_in_threads"] = "Send Messages in Threads"
    allowed = full.permissions_for(me)
    missing = [words for permission, words in needed.items() if not getattr(allowed, permission)]
    if missing:
        fix = f"Give the bot's role in #{full.name}: {', '.join(missing)}."
        return Check(kind, "fail", f"#{full.name} ({channel_id}): {', '.join(missing)} is missing", fix=fix)
    return Check(kind, "ok", f"#{full.name} ({channel_id}) in {guild.name}")


def _clock(client: Client) -> Check:
    offset = client.clock_offset
    if offset is None:
        return Check("clock", "warn", "Discord did not say what time it is")
    if abs(offset) > CLOCK_TOLERANCE:
        side = "ahead of" if offset > 0 else "behind"
        message = f"this machine's clock is {abs(offset):.0f} s {side} Discord's"
        return Check("clock", "fail", message, fix="Have it set by NTP: `timedatectl set-ntp true`.")
    return Check("clock", "ok", f"within {CLOCK_TOLERANCE:.0f} s of Discord's")
