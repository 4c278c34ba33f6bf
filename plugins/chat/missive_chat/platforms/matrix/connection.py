"""The account at its homeserver: logging in, and requests whose failures say what may be done about them."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.matrix.session import FILE, Session, new_device_id
from missive_host.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiohttp import ClientResponse
    from nio import AsyncClient, ErrorResponse

    from missive_chat.platform import PlatformContext

V3 = "/_matrix/client/v3"
SECONDS = 30
"""How long a request may take, those that wait for something aside."""
DEFAULT_WAIT = 5.0
TOKEN_ERRORS = ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED", "M_USER_LOCKED")


class Connection:
    """One login. `nio` is the library's client, with the token; it never waits or tries again by itself."""

    nio: AsyncClient

    def __init__(self, context: PlatformContext) -> None:
        self.log = context.log
        self._folder = context.data_dir
        self._options = context.options
        self.homeserver = ""

    async def open(self, *, encryption: bool) -> None:
        """Log in. With `encryption` the keys of the device are loaded: nobody else may have them open."""
        from nio import AsyncClient, AsyncClientConfig

        password, token = self._options.get("password"), self._options.get("access_token")
        user = str(self._options.get("user") or "")
        if (password is None) == (token is None):
            raise ConfigError("a Matrix account needs either `access_token`, or `user` and `password`")
        if password is not None and not user:
            raise ConfigError("a Matrix account with a `password` needs `user`")
        for library in ("nio", "peewee"):  # they log what is in keys and answers
            logging.getLogger(library).setLevel(logging.ERROR)
        config = AsyncClientConfig(
            max_limit_exceeded=0, max_timeouts=0, request_timeout=SECONDS, encryption_enabled=encryption,
            store_name="keys.db",
        )  # fmt: skip
        self.nio = AsyncClient("", user, store_path=str(self._folder), config=config, ssl=True)
        self.nio.homeserver = self.homeserver = await self._find_homeserver(str(self._options["homeserver"]))
        if token is not None:
            session = await self._with_token(token.reveal())
        else:
            assert password is not None
            session = await self._with_password(user, password.reveal())
        if encryption:
            (self._folder / "keys.db").touch(mode=0o600)
        self.nio.restore_login(session.user_id, session.device_id, session.access_token)

    async def close(self) -> None:
        if (client := getattr(self, "nio", None)) is not None:
            await client.close()
            if client.store is not None:
                client.store.database.close()

    @property
    def user_id(self) -> str:
        return str(self.nio.user_id)

    @property
    def device_id(self) -> str:
        return str(self.nio.device_id or "")

    @property
    def session_file(self) -> Path:
        """Where the login is kept."""
        return self._folder / FILE

    # --- logging in

    async def _find_homeserver(self, named: str) -> str:
        """Return the address of the client API; a name of a server is looked up as clients do."""
        if "://" not in named:
            self.nio.homeserver = f"https://{named}"
            try:
                found = await self.call("GET", "/.well-known/matrix/client", doing=f"look up the homeserver of {named}")
                named = str(found["m.homeserver"]["base_url"])
            except (ChatError, KeyError, TypeError):
                named = f"https://{named}"
        url = urlsplit(named)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in ("127.0.0.1", "::1", "localhost")):
            raise ConfigError(f"`homeserver` must be an https address or the name of a server, not {named!r}")
        return named.rstrip("/")

    async def _with_token(self, token: str) -> Session:
        wanted = self._options.get("device_id")
        session = await self._who(token)
        if wanted and wanted != session.device_id:
            raise ConfigError(f"the access token is that of the device '{session.device_id}', not of '{wanted}'")
        return session

    async def _with_password(self, user: str, password: str) -> Session:
        kept = Session.load(self._folder)
        wanted = self._options.get("device_id")
        if kept is not None and kept.is_of(user, self.homeserver) and wanted in (None, kept.device_id):
            try:
                return await self._who(kept.access_token)
            except ChatLoginError as error:
                self.log.info("the login that was kept is not valid any more, logging in anew: %s", error)
        device_id = str(wanted or (kept.device_id if kept is not None else new_device_id()))
        if kept is None:
            Session(device_id).save(self._folder)  # before the login: a crash must not leave a device behind
        body = {
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password,
            "device_id": device_id, "initial_device_display_name": "missive",
        }  # fmt: skip
        try:
            answer = await self.call("POST", f"{V3}/login", body, doing="log in")
        except ChatError as error:
            if error.permanent:
                raise ChatLoginError(error.message, help="check `user` and `password`") from None
            raise
        session = Session(
            device_id=str(answer["device_id"]), user_id=str(answer["user_id"]), homeserver=self.homeserver,
            access_token=str(answer["access_token"]),
        )  # fmt: skip
        session.save(self._folder)
        return session

    async def _who(self, token: str) -> Session:
        """Return whose token it is. Raises `ChatLoginError` if it is not valid."""
        self.nio.access_token = token
        try:
            answer = await self.call("GET", f"{V3}/account/whoami", doing="log in")
        except ChatError as error:
            self.nio.access_token = ""
            if error.permanent or any(code in error.message for code in TOKEN_ERRORS):
                raise ChatLoginError(error.message, help="make a new access token") from None
            raise
        user_id, device_id = str(answer["user_id"]), str(answer.get("device_id") or "")
        return Session(device_id=device_id, user_id=user_id, homeserver=self.homeserver, access_token=token)

    # --- requests

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, doing: str, writes: bool = False,
        seconds: float = SECONDS,
    ) -> dict[str, Any]:  # fmt: skip
        """Make a request and return its answer. `writes`: a message is sent, and it matters whether it was."""
        response = await self.request(method, path, body, doing=doing, writes=writes, seconds=seconds)
        raw = await self._read(response, doing, writes)
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ChatError(f"could not {doing}: {self.homeserver} answers, but not as a Matrix server")
        return answer

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, doing: str, writes: bool = False,
        seconds: float = SECONDS,
    ) -> ClientResponse:  # fmt: skip
        """Return an answer that is a success; what it holds is yet to be read."""
        from aiohttp import ClientConnectorError, ClientError

        headers = {"Content-Type": "application/json"}
        if self.nio.access_token:
            headers["Authorization"] = f"Bearer {self.nio.access_token}"
        data = None if body is None else json.dumps(body, ensure_ascii=False)
        try:
            response: ClientResponse = await self.nio.send(method, path, data, headers, timeout=seconds)
            if response.status >= 300:
                raw = await response.read()
                raise self.refusal(doing, response.status, raw, response.headers, writes=writes)
        except ClientConnectorError as error:
            raise ChatError(f"could not {doing}: {error}") from None
        except (ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise ChatError(f"could not {doing}: {why}", maybe_sent=writes) from None
        return response

    async def _read(self, response: ClientResponse, doing: str, writes: bool) -> bytes:
        from aiohttp import ClientError

        try:
            return await response.read()
        except (ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise ChatError(f"could not {doing}: {why}", maybe_sent=writes) from None

    def refusal(
        self, doing: str, status: int, raw: bytes, headers: Mapping[str, str], *, writes: bool = False
    ) -> ChatError:
        """Return the error that an answer stands for."""
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        code = str(answer.get("errcode") or f"HTTP {status}")
        wait: float | None = None
        if status == 429 or code == "M_LIMIT_EXCEEDED":
            wait = _seconds(headers.get("Retry-After"), 1) or _seconds(answer.get("retry_after_ms"), 0.001)
            wait = DEFAULT_WAIT if wait is None else wait
        return refused(doing, code, str(answer.get("error") or ""), wait, status=status, writes=writes)

    async def put_event(self, room_id: str, kind: str, content: Mapping[str, Any], key: str) -> str:
        """Send an event as it is, under a key that the server takes only once; return its id."""
        path = f"{V3}/rooms/{quote(room_id, safe='')}/send/{quote(kind, safe='')}/{quote(key, safe='')}"
        answer = await self.call("PUT", path, content, doing="send", writes=True)
        return str(answer["event_id"])


def refused(
    doing: str, code: str, text: str, wait: float | None, *, status: int = 400, writes: bool = False
) -> ChatError:
    message = f"could not {doing}: {code}" + (f": {text}" if text else "")
    temporary = wait is not None or status >= 500 or status == 408 or code in TOKEN_ERRORS
    return ChatError(message, retry_after=wait, permanent=not temporary, maybe_sent=writes and status >= 500)


def refusal_of(doing: str, response: ErrorResponse) -> ChatError:
    """Return the error that an answer of the library's stands for."""
    status = getattr(getattr(response, "transport_response", None), "status", 400)
    wait = None
    if status == 429 or response.status_code == "M_LIMIT_EXCEEDED":
        wait = _seconds(response.retry_after_ms, 0.001)
        wait = DEFAULT_WAIT if wait is None else wait
    code = str(response.status_code or f"HTTP {status}")
    return refused(doing, code, str(response.message or ""), wait, status=500 if status < 300 else status)


def _seconds(value: object, unit: float) -> float | None:
    try:
        return max(0.0, float(value) * unit)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
