"""The most usual answer, a Message with nothing but ids and texts: recognised without protobuf.

Reading it into A2A's protobuf types and writing it out again would change nothing in it. To see that takes 3 µs
instead of 35, and a command that gets such an answer need not import those types at all (70 ms).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

_Text = Annotated[str, Meta(min_length=1)]
"""An empty one is left out of canonical ProtoJSON, so it is not plain."""


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    text: _Text


class _Message(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    message_id: _Text
    role: Literal["ROLE_AGENT", "ROLE_USER"]
    parts: Annotated[list[_Part], Meta(min_length=1)]
    context_id: _Text | UnsetType = UNSET
    task_id: _Text | UnsetType = UNSET


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    message: _Message


def is_plain(answer: Any) -> bool:
    """Whether an answer to ``send``, or an event of a stream, is such a message. False says nothing against it."""
    try:
        msgspec.convert(answer, _Answer)
    except msgspec.ValidationError:
        return False
    return True
