"""The door's OpenAPI 3.1 document, made from the contracts."""

from __future__ import annotations

from typing import Any

from missive_host.contracts import contracts, find, load_schema
from missive_host.envelopes import HTTP
from missive_http.documents import RECEIPTS, ROOT
from missive_http.negotiation import EVENTS, JSON, MULTIPART, NDJSON, PROBLEM

Schema = dict[str, Any]

_REF = "#/components/schemas/"
_PROBLEMS = {
    "400": "The request is not acceptable: its body, a frame in it, a header.",
    "401": "A token is needed, or is not valid.",
    "403": "The token may not be used for this, or the request comes from a web page.",
    "404": "There is nothing here, or not for this token.",
    "405": "Not with this method.",
    "406": "The answer cannot have a media type that was asked for.",
    "409": "The task was cancelled, or waits for an answer or an authorisation.",
    "413": "The body is too long.",
    "415": "The body is of a media type that is not read here.",
    "422": "The command cannot be carried out: there is no such agent, or the idempotency key is another request's.",
    "429": "Too many requests for this token.",
    "500": "Something is wrong in the gateway.",
    "502": "The agent could not be reached, failed, or answered something strange.",
    "503": "There is no room, or the store cannot be written. Try again later.",
    "504": "The deadline passed.",
    "507": "There is no space for the files.",
}


def openapi(version: str, *, tokens: bool) -> Schema:
    """Return the document. With `tokens` requests need one."""
    known = contracts()
    request = load_schema(find(f"{HTTP}/request", known))
    response = load_schema(find(f"{HTTP}/response", known))
    schemas = {**_components("", request), **_components("Answer", response)}
    commands = [rule["then"]["$ref"].rpartition("/")[2] for rule in request["allOf"]]
    schemas["Frame"] = {
        "description": request["description"],
        "oneOf": [{"$ref": _REF + name} for name in commands],
    }
    schemas["Answer"] = _moved("Answer", {key: value for key, value in response.items() if key[0] != "$"})
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "missive over HTTP",
            "version": version,
            "summary": "Messages for AI agents: a frame in, the agents' answers out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": {
            f"{ROOT}/v1/messages": {"post": _post()},
            f"{RECEIPTS}/{{receipt_id}}": {"get": _get()},
            f"{ROOT}/v1/hooks/{{route}}": {"post": _hook()},
            f"{ROOT}/healthz": {"get": _open("health", "How the door is.", {"type": "object"})},
            f"{ROOT}/v1/openapi.json": {"get": _open("openapi", "This document.", {"type": "object"})},
        },
        "components": {"schemas": schemas},
    }
    if tokens:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _components(prefix: str, schema: Schema) -> dict[str, Schema]:
    """Return the definitions of a contract under names of their own."""
    return {prefix + name: _moved(prefix, child) for name, child in schema["$defs"].items()}


def _moved(prefix: str, schema: Any) -> Any:
    if isinstance(schema, list):
        return [_moved(prefix, child) for child in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _REF + prefix + child.removeprefix("#/$defs/")
        if key == "$ref" and isinstance(child, str)
        else _moved(prefix, child)
        for key, child in schema.items()
    }


def _header(name: str, text: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": text, "schema": schema}


_PREFER = _header("Prefer", "RFC 7240: `wait=N` (seconds) or `respond-async`.", {"type": "string"})
_KEY = _header(
    "Idempotency-Key",
    "A later request with this key is not run: it gets the answer of the first.",
    {"type": "string", "pattern": "^[!-~]{1,256}$"},
)
_LAST = _header("Last-Event-ID", "Of the last event that was read: the stream goes on behind it.", {"type": "string"})
_ANSWER: Schema = {"schema": {"$ref": _REF + "Answer"}}
_LINES: Schema = {"schema": {"type": "string", "description": "One answer a line, or in the data of each event."}}


def _problems(*statuses: str) -> Schema:
    return {status: {"description": _PROBLEMS[status], "content": {PROBLEM: _ANSWER}} for status in statuses}


def _accepted() -> Schema:
    headers = {
        "Location": {"description": "Where the answer can be had.", "schema": {"type": "string"}},
        "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}},
    }
    return {"description": "It was taken in, and has not ended.", "headers": headers, "content": {JSON: _ANSWER}}


def _post() -> Schema:
    form = {
        "type": "object",
        "required": ["frame"],
        "properties": {"frame": {"$ref": _REF + "Frame"}},
        "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
    }
    return {
        "operationId": "send",
        "summary": "Run a frame, or several (NDJSON), or one with files (a form).",
        "parameters": [_PREFER, _KEY],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {"$ref": _REF + "Frame"}},
                NDJSON: {"schema": {"type": "string", "description": "One frame a line."}},
                MULTIPART: {"schema": form, "encoding": {"frame": {"contentType": JSON}}},
            },
        },
        "responses": {
            "200": {"description": "It has ended well.", "content": {JSON: _ANSWER, NDJSON: _LINES, EVENTS: _LINES}},
            "202": _accepted(),
            **_problems(
                "400", "401", "403", "406", "409", "413", "415", "422", "429", "500", "502", "503", "504", "507"
            ),
        },
    }


def _get() -> Schema:
    return {
        "operationId": "receipt",
        "summary": "The answer under a receipt: whole, as it stands, or as it comes.",
        "parameters": [
            {"name": "receipt_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            _PREFER,
            _LAST,
        ],
        "responses": {
            "200": {"description": "It has ended.", "content": {JSON: _ANSWER, NDJSON: _LINES, EVENTS: _LINES}},
            "202": _accepted(),
            **_problems("400", "401", "403", "404", "406", "500", "503"),
        },
    }


def _hook() -> Schema:
    return {
        "operationId": "hook",
        "summary": "A signed event of somebody else, as the settings of the adapter allow it.",
        "security": [],
        "parameters": [{"name": "route", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}],
        "requestBody": {"required": True, "content": {JSON: {"schema": {"type": "object"}}}},
        "responses": {
            "202": _accepted(),
            "204": {"description": "A ping, which is no message."},
            **_problems("400", "401", "404", "413", "415", "422", "429", "500", "503"),
        },
    }


def _open(name: str, text: str, schema: Schema) -> Schema:
    answer = {"description": text, "content": {JSON: {"schema": schema}}}
    return {"operationId": name, "summary": text, "security": [], "responses": {"200": answer}}
