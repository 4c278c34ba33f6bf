"""What a `FakeAgent` does when it is asked: one step for each message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

TaskState = Literal[
    "submitted", "working", "completed", "failed", "canceled", "input_required", "rejected", "auth_required"
]


@dataclass(frozen=True, slots=True)
class Reply:
    """A message."""

    text: str = ""
    data: tuple[Any, ...] = ()
    """JSON values, each in a part of its own."""
    delay: float = 0.0
    """Seconds before anything is answered; every step has this."""


@dataclass(frozen=True, slots=True)
class TaskReply:
    """A task, with the text and the data in one artifact. A state that is not an end stays until `FakeAgent.move`."""

    text: str = ""
    data: tuple[Any, ...] = ()
    state: TaskState = "completed"
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class StreamReply:
    """A task that works: its chunks come one by one as updates of one artifact, then the state in which it ends.

    Who did not ask for a stream gets the task as it is at the end.
    """

    chunks: tuple[str, ...] = ()
    state: TaskState = "completed"
    pause: float = 0.0
    """Seconds before each chunk."""
    cut: bool = False
    """True: the connection breaks after the chunks, before the end."""
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Fail:
    """An error of JSON-RPC, such as -32603, or one of A2A's own, such as -32001 (task not found)."""

    message: str = "the script says so"
    code: int = -32603
    data: Any = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class HttpStatus:
    """A status of HTTP in the place of an answer: 429, 503 …"""

    status: int = 503
    retry_after: int | None = None
    """Seconds, as the header says it."""
    body: str = ""
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed, and nothing was answered."""

    delay: float = 0.0


Step = Reply | TaskReply | StreamReply | Fail | HttpStatus | Drop
