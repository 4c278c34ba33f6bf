"""The filters that come with missive: what `redact` takes out and what it leaves, what `limit` refuses."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from missive_filters.limit import Limit
from missive_filters.redact import Redact

from missive_host import commands as c
from missive_host.envelopes import (
    ChatAttachment,
    ChatFacts,
    ChatSender,
    Envelope,
    Source,
    chat_envelope,
    facts_of,
)
from missive_host.errors import ValidationError
from missive_host.protocols import FilterContext, Outgoing

CARDS = ("4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005")
KEYS = (
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "sk-" + "proj-abcdefghij0123456789",
    "xoxb-" + "1234567890-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
)
LEFT = (
    "4111111111111112",  # the check digit is wrong
    "order 1234567890123 of today",
    "at 2026-01-31T12:00:00Z, +49 30 1234567, 1e9, 3.14",
    "550e8400-e29b-41d4-a716-446655440000",
    "the task-force and the risk-averse",
    "sk-short",
)


def context(**options: Any) -> FilterContext:
    return FilterContext("x", options, logging.getLogger("x"))


def redact(kinds: tuple[str, ...] = ("card", "key"), patterns: tuple[str, ...] = ()) -> Redact:
    return Redact(context(kinds=kinds, patterns=patterns, mark="[redacted]"))


def envelope(**fields: Any) -> Envelope:
    command = c.Send(agent="echo", **fields)
    return Envelope(contract="test", id="f", source=Source(source_id="s"), command=command, metadata={})


def envelope_of(command: c.Command) -> Envelope:
    return Envelope(contract="test", id="f", source=Source(source_id="s"), command=command, metadata={})


def text(filter_: Redact, given: str) -> str:
    shown: str = filter_.outbound(Outgoing("x", {"text": given})).data["text"]
    return shown


@pytest.mark.parametrize("secret", [*CARDS, *KEYS])
def test_what_is_taken_out(secret: str) -> None:
    assert text(redact(), f"it is {secret}, you know").startswith("it is [redacted]")
    assert secret[-10:] not in text(redact(), f'{{"a":"{secret}"}}')


@pytest.mark.parametrize("plain", LEFT)
def test_what_is_left(plain: str) -> None:
    assert text(redact(), plain) == plain


def test_more_kinds() -> None:
    given = "mail ann@example.com, pay GB82 WEST 1234 5698 7654 32, not GB83 WEST 1234 5698 7654 32"
    found = text(redact(("email", "iban")), given)
    assert found == "mail [redacted], pay [redacted], not GB83 WEST 1234 5698 7654 32"


def test_patterns_of_ones_own() -> None:
    assert text(redact((), (r"(?i)project \w+", r"\d{3}")), "Project Blue, 1234") == "[redacted], [redacted]4"


def test_every_place_of_a_command_is_looked_at() -> None:
    card = CARDS[0]
    before = envelope(
        message=f"a {card}",
        text_parts=(f"b {card}",),
        json_parts=({"c": [card], card: 1}, int(card)),
        metadata={"d": {"e": card}},
    )
    after = redact().inbound(before)
    assert card not in str(after)
    assert str(after).count("[redacted]") == 6
    command: Any = after.command
    assert command.message == "a [redacted]"
    same = envelope(message="nothing here", metadata={"a": [1, None]})
    assert redact().inbound(same) == same


def test_ids_are_what_answers_are_found_by() -> None:
    number = CARDS[0]
    source = Source(source_id=number, display_name=number)
    command = c.Send(agent="echo", message=number, task=number, context=number)
    before = Envelope(contract="test", id=number, source=source, command=command, metadata={}, idempotency_key=number)
    after = redact().inbound(before)
    assert (after.id, after.source.source_id, after.idempotency_key) == (number, number, number)
    assert after.source.display_name == "[redacted]"
    changed: Any = after.command
    assert (changed.message, changed.task, changed.context) == ("[redacted]", number, number)
    got: Any = redact().inbound(envelope_of(c.TaskGet(task_id=number))).command
    assert got.task_id == number
    shown = redact().outbound(Outgoing("x", {"task_id": number, "task": {"contextId": number, "customer_id": number}}))
    assert shown.data == {"task_id": number, "task": {"contextId": number, "customer_id": "[redacted]"}}


def test_of_a_message_in_a_chat_the_names_are_looked_at() -> None:
    number = CARDS[0]
    facts = ChatFacts(
        platform="discord",
        account="team",
        event_id=number,
        chat=number,
        message_id=number,
        sender=ChatSender(id=number, name=f"Ann {number}"),
        attachments=(ChatAttachment(name=f"{number}.pdf"),),
    )
    before = chat_envelope(facts, c.Send(agent="echo", message=number), source_id=number)
    after = facts_of(redact().inbound(before))
    assert (after.chat, after.sender.id, after.event_id) == (number, number, number)
    assert (after.sender.name, after.attachments[0].name) == ("Ann [redacted]", "[redacted].pdf")


def test_an_answer_of_any_shape() -> None:
    card = CARDS[0]
    shown = redact().outbound(Outgoing("x", {"parts": ({"text": card}, [card]), card: None, "n": 3, "b": True})).data
    assert shown == {"parts": [{"text": "[redacted]"}, ["[redacted]"]], "[redacted]": None, "n": 3, "b": True}


# --- limit


@pytest.mark.parametrize(
    ("limits", "fields", "said"),
    [
        ({"parts": 2}, {"message": "a", "text_parts": ("b", "c")}, "it has 3 parts, at most 2 are allowed"),
        ({"parts": 1}, {"message": "a", "files": ("x",)}, "it has 2 parts, at most 1 are allowed"),
        ({"files": 0}, {"message": "a", "file_bytes": ("x",)}, "it has 1 files, at most 0 are allowed"),
        ({"size": 60}, {"message": "é" * 30}, "it has 124 bytes, at most 60 are allowed"),
    ],
)
def test_what_is_refused(limits: dict[str, int], fields: dict[str, Any], said: str) -> None:
    options = {"size": None, "parts": None, "files": None, **limits}
    with pytest.raises(ValidationError) as caught:
        Limit(context(**options)).inbound(envelope(**fields))
    assert caught.value.message == said
    (name, limit), = limits.items()  # fmt: skip
    more = {**options, name: limit + 100}
    given = envelope(**fields)
    assert Limit(context(**more)).inbound(given) is given


def test_a_job_is_limited_as_what_it_does() -> None:
    command = c.JobStartSend(agent="echo", message="a", text_parts=("b",))
    given = Envelope(contract="test", id="f", source=Source(source_id="s"), command=command, metadata={})
    with pytest.raises(ValidationError, match="it has 2 parts"):
        Limit(context(size=None, parts=1, files=None)).inbound(given)
