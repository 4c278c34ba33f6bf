"""What goes in and what comes out: good frames, and every bad one with its exact error frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import stdio_kit as kit
from stdio_kit import request, run, run_raw, status, stream_event, stream_result

from missive_host.commands import DOOR_COMMANDS, Send, TaskList, tag_of
from missive_host.errors import DeadlineError, TransportError, ValidationError

if TYPE_CHECKING:
    from missive_host.protocols import Delivery

NOT_JSON_HELP = "a frame is one JSON object; see `missive contract show missive.stdio.v1`"
COMMANDS_HELP = "one of: " + ", ".join(sorted(tag_of(cls) for cls in DOOR_COMMANDS))
X_HELP = "names that begin with x_ are let through and ignored"
BIG_HELP = "send it as a string; numbers beyond 2^53-1 are changed by most JSON readers (RFC 7493) and by A2A"


def refusal(line: int, message: str, *, frame_id: str | None = None, **error: Any) -> dict[str, Any]:
    """The error frame of a line that was not taken in."""
    frame: dict[str, Any] = {
        "schema_version": "missive.stdio.v1",
        "ok": False,
        "kind": "stdio_error",
        "sequence": 0,
        "data": {"line": line},
        "error": {
            "code": "missive::validation",
            "category": "validation",
            "message": f"validation error: {message}",
            "exit_code": 64,
            **error,
        },
    }
    if frame_id is not None:
        frame["id"] = frame_id
    return frame


BAD: dict[str, tuple[bytes, dict[str, Any]]] = {
    "not JSON": (
        b"hello",
        refusal(1, "the frame is not valid JSON", help=NOT_JSON_HELP, sources=["Expecting value at line 1 column 1"]),
    ),
    "cut off": (
        b'{"id":"a"',
        refusal(
            1, "the frame is not valid JSON", help=NOT_JSON_HELP,
            sources=["Expecting ',' delimiter at line 1 column 10"],
        ),
    ),
    "two values": (
        b'{"id":"a"} {"id":"b"}',
        refusal(1, "the frame is not valid JSON", help=NOT_JSON_HELP, sources=["Extra data at line 1 column 12"]),
    ),
    "an array": (
        b"[1]",
        refusal(1, "the frame is an array, not a JSON object", help="a frame begins with { and ends with }"),
    ),
    "null": (
        b"null",
        refusal(1, "the frame is null, not a JSON object", help="a frame begins with { and ends with }"),
    ),
    "wrong version": (
        b'{"schema_version":"missive.stdio.v2","id":"a","command":"task_list"}',
        refusal(
            1, 'field `schema_version`: this door reads missive.stdio.v1, not "missive.stdio.v2"', frame_id="a",
            help='write "schema_version": "missive.stdio.v1", or leave it out',
        ),
    ),
    "no command": (
        b'{"id":"a"}',
        refusal(1, "field `command` is missing", frame_id="a", help=COMMANDS_HELP),
    ),
    "unknown command": (
        b'{"id":"a","command":"tasklist"}',
        refusal(
            1, "field `command`: unknown command \"tasklist\"; did you mean 'task_list'?", frame_id="a",
            help=COMMANDS_HELP,
        ),
    ),
    "a command for operators": (
        b'{"id":"a","command":"agent_remove","agent":"echo"}',
        refusal(
            1, "field `command`: unknown command \"agent_remove\"; did you mean 'agent_show'?", frame_id="a",
            help=COMMANDS_HELP,
        ),
    ),
    "unknown field": (
        b'{"id":"a","command":"send","agent":"echo","mesage":"hello"}',
        refusal(1, "unknown field `mesage`; did you mean 'message'?", frame_id="a", help=X_HELP),
    ),
    "unknown field of the source": (
        b'{"id":"a","command":"task_list","source":{"source_id":"me","resumename":"x"}}',
        refusal(1, "unknown field `source.resumename`; did you mean 'resume_name'?", frame_id="a", help=X_HELP),
    ),
    "no id": (
        b'{"command":"task_list"}',
        refusal(1, "field `id` is missing", help="every frame needs an id; the answers carry it"),
    ),
    "bad id": (
        b'{"id":"a b","command":"task_list"}',
        refusal(1, "field `id`: expected text without white space or control characters"),
    ),
    "id is a number": (
        b'{"id":7,"command":"task_list"}',
        refusal(1, "field `id`: expected str, got int"),
    ),
    "bad value": (
        b'{"id":"a","command":"task_list","page_size":0}',
        refusal(1, "field `page_size`: expected int >= 1", frame_id="a"),
    ),
    "bad duration": (
        b'{"id":"a","command":"task_wait","task_id":"t","timeout":"soon"}',
        refusal(1, "field `timeout`: expected a duration such as 500ms, 30s, 5m or 1h", frame_id="a"),
    ),
    "missing field": (
        b'{"id":"a","command":"task_wait"}',
        refusal(1, "field `task_id` is missing", frame_id="a"),
    ),
    "invalid UTF-8": (
        b'{"id":"a","command":"\xff"}',
        refusal(1, "the frame is not valid UTF-8 at byte 21", help="frames are JSON in UTF-8"),
    ),
    "duplicate keys": (
        b'{"id":"a","command":"task_list","agent":"x","agent":"y"}',
        refusal(1, "field `agent` is given twice", frame_id="a", help="keep one of them"),
    ),
    "NUL byte": (
        b"\x00",
        refusal(1, "the frame is not valid JSON", help=NOT_JSON_HELP, sources=["Expecting value at line 1 column 1"]),
    ),
    "NUL byte in a string": (
        b'{"id":"a","command":"send","agent":"echo","message":"\x00"}',
        refusal(
            1, "the frame is not valid JSON", help=NOT_JSON_HELP,
            sources=["Invalid control character at at line 1 column 54"],
        ),
    ),
    "nested 300 deep": (
        b'{"id":"a","command":"send","agent":"echo","json_parts":' + b"[" * 300 + b"]" * 300 + b"}",
        refusal(1, "the frame is nested too deeply", frame_id="a", help="at most 200 levels"),
    ),
    "nested 100,000 deep": (
        b'{"id":"a","command":"send","agent":"echo","json_parts":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        refusal(1, "the frame is nested too deeply", help="at most 200 levels"),
    ),
    "integer too big": (
        b'{"id":"a","command":"send","agent":"echo","json_parts":[9007199254740993]}',
        refusal(1, "the number 9007199254740993 is too big to be kept exactly", frame_id="a", help=BIG_HELP),
    ),
    "number too big for a double": (
        b'{"id":"a","command":"send","agent":"echo","json_parts":[1e999]}',
        refusal(1, "the number 1e999 is too big to be kept exactly", frame_id="a", help=BIG_HELP),
    ),
    "10,000 digits": (
        b'{"id":"a","command":"task_list","page_size":' + b"7" * 10_000 + b"}",
        refusal(1, "the number 777777777777777777777777… is too big to be kept exactly", frame_id="a", help=BIG_HELP),
    ),
    "NaN": (
        b'{"id":"a","command":"send","agent":"echo","json_parts":[NaN]}',
        refusal(1, "NaN is not JSON", frame_id="a", help="use null or a string"),
    ),
    "an id that cannot be echoed": (
        b'{"id":"\\ud800","command":"task_list"}',
        refusal(1, "a string has an unpaired surrogate (\\ud800 to \\udfff)"),
    ),
    "a key that cannot be quoted": (
        b'{"id":"a","\\udc00":1,"\\udc00":2}',
        refusal(1, "a string has an unpaired surrogate (\\ud800 to \\udfff)", frame_id="a"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), BAD.values(), ids=list(BAD))
async def test_bad_input_gets_its_error_frame_and_the_loop_goes_on(line: bytes, expected: dict[str, Any]) -> None:
    code, found = await run(line + b"\n" + request("next"))
    assert found[0] == expected
    assert [frame.get("id") for frame in found[1:]] == ["next"]
    assert found[1]["ok"] is True
    assert code == 0


@pytest.mark.parametrize(
    ("line", "expected"), [BAD[name] for name in BAD if name != "two values"], ids=[n for n in BAD if n != "two values"]
)
async def test_bad_input_in_single_shot_gives_the_same_frame_and_the_exit_code(
    line: bytes, expected: dict[str, Any]
) -> None:
    code, found = await run(line, mode="single-shot")
    assert found == [expected]
    assert code == 64


async def test_the_line_number_counts_every_line() -> None:
    _, found = await run(b'\n  \r\nbad\n{"id":"a","command":"task_list"}\r\n\nworse')
    assert [frame["data"]["line"] for frame in found if not frame["ok"]] == [3, 6]
    assert [frame["id"] for frame in found if frame["ok"]] == ["a"]


async def test_a_line_above_the_limit_is_skipped() -> None:
    long = request("long", "send", agent="echo", message="x" * 2000)
    _, found = await run(request("a") + long + request("b"), max_line=1024, concurrency=1)
    assert [frame.get("id") for frame in found] == ["a", None, "b"]
    assert found[1] == refusal(
        2,
        "the line is longer than 1024 bytes",
        help="raise --max-line, or send big content by reference with `files`",
    )


async def test_a_line_of_100_mib_is_skipped() -> None:
    _, found = await run(request("a") + b"x" * (100 * 1024 * 1024) + b"\n" + request("b"), concurrency=1)
    assert [frame.get("id") for frame in found] == ["a", None, "b"]
    assert found[1]["error"]["message"] == "validation error: the line is longer than 8388608 bytes"


async def test_a_good_frame_becomes_an_envelope() -> None:
    seen = []

    async def handler(delivery: Delivery) -> None:
        seen.append(delivery.envelope)
        await kit.answer(delivery)

    source = {"source_id": "agent-42", "resume_name": "work"}
    await run(request("r1", "send", agent="echo", message="hello", source=source) + request("r2"), handler)
    first, second = seen
    assert first.command == Send(agent="echo", message="hello")
    assert first.session == ("agent-42", "work")
    assert second.command == TaskList()
    assert second.session == ("stdio", "default")
    assert {envelope.contract for envelope in seen} == {"missive.stdio.v1"}


async def test_the_answer_frame() -> None:
    _, found = await run(request("req-1"))
    assert found == [
        {
            "schema_version": "missive.stdio.v1",
            "ok": True,
            "kind": "stdio_command_output",
            "sequence": 0,
            "id": "req-1",
            "data": {
                "schema_version": "missive.output.v1",
                "ok": True,
                "kind": "command_status",
                "sequence": 0,
                "data": {"command": "task_list", "status": "ok", "implemented": True, "message": "done"},
            },
        }
    ]


async def test_ndjson_frames_are_one_line_each_whatever_is_in_them() -> None:
    text = "a\nb\r\n\u2028\u2029\x85\x00\x0b\x0c🦊"

    async def handler(delivery: Delivery) -> None:
        await delivery.send(status("send", text))

    _, written = await run_raw(request("a") + request("b"), handler)
    lines = written.split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["data"]["data"]["message"] for line in lines] == [text, text]


async def test_a_failed_command_keeps_its_outputs_and_ends_with_an_error_frame() -> None:
    async def handler(delivery: Delivery) -> None:
        await delivery.send(status("task_wait", "timed out"))
        raise DeadlineError("the task was not done in 1s", help="wait longer")

    code, found = await run(request("w", "task_wait", task_id="t"), handler)
    assert [(frame["id"], frame["sequence"], frame["ok"]) for frame in found] == [("w", 0, True), ("w", 1, False)]
    assert found[1] == {
        "schema_version": "missive.stdio.v1",
        "ok": False,
        "kind": "stdio_error",
        "sequence": 1,
        "id": "w",
        "error": {
            "code": "missive::orchestration",
            "category": "orchestration",
            "message": "orchestration error: the task was not done in 1s",
            "exit_code": 82,
            "help": "wait longer",
        },
    }
    assert code == 0


async def test_the_input_may_end_without_a_line_end() -> None:
    _, found = await run(request("a") + request("b").rstrip(b"\n"))
    assert sorted(frame["id"] for frame in found) == ["a", "b"]


async def test_an_empty_long_running_input_is_no_error() -> None:
    assert await run(b"") == (0, [])
    assert await run(b"\n\n \n") == (0, [])


# --- single-shot


async def test_single_shot_reads_a_frame_over_several_lines_and_answers_indented() -> None:
    pretty = json.dumps({"id": "req-1", "command": "task_list"}, indent=4).encode()
    code, written = await run_raw(b"\n" + pretty + b"\n\n", mode="single-shot")
    assert code == 0
    assert written.startswith(b'{\n  "schema_version": "missive.stdio.v1",\n  "id": "req-1",\n')
    assert written.endswith(b"\n}\n")
    assert kit.frames(written)[0]["id"] == "req-1"


async def test_single_shot_with_ndjson_answers_in_one_line() -> None:
    _, written = await run_raw(request("a"), mode="single-shot", framing="ndjson")
    assert written.count(b"\n") == 1


@pytest.mark.parametrize("data", [b"", b"\n \r\n\t"])
async def test_single_shot_wants_a_frame(data: bytes) -> None:
    code, found = await run(data, mode="single-shot")
    expected = refusal(1, "standard input is empty", help="single-shot reads one frame, which is a JSON object")
    assert (code, found) == (64, [expected])


@pytest.mark.parametrize("more", [b'{"id":"b","command":"task_list"}', b"trailing words", b"}", b"["])
async def test_single_shot_refuses_more_than_one_value(more: bytes) -> None:
    code, found = await run(request("a") + more, mode="single-shot")
    expected = refusal(
        1,
        "there is more on standard input than one JSON value",
        frame_id="a",
        help="single-shot reads one frame; --mode long-running reads one a line",
        sources=["Extra data at line 2 column 1"],
    )
    assert (code, found) == (64, [expected])


async def test_single_shot_names_the_line_in_which_the_frame_begins() -> None:
    _, found = await run(b'\n\n{\n"id": "a",\n"command": oops}', mode="single-shot")
    assert found[0]["data"] == {"line": 3}
    assert found[0]["error"]["sources"] == ["Expecting value at line 5 column 12"]


async def test_single_shot_is_bounded_too() -> None:
    code, found = await run(b" " * 5000 + request("a"), mode="single-shot", max_line=1024)
    assert code == 64
    assert found == [
        refusal(
            1,
            "standard input is longer than 1024 bytes",
            help="raise --max-line, or send big content by reference with `files`",
        )
    ]


async def test_single_shot_ends_with_the_exit_code_of_the_command() -> None:
    async def handler(delivery: Delivery) -> None:
        raise TransportError("connection refused")

    code, found = await run(request("a"), handler, mode="single-shot")
    assert code == 69
    assert found[0]["error"]["message"] == "transport error: connection refused"


async def stream_of_three(delivery: Delivery) -> None:
    for number in range(1, 4):
        await delivery.send(stream_event(number))
    await delivery.send(stream_result(3))


async def test_a_single_shot_stream_in_json_is_one_frame_with_all_its_events() -> None:
    _, found = await run(request("s", "stream", agent="echo", message="go"), stream_of_three, mode="single-shot")
    assert len(found) == 1
    assert (found[0]["sequence"], found[0]["data"]["kind"]) == (0, "stream_result")
    assert [event["sequence"] for event in found[0]["data"]["data"]["events"]] == [1, 2, 3]


@pytest.mark.parametrize("mode", ["single-shot", "long-running"])
async def test_a_stream_in_ndjson_is_a_frame_for_each_event(mode: str) -> None:
    _, found = await run(
        request("s", "stream", agent="echo", message="go"), stream_of_three, mode=mode, framing="ndjson"
    )
    assert [frame["sequence"] for frame in found] == [0, 1, 2, 3]
    assert [frame["data"]["sequence"] for frame in found] == [1, 2, 3, 3]
    assert [frame["data"]["kind"] for frame in found] == ["stream_event"] * 3 + ["stream_result"]
    assert found[-1]["data"]["data"]["events"] == []


async def test_a_single_shot_stream_that_fails_shows_the_events_it_had() -> None:
    async def handler(delivery: Delivery) -> None:
        await delivery.send(stream_event(1))
        await delivery.send(stream_event(2))
        raise TransportError("the stream broke off")

    code, found = await run(request("s", "stream", agent="echo", message="go"), handler, mode="single-shot")
    assert code == 69
    assert [(frame["sequence"], frame["ok"]) for frame in found] == [(0, True), (1, True), (2, False)]


def test_a_bad_option_pair_is_refused() -> None:
    with pytest.raises(ValidationError, match="json framing is for single-shot only") as caught:
        kit.adapter(0, 1, mode="long-running", framing="json")
    assert caught.value.exit_code == 64
