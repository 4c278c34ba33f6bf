"""Secrets: a type that never prints itself, and the flags that give one.

The value of a secret is never part of an error; the name of its source always is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from missive_host.errors import AuthError, ValidationError

MASK = "***"
MAX_VALUE_BYTES = 8192

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFUSED_HEADERS = ("a2a-version", "a2a-extensions", "content-length", "transfer-encoding", "connection")


class Secret:
    """A text that must not be seen. ``reveal`` gives it; everything else gives ``***`` or refuses.

    It cannot be pickled or written as JSON (`TypeError`), and it compares in constant time.
    """

    __slots__ = ("__value",)
    __value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_Secret__value", value)

    def reveal(self) -> str:
        """Return the text itself."""
        return self.__value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest

        return compare_digest(_bytes(self.__value), _bytes(other.__value))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# --- values


def from_env(variable: str, environ: Mapping[str, str], what: str) -> Secret:
    """Return the secret in an environment variable. Raises `AuthError`."""
    value = environ.get(variable)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise AuthError(
            f"{what}: the environment variable {variable} {state}",
            help=f"set {variable} to the credential, and export it",
        )
    return checked(Secret(value), f"{what}: the environment variable {variable}")


def checked(secret: Secret, where: str) -> Secret:
    """Refuse what no header can carry, before an HTTP library does it with the value in its message."""
    value = secret.reveal()
    if len(value) > MAX_VALUE_BYTES:
        raise AuthError(f"{where} is longer than {MAX_VALUE_BYTES} bytes", help="it must hold the credential alone")
    if not _HEADER_VALUE.fullmatch(value):
        raise AuthError(
            f"{where} has a line break or another character that a header cannot carry",
            help="it must be one line of printable ASCII",
        )
    return secret


# --- flags


def parse_header_flag(text: str) -> tuple[str, Secret]:
    """Read ``--header Name:Value``. Raises `ValidationError`, which never shows the value."""
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon:
        raise ValidationError("--header: expected Name:Value", help="for example --header 'X-Tenant: blue'")
    if not _HEADER_NAME.fullmatch(name):
        raise ValidationError(
            "--header: the part before ':' is not a header name", help="letters, digits and '-', without white space"
        )
    if name.lower() in _REFUSED_HEADERS:
        raise ValidationError(
            f"--header: {name} is set by missive itself", help="see --protocol-version and --a2a-extension"
        )
    check_value(value, f"--header {name}")
    return name, Secret(value)


def bearer_from_env(variable: str, environ: Mapping[str, str] = os.environ) -> tuple[str, Secret]:
    """Return the ``Authorization`` header of ``--bearer-token-env``.

    Raises `AuthError` when the variable is not set or empty, `ValidationError` when it is no variable's name.
    """
    if not _ENV_NAME.fullmatch(variable):
        # Not repeated: somebody may have given the token itself.
        raise ValidationError(
            "--bearer-token-env: expected the name of an environment variable", help="give its name, not the token"
        )
    token = from_env(variable, environ, "--bearer-token-env")
    return "Authorization", checked(Secret(f"Bearer {token.reveal()}"), f"--bearer-token-env {variable}")


def check_value(value: str, what: str) -> None:
    """Raise a `ValidationError` if a header cannot carry `value`."""
    if len(value) > MAX_VALUE_BYTES:
        raise ValidationError(f"{what}: the value is longer than {MAX_VALUE_BYTES} bytes")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValidationError(
            f"{what}: the value has a line break or another character that a header cannot carry",
            help="use one line of printable ASCII",
        )


def check_header_name(name: str, what: str) -> None:
    """Raise a `ValidationError` if `name` cannot be a header's name."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValidationError(f"{what}: expected a header name", help="letters, digits and '-', without white space")


def secrets_in(value: Any) -> Iterator[Secret]:
    """Yield the secrets in options or other nested values."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secrets_in(item)
