"""Plain answers are taken as they are: that must make no difference, and must not let through what is not A2A."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from a2a.types import a2a_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given, strategies as st

from missive_host.a2a.codec import Codec10
from missive_host.a2a.plain import is_plain

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
MESSAGES = st.fixed_dictionaries(
    {
        "messageId": TEXTS,
        "role": st.sampled_from(["ROLE_AGENT", "ROLE_USER"]),
        "parts": st.lists(st.fixed_dictionaries({"text": TEXTS}), min_size=1, max_size=3),
    },
    optional={"contextId": TEXTS, "taskId": TEXTS},
)


def message(**changes: Any) -> dict[str, Any]:
    value = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hello"}], "contextId": "c", **changes}
    return {"message": {name: item for name, item in value.items() if item is not ...}}


@given(MESSAGES)
def test_what_is_plain_is_what_protobuf_makes_of_it(value: dict[str, Any]) -> None:
    answer = {"message": value}
    assert is_plain(answer)
    assert MessageToDict(ParseDict(answer, a2a_pb2.SendMessageResponse())) == answer
    assert Codec10().decode("send", answer, rest=False) == answer
    assert Codec10().decode("stream", answer, rest=False) == answer


@pytest.mark.parametrize(
    "answer",
    [
        message(contextId=""),
        message(contextId=None),
        message(messageId=""),
        message(messageId=...),
        message(messageId=7),
        message(role="agent"),
        message(role=2),
        message(parts=[]),
        message(parts=...),
        message(parts=[{"text": ""}]),
        message(parts=[{"text": 1}]),
        message(parts=[{"data": {"n": 1}}]),
        message(parts=[{"text": "a", "mediaType": "text/plain"}]),
        message(metadata={"a": 1}),
        message(extensions=["x"]),
        message(message_id="m"),
        message(unknown=1),
        {**message(), "task": {"id": "t"}},
        {**message(), "extra": 1},
        {"message": [message()["message"]]},
        {"message": None},
        {"task": {"id": "t", "status": {"state": "TASK_STATE_WORKING"}}},
        {},
    ],
)
def test_what_protobuf_could_see_otherwise_is_left_to_it(answer: dict[str, Any]) -> None:
    assert not is_plain(answer)


def test_a_message_is_no_answer_where_a_task_is_asked_for() -> None:
    with pytest.raises(ValueError, match="the task has no id"):
        Codec10().decode("get", message(), rest=False)


def test_a_plain_answer_needs_no_protobuf() -> None:
    code = (
        "import sys\n"
        "from missive_host.a2a.codec import Codec10\n"
        f"Codec10().decode('send', {message()!r}, rest=False)\n"
        "print(*sorted({'a2a', 'google'} & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
