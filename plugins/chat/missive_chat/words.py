"""What people may say to the bridge itself, after ``/`` or ``!``."""

from __future__ import annotations

from dataclasses import dataclass

WORDS = {
    "help": "what you can say to me",
    "agent": "which agent answers, or choose another: agent NAME",
    "new": "begin a new conversation: the agent forgets this one",
    "stop": "cancel what the agent is doing for this conversation",
    "status": "what is going on",
    "approve": "approve what an agent asked leave for: approve CODE",
    "refuse": "refuse it: refuse CODE",
}
FOR_ADMINS = ("agent", "new", "stop")
AT_ONCE = ("help", "status", "stop")
"""Of no use behind a message that waits."""


@dataclass(frozen=True, slots=True)
class Word:
    name: str
    rest: str


def word_of(text: str, prefix: str) -> Word | None:
    """Return the bridge's own word that a text is, if it is one: ``!`` is understood everywhere."""
    text = text.strip()
    for mark in (prefix, "!"):
        if text.startswith(mark):
            name, _, rest = text.removeprefix(mark).partition(" ")
            if name.lower() in WORDS:
                return Word(name.lower(), rest.strip())
    return None


def help_text(prefix: str) -> str:
    lines = [f"`{prefix}{name}` {meaning}" for name, meaning in WORDS.items()]
    return "Write to me, and I hand it to the agent. These I understand myself:\n" + "\n".join(lines)
