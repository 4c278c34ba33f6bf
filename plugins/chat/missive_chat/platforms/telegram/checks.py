"""What ``missive chat doctor`` looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from missive_chat.platform import ChatError, Check
from missive_chat.platforms.telegram.api import BadRequestError, BotApi

MAX_CHANNELS = 20
"""Of more channels only so many are looked at: each is two calls."""
MAX_CLOCK = 30.0


async def look(api: BotApi, me: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Check, ...]:
    """Look at everything that must be right. `me` is what getMe says, just now."""
    checks = [Check("token", "ok", f"it is the token of @{me.get('username')}, id {me.get('id')}")]
    checks.append(await _webhook(api))
    checks.append(_privacy(me, mention=bool(options["mention"])))
    if options["group_policy"] != "disabled" and not me.get("can_join_groups", True):
        checks.append(
            Check("groups", "warn", "the bot cannot be added to groups", "@BotFather: /setjoingroups, Enable")
        )
    for channel in options["channels"][:MAX_CHANNELS]:
        checks.append(await _channel(api, me, str(channel)))  # noqa: PERF401
    checks.append(_clock(api.clock_difference))
    return tuple(checks)


async def _webhook(api: BotApi) -> Check:
    info = await api.call("getWebhookInfo")
    waiting = info.get("pending_update_count", 0)
    if info.get("url"):
        return Check(
            "webhook",
            "fail",
            "the bot's updates go to a webhook, so none can be fetched",
            "If nothing needs the webhook any more, call deleteWebhook of the Bot API; else make another bot.",
        )
    return Check("webhook", "ok", f"updates are fetched from here; {waiting} wait at Telegram")


def _privacy(me: Mapping[str, Any], *, mention: bool) -> Check:
    if me.get("can_read_all_group_messages"):
        return Check("privacy", "ok", "privacy mode is off: the bot hears everything that is written in its groups")
    hears = "privacy mode is on: in groups Telegram hands over only commands, mentions of the bot and replies to it"
    if mention:
        return Check(
            "privacy",
            "ok",
            f"{hears}; that is what `mention = true` needs, but it knows nothing of what was said before",
        )
    return Check(
        "privacy",
        "warn",
        f"{hears}; `mention = false` has no effect there",
        "@BotFather: /setprivacy, the bot, Disable; then take the bot out of each group and add it again "
        "(or make it an administrator there).",
    )


async def _channel(api: BotApi, me: Mapping[str, Any], channel: str) -> Check:
    name = f"channel {channel}"
    if not channel.lstrip("-").isdigit():
        return Check(
            name,
            "fail",
            "that is no id of a group: ids are numbers",
            "Mention the bot in the group: the log of `missive gateway run -v` has the id.",
        )
    try:
        chat = await api.call("getChat", chat_id=int(channel))
        member = await api.call("getChatMember", chat_id=int(channel), user_id=me["id"])
    except BadRequestError as error:
        if error.migrated_to is not None:
            return Check(name, "fail", "the group has become a supergroup", f"Write {error.migrated_to} in its place.")
        return Check(name, "fail", error.description, "Add the bot to the group, or take its id out of `channels`.")
    except ChatError as error:
        return Check(name, "warn", error.message, "Try again later.")
    if member.get("status") in ("left", "kicked"):
        return Check(name, "fail", "the bot is not a member", "Add the bot to the group.")
    if member.get("status") == "restricted" and not member.get("can_send_messages", True):
        return Check(name, "fail", "the bot may not write there", "Give it the right to send messages.")
    return Check(name, "ok", f"'{chat.get('title', '')}', where the bot is a {member.get('status')}")


def _clock(difference: float | None) -> Check:
    if difference is None or abs(difference) <= MAX_CLOCK:
        return Check("clock", "ok", "it agrees with Telegram's")
    return Check(
        "clock",
        "warn",
        f"it differs from Telegram's by {abs(difference):.0f} s: messages look older or newer than they are",
        "Have the clock set by NTP.",
    )
