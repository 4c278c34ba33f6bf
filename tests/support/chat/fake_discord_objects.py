"""Objects of Discord's API v10, as JSON: as much of them as a client reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

EPOCH = 1_420_070_400_000
BOT, APPLICATION, OWNER, GUILD, BOT_ROLE = 9001, 9001, 41, 100, 101
CHANNEL, HIDDEN, DIRECT = 200, 202, 300
EVERYTHING = (1 << 50) - 1
MAX_FILE = 10 * 1024 * 1024


@dataclass
class Request:
    method: str
    path: str
    body: Json
    files: list[tuple[str, bytes]] = field(default_factory=list)
    query: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        self.status = status
        self.body = {"message": message, "code": code, **({"errors": errors} if errors else {})}


def invalid(field_name: str, code: str, message: str) -> Refusal:
    return Refusal(400, 50035, "Invalid Form Body", {field_name: {"_errors": [{"code": code, "message": message}]}})


def user(number: int, name: str, *, bot: bool = False) -> Json:
    return {
        "id": str(number),
        "username": name,
        "discriminator": "0",
        "global_name": name,
        "avatar": None,
        "bot": bot,
    }


ME = user(BOT, "missive", bot=True)


def member(person: Json | None, roles: tuple[int, ...] = ()) -> Json:
    about = {"roles": [str(role) for role in roles], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False}
    return {**about, "mute": False, "flags": 0, "nick": None, "avatar": None, **({"user": person} if person else {})}


def role(number: int, name: str, permissions: int, **more: Any) -> Json:
    colours = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
    return {
        "id": str(number),
        "name": name,
        "color": 0,
        "colors": colours,
        "hoist": False,
        "position": 0 if number == GUILD else 1,
        "permissions": str(permissions),
        "managed": False,
        "mentionable": False,
        "flags": 0,
        **more,
    }


def channel(number: int, name: str = "general", kind: int = 0, **more: Any) -> Json:
    return {
        "id": str(number),
        "type": kind,
        "guild_id": str(GUILD),
        "name": name,
        "position": 0,
        "permission_overwrites": [],
        "topic": None,
        "nsfw": False,
        "last_message_id": None,
        "rate_limit_per_user": 0,
        "parent_id": None,
        **more,
    }


def thread(number: int, name: str, parent: int, owner: int = BOT) -> Json:
    state = {
        "archived": False,
        "auto_archive_duration": 1440,
        "archive_timestamp": "2026-01-01T00:00:00+00:00",
        "locked": False,
    }
    more: Json = {"parent_id": str(parent), "owner_id": str(owner), "thread_metadata": state}
    return channel(number, name, 11, message_count=0, member_count=1, **more)


def direct(number: int, person: Json) -> Json:
    return {"id": str(number), "type": 1, "recipients": [person], "last_message_id": None}


def guild(permissions: int) -> Json:
    return {
        "id": str(GUILD),
        "name": "Guild",
        "icon": None,
        "owner_id": str(OWNER),
        "roles": [
            role(GUILD, "@everyone", permissions),
            role(BOT_ROLE, "missive", permissions, managed=True, tags={"bot_id": str(BOT)}),
        ],
        "emojis": [],
        "stickers": [],
        "features": [],
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "afk_channel_id": None,
        "afk_timeout": 300,
        "application_id": None,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "vanity_url_code": None,
        "description": None,
        "banner": None,
        "splash": None,
        "discovery_splash": None,
        "public_updates_channel_id": None,
        "preferred_locale": "en-US",
        "nsfw_level": 0,
        "premium_tier": 0,
        "premium_progress_bar_enabled": False,
        "safety_alerts_channel_id": None,
    }


def guild_create(permissions: int, channels: list[Json], threads: list[Json]) -> Json:
    state = {"joined_at": "2026-01-01T00:00:00+00:00", "large": False, "unavailable": False, "member_count": 3}
    empty: Json = {
        name: []
        for name in ("voice_states", "presences", "stage_instances", "guild_scheduled_events", "soundboard_sounds")
    }
    members = [member(ME, (BOT_ROLE,))]
    return {**guild(permissions), **state, **empty, "members": members, "channels": channels, "threads": threads}


def application(flags: int, interactions_url: str | None) -> Json:
    return {
        "id": str(APPLICATION),
        "name": "missive",
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "team": None,
        "flags": flags,
        "owner": user(OWNER, "owner"),
        "interactions_endpoint_url": interactions_url,
    }


def message(number: int, channel_id: int, author: Json, content: str, **more: Any) -> Json:
    return {
        "id": str(number),
        "channel_id": str(channel_id),
        "author": author,
        "content": content,
        "timestamp": "2026-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
        "type": 0,
        "components": [],
        "flags": 0,
        **more,
    }
