"""From inputs to an A2A message: order of parts, media types, files, the budget."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from support.cores import BINDINGS

from missive_host.a2a.parts import FileAccess, Request, build_request
from missive_host.commands import Send, Stream
from missive_host.errors import IoError, MissiveError, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

BUDGET = 1 << 20


def build(access: FileAccess | None = None, /, *, max_bytes: int = BUDGET, **fields: Any) -> Request:
    return build_request(
        Send(agent="a", **fields), message_id="m", context_id=None, task_id=None, max_bytes=max_bytes, files=access
    )


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def media_types(kinds: list[str], types: list[str]) -> list[str | None]:
    """What the rules of the reference give each part."""
    result: list[str | None] = ["application/json" if kind == "data" else None for kind in kinds]
    others = [place for place, kind in enumerate(kinds) if kind != "text"]
    targets = others or list(range(len(kinds)))
    if len(types) == 1:
        types = types * len(targets)
    elif len(types) != len(others):
        targets = list(range(len(kinds)))
    for place, name in zip(targets, types, strict=False):
        result[place] = name
    return result


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files to send, and some outside of it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"A" * 10)
    (root / "sub" / "b é.bin").write_bytes(bytes(range(256)))
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "inner").symlink_to(root / "a.txt")
    return root


def test_the_order_of_parts(root: Path) -> None:
    request = build(
        FileAccess(root),
        text_parts=("t1", "t2"),
        json_parts=({"n": 1}, None),
        file_bytes=("sub/b é.bin",),
        files=("a.txt",),
        stdin_text="piped",
        message="hello",
    )
    url = (root / "a.txt").as_uri()
    raw = base64.b64encode(bytes(range(256))).decode()
    assert request.message["parts"] == [
        {"text": "hello"},
        {"text": "piped"},
        {"url": url, "filename": "a.txt"},
        {"raw": raw, "filename": "b é.bin"},
        {"data": {"n": 1}, "mediaType": "application/json"},
        {"data": None, "mediaType": "application/json"},
        {"text": "t1"},
        {"text": "t2"},
    ]
    kinds = ["text", "text", "file_reference", "file_bytes", "data", "data", "text", "text"]
    assert [part.kind for part in request.view.parts] == kinds
    assert [part.local_bytes for part in request.view.parts] == [5, 5, 10, 256, 7, 4, 2, 2]
    assert request.view.part_count == 8
    assert request.view.local_input_bytes == 291
    assert request.view.request_bytes == len(
        json.dumps(request.body, ensure_ascii=False, separators=(",", ":")).encode()
    )


def test_what_else_is_in_a_request() -> None:
    request = build_request(
        Send(agent="a", message="x", metadata={"k": [1]}, accepted_output_modes=("a/b",), return_immediately=True),
        message_id="m", context_id="c", task_id="t", max_bytes=BUDGET, files=None,
    )  # fmt: skip
    assert request.body == {
        "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}], "contextId": "c", "taskId": "t",
                    "metadata": {"k": [1]}},
        "configuration": {"acceptedOutputModes": ["a/b"], "returnImmediately": True},
    }  # fmt: skip
    plain = build_request(
        Stream(agent="a", message="x"), message_id="m", context_id=None, task_id=None, max_bytes=BUDGET, files=None
    )
    assert plain.body == {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}}


@pytest.mark.parametrize(
    ("mime", "types"),
    [
        ((), [None, None, "application/json", None]),
        (("a/b",), [None, "a/b", "a/b", None]),
        (("a/b", "c/d"), [None, "a/b", "c/d", None]),
        (("a/b", "c/d", "e/f", "g/h"), ["a/b", "c/d", "e/f", "g/h"]),
    ],
)
def test_media_types(root: Path, mime: tuple[str, ...], types: list[str | None]) -> None:
    request = build(FileAccess(root), message="x", file_bytes=("a.txt",), json_parts=(1,), text_parts=("y",), mime=mime)
    assert [part.get("mediaType") for part in request.message["parts"]] == types


def test_one_media_type_for_texts_alone() -> None:
    assert build(message="# x", mime=("text/markdown",)).message["parts"] == [
        {"text": "# x", "mediaType": "text/markdown"}
    ]


@pytest.mark.parametrize("mime", [("a/b", "c/d", "e/f"), ("a/b",) * 5])
def test_media_types_that_do_not_fit(root: Path, mime: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="2 non-text parts"):
        build(FileAccess(root), message="x", files=("a.txt",), json_parts=(1,), text_parts=("y",), mime=mime)


@pytest.mark.parametrize("fields", [{}, {"message": ""}, {"stdin_text": ""}, {"message": "x", "stdin_text": ""}])
def test_nothing_to_send(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        build(**fields)
    assert caught.value.help


def with_file(access: FileAccess | None, field: str, name: str) -> Request:
    """Build a message of one file, given in this field of the command."""
    fields: dict[str, Any] = {field: (name,)}
    return build(access, **fields)


@pytest.mark.parametrize("field", ["files", "file_bytes"])
class TestFiles:
    def test_none_without_a_root(self, root: Path, field: str) -> None:
        with pytest.raises(ValidationError, match="may not read files"):
            with_file(None, field, str(root / "a.txt"))

    @pytest.mark.parametrize("name", ["../secret", "link", "sub/../../secret", "/etc/passwd"])
    def test_nothing_outside_of_the_root(self, root: Path, field: str, name: str) -> None:
        with pytest.raises(ValidationError, match="outside"):
            with_file(FileAccess(root), field, name)

    @pytest.mark.parametrize("name", ["a.txt", "sub/../a.txt", "inner", "ROOT/a.txt"])
    def test_files_inside(self, root: Path, field: str, name: str) -> None:
        request = with_file(FileAccess(root), field, name.replace("ROOT", str(root)))
        assert request.message["parts"][0]["filename"] == "a.txt"

    def test_the_command_line_may_read_anything(self, root: Path, field: str) -> None:
        request = with_file(FileAccess(root, confined=False), field, "../secret")
        assert request.message["parts"][0]["filename"] == "secret"

    @pytest.mark.parametrize(
        ("name", "error"), [("nope", IoError), ("sub", ValidationError), ("a\0b", IoError), ("x" * 5000, IoError)]
    )
    def test_what_cannot_be_read(self, root: Path, field: str, name: str, error: type[MissiveError]) -> None:
        with pytest.raises(error):
            with_file(FileAccess(root), field, name)


def test_the_budget(root: Path) -> None:
    size = build(message="x" * 1000).view.request_bytes
    assert build(message="x" * 1000, max_bytes=size).view.request_bytes == size
    with pytest.raises(ValidationError, match=f"{size} bytes"):
        build(message="x" * 1000, max_bytes=size - 1)
    # A file that is too big is not even read; base64 makes it a third larger.
    (root / "big").write_bytes(b"\0" * 3000)
    with pytest.raises(ValidationError, match="3000 bytes"):
        build(FileAccess(root), file_bytes=("big",), max_bytes=2999)
    with pytest.raises(ValidationError, match=r"40\d\d bytes"):
        build(FileAccess(root), file_bytes=("big",), max_bytes=3999)
    # By reference its bytes count as input.
    with pytest.raises(ValidationError, match="3000 bytes"):
        build(FileAccess(root), files=("big",), max_bytes=2999)
    assert build(FileAccess(root), files=("big",), max_bytes=3000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    message=st.none() | st.text(),
    stdin=st.none() | st.text(min_size=1),
    references=st.lists(st.sampled_from(["a.txt", "sub/b é.bin"]), max_size=3),
    contents=st.lists(st.sampled_from(["a.txt", "sub/b é.bin"]), max_size=3),
    values=st.lists(JSON, max_size=3),
    texts=st.lists(st.text(min_size=1), max_size=3),
    types=st.lists(st.sampled_from(["a/b", "text/plain"]), max_size=6),
    budget=st.integers(1, 4000),
)
def test_any_mix_of_inputs(
    root: Path,
    message: str | None,
    stdin: str | None,
    references: list[str],
    contents: list[str],
    values: list[Any],
    texts: list[str],
    types: list[str],
    budget: int,
) -> None:
    """Either a request in the right order and within the budget, or an error that belongs to us."""
    kinds = (
        ["text"] * ((message is not None) + (stdin is not None))
        + ["file_reference"] * len(references)
        + ["file_bytes"] * len(contents)
        + ["data"] * len(values)
        + ["text"] * len(texts)
    )
    others = sum(kind != "text" for kind in kinds)
    fits = len(types) in {0, 1, others, len(kinds)}
    fault: ValidationError | None = None
    try:
        request = build(
            FileAccess(root),
            max_bytes=budget,
            message=message,
            stdin_text=stdin,
            files=tuple(references),
            file_bytes=tuple(contents),
            json_parts=tuple(values),
            text_parts=tuple(texts),
            mime=tuple(types),
        )
    except ValidationError as error:
        fault = error
    if fault is not None:
        assert message == "" or not kinds or not fits or "bytes" in fault.message
        return
    assert kinds
    assert fits
    assert [part.kind for part in request.view.parts] == kinds
    assert request.view.request_bytes <= budget
    assert request.view.local_input_bytes == sum(part.local_bytes for part in request.view.parts) <= budget
    parts = request.message["parts"]
    assert [part["data"] for part in parts if "data" in part] == values
    assert [part["text"] for part in parts if "text" in part] == [
        text for text in (message, stdin, *texts) if text is not None
    ]
    assert [part.get("mediaType") for part in parts] == media_types(kinds, types)


@pytest.mark.parametrize("binding", BINDINGS)
async def test_files_arrive(home: Home, agent: AgentProcess, root: Path, binding: str) -> None:
    command = Send(
        agent="echo",
        message="echo-parts",
        files=("a.txt",),
        file_bytes=("sub/b é.bin",),
        mime=("text/plain", "application/x-test"),
        binding=binding,
    )
    async with home.core(files=FileAccess(root)) as core:
        core.add("echo", agent)
        answer = await core.one(command)
        assert answer.response.raw["parts"] == core.requests()[0].content["parts"]
        await core.fails(Send(agent="echo", files=("../secret",)), ValidationError)


@pytest.mark.parametrize("binding", ["grpc", "json-rpc"])
async def test_data_that_is_nested_too_deeply_for_protobuf(home: Home, agent: AgentProcess, binding: str) -> None:
    """One error of ours or of the agent, never a bare one of protobuf."""
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    async with home.core() as core:
        core.add("echo", agent)
        with pytest.raises(MissiveError) as caught:
            await core.all(Send(agent="echo", message="echo-parts", json_parts=(deep,), binding=binding))
        assert caught.value.help or caught.value.a2a
        assert [row.status for row in core.requests()] == ["failed"]
