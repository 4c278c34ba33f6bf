"""What the types do not say: rules between fields and fixed words, as additions to the schemas of structs.

Each has its counterpart in code (``__post_init__`` in ``config/model.py``, `normal_state` in ``envelopes.py``); the
tests hold them side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from missive_host.commands import TaskState

Schema = dict[str, Any]

TASK_STATES: tuple[str, ...] = get_args(TaskState)

OUTPUT_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("ResponseView", "state"): TASK_STATES,
    ("TaskView", "state"): TASK_STATES,
    ("StreamEvent", "state"): TASK_STATES,
    ("StreamResult", "final_state"): TASK_STATES,
    ("TaskWaitResult", "status"): (*TASK_STATES, "timeout"),
}
"""Result fields with fixed words: A2A's task states (spec 4.1.3). (struct, field) -> words."""


ABSENT: Schema = {"not": {}}
"""The schema of a field that must not be there. (``false`` says the same, but some validators then lose the path.)"""


def loose_word(words: Iterable[str]) -> Schema:
    """Return the schema of a word as `normal_state` reads it.

    Upper or lower case, ``-`` for ``_``, A2A's prefix ``TASK_STATE_``, and ``canceled`` for ``cancelled``.
    """
    words = list(words)
    spelt = [*words, "canceled"] if "cancelled" in words else words
    pattern = "^(" + _any_case("task_state_") + ")?(" + "|".join(_any_case(word) for word in spelt) + ")$"
    return {"type": "string", "anyOf": [{"enum": words}, {"pattern": pattern}]}


def _any_case(word: str) -> str:
    return "".join("[_-]" if char == "_" else f"[{char.upper()}{char}]" if char.isalpha() else char for char in word)


# --- configuration

_SECRET = ("env", "file", "keyring_service", "keyring_account", "secret")


def _needs(*fields: str) -> Schema:
    """Return: these say where the secret is, all of them, and no others."""
    return {"required": list(fields), "properties": {field: ABSENT for field in _SECRET if field not in fields}}


def _source(kind: str, inferred: Schema) -> Schema:
    """Return: `kind` is said, or not said and `inferred`."""
    said = {"required": ["kind"], "properties": {"kind": {"const": kind}}}
    inferred = {**inferred, "properties": {**inferred.get("properties", {}), "kind": ABSENT}}
    return {"anyOf": [said, inferred]}


_FILE: Schema = {"required": ["file"]}
_KEYRING: Schema = {"anyOf": [{"required": ["keyring_service"]}, {"required": ["keyring_account"]}]}
_RESERVED = {
    "not": {
        "description": "a header that missive sets itself",
        "pattern": "^(" + "|".join((_any_case("a2a-version"), _any_case("a2a-extensions"))) + ")$",
    }
}
_ONE_SECRET: Schema = {
    "allOf": [
        {"if": {"required": ["secret"], "properties": {"kind": ABSENT}}, "then": _needs("secret")},
        {"if": _source("file", {**_FILE, "properties": {"secret": ABSENT}}), "then": _needs("file")},
        {
            "if": _source("keyring", {**_KEYRING, "properties": dict.fromkeys(("file", "secret"), ABSENT)}),
            "then": _needs("keyring_service", "keyring_account"),
        },
        {"if": _source("env", {"properties": dict.fromkeys(_SECRET[1:], ABSENT)}), "then": _needs("env")},
    ],
    "properties": {"header": _RESERVED},
}

_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|0[0-9]{4}|[1-5][0-9]{4}|[0-9]{1,4})"
_SOCKET = rf"^({_OCTET}(\.{_OCTET}){{3}}|\[[0-9A-Fa-f:.]+\]):{_PORT}$"

CONFIG_RULES: dict[str, Schema] = {
    "Sessions": {
        "if": {"required": ["reset"], "properties": {"reset": {"enum": ["idle", "both"]}}},
        "then": {"required": ["idle_timeout"]},
        "else": {"properties": {"idle_timeout": ABSENT}},
    },
    "AuthHeader": _ONE_SECRET,
    "AuthRef": {
        "if": {"required": ["headers"], "properties": {"headers": {"minItems": 1}}},
        "then": {"properties": dict.fromkeys(("kind", *_SECRET), ABSENT)},
        "else": _ONE_SECRET,
    },
    "Agent": {
        "if": {"required": ["interfaces"], "properties": {"interfaces": {"minProperties": 1}}},
        "then": {
            "properties": {"interface_urls": {"not": {"minProperties": 1, "description": "set beside interfaces"}}}
        },
    },
    "Storage": {
        "properties": {"database_path": {"not": {"description": "a path with ..", "pattern": r"(^|/)\.\.(/|$)"}}}
    },
    "OutputBlock": {"properties": {"redact_secrets": {"const": True}}},
    "Protocol": {
        "properties": {"extensions": {"uniqueItems": True}, "service_parameters": {"propertyNames": _RESERVED}}
    },
    "Gateway": {
        "properties": {
            "bind_address": {
                "title": "Socket",
                "description": "an IP address and a port, such as 127.0.0.1:7347 or [::1]:7347",
                "pattern": _SOCKET,
            }
        }
    },
    "Plugins": {
        "if": {"required": ["enabled"]},
        "then": {"properties": {"disabled": {"not": {"description": "set beside enabled", "minItems": 1}}}},
    },
}
"""Rules that a struct of the configuration checks when it is made: struct -> what is added to its schema."""
