"""Slack calls us: the requests of the Events API, of buttons and of slash commands, each signed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from slack_sdk.signature import SignatureVerifier
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from missive_chat.platforms.slack.api import Secret

    Take = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any] | None]]

MAX_BODY = 1 << 20


def application(path: str, signing_secret: Secret, take: Take, *, alive: Callable[[], None]) -> Starlette:
    """Return what answers on `path`: with 200 once an event was taken, so that Slack sends it again otherwise."""
    verifier = SignatureVerifier(signing_secret.reveal())

    async def answer(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return PlainTextResponse("the request is too large", status_code=413)
        if not _is_authentic(verifier, body, request):
            return PlainTextResponse("the signature does not match, or the clocks differ too much", status_code=401)
        alive()
        found = _payload(request, body)
        if found is None:
            return PlainTextResponse("the request is not one of Slack", status_code=400)
        kind, payload = found
        if kind == "url_verification":
            return JSONResponse({"challenge": str(payload.get("challenge", ""))})
        said = await take(kind, payload)
        return Response() if said is None else JSONResponse(said)

    return Starlette(routes=[Route(path, answer, methods=["POST"])])


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return None
    except ClientDisconnect:
        return None
    return bytes(body)


def _is_authentic(verifier: SignatureVerifier, body: bytes, request: Request) -> bool:
    try:
        return verifier.is_valid(
            body,
            request.headers.get("x-slack-request-timestamp"),
            request.headers.get("x-slack-signature"),
        )
    except (ValueError, TypeError):  # a time that is no number, bytes that are no text
        return False


def _payload(request: Request, body: bytes) -> tuple[str, Mapping[str, Any]] | None:
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            payload = json.loads(body)
            kind = payload.get("type")
            return ("url_verification" if kind == "url_verification" else "events_api"), payload
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if "payload" in form:
            payload = json.loads(form["payload"])
            return ("interactive", payload) if isinstance(payload, dict) else None
    except (ValueError, AttributeError):
        return None
    if form.get("ssl_check"):
        return "ssl_check", {}
    return ("slash_commands", form) if "command" in form else None
