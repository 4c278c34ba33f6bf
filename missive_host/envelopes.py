"""``missive.*.v1`` envelopes: what came in, as typed values, with exact errors for what is not acceptable.

An `Envelope` is a parsed request frame. `parse_envelope` is the only way in, so a value of this type is valid
by construction. `Frames` makes the answer frames that belong to one request.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from missive_host.commands import DOOR_COMMANDS, Command, Metadata, Name, tag_of
from missive_host.errors import ErrorReport, ValidationError, nearest
from missive_host.outputs import Output

if TYPE_CHECKING:
    from missive_host.specs import ContractSpec

STDIO = "missive.stdio.v1"
HTTP = "missive.http.v1"
FILE_DROP = "missive.file_drop.v1"
CHAT = "missive.chat.v1"

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 200

IdempotencyKey = Annotated[str, Meta(pattern=r"^[\x21-\x7e]+$(?!\n)", min_length=1, max_length=256)]
"""1 to 256 printable ASCII characters without spaces."""
Traceparent = Annotated[
    str,
    Meta(
        pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$(?!\n)",
        min_length=55,
        max_length=55,
    ),
]
"""A span of a trace as W3C Trace Context names it: ``00-TRACE-SPAN-01``, lower-case hex."""
FrameId = Annotated[str, Meta(pattern=r"^[^\s\x00-\x1f\x7f]+$(?!\n)", min_length=1, max_length=128)]


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who sent it. ``source_id`` and ``resume_name`` together are the session; order is kept within one."""

    source_id: Annotated[str, Meta(pattern=r"^[^\s\x00-\x1f\x7f]+$(?!\n)", min_length=1, max_length=256)]
    display_name: str | None = None
    resume_name: Name = "default"
    profile: Name | None = None


ChatId = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)", min_length=1, max_length=1024)]
"""An id of a chat platform: 1 to 1024 characters without control characters."""
UtcTime = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?Z$(?!\n)")
]
"""A time in UTC as RFC 3339 has it, with ``Z`` at the end."""


class ChatSender(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who wrote a message in a chat."""

    id: ChatId
    """The id that the platform vouches for."""
    name: str = ""
    """As the person wants to be called; anybody may choose any."""
    is_bot: bool = False
    """A program."""


class ChatAttachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A file of a message in a chat. Its bytes are in the command."""

    name: str
    """As the sender called it."""
    media_type: str | None = None
    """As the platform or the sender says."""
    size: Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)] | None = None
    """In bytes."""


class ChatFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where a command came from in a chat: the message that asked for it. All ids are the platform's own."""

    platform: Name
    """The kind of adapter: slack, matrix …"""
    account: Name
    """The adapter by its name in the configuration."""
    event_id: ChatId
    """The same whenever the platform delivers the event again; no two events of an account share it."""
    chat: ChatId
    """The channel, room or direct conversation."""
    is_direct: bool = False
    """One person and missive, nobody else."""
    thread: ChatId | None = None
    """The root of the thread, in one."""
    message_id: ChatId
    """The message."""
    sender: ChatSender
    """Who wrote it."""
    sent_at: UtcTime | None = None
    """When, by the platform's clock: RFC 3339, UTC."""
    attachments: tuple[ChatAttachment, ...] = ()
    """Its files."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One request, whichever door it came through."""

    contract: str
    id: str
    source: Source
    command: Command
    metadata: dict[str, Any]
    idempotency_key: str | None = None
    """A delivery with the key of an earlier one is not run again: it gets the answer of that one."""
    in_session: bool = True
    """False if the sender named no session and the door gives it none."""
    traceparent: str | None = None
    """The span that asked for it; None: the one that the door is in, or none."""
    tracestate: str | None = None
    """What goes with it, as W3C Trace Context has it."""

    @property
    def session(self) -> tuple[str, str] | None:
        """Deliveries of the same session are run in the order in which they came; None: it waits for no other."""
        return (self.source.source_id, self.source.resume_name) if self.in_session else None


class FrameError(ValidationError):
    """A frame that cannot be accepted. ``frame_id`` is its id if that could be read."""

    def __init__(self, message: str, *, frame_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.frame_id = frame_id


_COMMANDS = {tag_of(cls): cls for cls in DOOR_COMMANDS}


def stored(envelope: Envelope) -> dict[str, Any]:
    """Return an envelope as JSON-able data, from which `from_stored` makes it again."""
    data: dict[str, Any] = msgspec.to_builtins(envelope)
    return data


def from_stored(data: dict[str, Any]) -> Envelope:
    """Return the envelope that was `stored`; further keys are the host's own.

    Raises `ValidationError` if this missive does not know such a command.
    """
    fields = {name: data[name] for name in Envelope.__struct_fields__ if name in data}
    fields["source"] = convert(fields["source"], Source)
    fields["command"] = command_from(fields["command"])
    return Envelope(**fields)


def command_from(data: dict[str, Any]) -> Command:
    """Return the door command that was turned into JSON-able data. Raises `ValidationError`."""
    cls = _COMMANDS.get(data.get("command", ""))
    if cls is None:
        raise ValidationError(f"unknown command {_shown(data.get('command'))}")
    command: Command = convert(data, cls)
    return command


def chat_envelope(
    facts: ChatFacts, command: Command, *, source_id: str, resume_name: str = "default", part: str = ""
) -> Envelope:
    """Return the envelope of a command that a message in a chat asked for; its metadata are the `facts`.

    `source_id` and `resume_name` are the conversation; what an id may not have is taken out of `source_id`. The
    idempotency key comes from the event, so that an event that is delivered twice is run once; a `part` tells apart
    several commands of one event. Raises `ValidationError` if the facts are not what they must be.
    """
    try:
        data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(facts))
        key = sha256(msgspec.json.encode((facts.platform, facts.account, facts.event_id, part))).hexdigest()[:32]
    except UnicodeEncodeError:
        raise ValidationError("a string has an unpaired surrogate (\\ud800 to \\udfff)") from None
    convert(data, ChatFacts, "chat")
    source = {"source_id": _as_source_id(source_id), "display_name": facts.sender.name, "resume_name": resume_name}
    return Envelope(
        contract=CHAT,
        id=f"chat-{key}",
        source=convert(source, Source, "source"),
        command=command,
        metadata=data,
        idempotency_key=f"chat-{key}",
    )


def _as_source_id(text: str) -> str:
    """Return an id of any platform as a ``source_id``: without white space, and not too long; no two become one."""
    if not text.isascii() or "%" in text or not text.isprintable() or " " in text:
        text = "".join(char if "!" <= char <= "~" and char != "%" else f"%{ord(char):x};" for char in text)
    return text if len(text) <= 256 else f"{text[:200]}%%{sha256(text.encode()).hexdigest()[:32]}"


def facts_of(envelope: Envelope) -> ChatFacts:
    """Return where a command came from in a chat. Raises `ValidationError` for an envelope of another contract."""
    if envelope.contract != CHAT:
        raise ValidationError(f"this did not come from a chat but as {envelope.contract}")
    facts: ChatFacts = convert(envelope.metadata, ChatFacts, "chat")
    return facts


ENVELOPE_FIELDS = ("schema_version", "id", "command", "source", "metadata", "idempotency_key", "traceparent")


def parse_envelope(
    data: bytes,
    contract: str | ContractSpec,
    *,
    default_source: str,
    default_session: bool = True,
    default_id: str | None = None,
) -> Envelope:
    """Parse one request frame of `contract` from UTF-8 JSON.

    `contract` is the id that frames of this door have, or a contract that a plugin brings: then what its schema says
    counts, too, and the field that its ``facts`` name becomes the envelope's metadata.

    `default_source` is the ``source_id`` of a frame that names none; with `default_session` such frames are one
    session, without it each is by itself. `default_id` is the id of a frame that has none; without it one is required.

    Raises `FrameError` that names the field and, where there is one, the nearest known name.
    """
    frame = parse_object(data)
    frame_id = _readable_id(frame)
    try:
        if default_id is not None:
            frame.setdefault("id", default_id)
        if isinstance(contract, str):
            return _envelope(frame, contract, default_source, default_session)
        envelope = _envelope(frame, contract.name, default_source, default_session, contract.facts)
        _refuse_by_schema(frame, contract)
    except FrameError:
        raise
    except ValidationError as error:
        raise FrameError(error.message, frame_id=frame_id, help=error.help, sources=error.sources) from None
    return envelope


def _refuse_by_schema(frame: dict[str, Any], contract: ContractSpec) -> None:
    from missive_host.contracts.brought import request_faults

    faults = request_faults(contract)(frame)
    if faults:
        raise ValidationError(
            f"{contract.name}: {faults[0].sentence()}", sources=tuple(fault.sentence() for fault in faults[1:])
        )


def _envelope(
    frame: dict[str, Any], contract: str, default_source: str, default_session: bool, facts: str | None = None
) -> Envelope:
    version = frame.get("schema_version", contract)
    if version != contract:
        raise ValidationError(
            f"field `schema_version`: this door reads {contract}, not {_shown(version)}",
            help=f'write "schema_version": "{contract}", or leave it out',
        )
    if "id" not in frame:
        raise ValidationError("field `id` is missing", help="every frame needs an id; the answers carry it")
    frame_id = convert(frame["id"], FrameId, "id")
    if "command" not in frame:
        raise ValidationError("field `command` is missing", help="one of: " + ", ".join(sorted(_COMMANDS)))
    tag = frame["command"]
    cls = _COMMANDS.get(tag) if isinstance(tag, str) else None
    if cls is None:
        raise ValidationError(
            f"field `command`: unknown command {_shown(tag)}{nearest(str(tag), list(_COMMANDS))}",
            help="one of: " + ", ".join(sorted(_COMMANDS)),
        )
    fields = door_fields(cls)
    facts = "chat" if contract == CHAT else facts
    known = ENVELOPE_FIELDS if facts is None else (*ENVELOPE_FIELDS, facts)
    values = {key: value for key, value in frame.items() if key in fields or key not in known}
    values["command"] = tag
    source = frame.get("source", UNSET)
    if isinstance(source, str) and "task_source" in fields:
        values.setdefault("task_source", source)
        source = UNSET
    _refuse_unknown(values, (*known, *fields))
    for key in ("state", "task_source"):
        if isinstance(values.get(key), str):
            values[key] = normal_state(values[key])
    metadata = {} if "metadata" in fields else convert(frame.get("metadata", {}), Metadata, "metadata")
    if contract == CHAT:
        metadata = _facts(frame)
    elif facts is not None:
        metadata = convert(frame.get(facts, {}), dict[str, Any], facts)
    return Envelope(
        contract=contract,
        id=frame_id,
        source=_source(source, default_source),
        command=convert(values, cls),
        metadata=metadata,
        idempotency_key=convert(frame.get("idempotency_key"), IdempotencyKey | None, "idempotency_key"),
        in_session=default_session or source is not UNSET,
        traceparent=convert(frame.get("traceparent"), Traceparent | None, "traceparent"),
    )


def door_fields(cls: type[Command]) -> tuple[str, ...]:
    """Return the fields of a command that a frame may set."""
    return tuple(name for name in cls.__struct_fields__ if name not in cls.operator_fields)


def normal_state(text: str) -> str:
    """Return a state's name as missive spells it: lower case, ``_``, ``cancelled``."""
    text = text.lower().replace("-", "_").removeprefix("task_state_")
    return "cancelled" if text == "canceled" else text


def _source(value: Any, default_source: str) -> Source:
    if value is UNSET:
        return Source(source_id=default_source)
    if isinstance(value, dict):
        value = {"source_id": default_source, **value}
        _refuse_unknown(value, Source.__struct_fields__, "source.")
    result: Source = convert(value, Source, "source")
    return result


def _facts(frame: dict[str, Any]) -> dict[str, Any]:
    if "chat" not in frame:
        raise ValidationError("field `chat` is missing", help="it says which message of a chat asked for this")
    facts: dict[str, Any] = frame["chat"]
    convert(facts, ChatFacts, "chat")
    return facts


def _refuse_unknown(values: dict[str, Any], known: tuple[str, ...], prefix: str = "") -> None:
    for key in list(values):
        if key in known:
            continue
        if key.startswith("x_"):
            del values[key]
        else:
            raise ValidationError(
                f"unknown field `{prefix}{key[:64]}`{nearest(key[:64], known)}",
                help="names that begin with x_ are let through and ignored",
            )


def _readable_id(frame: Any) -> str | None:
    if not isinstance(frame, dict) or "id" not in frame:
        return None
    try:
        frame_id: str = convert(frame["id"], FrameId, "id")
        frame_id.encode()
    except (ValidationError, UnicodeEncodeError):  # the latter: an unpaired surrogate, which cannot be echoed
        return None
    return frame_id


# --- strict JSON


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse UTF-8 JSON that must be an object. Raises `FrameError`.

    Stricter than Python's parser, because what is let through must survive the road to an agent: no duplicate
    keys, no NaN or Infinity, no number beyond what a double holds exactly (RFC 7493), no unpaired surrogate.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FrameError(
            f"the frame is not valid UTF-8 at byte {error.start}", help="frames are JSON in UTF-8"
        ) from None
    duplicates: list[str] = []
    numbers: list[str] = []
    value = _load(text, duplicates, numbers)
    frame_id = _readable_id(value)
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise FrameError("the frame is nested too deeply", frame_id=frame_id, help=f"at most {MAX_DEPTH} levels")
    if "\\u" in text:  # before any check that quotes what it found: an error frame must be writable, too
        try:
            msgspec.json.encode(value)
        except UnicodeEncodeError:
            raise FrameError("a string has an unpaired surrogate (\\ud800 to \\udfff)", frame_id=frame_id) from None
    if numbers:
        raise _number(numbers[0], frame_id)
    if not isinstance(value, dict):
        raise FrameError(
            f"the frame is {_kind(value)}, not a JSON object", help="a frame begins with { and ends with }"
        )
    if duplicates:
        raise FrameError(f"field `{duplicates[0][:64]}` is given twice", frame_id=frame_id, help="keep one of them")
    return value


def _load(text: str, duplicates: list[str], numbers: list[str]) -> Any:
    """Parse JSON; note keys that are given twice and numbers that cannot be kept, so that the id is read first."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                (duplicates.append if key in seen else seen.add)(key)
        return result

    def integer(digits: str) -> int:
        if len(digits) < 16 or (len(digits) < 18 and abs(int(digits)) <= MAX_SAFE_INTEGER):
            return int(digits)
        numbers.append(digits)
        return 0

    def floating(digits: str) -> float:
        value = float(digits)
        if not isfinite(value):
            numbers.append(digits)
        return value

    try:
        return json.loads(
            text, object_pairs_hook=pairs, parse_int=integer, parse_float=floating, parse_constant=numbers.append
        )
    except json.JSONDecodeError as error:
        raise FrameError(
            "the frame is not valid JSON",
            help="a frame is one JSON object; see `missive contract show missive.stdio.v1`",
            sources=(f"{error.msg} at line {error.lineno} column {error.colno}",),
        ) from None
    except RecursionError:
        raise FrameError("the frame is nested too deeply", help=f"at most {MAX_DEPTH} levels") from None


def _depth(value: Any) -> int:
    depth = 0
    level = [value]
    while level:
        depth += 1
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    return depth


def _number(text: str, frame_id: str | None) -> FrameError:
    if text[-1:].isalpha():
        return FrameError(f"{text} is not JSON", frame_id=frame_id, help="use null or a string")
    return FrameError(
        f"the number {text[:24]}{'…' if len(text) > 24 else ''} is too big to be kept exactly",
        frame_id=frame_id,
        help="send it as a string; numbers beyond 2^53-1 are changed by most JSON readers (RFC 7493) and by A2A",
    )


# --- msgspec's errors in words

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_PATTERNS = (
    ("{32}", "expected a traceparent of W3C Trace Context: 00-32 hex digits-16 hex digits-01, in lower case"),
    ("a-z0-9._-", "expected 1 to 63 lower-case letters, digits, '.', '_' or '-', a letter or digit at both ends"),
    ("T[0-9]", "expected a time in UTC such as 2026-01-31T12:00:00Z"),
    ("^\\\\x00", "expected text without control characters"),
    ("\\\\x21", "expected printable ASCII characters without spaces"),
    ("\\\\x7f", "expected text without white space or control characters"),
    ("ms|s|m|h", "expected a duration such as 500ms, 30s, 5m or 1h"),
    ("/\\\\S", "expected a media type such as text/plain"),
)


def convert(value: Any, type: Any, field: str | None = None) -> Any:  # noqa: A002
    """Convert JSON-able data to `type`, or raise a `ValidationError` that names the field."""
    try:
        return msgspec.convert(value, type)
    except msgspec.ValidationError as error:
        raise ValidationError(_explain(str(error), field)) from None


def _explain(text: str, field: str | None) -> str:
    match = _AT.match(text)
    what, path = (match["what"], match["path"]) if match else (text, None)
    where = (field or "") + (path or "").removeprefix("$")
    where = where.lstrip(".")
    missing = re.match(r"Object missing required field `(\w+)`", what)
    if missing:
        return f"field `{where + '.' if where else ''}{missing[1]}` is missing"
    if "matching regex" in what:
        what = next((words for mark, words in _PATTERNS if mark in what), what)
    what = what.replace("`", "").replace("length >= 1", "some text").replace(" | null", " or null")
    what = what[:1].lower() + what[1:]
    return f"field `{where}`: {what}" if where else what


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 64 else text[:63] + "…"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {str: "a string", bool: "a boolean", list: "an array"}.get(type(value), "a number")


# --- answers


class ResponseFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One answer frame of ``missive.stdio.v1``; other contracts wrap the same."""

    schema_version: str
    id: str | UnsetType = UNSET
    ok: bool
    kind: str
    sequence: int
    data: Any = UNSET
    error: ErrorReport | UnsetType = UNSET


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a file of ``missive.file_drop.v1``."""

    schema_version: str
    id: str | UnsetType = UNSET
    ok: bool
    kind: str
    input_file: str
    archived_file: str | UnsetType = UNSET
    outputs: tuple[ResponseFrame, ...] | UnsetType = UNSET
    error: ErrorReport | UnsetType = UNSET


class Frames:
    """The answer frames of one request: they carry its id and count from 0."""

    def __init__(self, contract: str, frame_id: str | None, prefix: str) -> None:
        self._contract = contract
        self._id: str | UnsetType = UNSET if frame_id is None else frame_id
        self._prefix = prefix
        self._next = 0

    def output(self, output: Output) -> ResponseFrame:
        """Wrap one result document."""
        return self._frame(ok=True, kind=f"{self._prefix}_command_output", data=output.document(sequence=True))

    def error(self, report: ErrorReport, data: Any = UNSET) -> ResponseFrame:
        """The last frame of a request that failed."""
        return self._frame(ok=False, kind=f"{self._prefix}_error", data=data, error=report)

    def _frame(
        self, *, ok: bool, kind: str, data: Any = UNSET, error: ErrorReport | UnsetType = UNSET
    ) -> ResponseFrame:
        sequence, self._next = self._next, self._next + 1
        return ResponseFrame(
            schema_version=self._contract, id=self._id, ok=ok, kind=kind, sequence=sequence, data=data, error=error
        )
