"""Discovery of Agent Cards (A2A spec section 8) and how long they stay fresh (RFC 9111)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from missive_host.a2a.faults import broken_answer, http_error
from missive_host.a2a.shapes import Json
from missive_host.errors import IoError, ProtocolError, TransportError, ValidationError

if TYPE_CHECKING:
    from missive_host.a2a.http import HttpClient

WELL_KNOWN = "/.well-known/agent-card.json"
WELL_KNOWN_OLD = "/.well-known/agent.json"
"""Where agents before protocol 0.3 put it."""
MAX_CARD = 1024 * 1024
DEFAULT_MAX_AGE = 3600.0
"""Seconds a card without ``max-age`` is used before it is asked for again."""


class FetchedCard(msgspec.Struct, frozen=True):
    """What a fetch brought. ``card`` is None if the agent says that ours is still right (304)."""

    url: str
    card: Json | None
    fetched_at: str
    expires_at: str
    etag: str | None = None
    last_modified: str | None = None
    date: str | None = None
    """What time the agent says it is."""


def check_url(url: str) -> str:
    """Return the URL of an agent as it is stored, or raise a `ValidationError`.

    It is the base URL of an agent, the full URL of a card (it ends with ``.json``), or a card in a local file
    (a path or a ``file:`` URL, stored as the latter).
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return url
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise ValidationError(f"{url!r} has no host", help="give an absolute URL such as http://localhost:9999")
        if parts.username or parts.password:
            raise ValidationError(
                "the URL holds a credential", help="leave it out; put it into an auth ref, or use --bearer-token-env"
            )
        return url
    path = Path(url).expanduser()
    if path.is_file():
        return path.resolve().as_uri()
    raise ValidationError(
        f"{url!r} is neither an http(s) URL nor a file that exists",
        help="give the agent's base URL, e.g. http://localhost:9999, the URL of its card, a card file, "
        "or a URL such as unix:///run/agent.sock for which there is a transport: `missive plugin check` shows them",
    )


def card_urls(url: str) -> tuple[str, ...]:
    """Return where the card of an agent may be, in the order in which to look."""
    if url.startswith("file:") or urlsplit(url).path.endswith(".json"):
        return (url,)
    base = url.split("?", 1)[0].rstrip("/")
    return (base + WELL_KNOWN, base + WELL_KNOWN_OLD)


async def fetch_card(
    http: HttpClient,
    url: str,
    *,
    headers: list[tuple[str, str]],
    etag: str | None = None,
    last_modified: str | None = None,
) -> FetchedCard:
    """Fetch the card of the agent at `url`, with the validators of the one we have."""
    if url.startswith("file:"):
        return _card_from_file(url)
    conditional = [("Accept", "application/json"), *headers]
    if etag:
        conditional.append(("If-None-Match", etag))
    if last_modified:
        conditional.append(("If-Modified-Since", last_modified))
    candidates = card_urls(url)
    for candidate in candidates:
        response = await http.request("GET", candidate, headers=conditional, max_body=MAX_CARD, follow=True)
        if response.status in (404, 405) and candidate != candidates[-1]:
            first = response
            continue
        where = f"the card at {candidate}"
        if response.status == 304 and (etag or last_modified):
            card = None
        elif response.status != 200:
            if response.status in (404, 405) and len(candidates) > 1:
                response, where = first, f"the card at {candidates[0]}"
            raise http_error(response.status, response.body, response.header, where=where)
        else:
            card = parse_card(response.body, where=where, content_type=response.header("content-type"))
        fetched = datetime.now(UTC)
        age = max_age(response.header("cache-control"))
        return FetchedCard(
            url=candidate,
            card=card,
            fetched_at=stamp(fetched),
            expires_at=stamp(fetched + timedelta(seconds=age)),
            etag=response.header("etag") or (etag if card is None else None),
            last_modified=response.header("last-modified") or (last_modified if card is None else None),
            date=response.header("date"),
        )
    raise TransportError(f"no card was found at {candidates[0]}")


def _card_from_file(url: str) -> FetchedCard:
    from urllib.request import url2pathname

    path = Path(url2pathname(urlsplit(url).path))
    try:
        if path.stat().st_size > MAX_CARD:
            raise ValidationError(f"the card {path} is larger than {MAX_CARD} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise IoError(f"while reading the card {path}: {error.strerror}") from None
    at = stamp(datetime.now(UTC))
    return FetchedCard(url=url, card=parse_card(data, where=f"the card {path}"), fetched_at=at, expires_at=at)


def stamp(time: datetime) -> str:
    """Return a time as it is stored."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def max_age(cache_control: str | None) -> float:
    """Return how many seconds a card may be used without asking (RFC 9111 section 5.2.2)."""
    text = (cache_control or "").lower()
    if "no-store" in text or "no-cache" in text:
        return 0.0
    match = re.search(r"max-age\s*=\s*\"?(\d{1,9})", text)
    return float(match[1]) if match else DEFAULT_MAX_AGE


def parse_card(data: bytes, *, where: str, content_type: str | None = None) -> Json:
    """Return a card in canonical form; cards of protocol 0.3 are brought into the shape of 1.0.

    Raises `ProtocolError` if it is no card.
    """
    try:
        card = msgspec.json.decode(data)
        if not isinstance(card, dict):
            raise TypeError(f"expected an object, got {type(card).__name__}")
        canonical = _canonical(card)
    except Exception as error:  # noqa: BLE001 - protobuf and the SDK raise ParseError, TypeError, AttributeError for odd cards
        raise broken_answer(str(error), data, content_type, where=where) from None
    if not canonical.get("name"):
        raise ProtocolError(f"{where} has no name, so it is no Agent Card", help="is the URL that of an A2A agent?")
    return canonical


def _canonical(card: Json) -> Json:
    from a2a.types.a2a_pb2 import AgentCard

    from missive_host.a2a.codec import as_json

    legacy = ("url", "security", "preferredTransport", "supportsAuthenticatedExtendedCard")
    schemes: Any = card.get("securitySchemes") or {}
    if any(name in card for name in legacy) or any("type" in scheme for scheme in schemes.values()):
        from a2a.client.card_resolver import parse_agent_card

        return as_json(parse_agent_card(card))
    from google.protobuf.json_format import ParseDict

    return as_json(ParseDict(card, AgentCard(), ignore_unknown_fields=True))
