"""The documents of ``missive.http.v1`` answers, and the HTTP status of what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.envelopes import HTTP
from missive_host.errors import AuthError, ErrorReport, MissiveError, OrchestrationError, ValidationError

if TYPE_CHECKING:
    from missive_host.protocols import Receipt

Json = dict[str, Any]

ROOT = "/adapter/http"
RECEIPTS = f"{ROOT}/v1/receipts"

encode = msgspec.json.encode

STATUS_OF: Mapping[int, int] = {
    64: 422,  # a value is not acceptable, e.g. there is no such agent
    69: 502,  # the agent cannot be reached
    70: 502,  # the agents' work did not come out well
    74: 500,  # a file of ours
    75: 503,  # the store
    76: 502,  # the agent says what A2A does not allow, or an A2A error
    77: 502,  # the agent refuses our credential, or there is none
    78: 500,  # our configuration
    80: 502,  # the task failed, or the agent rejected it
    81: 409,  # the task was cancelled
    82: 504,  # the deadline passed
    83: 409,  # the task waits for an answer
    84: 409,  # the task waits for an authorisation
}
"""Exit code of a command that failed -> HTTP status. What is refused before it is run has a status of its own."""


_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""As RFC 9110 has them; Python's own names for them changed with 3.13."""


class ProblemError(Exception):
    """A request that is answered with problem details and nothing else."""

    def __init__(
        self,
        status: int,
        error: MissiveError,
        *,
        headers: Mapping[str, str] | None = None,
        frame_id: str | None = None,
    ) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = dict(headers or {})
        self.frame_id = frame_id

    def document(self) -> Json:
        return problem(self.status, self.error.report(), frame_id=self.frame_id)


def refused(status: int, message: str, *, help: str | None = None, **headers: str) -> ProblemError:  # noqa: A002
    """Return a refusal in the words of this door; ``retry_after="1"`` becomes the header ``Retry-After``."""
    kind = {401: AuthError, 403: AuthError, 429: OrchestrationError, 503: OrchestrationError}.get(
        status, ValidationError
    )
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return ProblemError(status, kind(message, help=help), headers=names)


def problem(
    status: int,
    report: ErrorReport,
    *,
    frame_id: str | None = None,
    receipt_id: str | None = None,
    outputs: Sequence[Json] | None = None,
    line: int | None = None,
) -> Json:
    """Return the ``http_error`` of something that failed: problem details (RFC 9457) with missive's report."""
    document: Json = {
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": report.message,
        "schema_version": HTTP,
        "ok": False,
        "kind": "http_error",
        "error": msgspec.to_builtins(report),
    }
    _add(document, id=frame_id, receipt_id=receipt_id, outputs=outputs, line=line)
    return document


def result(frame_id: str, receipt_id: str, outputs: Sequence[Json] | None = None, *, line: int | None = None) -> Json:
    """Return the ``http_result`` of a command that succeeded."""
    document = _document("http_result", frame_id, receipt_id)
    _add(document, outputs=outputs, line=line)
    return document


def receipt(frame_id: str, found: Receipt, *, line: int | None = None) -> Json:
    """Return the ``http_receipt`` of a command that has not ended."""
    document = _document("http_receipt", frame_id, found.id)
    document |= {"state": found.state, "accepted_at": found.accepted_at, "location": f"{RECEIPTS}/{found.id}"}
    _add(document, line=line)
    return document


def output(frame_id: str, receipt_id: str, sequence: int, data: Json) -> Json:
    """Return the ``http_command_output`` of one result in a stream."""
    return {**_document("http_command_output", frame_id, receipt_id), "sequence": sequence, "data": data}


def _document(kind: str, frame_id: str, receipt_id: str) -> Json:
    return {"schema_version": HTTP, "id": frame_id, "receipt_id": receipt_id, "ok": True, "kind": kind}


def _add(document: Json, **fields: Any) -> None:
    document.update({name: value for name, value in fields.items() if value is not None})
