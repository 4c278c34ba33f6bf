"""Signed webhooks: what GitHub and others call, becomes a message to an agent.

A route of the settings says who may call and where it goes. The body, which is JSON, becomes a data part; what the
headers say of the event becomes metadata of the message.

=============  ==============================================================================================
`github`       ``X-Hub-Signature-256: sha256=HEX`` over the body; ``X-GitHub-Delivery`` names the delivery
`standard`     Standard Webhooks: ``webhook-signature: v1,BASE64`` over id, time and body; not older than 5 minutes
=============  ==============================================================================================
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from missive_host.commands import Name, Send
from missive_host.envelopes import HTTP, Envelope, FrameId, IdempotencyKey, Source, convert, parse_object
from missive_host.errors import ConfigError, ValidationError
from missive_http.documents import refused

if TYPE_CHECKING:
    from collections.abc import Iterable

TOLERANCE_SECONDS = 300
_EVENT_HEADERS = ("x-github-event", "x-github-delivery", "x-github-hook-id", "webhook-id", "webhook-timestamp")


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route as it is configured, without its secret."""

    scheme: Literal["github", "standard"]
    agent: Name | None = None
    group: Name | None = None
    message: Annotated[str, Meta(min_length=1)] | None = None


class Route:
    """One webhook. `clock` gives the time as `time.time` does."""

    def __init__(self, name: str, settings: _Settings, secret: bytes, clock: Callable[[], float] = time) -> None:
        self.name = name
        self.principal = f"webhook/{name}"
        """No token has such a name."""
        self._settings = settings
        self._secret = secret
        self._clock = clock

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the id of the delivery, if who knows the secret has sent it. Raises `ProblemError`."""
        if self._settings.scheme == "github":
            expected = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            signed = _same(expected, [headers.get("x-hub-signature-256", "")])
            delivery = headers.get("x-github-delivery") or hashlib.sha256(body).hexdigest()
        else:
            delivery, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            content = f"{delivery}.{moment}.".encode() + body
            expected = "v1," + b64encode(hmac.new(self._secret, content, hashlib.sha256).digest()).decode()
            signed = bool(delivery) and _same(expected, headers.get("webhook-signature", "").split())
            signed = signed and self._is_now(moment)
        if not signed:
            raise refused(401, "the signature is not right, or too old", help="compare the secrets of both sides")
        try:
            checked: str = convert(delivery, IdempotencyKey, "delivery")
        except ValidationError as error:
            raise refused(400, error.message) from None
        return checked

    def _is_now(self, moment: str) -> bool:
        return moment.isascii() and moment.isdigit() and abs(self._clock() - int(moment[:15])) <= TOLERANCE_SECONDS

    def envelope(self, headers: Mapping[str, str], body: bytes, delivery: str) -> Envelope | None:
        """Return the message; None for a ping, which asks only whether we are there. Raises `FrameError`."""
        if headers.get("x-github-event") == "ping" and self._settings.scheme == "github":
            return None
        metadata = {f"webhook.{name}": headers[name] for name in _EVENT_HEADERS if name in headers}
        settings = self._settings
        return Envelope(
            contract=HTTP,
            id=convert(delivery[:128], FrameId, "delivery"),
            source=Source(source_id=self.principal),
            command=Send(
                agent=settings.agent,
                group=settings.group,
                message=settings.message,
                json_parts=(parse_object(body),),
                metadata={"webhook.route": self.name, **metadata},
            ),
            metadata={},
            idempotency_key=f"{self.principal}:{delivery}",
            in_session=False,
        )


def _same(expected: str, given: Iterable[str]) -> bool:
    """Compare with each in constant time."""
    found = False
    for each in given:
        found |= hmac.compare_digest(expected.encode(), each.encode())
    return found


def routes_of(settings: Mapping[str, Any] | None, adapter: str) -> dict[str, Route]:
    """Return the routes of the settings by name. Raises `ConfigError`."""
    routes: dict[str, Route] = {}
    for name, table in (settings or {}).items():
        where = f"adapters.{adapter}.settings.routes.{name}"
        if not isinstance(table, Mapping):
            raise ConfigError(f"{where}: expected a table", help='scheme = "github"')
        secret: Any = table.get("secret")
        if not hasattr(secret, "reveal"):
            raise ConfigError(f"{where}.secret: expected a reference to a secret", help='{ secret = "env:NAME" }')
        try:
            convert(name, Name, "name")
            found = convert({key: value for key, value in table.items() if key != "secret"}, _Settings)
        except ValidationError as error:
            raise ConfigError(f"{where}: {error.message}", help="see docs/http.md") from None
        if (found.agent is None) == (found.group is None):
            raise ConfigError(f"{where}: needs `agent` or `group`, not both", help='agent = "echo"')
        routes[name] = Route(name, found, _key(secret.reveal(), found.scheme, where))
    return routes


def _key(secret: str, scheme: str, where: str) -> bytes:
    """Return the key of a secret: Standard Webhooks writes it in base64, behind ``whsec_``."""
    if scheme == "github":
        return secret.encode()
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 16:
        raise ConfigError(f"{where}.secret: is no secret of Standard Webhooks", help="whsec_ and 24 bytes in base64")
    return key
