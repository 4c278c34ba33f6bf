"""``redact``: takes out of texts what must not be seen: card numbers, keys, and what the configuration names.

Ids are left as they are: those of frames, sessions, tasks and contexts, and those that a chat platform gives. Answers
are found by them, and every tenth long number that is nothing but an id has the check digit of a card.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from missive_host.envelopes import CHAT, Envelope, from_stored, stored
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from missive_host.protocols import FilterContext, Outgoing

Found = Callable[[str], bool]

_IDS = frozenset((
    "artifact_id", "artifactId", "config_id", "context_id", "contextId", "job_id", "message_id", "messageId",
    "schedule_id", "session_id", "task_id", "taskId", "work_id",
))  # fmt: skip
_FIXED = _IDS | {"command", "task", "context"}
"""The fields of commands that are left."""


def _luhn(text: str) -> bool:
    """Tell a card number from any number: the last digit is a check of the others (ISO/IEC 7812)."""
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def _iban(text: str) -> bool:
    """Tell an account number from other words (ISO 13616)."""
    plain = text.replace(" ", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


def _any(_text: str) -> bool:
    return True


# None of these can try a text in more than one way: they take a time that grows with its length, and no more.
KINDS: dict[str, tuple[str, Found]] = {
    "card": (r"(?<![0-9A-Za-z])[2-6](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])", _luhn),
    "email": (r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}", _any),
    "iban": (r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]){11,30}(?![0-9A-Za-z])", _iban),
    "key": (
        (
            r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[A-Za-z0-9+/=\s:,-]{0,20000}"
            r"|(?<![0-9A-Za-z])(?:"
            r"(?:AKIA|ASIA)[0-9A-Z]{16}"
            r"|(?:ghp|gho|ghu|ghs|ghr)_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{22,255}|glpat-[0-9A-Za-z_-]{20,255}"
            r"|sk-[0-9A-Za-z_-]{20,255}|[rs]k_live_[0-9A-Za-z]{16,255}|xox[abeprs]-[0-9A-Za-z-]{10,255}"
            r"|AIza[0-9A-Za-z_-]{35}|eyJ[0-9A-Za-z_-]{8,4096}\.eyJ[0-9A-Za-z_-]{8,8192}\.[0-9A-Za-z_-]{0,4096}"
            r")"
        ),
        _any,
    ),
}


class Redact:
    """An `InboundFilter` and an `OutboundFilter`."""

    def __init__(self, context: FilterContext) -> None:
        self._mark: str = context.options["mark"]
        self._patterns = [(re.compile(KINDS[kind][0]), KINDS[kind][1]) for kind in context.options["kinds"]]
        self._patterns += [(pattern, _any) for pattern in _compiled(context.options["patterns"])]

    def inbound(self, envelope: Envelope) -> Envelope:
        before = stored(envelope)
        source, command, metadata = before["source"], before["command"], before["metadata"]
        after = {
            **before,
            "source": {**source, "display_name": self._clean(source.get("display_name"))},
            "command": {key: child if key in _FIXED else self._clean(child) for key, child in command.items()},
            "metadata": self._facts(metadata) if envelope.contract == CHAT else self._clean(metadata),
        }
        return from_stored(after)

    def outbound(self, answer: Outgoing) -> Outgoing:
        return replace(answer, data=self._clean(answer.data))

    def _facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return the facts of a chat's message with what people wrote in them looked at: the names."""
        sender, files = facts["sender"], facts.get("attachments", ())
        return {
            **facts,
            "sender": {**sender, "name": self._text(sender.get("name", ""))},
            "attachments": [{**each, "name": self._text(each["name"])} for each in files],
        }

    def _clean(self, value: Any) -> Any:
        """Return JSON without what is to be taken out: of texts, of the names of fields, and of whole numbers."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {
                self._text(key): child if key in _IDS and isinstance(child, str) else self._clean(child)
                for key, child in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._clean(child) for child in value]
        if type(value) is int and self._text(str(value)) != str(value):
            return self._mark
        return value

    def _text(self, text: str) -> str:
        for pattern, found in self._patterns:
            text = pattern.sub(partial(self._instead, found), text)
        return text

    def _instead(self, found: Found, match: re.Match[str]) -> str:
        return self._mark if found(match[0]) else match[0]


def _compiled(patterns: tuple[str, ...]) -> Iterator[re.Pattern[str]]:
    for text in patterns:
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise ValidationError(f"`patterns`: {text[:64]!r} is not a regular expression: {error.msg}") from None
        if pattern.search("") is not None:
            raise ValidationError(f"`patterns`: {text[:64]!r} is found in an empty text, so it is found everywhere")
        yield pattern
