"""The schema of what the HTTP door answers."""

from __future__ import annotations

from typing import Any

from missive_host.contracts.rules import ABSENT
from missive_host.contracts.schemas import NAMED, output_parts, root_of, when
from missive_host.contracts.shaping import REF, Schema, components, needed
from missive_host.envelopes import HTTP

RECEIPT_STATES = ("queued", "ready", "running", "done", "failed", "dead", "cancelled")

_TEXT: Schema = {"type": "string"}
_FIELDS: dict[str, Schema] = {
    "id": {"$ref": REF + "ShortId", "description": "Of the request; one was made for a request without."},
    "receipt_id": {"$ref": REF + "OpaqueId", "description": "Under which the answer can be had again."},
    "sequence": {"type": "integer", "minimum": 0, "description": "Counts the results of one request from 0."},
    "outputs": {
        "type": "array",
        "items": {"$ref": REF + "Output"},
        "description": "The results in order; not in streams, where each was sent in a frame of its own.",
    },
    "data": {"$ref": REF + "Output"},
    "state": {"enum": list(RECEIPT_STATES), "description": "How it stands."},
    "accepted_at": {**_TEXT, "description": "When it was taken in: RFC 3339, UTC."},
    "location": {**_TEXT, "description": "The path under which the answer can be had."},
    "line": {"type": "integer", "minimum": 1, "description": "Of the batch: the line with the request, from 1."},
    "title": {**_TEXT, "description": "The status in words (RFC 9457)."},
    "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status (RFC 9457)."},
    "detail": {**_TEXT, "description": "What went wrong, in a sentence (RFC 9457)."},
    "error": {"$ref": REF + "ErrorReport"},
}
_KINDS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "http_result": ("The command succeeded.", ("id", "receipt_id"), ("outputs", "line")),
    "http_error": (
        "It failed, or was refused: problem details (RFC 9457) with missive's own report.",
        ("title", "status", "detail", "error"),
        ("id", "receipt_id", "outputs", "line"),
    ),
    "http_receipt": (
        "It was taken in, and has not ended yet.",
        ("id", "receipt_id", "state", "accepted_at", "location"),
        ("line",),
    ),
    "http_command_output": ("One result, in a stream.", ("id", "receipt_id", "sequence", "data"), ()),
}
"""Kind -> what it says, the fields that it has, those that it may have."""


def http_response_schema() -> Schema:
    """Return the schema of the documents in answers of the HTTP door."""
    output, defs = output_parts()
    defs["Output"] = {
        **{key: child for key, child in output.items() if not key.startswith("$")},
        "required": [*output["required"], "sequence"],
    }
    defs |= {name: components((), {name: NAMED[name]}, null=False)[name] for name in ("ShortId", "OpaqueId")}
    root = {
        **root_of(
            HTTP,
            "response",
            "Answers over HTTP",
            "What missive answers over HTTP: one document, one a line (application/x-ndjson), or one in the data of "
            "each event (text/event-stream). Fields that have nothing to say are left out, never null.",
        ),
        "required": ["schema_version", "ok", "kind"],
        "properties": {
            "schema_version": {"const": HTTP},
            "ok": {"type": "boolean", "description": "False only if `kind` is `http_error`."},
            "kind": {"enum": list(_KINDS), "description": " ".join(f"`{k}`: {v[0]}" for k, v in _KINDS.items())},
            **_FIELDS,
        },
        "additionalProperties": False,
        "allOf": [_case(kind, required, optional) for kind, (_, required, optional) in _KINDS.items()],
    }
    return {**root, "$defs": needed(root, defs)}


def _case(kind: str, required: tuple[str, ...], optional: tuple[str, ...]) -> Schema:
    absent: dict[str, Any] = {name: ABSENT for name in _FIELDS if name not in (*required, *optional)}
    fields = {"ok": {"const": kind != "http_error"}, **absent}
    return when("kind", kind, {"required": list(required), "properties": fields})
