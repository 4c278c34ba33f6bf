"""An answer is put together from results, which come once more after a crash."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from missive_chat.answers import Answer


def said(text: str) -> Any:
    raw = {"message": {"messageId": text, "role": "ROLE_AGENT", "parts": [{"text": text}]}}
    return SimpleNamespace(kind="stream_event", data=SimpleNamespace(agent="echo", raw=raw))


def test_an_agent_that_is_asked_again_after_a_crash_answers_once() -> None:
    answer = Answer("code")
    assert answer.take(said("first"))
    assert not answer.take(said("first"))
    assert answer.take(said("second"))
    assert answer.text == "second"
