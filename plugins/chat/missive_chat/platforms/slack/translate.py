"""What Slack sends, as what the bridge takes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from missive_chat.platform import Attachment, Inbound, Place, Press, Sender
from missive_chat.platforms.slack.markup import to_markdown, unescape
from missive_chat.platforms.slack.messages import ACTION

Payload = Mapping[str, Any]

PREFIX = "!"
COMMANDS = frozenset({"agent", "approve", "help", "new", "refuse", "status", "stop"})
"""Slash commands whose name says it all; of any other one, the first word does."""

SPOKEN = frozenset({None, "bot_message", "file_share", "me_message", "thread_broadcast"})
"""The subtypes of messages that somebody wrote. All others tell of something that happened in the channel."""


@dataclass(frozen=True, slots=True)
class Me:
    """Who we are, as ``auth.test`` says."""

    user: str
    bot: str
    team: str
    enterprise: str | None = None
    name: str = ""


def inbound(kind: str, payload: Payload, me: Me) -> Inbound | None:
    """Return what an envelope (or a request) brings, or None if it is nothing for us."""
    if kind == "events_api":
        return _event(payload, me)
    if kind == "interactive":
        return _press(payload, me)
    if kind == "slash_commands":
        return _command(payload, me)
    return None


def _event(payload: Payload, me: Me) -> Inbound | None:
    event: Payload = payload.get("event") or {}
    installed = [str(item.get("team_id") or item.get("enterprise_id")) for item in payload.get("authorizations") or ()]
    if installed and not {me.team, me.enterprise} & set(installed):
        return None  # the app is installed in another workspace, too
    if event.get("type") not in ("message", "app_mention"):
        return None
    subtype = event.get("subtype")
    if subtype == "message_changed":
        return _edit(event, me)
    if subtype == "message_deleted":
        return _delete(event, me)
    return message(event, me, event.get("channel", ""), direct=event.get("channel_type") == "im")


def message(event: Payload, me: Me, channel: str, *, direct: bool = False) -> Inbound | None:
    """Return a message of an event or of the history. A mention comes as two events, which get one id."""
    if event.get("subtype") not in SPOKEN or event.get("hidden") or not event.get("ts") or not channel:
        return None
    if event.get("app_id") is None and event.get("bot_id") is None and not event.get("user"):
        return None
    sender = _sender(event, me)
    if sender.is_me:
        return None
    ts, root = str(event["ts"]), event.get("thread_ts")
    text = str(event.get("text") or "") or _quoted(event)
    return Inbound(
        event_id=f"{channel}:{ts}",
        place=_place(channel, ts, root, event, me, direct=direct),
        message_id=ts,
        sender=sender,
        text=_with_links(to_markdown(text, me=me.user), event),
        mentions_me=event.get("type") == "app_mention" or f"<@{me.user}" in text,
        reply_to=str(root) if root and root != ts else None,
        attachments=_attachments(event),
        sent_at=_seconds(ts),
    )


def _edit(event: Payload, me: Me) -> Inbound | None:
    now, before = event.get("message") or {}, event.get("previous_message") or {}
    channel = str(event.get("channel", ""))
    direct = event.get("channel_type") == "im"
    if now.get("subtype") == "tombstone":  # the root of a thread was deleted
        return _deleted(before, str(now.get("ts") or ""), event, me)
    edited = (now.get("edited") or {}).get("ts")
    if edited is None or (now.get("text") == before.get("text") and now.get("files") == before.get("files")):
        return None  # a preview of a link was added, or a reply
    new = message(now, me, channel, direct=direct)
    if new is None:
        return None
    return Inbound(
        event_id=f"{new.event_id}:edit:{edited}",
        kind="edit",
        place=new.place,
        message_id=new.message_id,
        sender=new.sender,
        text=new.text,
        mentions_me=new.mentions_me,
        reply_to=new.reply_to,
        attachments=new.attachments,
        sent_at=_seconds(str(edited)),
    )


def _delete(event: Payload, me: Me) -> Inbound | None:
    return _deleted(event.get("previous_message") or {}, str(event.get("deleted_ts") or ""), event, me)


def _deleted(before: Payload, ts: str, event: Payload, me: Me) -> Inbound | None:
    channel = str(event.get("channel", ""))
    sender = _sender(before, me)
    if not ts or not channel or sender.is_me:
        return None
    direct = event.get("channel_type") == "im"
    return Inbound(
        event_id=f"{channel}:{ts}:delete",
        kind="delete",
        place=_place(channel, ts, before.get("thread_ts"), before, me, direct=direct),
        message_id=ts,
        sender=sender,
        sent_at=_seconds(str(event.get("event_ts") or event.get("ts") or ts)),
    )


def _press(payload: Payload, me: Me) -> Inbound | None:
    if payload.get("type") != "block_actions":
        return None
    action = next((a for a in payload.get("actions") or () if str(a.get("action_id", "")).startswith(ACTION)), None)
    container = payload.get("container") or {}
    channel = str(container.get("channel_id") or (payload.get("channel") or {}).get("id") or "")
    ts, user = str(container.get("message_ts") or ""), payload.get("user") or {}
    if action is None or not channel or not ts or not user.get("id"):
        return None
    root = container.get("thread_ts") or (payload.get("message") or {}).get("thread_ts")
    facts = {"user": user["id"], "user_team": user.get("team_id")}
    return Inbound(
        event_id=f"{channel}:{ts}:press:{user['id']}:{action.get('action_ts')}",
        kind="press",
        place=_place(channel, ts, root, facts, me, direct=False),
        message_id=ts,
        sender=_sender(facts, me, name=str(user.get("name") or user.get("username") or "")),
        press=Press(value=str(action.get("value") or ""), message_id=ts),
        sent_at=_seconds(str(action.get("action_ts") or "")),
    )


def _command(payload: Payload, me: Me) -> Inbound | None:
    channel, user, trigger = (str(payload.get(name) or "") for name in ("channel_id", "user_id", "trigger_id"))
    if not channel or not user or not trigger:
        return None
    name = str(payload.get("command") or "").removeprefix("/").lower()
    text = unescape(str(payload.get("text") or "")).strip()
    if name in COMMANDS:
        text = f"{name} {text}".strip()
    facts = {"user": user, "user_team": payload.get("team_id")}
    return Inbound(
        event_id=f"{channel}:command:{trigger}",
        place=Place(chat=channel, is_direct=channel.startswith("D"), facts=_facts(facts, me)),
        message_id=f"command:{trigger}",
        sender=_sender(facts, me, name=str(payload.get("user_name") or "")),
        text=PREFIX + (text or "help"),
        mentions_me=True,
    )


def _place(channel: str, ts: str, root: Any, event: Payload, me: Me, *, direct: bool) -> Place:
    """In a channel a message that is in no thread is answered in the one that it begins."""
    direct = direct or channel.startswith("D")
    thread = str(root) if root else None if direct else ts
    return Place(chat=channel, is_direct=direct, thread=thread, facts=_facts(event, me))


def _facts(event: Payload, me: Me) -> dict[str, str]:
    """A stream of Slack's own says for whom it is."""
    if not event.get("user"):
        return {}
    return {"user": str(event["user"]), "team": _team(event) or me.team}


def _team(event: Payload) -> str | None:
    found = event.get("user_team") or event.get("source_team") or event.get("team")
    return str(found) if found else None


def _sender(event: Payload, me: Me, *, name: str = "") -> Sender:
    """An id of another workspace is not one of ours, so its team is a part of it."""
    user, bot, team = event.get("user"), event.get("bot_id"), _team(event)
    is_me = (user is not None and user == me.user) or (bot is not None and bot == me.bot)
    identity = str(user or bot or event.get("username") or "")
    if team is not None and team not in (me.team, me.enterprise) and identity:
        identity = f"{team}/{identity}"
    profile = event.get("user_profile") or event.get("bot_profile") or {}
    return Sender(
        id=identity,
        name=name or str(profile.get("display_name") or profile.get("name") or event.get("username") or ""),
        is_bot=bot is not None or event.get("subtype") == "bot_message" or user == "USLACKBOT",
        is_me=is_me,
    )


def _attachments(event: Payload) -> tuple[Attachment, ...]:
    return tuple(
        Attachment(
            id=str(file["id"]),
            name=str(file.get("name") or file.get("title") or file["id"]),
            media_type=file.get("mimetype") or None,
            size=file.get("size") if isinstance(file.get("size"), int) else None,
        )
        for file in event.get("files") or ()
        if file.get("id") and not _is_elsewhere(file) and file.get("mode") != "tombstone"
    )


def _is_elsewhere(file: Payload) -> bool:
    return bool(file.get("is_external")) or file.get("mode") == "external"


def _with_links(text: str, event: Payload) -> str:
    """Files that Slack does not have itself are named with their addresses: our token is not for those."""
    links = [
        f"[{file.get('title') or file.get('name') or 'file'}]({file['url_private']})"
        for file in event.get("files") or ()
        if _is_elsewhere(file) and str(file.get("url_private") or "").startswith("https://")
    ]
    return "\n\n".join(filter(None, (text, *links)))


def _quoted(event: Payload) -> str:
    """A message of a program, or one passed on, has its text in what is attached to it."""
    texts = (item.get("text") or item.get("fallback") for item in event.get("attachments") or ())
    return "\n\n".join(str(text) for text in texts if text)


def _seconds(ts: str) -> float | None:
    try:
        return float(ts)
    except ValueError:
        return None
