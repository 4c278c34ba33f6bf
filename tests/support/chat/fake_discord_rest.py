"""The requests that the fake Discord answers. What is not here is answered 404, as there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from support.chat import fake_discord_objects as objects
from support.chat.fake_discord_objects import (
    BOT,
    BOT_ROLE,
    GUILD,
    HIDDEN,
    MAX_FILE,
    ME,
    Json,
    Refusal,
    Request,
    invalid,
)

if TYPE_CHECKING:
    from support.chat.fake_discord import FakeDiscord


async def route(discord: FakeDiscord, request: Request) -> Any:
    """Carry a request out. Raises `Refusal`."""
    path = tuple(unquote(part) for part in request.path.strip("/").split("/"))
    if request.method == "GET":
        return _read(discord, path, request.query)
    return await _write(discord, path, request)


def _read(discord: FakeDiscord, path: tuple[str, ...], query: dict[str, str]) -> Any:
    match path:
        case ("users", "@me"):
            return {**ME, "verified": True, "mfa_enabled": False, "flags": 0}
        case ("oauth2", "applications", "@me"):
            return objects.application(discord.flags, discord.interactions_url)
        case ("users", "@me", "guilds"):
            about: Json = {"id": str(GUILD), "name": "Guild", "icon": None, "owner": False, "features": []}
            return [{**about, "permissions": str(discord.permissions)}] if discord.in_server else []
        case ("gateway", "bot"):
            limits = {"total": 1000, "remaining": 998, "reset_after": 3_600_000, "max_concurrency": 1}
            return {"url": discord.gateway_url, "shards": 1, "session_start_limit": limits}
        case ("guilds", _):
            return objects.guild(discord.permissions)
        case ("guilds", _, "channels"):
            return [each for each in discord.channels.values() if each["type"] == 0]
        case ("guilds", _, "members", _):
            return objects.member(ME, (BOT_ROLE,))
        case ("applications", _, "commands"):
            return list(discord.registered.values())
        case ("channels", channel):
            return _channel(discord, channel)
        case ("channels", channel, "messages"):
            return _history(discord, channel, query)
        case ("channels", channel, "messages", message):
            return discord._signed(_message(discord, channel, message))
    raise Refusal(404, 0, "404: Not Found")


async def _write(discord: FakeDiscord, path: tuple[str, ...], request: Request) -> Any:
    body = request.body
    match (request.method, *path):
        case ("POST", "applications", _, "commands"):
            made = {**body, "id": str(discord._snowflake()), "application_id": str(objects.APPLICATION), "version": "1"}
            discord.registered[body["name"]] = made
            return made
        case ("POST", "channels", channel, "typing"):
            _channel(discord, channel)
            return None
        case ("POST", "channels", channel, "messages"):
            return await _create(discord, channel, request)
        case ("PATCH", "channels", channel, "messages", message):
            return await _edit(discord, channel, message, body)
        case ("PUT" | "DELETE", "channels", channel, "messages", message, "reactions", emoji, "@me"):
            return _react(discord, request.method, int(_message(discord, channel, message)["id"]), emoji)
        case ("POST", "channels", channel, "messages", message, "threads"):
            return await _open_thread(discord, _message(discord, channel, message), body)
        case ("POST", "interactions", number, token, "callback"):
            return await _respond(discord, number, token, request)
        case ("POST", "webhooks", _, token):
            return _follow_up(discord, token, body)
    raise Refusal(404, 0, "404: Not Found")


def _channel(discord: FakeDiscord, number: str) -> Json:
    found = discord.channels.get(int(number))
    if found is None:
        raise Refusal(404, 10003, "Unknown Channel")
    if int(number) == HIDDEN:
        raise Refusal(403, 50001, "Missing Access")
    return found


def _message(discord: FakeDiscord, channel: str, number: str) -> Json:
    _channel(discord, channel)
    found = discord.messages.get(int(channel), {}).get(int(number))
    if found is None:
        raise Refusal(404, 10008, "Unknown Message")
    return found


def _history(discord: FakeDiscord, channel: str, query: dict[str, str]) -> list[Json]:
    _channel(discord, channel)
    after, most = int(query.get("after", 0)), int(query.get("limit", 50))
    if not 1 <= most <= 100:
        raise invalid("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
    found = sorted(number for number in discord.messages.get(int(channel), {}) if number > after)
    chosen = found[:most] if "after" in query else found[-most:]
    return [discord._signed(discord.messages[int(channel)][number]) for number in reversed(chosen)]


def _check_content(body: Json) -> None:
    if len(body.get("content") or "") > 2000:
        raise invalid("content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length.")
    rows = body.get("components") or []
    if len(rows) > 5 or any(not 1 <= len(row["components"]) <= 5 for row in rows):
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    names = [button["custom_id"] for row in rows for button in row["components"]]
    if any(not 1 <= len(name) <= 100 for name in names) or len(set(names)) != len(names):
        raise invalid("components", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")


def _note_pings(discord: FakeDiscord, body: Json, content: str) -> None:
    allowed = body.get("allowed_mentions")
    parse = ["users", "roles", "everyone"] if allowed is None else allowed.get("parse", [])
    if "everyone" in parse and ("@everyone" in content or "@here" in content):
        discord.pings.append("everyone")
    discord.pings += [kind for kind, mark in (("users", "<@"), ("roles", "<@&")) if kind in parse and mark in content]
    if body.get("message_reference") and (allowed is None or allowed.get("replied_user")):
        discord.pings.append("replied user")


async def _create(discord: FakeDiscord, channel: str, request: Request) -> Json:
    body, number = request.body, int(channel)
    _channel(discord, channel)
    if not discord.permissions & (1 << 11):
        raise Refusal(403, 50013, "Missing Permissions")
    _check_content(body)
    content = body.get("content") or ""
    if not content and not request.files:
        raise Refusal(400, 50006, "Cannot send an empty message")
    if any(len(data) > MAX_FILE for _, data in request.files):
        raise Refusal(413, 40005, "Request entity too large")
    nonce = body.get("nonce")
    if nonce is not None and len(str(nonce)) > 25:
        raise invalid("nonce", "NONCE_TYPE_TOO_LONG", "Nonce must be 25 or fewer in length.")
    if nonce is not None and body.get("enforce_nonce") and (number, nonce) in discord._nonces:
        return discord._signed(discord.messages[number][discord._nonces[number, nonce]])
    more: Json = {}
    reference = body.get("message_reference")
    if reference is not None:
        target = discord.messages.get(number, {}).get(int(reference["message_id"]))
        if target is None and reference.get("fail_if_not_exists", True):
            raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        if target is not None:
            more = {"type": 19, "referenced_message": target}
            more["message_reference"] = {"message_id": target["id"], "channel_id": channel}
    _note_pings(discord, body, content)
    made = objects.message(discord._snowflake(), number, ME, content, components=body.get("components") or [], **more)
    made["flags"] = body.get("flags", 0)
    made["attachments"] = [
        discord._attach(made["id"], name, data, "application/octet-stream") for name, data in request.files
    ]
    discord._keep(made)
    if nonce is not None:
        discord._nonces[number, nonce] = int(made["id"])
    await discord._tell("MESSAGE_CREATE", {**made, **({"nonce": nonce} if nonce is not None else {})})
    return discord._signed(made)


async def _edit(discord: FakeDiscord, channel: str, message: str, body: Json) -> Json:
    made = _message(discord, channel, message)
    if made["author"]["id"] != str(BOT):
        raise Refusal(403, 50005, "Cannot edit a message authored by another user")
    _check_content(body)
    if not body.get("content") and not made["attachments"]:
        raise Refusal(400, 50006, "Cannot send an empty message")
    _note_pings(discord, body, body.get("content") or "")
    made.update({key: body[key] for key in ("content", "components") if key in body})
    made["edited_timestamp"] = f"2026-01-01T00:00:{next(discord._numbers) % 60:02}+00:00"
    discord.edits.append(made["content"])
    await discord._tell("MESSAGE_UPDATE", made)
    return discord._signed(made)


def _react(discord: FakeDiscord, method: str, message: int, emoji: str) -> None:
    there = discord.reactions.setdefault(message, [])
    if method == "DELETE":
        if emoji not in there:
            raise Refusal(404, 10014, "Unknown Emoji")
        there.remove(emoji)
    elif emoji not in there:
        there.append(emoji)


async def _open_thread(discord: FakeDiscord, starter: Json, body: Json) -> Json:
    number = int(starter["id"])
    if not 1 <= len(body["name"]) <= 100:
        raise invalid("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
    if number in discord.channels:
        raise Refusal(400, 160004, "A thread has already been created for this message")
    discord.channels[number] = objects.thread(number, body["name"], int(starter["channel_id"]))
    await discord.gateway.dispatch("THREAD_CREATE", discord.channels[number])
    return discord.channels[number]


async def _respond(discord: FakeDiscord, number: str, token: str, request: Request) -> Json | None:
    known = discord._interactions.get(token)
    if known is None or known[0] != int(number) or time.monotonic() - known[1] > discord.ack_seconds:
        raise Refusal(404, 10062, "Unknown interaction")
    if int(number) in discord.acknowledged:
        raise Refusal(400, 40060, "Interaction has already been acknowledged.")
    body = request.body
    discord.acknowledged[int(number)] = body
    about: Json = {"id": number, "type": known[2]["type"], "response_message_ephemeral": False}
    if body["type"] == 4:
        _check_content(body["data"])
        _note_pings(discord, body["data"], body["data"]["content"])
        channel = int(known[2]["channel_id"])
        made = objects.message(discord._snowflake(), channel, ME, body["data"]["content"], type=20)
        discord._keep(made)
        await discord._tell("MESSAGE_CREATE", made)
        about["response_message_id"] = made["id"]
    elif body["type"] != 6:
        raise invalid("type", "BASE_TYPE_CHOICES", "Value must be one of {4, 6}.")
    return {"interaction": about, "resource": {"type": body["type"]}} if request.query.get("with_response") else None


def _follow_up(discord: FakeDiscord, token: str, body: Json) -> Json:
    known = discord._interactions.get(token)
    if known is None or known[0] not in discord.acknowledged:
        raise Refusal(404, 10015, "Unknown Webhook")
    _check_content(body)
    _note_pings(discord, body, body["content"])
    made = objects.message(discord._snowflake(), int(known[2]["channel_id"]), ME, body["content"], flags=body["flags"])
    discord.whispers.append({**made, "to": known[2].get("member", known[2])["user"]["id"]})
    return made
