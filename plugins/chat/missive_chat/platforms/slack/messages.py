"""What a message looks like on the wire: one Markdown block, buttons under it, and our key in the metadata."""

from __future__ import annotations

from typing import Any

from missive_chat.platform import Button
from missive_chat.platforms.slack.markup import cut, harmless, to_mrkdwn

MAX_TEXT = 4000
"""Characters of a message. Slack makes several messages of a longer one without telling, and refuses it as an edit."""
MAX_FALLBACK = 4000
"""Bytes of the text that notifications show."""
SECTION = 3000

EVENT_TYPE = "missive"
ACTION = "missive_"


def fallback(text: str) -> str:
    return cut(to_mrkdwn(harmless(text)), MAX_FALLBACK)


def blocks(text: str, buttons: tuple[Button, ...]) -> list[dict[str, Any]]:
    return [{"type": "markdown", "text": harmless(text)}, *_actions(buttons)]


def plain_blocks(text: str, buttons: tuple[Button, ...]) -> list[dict[str, Any]]:
    """The same text, as it is: for when Slack cannot make anything of its Markdown."""
    text = harmless(text)
    sections = [text[start : start + SECTION] for start in range(0, len(text), SECTION)]
    return [
        *({"type": "section", "text": {"type": "plain_text", "text": section}} for section in sections),
        *_actions(buttons),
    ]


def metadata(key: str) -> dict[str, Any]:
    return {"event_type": EVENT_TYPE, "event_payload": {"key": key}}


def key_of(message: dict[str, Any]) -> str | None:
    """Return the key that a message was sent under."""
    found = message.get("metadata") or {}
    if found.get("event_type") != EVENT_TYPE:
        return None
    key = (found.get("event_payload") or {}).get("key")
    return key if isinstance(key, str) else None


def _actions(buttons: tuple[Button, ...]) -> list[dict[str, Any]]:
    if not buttons:
        return []
    elements = []
    for number, button in enumerate(buttons):
        element: dict[str, Any] = {
            "type": "button",
            "action_id": f"{ACTION}{number}",
            "text": {"type": "plain_text", "text": cut(button.label, 75)},
            "value": button.value,
        }
        if button.style is not None:
            element["style"] = button.style
        elements.append(element)
    return [{"type": "actions", "elements": elements}]
