"""Reading canonical A2A objects, whatever is or is not in them; and the one error for what is not A2A."""

from __future__ import annotations

from typing import Any

import pytest
from a2a.types import TaskState, a2a_pb2
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from hypothesis import given, strategies as st

from missive_host.a2a import shapes
from missive_host.a2a.codec import Codec03, Codec10
from missive_host.a2a.faults import broken_answer, http_error, jsonrpc_error
from missive_host.errors import MissiveError, ProtocolError

STATES = sorted(TaskState.keys())
PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"text": text}, st.text(max_size=5)),
        st.builds(lambda url: {"url": url}, st.text(max_size=5)),
        st.just({"raw": "QUJD", "mediaType": "a/b"}),
        st.builds(lambda data: {"data": data}, st.none() | st.booleans() | st.lists(st.integers(0, 9), max_size=2)),
    ),
    max_size=3,
)
ID = st.sampled_from(["", "1", "x y", "é"])
MESSAGE = st.fixed_dictionaries({}, optional={"messageId": ID, "contextId": ID, "taskId": ID, "parts": PARTS,
                                              "role": st.sampled_from(["ROLE_AGENT", "ROLE_USER"]),
                                              "metadata": st.just({"k": 1})})  # fmt: skip
STATUS = st.fixed_dictionaries({}, optional={"state": st.sampled_from(STATES), "message": MESSAGE})
ARTIFACT = st.fixed_dictionaries({}, optional={"artifactId": ID, "name": ID, "parts": PARTS})
TASK = st.fixed_dictionaries({}, optional={"id": ID, "contextId": ID, "status": STATUS,
                                           "artifacts": st.lists(ARTIFACT, max_size=2),
                                           "history": st.lists(MESSAGE, max_size=2)})  # fmt: skip
UPDATE = {"taskId": ID, "contextId": ID}
RESPONSE = st.one_of(
    st.builds(lambda value: {"task": value}, TASK),
    st.builds(lambda value: {"message": value}, MESSAGE),
    st.builds(lambda value: {"statusUpdate": value}, st.fixed_dictionaries({}, optional={**UPDATE, "status": STATUS})),
    st.builds(
        lambda value: {"artifactUpdate": value},
        st.fixed_dictionaries({}, optional={**UPDATE, "artifact": ARTIFACT, "append": st.booleans()}),
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["task", "message", "id", "status", "kind", "parts", "result", "error", "statusUpdate", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
OPERATIONS = st.sampled_from(["send", "stream", "subscribe", "get", "cancel", "list"])


@given(RESPONSE)
def test_what_passes_the_codec_can_be_read(response: dict[str, Any]) -> None:
    """Nothing that comes out lacks a member that somebody reads without asking."""
    try:
        canonical = Codec10().decode("stream", response, rest=False)
    except (ValueError, TypeError):
        message = ParseDict(response, a2a_pb2.StreamResponse())
        assert shapes.lacking("stream", MessageToDict(message)) is not None
        return
    name, value = shapes.payload(canonical)
    assert name in shapes.EVENT_TYPES
    if name == "task":
        assert value["id"]
        assert shapes.state(value.get("status")) in {*shapes.SETTLED, "submitted", "working", "unknown"}
        shapes.task_text(value)
        assert all(artifact["artifactId"] for artifact in value.get("artifacts", ()))
    elif name == "message":
        assert value["messageId"]
        shapes.message_text(value)
    elif name == "statusUpdate":
        assert value["taskId"]
        shapes.state(value["status"])
    else:
        assert value["taskId"]
        assert value["artifact"]["artifactId"]
        assert shapes.artifact_kind(value["artifact"].get("parts", [])) in {"bytes", "file", "json", "text", "unknown"}


@given(JSON, OPERATIONS)
def test_any_json_is_an_answer_or_a_value_error(value: Any, operation: str) -> None:
    for codec in (Codec10(), Codec03()):
        for rest in (True, False):
            if operation == "list" and codec.version == "0.3":
                continue
            try:
                answer = codec.decode(operation, value, rest=rest)
            except (ValueError, TypeError):
                continue
            assert isinstance(answer, dict)
            assert shapes.lacking(operation, answer) is None


@given(st.one_of(JSON, st.binary(max_size=30)), st.integers(300, 599))
def test_any_error_body_is_one_of_our_errors(body: Any, status: int) -> None:
    import json

    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = http_error(status, raw, lambda _name: None, where="agent 'a'")
    assert isinstance(error, MissiveError)
    assert error.message.startswith("agent 'a' answered")
    error.report()
    assert isinstance(jsonrpc_error(body, where="agent 'a'"), ProtocolError)
    assert isinstance(broken_answer("x", raw, None, where="agent 'a'"), ProtocolError)


@pytest.mark.parametrize("state", STATES)
def test_states_go_both_ways(state: str) -> None:
    ours = shapes.state({"state": state})
    assert shapes.wire_state(ours) == state
    assert ours == state.removeprefix("TASK_STATE_").lower().replace("canceled", "cancelled").replace(
        "unspecified", "unknown"
    )


@given(PARTS)
def test_kinds_of_parts(parts: list[dict[str, Any]]) -> None:
    kinds = [shapes.part_kind(part) for part in parts]
    assert "unknown" not in kinds
    texts = [part["text"] for part in parts if "text" in part]
    assert shapes.text_of(parts) == ("\n".join(texts) if texts else None)
    order = ["file_bytes", "file_reference", "data", "text"]
    best = min(kinds, key=order.index, default=None)
    assert shapes.artifact_kind(parts) == {
        "file_bytes": "bytes", "file_reference": "file", "data": "json", "text": "text", None: "unknown",
    }[best]  # fmt: skip


def test_protobuf_itself_agrees_that_these_shapes_are_a2a() -> None:
    """The strategies above would prove nothing if protobuf refused what they make."""
    ParseDict({"task": {"id": "1", "status": {"state": "TASK_STATE_WORKING"}}}, a2a_pb2.StreamResponse())
    with pytest.raises(ParseError):
        ParseDict({"task": {"nonsense": 1}}, a2a_pb2.StreamResponse())
