"""The receiver of push notifications (A2A spec 4.3.3): an ASGI application for ``POST /a2a/push``.

A notification belongs to a push config: that of its path, ``/a2a/push/CONFIG``, or else one of its task. The config
says which agent it is from and what it has to be proved by; nothing in the body can make it another agent's. It is
written down as an event of a stream is, and whoever waits for the task is woken.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.a2a.notifications import decode_notification
from missive_host.a2a.shapes import EVENT_TYPES, payload
from missive_host.core.recorder import Exchange, Road, journal_event
from missive_host.errors import MissiveError
from missive_host.gateway.signatures import Signatures
from missive_host.ids import after, now
from missive_host.telemetry import about

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    from missive_host.a2a.shapes import Json
    from missive_host.core.core import Core
    from missive_host.gateway.following import TaskFollowers
    from missive_host.security.secrets import Secret
    from missive_host.store import Tables
    from missive_host.store.rows import PushConfigRow

log = logging.getLogger("missive.gateway.push")

PUSH = Road("push", "gateway:push", "push")
PATH = "/a2a/push"
TOKEN_HEADER = "X-A2A-Notification-Token"  # noqa: S105 - its name
MAX_BODY = 1024 * 1024
REJECTIONS_A_MINUTE = 30
"""How many of those that are refused the journal takes; a stranger must not fill the disk."""
KEEP_RECEIPTS = 24 * 3600.0
"""Seconds for which a notification is known again. A signed one is too old long before that."""


class RejectedError(Exception):
    """A notification that is not taken."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A header that every notification must have, whatever its config says."""

    header: str
    scheme: str
    """Empty: the header is the secret alone."""
    secret: Secret

    def proves(self, request: Request) -> bool:
        given = request.headers.get(self.header, "")
        wanted = f"{self.scheme} {self.secret.reveal()}" if self.scheme else self.secret.reveal()
        return hmac.compare_digest(_digest(given), _digest(wanted))


@dataclass(frozen=True, slots=True)
class _Proof:
    """That a notification is genuine."""

    receipt: str
    """A digest by which it is known again."""
    single_use: bool = False
    """Something that was signed for this one notification."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A notification that was taken."""

    agent: str
    event: Json
    config_id: str | None
    sequence: int | None
    """In the journal; None if it said nothing new, or has come before."""
    duplicate: bool = False


class PushReceiver:
    """Takes notifications for the tasks of a store. `followers` are told; `on_taken` and `on_rejected`, too."""

    def __init__(
        self,
        core: Core,
        *,
        followers: TaskFollowers | None = None,
        path: str = PATH,
        max_body: int = MAX_BODY,
        shared: SharedSecret | None = None,
        on_taken: Callable[[Taken], Awaitable[None]] | None = None,
        on_rejected: Callable[[RejectedError], Awaitable[None]] | None = None,
    ) -> None:
        self._core = core
        self._followers = followers
        self.path = path.rstrip("/")
        self._max_body = max_body
        self._shared = shared
        self._on_taken = on_taken
        self._on_rejected = on_rejected
        self._signatures = Signatures(core)
        self.accepted = 0
        self.rejected = 0
        self._minute = 0
        self._journaled = 0

    def app(self) -> Starlette:
        """Return the application. It sees whole paths."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        return Starlette(
            routes=[
                Route(self.path or "/", self._answer, methods=["POST"]),
                Route(self.path + "/{config_id}", self._answer, methods=["POST"]),
            ]
        )

    async def _answer(self, request: Request) -> Response:
        from starlette.requests import ClientDisconnect
        from starlette.responses import JSONResponse, Response

        try:
            taken = await self._receive(request)
        except ClientDisconnect:  # anybody may do so: it is no fault of ours
            return Response(status_code=499)  # nobody reads it
        except RejectedError as error:
            self.rejected += 1
            log.info("a notification was refused: %d %s", error.status, error.code)
            await self._reject(request, error)
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            if error.status == 503:
                headers["Retry-After"] = "5"
            return JSONResponse({"ok": False, "error": error.code, "message": str(error)}, error.status, headers)
        self.accepted += 1
        if self._on_taken is not None:
            await self._on_taken(taken)
        return _accepted(taken)

    async def _receive(self, request: Request) -> Taken:
        if self._shared is not None and not self._shared.proves(request):
            raise _unauthorised()
        config_id = request.path_params.get("config_id")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in ("application/json", "application/a2a+json"):
            raise RejectedError(415, "unsupported_media_type", "expected application/json or application/a2a+json")
        body = await self._body(request)
        event = self._parse(body)
        name, value = payload(event)
        task_id = value.get("id") if name == "task" else value.get("taskId")
        agent, config, proof = await self._identify(request, config_id, task_id, body)
        if config is not None:
            if task_id is not None and task_id != config.task_id:
                raise RejectedError(400, "invalid_a2a_identifiers", "the push config is for another task")
            task_id = config.task_id
        if task_id is None:
            raise RejectedError(400, "invalid_a2a_identifiers", "the notification names no task")
        with about(agent=agent, task_id=task_id):
            return await self._take(agent, task_id, event, config, proof, request.headers.get("a2a-version"))

    async def _body(self, request: Request) -> bytes:
        too_large = RejectedError(413, "body_too_large", f"the body is larger than {self._max_body} bytes")
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._max_body:
            raise too_large
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body:
                raise too_large
        return bytes(body)

    def _parse(self, body: bytes) -> Json:
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RejectedError(400, "invalid_json", "the body is not valid JSON") from None
        try:
            return decode_notification(value)
        except (ValueError, TypeError) as error:
            text = f"the body is no StreamResponse of A2A: {str(error)[:200]}"
            raise RejectedError(400, "invalid_a2a_stream_response", text) from None

    # --- who it is from

    async def _identify(
        self, request: Request, config_id: str | None, task_id: str | None, body: bytes
    ) -> tuple[str, PushConfigRow | None, _Proof]:
        """Return agent, config and proof. Raises `RejectedError`.

        What is unknown and what is not proved get the same answer.
        """
        configs: tuple[PushConfigRow, ...] = ()
        if config_id is not None or task_id is not None:
            configs = self._core.store.read(
                lambda tables: tables.push.list(config_id=config_id, task=None if config_id else task_id)
            )
        for config in configs:
            proof = await self._proof(request, config, body)
            if proof is not None:
                return config.agent_alias, config, proof
        if self._shared is not None and config_id is None and task_id is not None:
            if len({config.agent_alias for config in configs}) == 1:
                return configs[0].agent_alias, configs[0], _Proof(_receipt(configs[0].config_id, body))
            owners = self._core.store.read(lambda tables: tables.tasks.owners(task_id)) if not configs else ()
            if len(owners) == 1:
                return owners[0], None, _Proof(_receipt(task_id, body))
        raise _unauthorised()

    async def _proof(self, request: Request, config: PushConfigRow, body: bytes) -> _Proof | None:
        """Return the proof if the request has one that it is from the config's agent."""
        token = request.headers.get(TOKEN_HEADER)
        if token is not None and config.token_sha256 is not None:
            if hmac.compare_digest(_digest(token), config.token_sha256):
                return _Proof(_receipt(config.token_sha256, body))
            return None
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if not credentials:
            return None
        if config.auth_sha256 is not None:
            same = (config.auth_scheme or "").lower() == scheme.lower()
            if hmac.compare_digest(_digest(credentials), config.auth_sha256) and same:
                return _Proof(_receipt(config.auth_sha256, body))
        if scheme.lower() != "bearer" or (url := self._signatures.url_of(config.agent_alias)) is None:
            return None
        receipt = await self._signatures.receipt(config.agent_alias, url, credentials, body, config.task_id)
        return None if receipt is None else _Proof(receipt, single_use=True)

    # --- what it says

    async def _take(
        self,
        agent: str,
        task_id: str,
        event: Json,
        config: PushConfigRow | None,
        proof: _Proof,
        version: str | None,
    ) -> Taken:
        config_id = config.config_id if config is not None else None
        name, value = payload(event)
        log.debug("a notification about task %s: %s", task_id, EVENT_TYPES[name])
        followers = self._followers
        streamed = (agent, task_id) in self._core.connections.streams
        streamed = streamed or (followers is not None and followers.is_subscribed(agent, task_id))

        def write(tables: Tables) -> tuple[bool, int | None]:
            known = tables.tasks.find(agent, task_id)
            remote = known.remote_context_id if known is not None else None
            if remote is not None and value.get("contextId") not in (None, "", remote):
                raise RejectedError(400, "invalid_a2a_identifiers", "the task is in another context")
            if not tables.push.receive(proof.receipt, at=now()):
                if proof.single_use:
                    raise RejectedError(409, "replayed", "this token has been used before")
                return True, None
            exchange = Exchange(
                agent=agent,
                message_id="",
                context_id=known.context_id if known else None,
                remote_context_id=remote,
                task_id=task_id,
            )
            sequence = self._core.recorder.store_received(
                tables, exchange, event, PUSH, version=version, whole=not streamed
            )
            return False, sequence

        try:
            duplicate, sequence = await self._core.store.commit(write)
        except MissiveError as error:
            log.warning("a notification about task %s of agent '%s' was not taken: %s", task_id, agent, error)
            raise RejectedError(503, "persistence_failed", "it cannot be written down now; send it again") from None
        if followers is not None:
            if name == "artifactUpdate" and (duplicate or streamed):
                followers.follow(agent, task_id)  # two equal chunks look like one that came twice: the agent knows
            followers.notice(agent, task_id)
        return Taken(agent, event, config_id, sequence, duplicate)

    async def forget(self) -> None:
        """Forget the receipts that are too old to matter."""

        before = after(-KEEP_RECEIPTS)
        await self._core.store.commit(lambda tables: tables.push.forget_before(before))

    async def _reject(self, request: Request, error: RejectedError) -> None:
        if self._on_rejected is not None:
            await self._on_rejected(error)
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._journaled = minute, 0
        self._journaled += 1
        if self._journaled > REJECTIONS_A_MINUTE or error.status == 503:
            return
        detail = {"status": error.status, "reason": error.code, "message": str(error)}
        if request.client is not None:
            detail["peer"] = request.client.host
        try:
            await self._core.store.commit(
                lambda tables: tables.events.append(
                    journal_event("a2a.push.rejected", source=PUSH.source, payload=detail)
                )
            )
        except MissiveError as failed:
            log.warning("a refused notification is not in the journal: %s", failed)


def _accepted(taken: Taken) -> JSONResponse:
    from starlette.responses import JSONResponse

    name, _ = payload(taken.event)
    document: dict[str, Any] = {"ok": True, "event_type": EVENT_TYPES[name]}
    if taken.sequence is not None:
        document["sequence"] = taken.sequence
    if taken.duplicate:
        document["duplicate"] = True
    return JSONResponse(document, 200 if taken.duplicate else 202)


def _unauthorised() -> RejectedError:
    return RejectedError(401, "auth_failed", "no push config of ours is proved by this request")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _receipt(secret: str, body: bytes) -> str:
    return hashlib.sha256(secret.encode() + b"\0" + body).hexdigest()
