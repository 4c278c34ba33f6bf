"""The configuration as it may be shown.

Credentials cannot leak from here, since the config holds only where they are. What is left is a secret that
somebody wrote where it does not belong: under a key that sounds like one, or in the shape of a known token.
"""

from __future__ import annotations

import re
from json import dumps
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.security.redact import MARK, Redactor

if TYPE_CHECKING:
    from missive_host.config.model import Config

_FREE = ("metadata", "routing_metadata", "settings", "service_parameters", "headers")
"""Tables with keys of the user's own choice: here a key may sound like a secret."""
_ENDINGS = ("token", "secret", "password", "passwd", "apikey", "accesskey", "privatekey", "credential", "credentials")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_WHOLE = ("authorization", "proxyauthorization", "cookie", "setcookie")


def safe_view(config: Config) -> dict[str, Any]:
    """Return the whole config with its defaults as JSON-able data, without what is not set, and without secrets."""
    view = _without_none(msgspec.to_builtins(config))
    for agent in view["agents"].values():
        agent.pop("interfaces", None)  # an alias, merged into interface_urls already
    for ref in view["auth_refs"].values():
        if ref["headers"]:
            del ref["header"], ref["scheme"]
        else:
            del ref["headers"]
    redacted: dict[str, Any] = Redactor().json(_without_literals(view, free=False))
    return redacted


def sounds_secret(key: str) -> bool:
    """True if the value of a setting of this name is most likely a secret."""
    plain = "".join(char for char in key.lower() if char.isalnum())
    return plain in _WHOLE or plain.endswith(_ENDINGS)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(child) for key, child in value.items() if child is not None}
    if isinstance(value, list | tuple):
        return [_without_none(child) for child in value]
    return value


def _without_literals(value: Any, *, free: bool) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secret"} and isinstance(value["secret"], str) and ":" in value["secret"]:
            return value  # a reference: { secret = "env:NAME" }
        return {
            key: MARK
            if free and sounds_secret(key) and isinstance(child, str | list)
            else _without_literals(child, free=free or (key in _FREE and isinstance(child, dict)))
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [_without_literals(child, free=free) for child in value]
    return value


# --- TOML


def to_toml(view: dict[str, Any]) -> str:
    """Return JSON-able data (a table, without None) as TOML; empty tables are left out."""
    return "\n".join(_table(view, ())).strip() + "\n"


def _table(value: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    own = [f"{_key(key)} = {_inline(child)}" for key, child in value.items() if not isinstance(child, dict)]
    # An empty table says nothing; one with nothing but empty tables (a profile of defaults) says that it is there.
    tables = {key: child for key, child in value.items() if isinstance(child, dict) and child}
    lines = ["", f"[{'.'.join(_key(part) for part in path)}]"] if path and (own or not tables) else []
    lines += own
    for key, child in tables.items():
        lines += _table(child, (*path, key))
    return lines


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else _inline(text)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_inline(child)}" for key, child in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(child) for child in value) + "]"
    if isinstance(value, float):
        return repr(value)  # JSON has no inf and nan, TOML spells them as Python does
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped.
    return dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
