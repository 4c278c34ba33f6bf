"""For the tests of contracts: random values of a type, random changes to a document, and what the code says to it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from hypothesis import strategies as st
from missive_http import documents
from msgspec import UNSET, Meta, inspect as mi

from missive_host import errors
from missive_host.commands import Command, OpaqueId, TaskState
from missive_host.config.model import Config
from missive_host.contracts.http import RECEIPT_STATES
from missive_host.contracts.library import contracts, load_schema
from missive_host.contracts.schemas import kinds
from missive_host.contracts.validation import Fault, validator
from missive_host.envelopes import (
    CHAT,
    FILE_DROP,
    HTTP,
    MAX_SAFE_INTEGER,
    STDIO,
    FrameId,
    Frames,
    ResultFile,
    parse_envelope,
)
from missive_host.errors import ErrorReport, ValidationError
from missive_host.outputs import Output, StreamEvent, StreamResult, TaskView, TaskWaitResult, error_document
from missive_host.protocols import Receipt

ROOT = Path(__file__).parents[1] / "contracts"
KNOWN = {contract.name: contract for contract in contracts()}
SCHEMAS = {name: load_schema(contract) for name, contract in KNOWN.items()}
VALIDATORS = {name: validator(schema) for name, schema in SCHEMAS.items()}
KINDS = kinds()

REQUEST = f"{STDIO}/request"
RESPONSE = f"{STDIO}/response"
HTTP_REQUEST = f"{HTTP}/request"
HTTP_RESPONSE = f"{HTTP}/response"
REQUEST_FILE = f"{FILE_DROP}/request"
RESULT_FILE = f"{FILE_DROP}/response"
REQUESTS = (REQUEST, REQUEST_FILE, CHAT)
OUTPUT = "missive.output.v1"
CONFIG = "missive.config.v1"

Json = dict[str, Any]
MANY = 20
Count = Annotated[int, Meta(ge=0)]
FileName = Annotated[str, Meta(pattern=r"\A[^./][^/]*\.json\Z")]


# --- examples


def examples(kind: str) -> list[tuple[str, Path]]:
    """Every example, ``valid`` or ``refused``, with the name of its contract."""
    found = []
    for file in sorted(ROOT.glob(f"*/examples/{kind}/*")):
        version = file.parents[2].name
        part = f"{version}/{file.name.partition('-')[0]}"
        found.append((part if part in KNOWN else version, file))
    return found


def load(file: Path) -> Any:
    text = file.read_text("utf-8")
    return msgspec.to_builtins(tomllib.loads(text)) if file.suffix == ".toml" else json.loads(text)


def faults(contract: str, document: Any) -> tuple[Fault, ...]:
    return VALIDATORS[contract](document)


# --- what the code says


def accepted(contract: str, document: Any) -> bool:
    """True if the code takes this document; of what missive writes: if it could have written it."""
    if contract in REQUESTS:
        return _takes(document, KNOWN[contract].version)
    judges = {CONFIG: _loads, OUTPUT: _writes, RESPONSE: _answers, RESULT_FILE: _writes_file}
    return {**judges, HTTP_REQUEST: _takes_http, HTTP_RESPONSE: _answers_http}[contract](document)


def parsed(frame: Any, version: str = STDIO) -> Command:
    return parse_envelope(json.dumps(frame).encode(), version, default_source="door").command


def _takes(frame: Any, version: str) -> bool:
    try:
        parsed(frame, version)
    except ValidationError:
        return False
    return True


def _takes_http(frame: Any) -> bool:
    try:
        parse_envelope(json.dumps(frame).encode(), HTTP, default_source="http", default_id="made-up")
    except ValidationError:
        return False
    return True


def _loads(value: Any) -> bool:
    try:
        msgspec.convert(value, Config)
    except msgspec.ValidationError:
        return False
    return True


_NOT_OURS = (KeyError, TypeError, AttributeError, msgspec.ValidationError)


def _writes(document: Any) -> bool:
    try:
        if document["kind"] == "error":
            alone = error_document(_report(document["data"]))
            made = {**alone, "sequence": _count(document)} if "sequence" in document else alone
        else:
            made = _output(document).document(sequence="sequence" in document)
    except _NOT_OURS:
        return False
    return same(document, as_json(made))


def _answers(frame: Any) -> bool:
    try:
        frame_id = msgspec.convert(frame["id"], FrameId) if "id" in frame else None
        frames = Frames(STDIO, frame_id, "stdio")
        if _count(frame) > MANY:  # all numbers are counted to alike
            frame = {**frame, "sequence": MANY}
        for _ in range(_count(frame)):
            frames.error(ErrorReport("", "", "", 1))  # those before it
        if frame["kind"] == "stdio_error":
            line = msgspec.convert(frame["data"]["line"], Annotated[int, Meta(ge=1)]) if "data" in frame else UNSET
            made = frames.error(_report(frame["error"]), UNSET if line is UNSET else {"line": line})
        elif frame_id is not None:  # what is refused before it has an id has no output
            made = frames.output(_output(frame["data"]))
        else:
            return False
    except _NOT_OURS:
        return False
    return same(frame, as_json(made))


def _answers_http(document: Any) -> bool:
    try:
        frame_id = msgspec.convert(document["id"], FrameId) if "id" in document else None
        receipt_id = msgspec.convert(document["receipt_id"], OpaqueId) if "receipt_id" in document else None
        line = {"line": msgspec.convert(document["line"], Annotated[int, Meta(ge=1)])} if "line" in document else {}
        outputs = [_output(output).document(sequence=True) for output in document.get("outputs", ())]
        kept = outputs if "outputs" in document else None
        kind = document["kind"]
        if kind == "http_error":
            report = _report(document["error"])
            status = document["status"]
            made = documents.problem(
                status, report, frame_id=frame_id, receipt_id=receipt_id, outputs=kept, line=line.get("line")
            )
        elif frame_id is None or receipt_id is None:
            return False
        elif kind == "http_result":
            made = documents.result(frame_id, receipt_id, kept, **line)
        elif kind == "http_receipt":
            found = Receipt(receipt_id, "http", document["state"], document["accepted_at"])
            made = documents.receipt(frame_id, found, **line)
        else:
            made = documents.output(
                frame_id, receipt_id, _count(document), _output(document["data"]).document(sequence=True)
            )
    except (*_NOT_OURS, ValueError):
        return False
    return same(document, as_json(made)) and document.get("state", "done") in RECEIPT_STATES


def _writes_file(document: Any) -> bool:
    try:
        outputs = document.get("outputs", UNSET)
        if outputs is not UNSET and not (
            isinstance(outputs, list)
            and outputs
            and all(_answers(frame) and frame["kind"] == "stdio_command_output" for frame in outputs)
        ):
            return False
        ok = "error" not in document
        made = ResultFile(
            schema_version=FILE_DROP,
            id=msgspec.convert(document["id"], FrameId) if ok or "id" in document else UNSET,
            ok=ok,
            kind="file_drop_result" if ok else "file_drop_error",
            input_file=msgspec.convert(document["input_file"], FileName),
            archived_file=msgspec.convert(document["archived_file"], FileName)
            if "archived_file" in document
            else UNSET,
            outputs=outputs,  # type: ignore[arg-type]  # frames as JSON
            error=UNSET if ok else _report(document["error"]),
        )
    except _NOT_OURS:
        return False
    return same(document, as_json(made))


def _count(document: Json) -> int:
    count: int = msgspec.convert(document["sequence"], Count)
    return count


def _output(document: Json) -> Output:
    data = msgspec.convert(document["data"], KINDS[document["kind"]])
    _check_states(data)
    return Output(data, _count(document) if "sequence" in document else 0)


def _check_states(data: Any) -> None:
    """Raise for a task state or an error that missive does not have: its code gives no other."""
    match data:
        case TaskWaitResult(status="timeout"):
            found: Any = UNSET
        case TaskWaitResult():
            found = data.status
        case StreamResult():
            found = data.final_state
        case TaskView() | StreamEvent():
            found = data.state
        case _:
            found = data.state if type(data).__name__ == "ResponseView" else UNSET
    if found is not UNSET:
        msgspec.convert(found, TaskState)
    if isinstance(data, ErrorReport):  # of a member, or of an agent that was tried
        _report(msgspec.to_builtins(data))
    for child in _parts(data):
        _check_states(child)


def _parts(data: Any) -> Iterator[Any]:
    if isinstance(data, msgspec.Struct):
        for name in data.__struct_fields__:
            value = getattr(data, name)
            yield from value if isinstance(value, tuple) else (value,)


def _report(data: Any) -> ErrorReport:
    report = msgspec.convert(data, ErrorReport)
    tree = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.MissiveError)]
    categories = {cls.category for cls in tree}
    if report.category not in categories or report.code != f"missive::{report.category}":
        raise msgspec.ValidationError(report.code)
    msgspec.convert(report.exit_code, Annotated[int, Meta(ge=1, le=255)])
    return report


def as_json(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: True is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


# --- random values

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXT


def _nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3)


ANYTHING = st.recursive(LEAVES, _nested, max_leaves=6)
ANYTHING_IN_TOML = st.recursive(st.booleans() | NUMBERS | TEXT, _nested, max_leaves=6)


def values(type_: mi.Type, *, anything: st.SearchStrategy[Any] = ANYTHING) -> st.SearchStrategy[Any]:
    """JSON-able values of a type, as msgspec describes it. Optional fields are set or left out, never null."""

    def again(inner: mi.Type) -> st.SearchStrategy[Any]:
        return values(inner, anything=anything)

    match type_:
        case mi.Metadata(type=inner):
            return again(inner)
        case mi.AnyType():
            return anything
        case mi.BoolType():
            return st.booleans()
        case mi.IntType(ge=low, le=high):
            return st.integers(-1000 if low is None else low, 2**40 if high is None else high)
        case mi.FloatType():
            return st.floats(0, 1e6)
        case mi.StrType(pattern=pattern, min_length=shortest, max_length=longest):
            return _texts(pattern, shortest or 0, longest or 40)
        case mi.LiteralType(values=words):
            return st.sampled_from(words)
        case mi.DictType(key_type=key, value_type=value):
            return st.dictionaries(again(key), again(value), max_size=2)
        case mi.VarTupleType(item_type=item):
            return st.lists(again(item), max_size=2)
        case mi.UnionType(types=options):
            return st.one_of(*[again(option) for option in options if not isinstance(option, mi.NoneType)])
        case mi.StructType():
            return _struct(type_, anything)
    raise AssertionError(f"no strategy for {type_}")


@cache
def _texts(pattern: str | None, shortest: int, longest: int) -> st.SearchStrategy[str]:
    if pattern is None:
        return st.text(st.characters(codec="utf-8"), min_size=shortest, max_size=min(longest, 40))
    texts = st.from_regex(pattern.replace(r"$(?!\n)", r"\Z"), alphabet=st.characters(codec="utf-8"))
    return texts.filter(lambda text: shortest <= len(text) <= longest)


_STATES = st.sampled_from(get_args(TaskState))
_WORDS = {
    ("ResponseView", "state"): _STATES,
    ("TaskView", "state"): _STATES,
    ("StreamEvent", "state"): _STATES,
    ("StreamResult", "final_state"): _STATES,
    ("TaskWaitResult", "status"): _STATES | st.just("timeout"),
    ("Gateway", "bind_address"): st.sampled_from(["127.0.0.1:1", "0.0.0.0:65535", "[::1]:080", "h:1", "1.2.3:4"]),
    ("ErrorReport", "exit_code"): st.integers(1, 255),
}


def _struct(type_: mi.StructType, anything: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in type_.fields:
        made = _WORDS.get((type_.cls.__name__, field.name))
        into = required if field.required else optional
        into[field.name] = values(field.type, anything=anything) if made is None else made
    return st.fixed_dictionaries(required, optional=optional)


def fields_of(struct: Any, *, anything: st.SearchStrategy[Any] = ANYTHING) -> st.SearchStrategy[Json]:
    return values(mi.type_info(struct), anything=anything)


# --- random changes

ENVELOPE_NAMES = ["id", "kind", "ok", "data", "error", "sequence", "command", "source", "metadata", "schema_version"]
OTHER_NAMES = ["mesage", "message", "stdin_text", "timeout", "task_source", "source_id", "state", "env"]
NAMES = st.sampled_from(["x_a", "x_", "X_a", "xa", *ENVELOPE_NAMES, *OTHER_NAMES])


@st.composite
def changed(draw: st.DrawFn, document: Any, anything: st.SearchStrategy[Any] = ANYTHING) -> Any:
    """The document with one change at a random place: a field more, a field less, or another value."""
    document = json.loads(json.dumps(document))
    holder, key = draw(st.sampled_from(list(_places(document))))
    match draw(st.sampled_from(["more", "less", "other"])):
        case "more" if isinstance(holder, dict):
            holder[draw(NAMES | TEXT)] = draw(anything)
        case "less":
            del holder[key]
        case _:
            holder[key] = draw(anything | st.sampled_from([0, 1, -1, "", "a", True, [], {}]))
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(child)
