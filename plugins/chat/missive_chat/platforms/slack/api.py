"""Calls of Slack's Web API, each made once, and what went wrong with them as the errors of a platform."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from missive_chat.platform import ChatError, ChatLoginError
from missive_host.errors import ConfigError

if TYPE_CHECKING:
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)

LOGIN_ERRORS = frozenset(
    {
        "account_inactive",
        "app_uninstalled",
        "invalid_auth",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    }
)
PASSING_ERRORS = frozenset({"internal_error", "request_timeout", "service_unavailable", "team_added_to_org"})
UNCERTAIN_ERRORS = frozenset({"fatal_error"})
"""Slack says of it that some of the operation may have been done."""


class Secret(Protocol):
    """An option that is a secret."""

    def reveal(self) -> str: ...


class SlackError(ChatError):
    """A refusal, with Slack's own word for it."""

    def __init__(self, message: str, *, code: str, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.code = code


class Api:
    """One session for all calls as a bot. Nothing is tried twice: that is the bridge's matter."""

    def __init__(self, url: str, token: Secret) -> None:
        self.url = _checked(url)
        self._token = token
        self._session: aiohttp.ClientSession | None = None
        self._web: AsyncWebClient | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        web = AsyncWebClient(
            self._token.reveal(),
            base_url=self.url,
            session=self._session,
            retry_handlers=[],  # by itself it would send a message again when the connection broke
            logger=logging.Logger("slack_sdk", logging.CRITICAL + 1),  # noqa: LOG001 - it logs what is sent
        )
        web.proxy = self.proxy(self.url)  # by itself it takes one for loopback, too
        self._web = web
        return self

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._session = self._web = None

    @property
    def is_local(self) -> bool:
        return is_loopback(self.url)

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ChatError("the connection to Slack is closed")
        return self._session

    @property
    def token(self) -> str:
        return self._token.reveal()

    def proxy(self, url: str) -> str | None:
        """Return the proxy of the environment for an address."""
        parts = urlsplit(url)
        if is_loopback(url) or proxy_bypass(parts.netloc):
            return None
        return getproxies().get({"wss": "https", "ws": "http"}.get(parts.scheme, parts.scheme))

    async def call(self, method: str, **arguments: Any) -> AsyncSlackResponse:
        """Call a method of the library's client, e.g. ``chat_postMessage``. Raises `ChatError`, `ChatLoginError`."""
        if self._web is None:
            raise ChatError("the connection to Slack is closed")
        try:
            response: AsyncSlackResponse = await getattr(self._web, method)(**arguments)
        except SlackApiError as error:
            raise _refused(method, error) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise broken(error, f"Slack's {_name(method)}") from None
        return response


def broken(error: Exception, what: str) -> ChatError:
    """Return what a failing connection means."""
    never_there = isinstance(error, aiohttp.ClientConnectorError)
    said = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    if isinstance(error, aiohttp.InvalidURL | aiohttp.ClientResponseError):
        said = type(
            error
        ).__name__  # its text has the address, and whoever has that of a socket or an upload may use it
    return ChatError(f"{what} could not be called: {said}", maybe_sent=not never_there)


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _name(method: str) -> str:
    return method.replace("_", ".")


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"api_url is not an address: {url}", help="it is like https://slack.com/api/")
    if parts.scheme == "http" and not is_loopback(url):
        raise ConfigError("api_url must begin with https://", help="without TLS everybody could read the tokens")
    return url if url.endswith("/") else url + "/"


def _refused(method: str, error: SlackApiError) -> ChatError | ChatLoginError:
    status: int = getattr(error.response, "status_code", 0) or getattr(error.response, "status", 0)
    data = getattr(error.response, "data", None)
    answer: Mapping[str, Any] = data if isinstance(data, dict) else {}
    code = str(answer.get("error", ""))
    what = f"Slack's {_name(method)}"
    if status == 429 or code in ("ratelimited", "rate_limited"):
        return SlackError(
            f"{what} is called too often", code="ratelimited", retry_after=_retry_after(error.response.headers)
        )
    if code in LOGIN_ERRORS:
        return ChatLoginError(f"Slack refused the token for {_name(method)}: {code}", help=LOGIN_HELP.get(code))
    if not code or status >= 500:
        return SlackError(f"{what} failed with HTTP status {status}", code=code or "http", maybe_sent=True)
    if code == "missing_scope":
        return SlackError(
            f"{what} was refused: missing_scope",
            code=code,
            permanent=True,
            help=f"add the scope {answer.get('needed', '')} to the app, and install it again",
        )
    uncertain = code in UNCERTAIN_ERRORS
    said = "; ".join(answer.get("response_metadata", {}).get("messages", ()))
    return SlackError(
        f"{what} was refused: {code}" + (f" ({said})" if said else ""),
        code=code,
        permanent=code not in PASSING_ERRORS and not uncertain,
        maybe_sent=uncertain,
        help=HELP.get(code),
    )


def _retry_after(headers: Mapping[str, str]) -> float:
    found = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
    try:
        return max(float(found), 0.0)
    except ValueError:
        return 1.0


LOGIN_HELP = {
    "invalid_auth": "copy the token again: the bot token is on OAuth & Permissions, the app token on Basic Information",
    "not_authed": "the token is empty: look where its secret comes from",
    "not_allowed_token_type": "a bot token begins with xoxb-, an app token with xapp- and has connections:write",
    "account_inactive": "the app was removed from the workspace: install it again, and copy the new token",
    "token_revoked": "install the app again, and copy the new token",
    "token_expired": "turn token rotation off, install the app again, and copy the new token",
}
HELP = {
    "channel_not_found": "look at the id of the channel; of a private one the app must be a member: /invite it there",
    "not_in_channel": "invite the app into the channel: /invite @…",
    "is_archived": "the channel is archived",
}
