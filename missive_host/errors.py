"""The one tree of errors.

::

    MissiveError                       code, category, exit_code, help
    ├── ValidationError            64  a value, a frame or a flag is not acceptable
    ├── TransportError             69  the agent could not be reached, or the connection broke
    ├── OrchestrationError         70  the work was done but did not come out well
    │   ├── TaskFailedError        80  the task ended failed or rejected
    │   ├── TaskCancelledError     81  the task ended cancelled
    │   ├── DeadlineError          82  the deadline passed first
    │   ├── InputRequiredError     83  the task waits for an answer from us
    │   └── AuthRequiredError      84  the task waits for an authorisation
    ├── IoError                    74  a local file or pipe could not be read or written
    ├── StorageError               75  the store cannot be opened, read or written
    ├── ProtocolError              76  the agent answered something that A2A does not allow, or an A2A error
    ├── AuthError                  77  a credential is missing or was refused
    ├── ConfigError                78  the configuration cannot be used
    └── PluginError                78  a plugin that is needed is missing or broken

Exit codes are those of ``sysexits.h`` where one fits. Every error renders to an
`ErrorReport`, the same in JSON output, in frames and in the journal.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

_PREFIX = {
    "validation": "validation error: ",
    "transport": "transport error: ",
    "orchestration": "orchestration error: ",
    "io": "I/O error ",
    "storage": "storage error: ",
    "protocol": "A2A protocol error: ",
    "auth": "authentication error: ",
    "config": "configuration error: ",
}


class A2AErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the agent itself said: A2A's own error name and the transport's status, kept verbatim."""

    name: str | None = None
    code: int | None = None
    http_status: int | None = None
    retry_after: float | None = None
    """Seconds to wait before the next try, from ``Retry-After``."""
    data: Any = None


class ErrorReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as a document: ``missive.output.v1`` with ``kind: error``, and ``error`` in frames."""

    code: str
    category: str
    message: str
    exit_code: int
    help: str | None = None
    sources: tuple[str, ...] = ()
    a2a: A2AErrorInfo | None = None


class MissiveError(Exception):
    """Base of everything missive raises on purpose.

    ``message`` is one sentence without the category prefix, ``help`` is the next
    step for whoever reads it, ``sources`` are the causes below it, innermost last.
    """

    category: ClassVar[str] = "orchestration"
    exit_code: ClassVar[int] = 70

    def __init__(
        self,
        message: str,
        *,
        help: str | None = None,  # noqa: A002 - the field's name in every document
        sources: tuple[str, ...] = (),
        a2a: A2AErrorInfo | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.sources = sources
        self.a2a = a2a

    def report(self) -> ErrorReport:
        """Return the error as the document that programs read."""
        return ErrorReport(
            code=f"missive::{self.category}",
            category=self.category,
            message=_PREFIX[self.category] + self.message,
            exit_code=self.exit_code,
            help=self.help,
            sources=self.sources,
            a2a=self.a2a,
        )


class ValidationError(MissiveError):
    category = "validation"
    exit_code = 64


class TransportError(MissiveError):
    """The agent could not be reached, or the connection broke.

    ``sent`` is False when it is certain that the agent did not get the request, so that sending again is safe.
    """

    category = "transport"
    exit_code = 69

    def __init__(self, message: str, *, sent: bool = True, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.sent = sent


class OrchestrationError(MissiveError):
    category = "orchestration"
    exit_code = 70


class TaskFailedError(OrchestrationError):
    exit_code = 80


class TaskCancelledError(OrchestrationError):
    exit_code = 81


class DeadlineError(OrchestrationError):
    exit_code = 82


class InputRequiredError(OrchestrationError):
    exit_code = 83


class AuthRequiredError(OrchestrationError):
    exit_code = 84


class IoError(MissiveError):
    """``message`` reads on from "I/O error ": ``while reading x.json: permission denied``."""

    category = "io"
    exit_code = 74


class StorageError(MissiveError):
    category = "storage"
    exit_code = 75


class ProtocolError(MissiveError):
    category = "protocol"
    exit_code = 76


class AuthError(MissiveError):
    category = "auth"
    exit_code = 77


class ConfigError(MissiveError):
    category = "config"
    exit_code = 78


class PluginError(ConfigError):
    """A plugin that something needs is missing, disabled or broken."""


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Return ``; did you mean 'x'?`` for the known word that looks most like `word`, or an empty string."""
    from difflib import get_close_matches

    found = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
