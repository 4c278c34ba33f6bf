"""The global flags that shape every call to an agent, as one value."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from missive_host.config.model import RESERVED_HEADERS
from missive_host.config.units import parse_duration
from missive_host.errors import ValidationError
from missive_host.security.secrets import (
    Secret,
    bearer_from_env,
    check_header_name,
    check_value,
    parse_header_flag,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from missive_host.config.model import Protocol

T = TypeVar("T")

_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EXTENSION = re.compile(r"[^\s,]{1,512}")
_CREDENTIAL = re.compile(r"auth|token|secret|key|cookie|password|credential|session|signature", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What the flags say about every call of this process. The core puts it together with the config."""

    timeout: float | None = None
    """``--timeout`` in seconds: the deadline of the whole command. None: not given."""
    protocol_version: str | None = None
    """``A2A-Version`` to send whatever is negotiated. None: not given."""
    extensions: tuple[str, ...] = ()
    """For ``A2A-Extensions``, after those of the config."""
    service_params: tuple[tuple[str, str], ...] = ()
    """Further headers that are not secret; they win over those of the config."""
    headers: tuple[tuple[str, Secret], ...] = ()
    """``--bearer-token-env`` and ``--header``; each name once. They win over an agent's auth ref."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What a `Redactor` has to know: the values of `headers`, without short ones such as ``X-Tenant: blue``."""
        return tuple(
            value for name, value in self.headers if _CREDENTIAL.search(name) or len(value.reveal()) >= _LONG_VALUE
        )


_LONG_VALUE = 16


def call_options(
    *,
    timeout: str | None = None,
    protocol_version: str | None = None,
    extensions: Iterable[str] = (),
    service_params: Iterable[str] = (),
    headers: Iterable[str] = (),
    bearer_token_env: str | None = None,
    protocol: Protocol | None = None,
    environ: Mapping[str, str] = os.environ,
) -> CallOptions:
    """Make the options of the flags' raw values. An extension that `protocol` (the config's block) has is refused.

    Raises `ValidationError` (64), for a missing bearer token `AuthError` (77).
    """
    bearer = () if bearer_token_env is None else (bearer_from_env(bearer_token_env, environ),)
    return CallOptions(
        timeout=None if timeout is None else parse_duration(timeout, "--timeout"),
        protocol_version=None if protocol_version is None else _protocol_version(protocol_version),
        extensions=_extensions(extensions, protocol.extensions if protocol else ()),
        service_params=_service_params(service_params),
        headers=_last_wins((*bearer, *(parse_header_flag(text) for text in headers))),
    )


def _protocol_version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValidationError(
            "--protocol-version: expected 1 to 64 letters, digits, '.', '_' or '-'", help="for example 1.0"
        )
    return text


def _extensions(flags: Iterable[str], configured: tuple[str, ...]) -> tuple[str, ...]:
    result: list[str] = []
    for extension in flags:
        if not _EXTENSION.fullmatch(extension):
            raise ValidationError("--a2a-extension: expected a URI of at most 512 bytes, without white space or comma")
        if extension in result or extension in configured:
            where = "in the config already" if extension in configured else "there twice"
            raise ValidationError(f"--a2a-extension: {extension} is {where}", help="name it once")
        result.append(extension)
    return tuple(result)


def _service_params(flags: Iterable[str]) -> tuple[tuple[str, str], ...]:
    values: list[tuple[str, str]] = []
    for text in flags:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValidationError(
                "--service-param: expected NAME=VALUE", help="for example --service-param X-Region=eu"
            )
        check_header_name(name, "--service-param")
        if name.lower() in RESERVED_HEADERS:
            raise ValidationError(
                f"--service-param: {name} is not set this way", help="use --protocol-version or --a2a-extension"
            )
        check_value(value, f"--service-param {name}")
        values.append((name, value))
    return _last_wins(values)


def _last_wins(pairs: Iterable[tuple[str, T]]) -> tuple[tuple[str, T], ...]:
    return tuple({name.lower(): (name, value) for name, value in pairs}.values())
