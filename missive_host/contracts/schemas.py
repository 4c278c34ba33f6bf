"""The schemas, made from the code: the command model, the result documents and the configuration.

Nothing in ``contracts/`` is written by hand but the examples and the README: schemas and code cannot drift apart.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from missive_host import errors
from missive_host.commands import DOOR_COMMANDS, Command, Duration, MediaType, Name, OpaqueId, tag_of
from missive_host.contracts.rules import ABSENT, CONFIG_RULES, OUTPUT_WORDS, loose_word
from missive_host.contracts.shaping import REF, Schema, components, needed
from missive_host.envelopes import (
    CHAT,
    FILE_DROP,
    HTTP,
    STDIO,
    ChatFacts,
    ChatId,
    FrameId,
    ResponseFrame,
    ResultFile,
    Source,
    Traceparent,
    UtcTime,
    door_fields,
)
from missive_host.errors import ErrorReport
from missive_host.outputs import SCHEMA_VERSION, Data, all_kinds

DIALECT = "https://json-schema.org/draft/2020-12/schema"

NAMED: dict[str, tuple[Any, str]] = {
    "Name": (Name, "1 to 63 lower-case letters, digits, '.', '_' or '-', a letter or digit at both ends"),
    "OpaqueId": (OpaqueId, "1 to 256 characters without white space and control characters"),
    "ShortId": (FrameId, "1 to 128 characters without white space and control characters"),
    "Duration": (Duration, "a duration, more than zero, such as 500ms, 30s, 5m or 1h"),
    "MediaType": (MediaType, "a media type such as text/plain"),
    "ChatId": (ChatId, "1 to 1024 characters without control characters"),
    "Traceparent": (Traceparent, "a traceparent of W3C Trace Context: 00-32 hex digits-16 hex digits-01, lower case"),
    "UtcTime": (UtcTime, "a time in UTC such as 2026-01-31T12:00:00Z"),
}


def schemas() -> dict[str, Schema]:
    """Return every schema by its file, relative to the folder of contracts: the whole ones, then those of each kind."""
    from missive_host.contracts.http import http_response_schema
    from missive_host.contracts.kinds import kind_files

    whole = {
        f"{STDIO}/request.schema.json": request_schema(STDIO, "on standard input"),
        f"{STDIO}/response.schema.json": response_schema(STDIO, "stdio", "on standard output"),
        f"{HTTP}/request.schema.json": request_schema(HTTP, "in the body of an HTTP request", id_required=False),
        f"{HTTP}/response.schema.json": http_response_schema(),
        f"{CHAT}/request.schema.json": request_schema(CHAT, "from chats", facts=ChatFacts),
        f"{FILE_DROP}/request.schema.json": request_schema(FILE_DROP, "as files in an inbox"),
        f"{FILE_DROP}/response.schema.json": result_file_schema(),
        f"{SCHEMA_VERSION}/output.schema.json": output_schema(),
        "missive.config.v1/config.schema.json": config_schema(),
    }
    return whole | {file: made for name, schema in whole.items() for file, made in kind_files(name, schema)}


def root_of(version: str, part: str | None, title: str, description: str) -> Schema:
    return {
        "$schema": DIALECT,
        "$id": f"urn:missive:contract:{version}" + (f":{part}" if part else ""),
        "title": title,
        "description": description,
        "type": "object",
    }


# --- requests


def request_schema(
    version: str, where: str, *, id_required: bool = True, facts: type[ChatFacts] | None = None
) -> Schema:
    """Return the schema of the request frames of a door's contract. ``where`` says how they come in.

    With `facts` they say in ``chat`` which message asked for it, and there is no other part of the contract: the
    answers are messages.
    """
    always = [*(["id"] if id_required else []), "command", *(["chat"] if facts else [])]
    defs = components((*DOOR_COMMANDS, Source, *([facts] if facts else [])), NAMED, null=True)
    source = defs["Source"]
    # A door has its own name for a source that says none.
    source["required"] = [name for name in source.get("required", ()) if name != "source_id"]
    defs["Source"] = _open_for_x({key: child for key, child in source.items() if child != []})
    defs["Metadata"] = {"type": "object", "propertyNames": {"$ref": REF + "ShortId"}}
    for cls in DOOR_COMMANDS:
        defs[cls.__name__] = _command(defs[cls.__name__], cls, version, always)
        if facts:
            defs[cls.__name__]["properties"]["chat"] = {"$ref": REF + facts.__name__}
    root = {
        **root_of(
            version,
            None if facts else "request",
            f"Request frames {where}",
            f"What missive reads {where}: one command. Names that begin with x_ are let through and ignored, "
            "any other unknown name is refused. Numbers are at most 2^53-1, and whole ones have no fraction part.",
        ),
        "required": always,
        "properties": {"command": {"enum": [tag_of(cls) for cls in DOOR_COMMANDS]}},
        "allOf": [when("command", tag_of(cls), {"$ref": REF + cls.__name__}) for cls in DOOR_COMMANDS],
    }
    return {**root, "$defs": needed(root, defs)}


def _command(made: Schema, cls: type[Command], version: str, always: list[str]) -> Schema:
    """Return the schema of the whole frame of one command."""
    fields: Schema = {name: made["properties"][name] for name in door_fields(cls)}
    for name in ("state", "task_source"):
        if name in fields:
            words = next(option["enum"] for option in fields[name]["anyOf"] if "enum" in option)
            fields[name] = {**fields[name], "anyOf": [loose_word(words), {"type": "null"}]}
    envelope: Schema = {
        "schema_version": {"const": version},
        "id": {"$ref": REF + "ShortId", "description": "Of the request; every answer carries it."},
        "command": {"const": tag_of(cls)},
        "source": {"$ref": REF + "Source"},
        "metadata": {"$ref": REF + "Metadata", "description": "Accepted and not used."},
        "idempotency_key": {
            "anyOf": [{"type": "string", "pattern": "^[!-~]{1,256}$"}, {"type": "null"}],
            "description": "A later frame with this key is not run: it gets the answer of the first. Gateway only.",
        },
        "traceparent": {
            "anyOf": [{"$ref": REF + "Traceparent"}, {"type": "null"}],
            "description": "The span that asks for it, as W3C Trace Context has it: what is done belongs to its trace.",
        },
    }
    frame: Schema = {
        "title": tag_of(cls),
        "description": made["description"],
        "type": "object",
        "required": [*always, *(name for name in made.get("required", ()) if name != "command")],
        "properties": {**envelope, **fields},
    }
    if "task_source" in fields:
        # A string is an older spelling of `task_source`, and does nothing beside that.
        word = {"properties": {"source": fields["task_source"]["anyOf"][0]}}
        frame["properties"]["source"] = {"anyOf": [{"$ref": REF + "Source"}, {"type": "string"}]}
        frame["if"] = {"required": ["source"], "properties": {"source": {"type": "string"}, "task_source": ABSENT}}
        frame["then"] = word
    return _open_for_x(frame)


def _open_for_x(schema: Schema) -> Schema:
    return {**schema, "patternProperties": {"^x_": {}}, "additionalProperties": False}


def when(field: str, word: str, then: Schema) -> Schema:
    return {"if": {"required": [field], "properties": {field: {"const": word}}}, "then": then}


# --- results


def kinds() -> dict[str, type[Data]]:
    """Return every kind of result that missive itself has, sorted by kind.

    They are defined in the modules named ``outputs`` or ``outputs_…``, which is how they are found.
    """
    package = Path(__file__).parents[1]
    for file in sorted(package.rglob("outputs*.py")):
        import_module(".".join(("missive_host", *file.relative_to(package).with_suffix("").parts)))
    return {kind: cls for kind, cls in all_kinds().items() if cls.__module__.startswith("missive_host.")}


def output_schema() -> Schema:
    """Return the schema of every result document, and of errors."""
    root, defs = output_parts()
    return {**root, "$defs": needed(root, defs)}


def output_parts() -> tuple[Schema, dict[str, Schema]]:
    found = kinds()
    defs = components((*found.values(), ErrorReport), {}, null=False)
    for (struct, field), words in OUTPUT_WORDS.items():
        assert defs[struct]["properties"][field]["type"] == "string"
        defs[struct]["properties"][field]["enum"] = list(words)
    _exact_error(defs["ErrorReport"])
    # Left out when there is nothing, so never null.
    defs["A2AErrorInfo"]["properties"]["data"] = {"type": ["object", "array", "string", "number", "boolean"]}
    for kind, cls in found.items():
        defs[cls.__name__]["title"] = kind
    cases = [when("kind", "error", {"properties": {"ok": {"const": False}, "data": {"$ref": REF + "ErrorReport"}}})]
    cases += [
        when("kind", kind, {"properties": {"ok": {"const": True}, "data": {"$ref": REF + cls.__name__}}})
        for kind, cls in found.items()
    ]
    root = {
        **root_of(
            SCHEMA_VERSION,
            None,
            "Result documents, of --json, --ndjson and in answer frames",
            "What a command has to say, as printed with --json or --ndjson and as carried in answer frames; "
            "`kind` says what `data` is. Fields that have nothing to say are left out, never null.",
        ),
        "required": ["schema_version", "ok", "kind", "data"],
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "ok": {"type": "boolean", "description": "False only if `kind` is `error`."},
            "kind": {"enum": sorted(("error", *found))},
            "sequence": {
                "type": "integer",
                "minimum": 0,
                "description": "Counts the documents of one command from 0; not with --json, where there is one.",
            },
            "data": {"type": "object"},
        },
        "additionalProperties": False,
        "allOf": cases,
    }
    return root, defs


def _exact_error(schema: Schema) -> None:
    fields = schema["properties"]
    categories = sorted({cls.category for cls in vars(errors).values() if _is_error(cls)})
    fields["category"]["enum"] = categories
    fields["code"]["enum"] = [f"missive::{category}" for category in categories]
    fields["exit_code"].update(minimum=1, maximum=255)
    fields["sources"] = {**fields["sources"], "minItems": 1}  # left out when there are none
    del fields["sources"]["default"]


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, errors.MissiveError)


# --- answers


def response_schema(version: str, prefix: str, where: str) -> Schema:
    """Return the schema of the answer frames of a door's contract: result documents or an error, wrapped."""
    output, defs = output_parts()
    defs["Output"] = {
        **{key: child for key, child in output.items() if not key.startswith("$")},
        "required": [*output["required"], "sequence"],
    }
    frame = components((ResponseFrame,), NAMED, null=False)["ResponseFrame"]
    fields: Schema = frame["properties"]
    defs["ShortId"] = components((), {"ShortId": NAMED["ShortId"]}, null=False)["ShortId"]
    refused = {
        "description": "Of a frame that was refused.",
        "type": "object",
        "required": ["line"],
        "properties": {"line": {"type": "integer", "minimum": 1, "description": "Of the input, from 1."}},
        "additionalProperties": False,
    }
    root = {
        **root_of(
            version,
            "response",
            f"Answer frames {where}",
            f"What missive writes {where}: each result of a command in a frame, and what went wrong as an error.",
        ),
        "required": frame["required"],
        "properties": {
            **fields,
            "schema_version": {"const": version},
            "id": {"$ref": REF + "ShortId", "description": "Of the request; left out only if it could not be read."},
            "ok": {"type": "boolean", "description": "False only in error frames."},
            "kind": {"enum": [f"{prefix}_command_output", f"{prefix}_error"]},
            "sequence": {
                "type": "integer",
                "minimum": 0,
                "description": "Counts the frames of one request from 0, without gaps.",
            },
        },
        "additionalProperties": False,
        "allOf": [
            when(
                "kind",
                f"{prefix}_command_output",
                {
                    "required": ["id", "data"],
                    "properties": {"ok": {"const": True}, "data": {"$ref": REF + "Output"}, "error": ABSENT},
                },
            ),
            when(
                "kind",
                f"{prefix}_error",
                {"required": ["error"], "properties": {"ok": {"const": False}, "data": refused}},
            ),
        ],
    }
    return {**root, "$defs": needed(root, defs)}


def result_file_schema() -> Schema:
    """Return the schema of the answers of ``missive.file_drop.v1``: files with answer frames in them."""
    stdio = response_schema(STDIO, "stdio", "")
    defs: dict[str, Schema] = stdio["$defs"]
    defs["Frame"] = {key: child for key, child in stdio.items() if not key.startswith("$") and key != "description"}
    # A result only: what went wrong is told once, beside them.
    defs["Frame"]["properties"] = {**stdio["properties"], "kind": {"const": "stdio_command_output"}}
    defs["Frame"]["title"] = "A result"
    file = components((ResultFile,), NAMED, null=False)["ResultFile"]
    name = {"type": "string", "pattern": "^[^./][^/]*[.]json$"}
    root = {
        **root_of(
            FILE_DROP,
            "response",
            "Answers to files in an inbox",
            "The file NAME.result.json or NAME.error.json: all results of a request's command, and what went wrong.",
        ),
        "required": file["required"],
        "properties": {
            **file["properties"],
            "schema_version": {"const": FILE_DROP},
            "id": {"$ref": REF + "ShortId", "description": "Of the request; left out only if it could not be read."},
            "ok": {"type": "boolean", "description": "True if the command succeeded."},
            "kind": {"enum": ["file_drop_result", "file_drop_error"]},
            "input_file": {**name, "description": "The request's name in the inbox."},
            "archived_file": {
                **name,
                "description": "Its name where it is now, in the folder of what succeeded or of what failed.",
            },
            "outputs": {
                "type": "array",
                "items": {"$ref": REF + "Frame"},
                "minItems": 1,
                "description": "The results, as answer frames of missive.stdio.v1; left out if there are none.",
            },
        },
        "additionalProperties": False,
        "allOf": [
            when(
                "kind", "file_drop_result", {"required": ["id"], "properties": {"ok": {"const": True}, "error": ABSENT}}
            ),
            when("kind", "file_drop_error", {"required": ["error"], "properties": {"ok": {"const": False}}}),
        ],
    }
    return {**root, "$defs": needed(root, defs)}


# --- configuration


def config_schema() -> Schema:
    """Return the schema of a configuration file (TOML, read as JSON)."""
    from missive_host.config import model

    named: dict[str, tuple[Any, str]] = {
        **NAMED,
        "AgentUrl": (
            model.AgentUrl,
            "an absolute URL (http, https, file, or that of an agent transport) without credentials in it",
        ),
        "HttpUrl": (model.HttpUrl, "an absolute http or https URL without credentials in it"),
        "InterfaceUrl": (model.InterfaceUrl, "an http or https URL, or host:port for gRPC"),
        "HeaderName": (model.HeaderName, "the name of a header"),
        "HeaderValue": (model.HeaderValue, "printable ASCII characters in one line"),
        "EnvName": (model.EnvName, "the name of an environment variable"),
        "ProtocolVersion": (model.ProtocolVersion, "1 to 64 letters, digits, '.', '_' or '-'"),
        "Extension": (model.Extension, "a URI without white space and comma"),
        "SizeText": (get_args(model.Size)[1], "a number of bytes such as 1048576 or 8MiB"),
        "Scheme": (model.Scheme, "letters, digits and '-' without white space, or nothing"),
    }
    defs = components((model.Config,), named, null=False)
    for struct, rule in CONFIG_RULES.items():
        defs[struct] = _merged(defs[struct], rule)
    config = defs.pop("Config")
    root = {
        **root_of(
            model.CONFIG_VERSION,
            None,
            "Configuration files (TOML)",
            "A configuration file in TOML, as the JSON value that it stands for. Everything has a default. "
            "Names that are referred to (agents, auth refs, profiles) must exist, too; of a group's members no agent "
            "and no rank may be there twice.",
        ),
        **{key: config[key] for key in ("properties", "additionalProperties")},
    }
    return {**root, "$defs": needed(root, defs)}


def _merged(schema: Any, more: Any) -> Any:
    if not isinstance(schema, dict) or not isinstance(more, dict):
        return more
    return {**schema, **{key: _merged(schema[key], child) if key in schema else child for key, child in more.items()}}


# --- files


def encoded(schema: Schema) -> bytes:
    """Return a schema as its file has it."""
    return json.dumps(schema, indent=2).encode() + b"\n"


def refresh(folder: Path, *, write: bool) -> tuple[str, ...]:
    """Compare the schemas in `folder` with the code, and with `write` write them anew. Return what was not fresh."""
    made = {name: encoded(schema) for name, schema in schemas().items()}
    there = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*.schema.json")}
    stale = [name for name, data in made.items() if name not in there or there[name].read_bytes() != data]
    gone = [name for name in there if name not in made]
    if write:
        for name in stale:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(made[name])
        for name in gone:
            there[name].unlink()
    return tuple(sorted(stale + gone))
