"""What all commands are made of: the types of their fields, and the fields that many have."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

# ``$(?!\n)``: Python's ``$`` alone also matches before a newline at the end.
_NAME = r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$(?!\n)"
_OPAQUE = r"^[^\s\x00-\x1f\x7f]+$(?!\n)"
_DURATION = r"^0*[1-9][0-9]*(ms|s|m|h)$(?!\n)"

Name = Annotated[str, Meta(pattern=_NAME, min_length=1, max_length=63, extra_json_schema={"x-missive-type": "name"})]
"""1 to 63 characters: lower-case letters, digits, ``.``, ``_`` and ``-``, a letter or digit at both ends."""
OpaqueId = Annotated[str, Meta(pattern=_OPAQUE, min_length=1, max_length=256)]
"""An id made by somebody: 1 to 256 characters without white space or control characters."""
Duration = Annotated[str, Meta(pattern=_DURATION, max_length=16)]
"""A whole number and ``ms``, ``s``, ``m`` or ``h``, more than zero: ``500ms``, ``30s``, ``5m``."""
MediaType = Annotated[str, Meta(pattern=r"^[^\s/]+/\S+$(?!\n)", max_length=128)]
Binding = Annotated[str, Meta(min_length=1, max_length=64)]
"""A protocol binding: ``json-rpc``, ``http+json`` or ``grpc`` (A2A's own spelling is understood, too)."""
ShortText = Annotated[str, Meta(min_length=1, max_length=128)]
Notes = Annotated[str, Meta(max_length=8192)]
Timestamp = Annotated[str, Meta(min_length=1, max_length=64)]
Label = Annotated[str, Meta(min_length=1, max_length=128)]
NonEmpty = Annotated[str, Meta(min_length=1)]
Metadata = dict[Annotated[str, Meta(pattern=_OPAQUE, min_length=1, max_length=128)], Any]
TaskState = Literal[
    "submitted", "working", "completed", "failed", "cancelled", "rejected", "input_required", "auth_required", "unknown"
]
"""A2A's task states (spec 4.1.3) in lower case; ``canceled`` is accepted and printed as ``cancelled``."""
TaskSource = Literal["remote", "local", "gateway"]
HistoryLength = Annotated[int, Meta(ge=0, le=2**31 - 1)]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_seconds(text: str) -> float:
    """Return a `Duration` in seconds. The text has been validated already."""
    digits = text.rstrip("msh")
    return int(digits) * _UNITS[text[len(digits) :]]


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="command"):
    """Base of all commands. Its class variables say how a command is handled; none of them is a field."""

    operator: ClassVar[bool] = False
    """True: only the command line may give it."""
    store_only: ClassVar[bool] = False
    """True: answered from the store alone, no agent is called."""
    own_deadline: ClassVar[bool] = False
    """True: the handler itself says what happens when `timeout` has passed."""
    operator_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that only the command line may set."""


class Calling(Command, frozen=True, kw_only=True, omit_defaults=True):
    """A command that calls an agent."""

    timeout: Annotated[
        Duration | None,
        Meta(description="Give up after this long, e.g. `30s` or `5m`. The deadline of the whole command."),
    ] = None


class Requirements(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an agent must be able to do to be chosen."""

    tags: Annotated[tuple[Label, ...], Meta(description="Tags that it has, its own or of its skills.")] = ()
    capabilities: Annotated[tuple[Label, ...], Meta(description="Skill ids, names or tags that it has.")] = ()
    input_modes: Annotated[tuple[MediaType, ...], Meta(description="Media types that it takes.")] = ()
    output_modes: Annotated[tuple[MediaType, ...], Meta(description="Media types that it gives.")] = ()
    streaming: Annotated[bool, Meta(description="It streams.")] = False
    push_notifications: Annotated[bool, Meta(description="It sends push notifications.")] = False


class Content(Calling, frozen=True, kw_only=True, omit_defaults=True):
    """What a message is made of."""

    operator_fields: ClassVar[tuple[str, ...]] = ("stdin_text",)
    message: Annotated[str | None, Meta(description="The text to send: the first part.")] = None
    stdin_text: Annotated[str | None, Meta(description="A text that was read from standard input: the next part.")] = (
        None
    )
    files: Annotated[
        tuple[NonEmpty, ...], Meta(description="A file to send by reference (a `file://` URL; its bytes are not sent).")
    ] = ()
    file_bytes: Annotated[tuple[NonEmpty, ...], Meta(description="A file to send with its bytes.")] = ()
    json_parts: Annotated[tuple[Any, ...], Meta(description="A JSON value to send as a data part.")] = ()
    text_parts: Annotated[tuple[NonEmpty, ...], Meta(description="A further text to send, after all other parts.")] = ()
    mime: Annotated[
        tuple[MediaType, ...],
        Meta(description="Media type: one for all non-text parts, one for each of these, or one for each part."),
    ] = ()
    metadata: Annotated[Metadata, Meta(description="Metadata of the A2A message.")] = msgspec.field(
        default_factory=dict
    )
    context: Annotated[
        OpaqueId | None, Meta(description="The local context to continue; the agent's own contextId is kept with it.")
    ] = None
    accepted_output_modes: Annotated[tuple[MediaType, ...], Meta(description="A media type that may come back.")] = ()


def tag_of(command: Command | type[Command]) -> str:
    """Return the command's tag, e.g. ``task_get``."""
    tag = command.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
