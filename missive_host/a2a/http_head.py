"""What goes on the wire before a request's body: the address and the head, checked (RFC 9110, RFC 9112, RFC 3986).

Everything a caller hands in is refused rather than repaired when it could change the meaning of the
request: line breaks in a header, a password in an address, a second ``Content-Length``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from missive_host import __version__
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_PORTS = {"http": 80, "https": 443}

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{0,5}))?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")

# What delimits a message or belongs to one connection is ours alone to say.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Url(msgspec.Struct, frozen=True):
    """An ``http`` or ``https`` address, taken apart. ``target`` is path and query, verbatim."""

    scheme: str
    host: str
    """Lower case; an IPv6 literal without its brackets."""
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` header wants them: without the scheme's default port."""
        host = bracketed(self.host)
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """``scheme://host:port``: all of an address that an error message may name."""
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """Return `host` as it stands in an address: an IPv6 literal in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_url(text: str) -> Url:
    """Take an address apart. The fragment is dropped, percent-encoding is left as it is.

    Raises `ValidationError`; its message never repeats the address, which may hold a key.
    """
    if not _PRINTABLE.fullmatch(text):
        raise ValidationError(
            "the URL is empty or has a space, a control character or a non-ASCII character in it",
            help="percent-encode such characters, and write international host names in their xn-- form",
        )
    match = _URL.fullmatch(text)
    if match is None:
        raise ValidationError("the URL is not an absolute http:// or https:// address", help="write it in full")
    scheme, authority, path, query = match.groups()
    if "@" in authority:
        raise ValidationError(
            "the URL has a user name or a password in it",
            help="take them out and give the credential as an auth ref or a header",
        )
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise ValidationError("the URL's host or port is not valid", help="write http://host:port/path")
    literal, name, digits = found.groups()
    if literal is not None and not _is_ipv6(literal):
        raise ValidationError("the URL's host is not a valid IPv6 address", help="write http://[::1]:port/path")
    scheme = scheme.lower()
    port = int(digits) if digits else DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise ValidationError("the URL's port is not between 1 and 65535", help="write http://host:port/path")
    return Url(scheme, (literal or name).lower(), port, (path or "/") + (query or ""))


def _is_ipv6(text: str) -> bool:
    from ipaddress import IPv6Address

    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def request_head(
    method: str,
    url: Url,
    headers: Sequence[tuple[str, str]],
    body: bytes | None,
    *,
    absolute: bool = False,
    proxy_authorization: str | None = None,
) -> bytes:
    """Return the head of a request, up to and with the empty line.

    `absolute` writes the whole address in the request line, as a proxy wants it for plain http.
    Raises `ValidationError` for anything in method or headers that could end a line or delimit a message.
    """
    if not _TOKEN.fullmatch(method):
        raise ValidationError("the HTTP method is not a plain word", help="use GET, POST, PUT or DELETE")
    lines = []
    seen = set()
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise ValidationError(
                "a header's name is empty or has a character that HTTP does not allow in names",
                help="use letters, digits and hyphens",
            )
        if not _VALUE.fullmatch(value):
            raise ValidationError(
                f"the value of the header '{name}' has a line break, a control character or a non-ASCII character",
                help="header values are one line of printable ASCII; check for a trailing line break in the secret",
            )
        low = name.lower()
        if low in _OURS or (low == "host" and "host" in seen):
            raise ValidationError(f"the header '{name}' cannot be set by hand", help="leave it out")
        seen.add(low)
        lines.append(f"{name}: {value}\r\n")
    target = f"http://{url.authority}{url.target}" if absolute else url.target
    start = [f"{method} {target} HTTP/1.1\r\n"]
    if "host" not in seen:
        start.append(f"Host: {url.authority}\r\n")
    if proxy_authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy_authorization}\r\n")
    if "user-agent" not in seen:
        lines.append(f"User-Agent: missive/{__version__}\r\n")
    if "accept" not in seen:
        lines.append("Accept: */*\r\n")
    if "accept-encoding" not in seen:
        # Nothing here unpacks: a compressed answer of a few bytes must not become gigabytes.
        lines.append("Accept-Encoding: identity\r\n")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}\r\n")
    elif method in {"POST", "PUT", "PATCH"}:
        lines.append("Content-Length: 0\r\n")
    lines.append("\r\n")
    return "".join(start + lines).encode("ascii")
