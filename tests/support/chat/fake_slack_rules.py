"""What the Web API of the fake Slack takes, and what people see of it."""

from __future__ import annotations

from typing import Any

METHODS: dict[str, tuple[str | None, str, str]] = {
    # method: scope, required arguments, others
    "auth.test": (None, "", ""),
    "apps.connections.open": (None, "", ""),
    "chat.postMessage": (
        "chat:write",
        "channel",
        "text blocks thread_ts metadata unfurl_links unfurl_media markdown_text reply_broadcast",
    ),
    "chat.update": ("chat:write", "channel ts", "text blocks metadata markdown_text"),
    "chat.startStream": (
        "chat:write",
        "channel thread_ts",
        "markdown_text chunks recipient_user_id recipient_team_id task_display_mode",
    ),
    "chat.appendStream": ("chat:write", "channel ts", "markdown_text chunks"),
    "chat.stopStream": ("chat:write", "channel ts", "markdown_text chunks blocks metadata"),
    "reactions.add": ("reactions:write", "channel timestamp name", ""),
    "reactions.remove": ("reactions:write", "name", "channel timestamp file file_comment"),
    "conversations.history": (
        "channels:history",
        "channel",
        "cursor limit oldest latest inclusive include_all_metadata",
    ),
    "conversations.replies": (
        "channels:history",
        "channel ts",
        "cursor limit oldest latest inclusive include_all_metadata",
    ),
    "users.conversations": (None, "", "cursor limit types exclude_archived user team_id"),
    "assistant.threads.setStatus": ("chat:write", "channel_id thread_ts status", "loading_messages"),
    "files.getUploadURLExternal": ("files:write", "filename length", "alt_txt snippet_type"),
    "files.completeUploadExternal": (
        "files:write",
        "files",
        "channel_id channels initial_comment thread_ts blocks",
    ),
    "files.info": ("files:read", "file", "count cursor limit page"),
}
REACTIONS = {"eyes", "white_check_mark", "x"}
JSON_ARGUMENTS = ("blocks", "metadata", "files", "chunks")


class Refused(Exception):
    port: int
    base: str
    """Its address."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer = {"ok": False, "error": error, **more}


def shown(message: dict[str, Any]) -> str:
    """What people see of a message: its blocks if it has any, else its text."""
    texts = []
    for block in message.get("blocks") or ():
        if block["type"] == "markdown":
            texts.append(block["text"])
        elif block["type"] == "section":
            texts.append(block["text"]["text"])
    return "".join(texts) if texts else str(message.get("text", ""))


def buttons(message: dict[str, Any]) -> list[str]:
    """The values of the buttons under a message."""
    return [e["value"] for b in message.get("blocks") or () if b["type"] == "actions" for e in b["elements"]]


def streamed(a: dict[str, Any]) -> str:
    text = a.get("markdown_text") or "".join(c.get("text", "") for c in a.get("chunks") or ())
    if len(text) > 12_000:
        raise Refused("msg_too_long")
    return str(text)


def between(ts: str, a: dict[str, Any]) -> bool:
    oldest, latest = float(a.get("oldest") or 0), float(a.get("latest") or 1e12)
    return oldest < float(ts) < latest


def check_block(block: dict[str, Any]) -> None:
    kind = block.get("type")
    if kind == "markdown":
        fine = isinstance(block["text"], str) and bool(block["text"])
    elif kind == "section":
        fine = 0 < len(block["text"]["text"]) <= 3000 and block["text"]["type"] in ("plain_text", "mrkdwn")
    elif kind == "actions":
        elements = block["elements"]
        ids = [element["action_id"] for element in elements]
        fine = 0 < len(elements) <= 25 and len(ids) == len(set(ids))
        for element in elements:
            fine = fine and element["type"] == "button" and 0 < len(element["text"]["text"]) <= 75
            fine = fine and len(element["value"]) <= 2000 and element.get("style") in (None, "primary", "danger")
    else:
        fine = False
    if not fine:
        raise Refused("invalid_blocks")
