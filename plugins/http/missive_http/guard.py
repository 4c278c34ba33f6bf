"""Who may come in, and how often."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING

from missive_http.documents import refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missive_host.protocols import Principal

MAX_TOKEN = 512


class Guard:
    """Asks for a bearer token, or without tokens lets in what comes from programs on this machine.

    Without tokens a web page that the user has open must not be let in: it could send requests to this machine.
    Browsers say that it is one (`Origin`, `Sec-Fetch-Site`), and if the page has the name of this machine changed to
    its own (DNS rebinding), that name is in `Host`.
    """

    def __init__(self, authenticate: Callable[[str], Principal | None] | None) -> None:
        self._authenticate = authenticate

    @property
    def asks(self) -> bool:
        """True if a token is needed."""
        return self._authenticate is not None

    def admit(self, headers: Mapping[str, str]) -> Principal | None:
        """Return whose request it is; None if nobody is asked. Raises `ProblemError`."""
        if self._authenticate is None:
            _refuse_web_pages(headers)
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not token:
            raise refused(
                401,
                "a bearer token is needed",
                help="send `Authorization: Bearer TOKEN`; a token is made by `missive token create NAME`",
                WWW_Authenticate='Bearer realm="missive"',
            )
        principal = None
        token = token.strip()
        if scheme.lower() == "bearer" and len(token) <= MAX_TOKEN:
            principal = self._authenticate(token)
        if principal is None:
            raise refused(
                401,
                "the token is not known, has been revoked or has expired",
                help="`missive token list` shows which there are",
                WWW_Authenticate='Bearer realm="missive", error="invalid_token"',
            )
        return principal


def _refuse_web_pages(headers: Mapping[str, str]) -> None:
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise refused(
            403, "web pages are not let in without a token", help='set auth = "token" in the settings of the adapter'
        )
    host = headers.get("host", "localhost")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if not _is_this_machine(name.strip("[]")):
        raise refused(
            403,
            "without tokens, requests have to be for this machine by its own name",
            help='use the URL with 127.0.0.1 or localhost, or set auth = "token" in the settings of the adapter',
        )


def _is_this_machine(name: str) -> bool:
    if name in ("127.0.0.1", "localhost") or name.lower() == "localhost":  # the usual ones, without parsing
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Buckets:
    """A token bucket for each name: `burst` at once, and `per_minute` in the long run. None: no limit."""

    def __init__(
        self, per_minute: int | None, burst: int | None = None, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._rate = None if per_minute is None else per_minute / 60
        self._burst = float(burst or per_minute or 0)
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Take one. Raises `ProblemError`."""
        if self._rate is None:
            return
        now = self._clock()
        level, at = self._levels.get(name, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        if level < 1:
            self._levels[name] = (level, now)
            after = int((1 - level) / self._rate) + 1
            raise refused(429, "too many requests for this token", help=f"go on in {after} s", Retry_After=str(after))
        self._levels[name] = (level - 1, now)
