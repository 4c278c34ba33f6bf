"""The Bot API over httpx: one method for a call, and one honest error for all that can go wrong.

The token is a part of each address. So no address may get into a log or an error: errors are raised without the one
they came from, and what httpx logs is changed before anybody sees it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from missive_chat.platform import ChatError, ChatLoginError
from missive_host.errors import ConfigError

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0
"""Seconds for a call: to write, and to wait for the answer."""
CONNECT_TIMEOUT = 10.0
UPLOAD_TIMEOUT = 300.0
MASK = "***"

_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,200}")
_NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError")
"""What httpx raises when the request cannot have arrived."""


class BadRequestError(ChatError):
    """The Bot API has said no, and says no again however often it is asked."""

    def __init__(self, method: str, description: str, parameters: Mapping[str, Any]) -> None:
        super().__init__(f"Telegram says to {method}: {description}", permanent=True)
        self.description = description
        self.migrated_to: int | None = parameters.get("migrate_to_chat_id")

    def says(self, *words: str) -> bool:
        return any(word.lower() in self.description.lower() for word in words)


class ConflictError(ChatError):
    """Somebody else gets the updates of this bot."""


class _NoToken(logging.Filter):
    """Takes the token out of what httpx logs: it logs each address."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._forms = {token, quote(token, safe="")}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if any(form in text for form in self._forms):
            for form in self._forms:
                text = text.replace(form, MASK)
            record.msg, record.args = text, None
        return True


class BotApi:
    """Calls of one bot. `open` and `close` may follow each other several times."""

    def __init__(self, token: str, api_url: str) -> None:
        self._base = _checked(api_url)
        self._token = token
        self._filter = _NoToken(token)
        self._client: httpx.AsyncClient | None = None
        self.clock_difference: float | None = None
        """Seconds by which Telegram's clock is ahead of ours, from its last answer."""

    async def open(self) -> None:
        import httpx

        if not _TOKEN.fullmatch(self._token):
            raise ChatLoginError(
                "the token is not one of Telegram's: Not Found",
                help="It looks like 123456789:AAE…; copy it from @BotFather (/mybots, the bot, API Token).",
            )
        await self.close()
        logging.getLogger("httpx").addFilter(self._filter)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=5, keepalive_expiry=20.0),
            follow_redirects=False,
            trust_env=not _is_loopback(self._base),  # a proxy of the environment is not for this machine
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        logging.getLogger("httpx").removeFilter(self._filter)
        if client is not None:
            await client.aclose()

    async def call(
        self,
        method: str,
        *,
        wait: float | None = None,
        files: Mapping[str, tuple[str, Any, str]] | None = None,
        **fields: Any,
    ) -> Any:
        """Call a method; return its result. Fields that are None are left out. Raises `ChatError`, `ChatLoginError`."""
        import httpx

        given = {name: value for name, value in fields.items() if value is not None}
        timeout = httpx.Timeout(wait or TIMEOUT, connect=CONNECT_TIMEOUT)
        url = f"{self._base}/bot{self._token}/{method}"
        try:
            if files:
                form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
                answer = await self._open_client().post(url, data=form, files=files, timeout=timeout)
            else:
                answer = await self._open_client().post(url, json=given, timeout=timeout)
        except httpx.HTTPError as error:
            raise _broken(method, error) from None
        self._note_clock(answer.headers.get("date"))
        return _result(method, answer.status_code, answer.content)

    async def download(self, file_path: str, path: Path, *, limit: int) -> int:
        """Write a file of the server's to `path`; return its size. Of one over the limit nothing is left."""
        import httpx

        url = f"{self._base}/file/bot{self._token}/{quote(file_path)}"
        try:
            async with self._open_client().stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise ChatError(
                        f"Telegram does not give the file: status {answer.status_code}",
                        permanent=answer.status_code in (400, 404),
                    )
                return await _write(answer.aiter_bytes(), path, limit)
        except httpx.HTTPError as error:
            raise _broken("get the file", error) from None

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            raise ChatError("the connection to Telegram is closed")
        return self._client

    def _note_clock(self, date: str | None) -> None:
        from time import time

        if date is not None:
            try:
                self.clock_difference = parsedate_to_datetime(date).timestamp() - time()
            except ValueError:
                return


async def _write(chunks: AsyncIterator[bytes], path: Path, limit: int) -> int:
    """Write what comes to a file; return its size. If it does not come whole, or is too much, nothing is left."""
    size, whole = 0, False
    try:
        with path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise ChatError(f"the file has more than the {limit} bytes that are taken", permanent=True)
                file.write(chunk)
        whole = True
    finally:
        if not whole:
            path.unlink(missing_ok=True)  # noqa: ASYNC240
    return size


def _checked(api_url: str) -> str:
    """Return the address without a slash at its end. Raises `ConfigError`."""
    try:
        url = urlsplit(api_url)
        port = url.port
    except ValueError:
        port = 0
    if (
        port == 0
        or url.scheme not in ("http", "https")
        or not url.hostname
        or url.query
        or url.fragment
        or url.username
    ):
        raise ConfigError("api_url: not an address of a Bot API server", help="e.g. https://api.telegram.org")
    if url.scheme == "http" and not _is_loopback(api_url):
        raise ConfigError(
            "api_url: the token would go over the network unencrypted", help="Use https, except on this machine."
        )
    return api_url.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _broken(method: str, error: Exception) -> ChatError:
    """Return the error for a call that got no answer. What httpx says has the address in it, in part: only its kind."""
    kind = type(error).__name__
    sent = kind not in _NOT_SENT
    what = "the connection broke before the answer" if sent else "Telegram cannot be reached"
    return ChatError(f"{method}: {what} ({kind})", maybe_sent=sent)


def _result(method: str, status: int, content: bytes) -> Any:
    """Return the result in an answer, or raise what it says."""
    try:
        answer = json.loads(content)
        if not isinstance(answer, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise ChatError(
            f"{method}: status {status}, and not an answer of the Bot API", maybe_sent=status < 300 or status >= 500
        ) from None
    if answer.get("ok") is True and "result" in answer:
        return answer["result"]
    code = int(answer.get("error_code") or status)
    description = str(answer.get("description") or f"status {code}")
    parameters = answer.get("parameters") or {}
    if code in (401, 404):
        raise ChatLoginError(
            f"Telegram does not take the token: {description}",
            help="Get the token from @BotFather (/mybots, the bot, API Token) and put it where `token` points.",
        )
    if code == 409:
        raise _conflict(description)
    if code == 429:
        seconds = float(parameters.get("retry_after") or 5)
        raise ChatError(f"Telegram says to {method}: {description}", retry_after=seconds)
    if code >= 500:
        raise ChatError(f"Telegram says to {method}: {description}", maybe_sent=True)
    raise BadRequestError(method, description, parameters)


def _conflict(description: str) -> ChatError | ChatLoginError:
    if "webhook" in description.lower() and "terminated" not in description.lower():
        return ChatLoginError(
            f"Telegram sends this bot's updates to a webhook: {description}",
            help="If nothing needs the webhook any more, call deleteWebhook of the Bot API; else make another bot.",
        )
    return ConflictError(
        f"another process gets this bot's updates: {description}",
        help="One bot, one gateway: stop the other one, or revoke the token at @BotFather and use the new one here.",
    )
