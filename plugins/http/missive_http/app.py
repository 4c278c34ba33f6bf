"""The ASGI application: which path does what, and how errors are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from missive_host.envelopes import HTTP
from missive_host.errors import MissiveError, OrchestrationError
from missive_http import documents
from missive_http.documents import ROOT, ProblemError, encode, refused
from missive_http.guard import Buckets
from missive_http.messages import Messages
from missive_http.negotiation import JSON, PROBLEM
from missive_http.receipts import Receipts

if TYPE_CHECKING:
    from missive_host.protocols import AdapterContext, Intake
    from missive_http.delivery import Waiting
    from missive_http.guard import Guard
    from missive_http.uploads import Uploads
    from missive_http.webhooks import Route as Webhook

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(
    context: AdapterContext,
    guard: Guard,
    webhooks: Mapping[str, Webhook],
    uploads: Uploads,
    waiting: Waiting,
    intake: Intake,
) -> Any:
    """Return the application of one run of the adapter."""
    buckets = Buckets(context.options["rate_limit"], context.options["burst"])
    messages = Messages(context, guard, buckets, uploads, waiting, intake)
    receipts = Receipts(context, guard, waiting, intake)

    def told(endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except ProblemError as error:
                _log_refusal(context, request, error)
                return problem_response(error)
            except ClientDisconnect:
                return Response(status_code=499)  # nobody reads it
            except MissiveError as error:
                return problem_response(ProblemError(documents.STATUS_OF.get(error.exit_code, 500), error))
            except Exception as error:
                context.log.exception("unexpected %s in an answer", type(error).__name__)
                unexpected = OrchestrationError("something unexpected happened here", help="see the gateway's log")
                return problem_response(ProblemError(500, unexpected))

        return answer

    async def healthz(request: Request) -> Response:  # noqa: ARG001 - as all endpoints
        return Response(encode({"ok": True, "status": "ok", "component": "http_adapter"}), media_type=JSON)

    async def webhook(request: Request) -> Response:
        route = webhooks.get(request.path_params["route"])
        if route is None:
            raise refused(404, "there is no such webhook", help="see `routes` in the settings of the adapter")
        return await messages.webhook(request, route)

    async def document(request: Request) -> Response:  # noqa: ARG001 - as all endpoints
        return Response(await anyio.to_thread.run_sync(_openapi, guard.asks), media_type=JSON)

    app = Starlette(
        routes=[
            Route(f"{ROOT}/v1/messages", told(messages.post), methods=["POST"]),
            Route(documents.RECEIPTS + "/{receipt_id}", told(receipts.get), methods=["GET"]),
            Route(f"{ROOT}/v1/hooks/{{route}}", told(webhook), methods=["POST"]),
            Route(f"{ROOT}/v1/openapi.json", told(document), methods=["GET"]),
            Route(f"{ROOT}/healthz", told(healthz), methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_exception},  # of the router: 404 and 405
    )
    app.router.redirect_slashes = False
    return app


def _log_refusal(context: AdapterContext, request: Request, error: ProblemError) -> None:
    """Say that somebody was not let in, or what was not understood: no receipt and no event tells of it."""
    context.counters.add("refused_requests")
    client = request.client.host if request.client else "a Unix socket"
    path = request.url.path.encode("unicode_escape").decode()
    said = error.error.message
    context.log.warning("%s %s of %s is refused (%d): %s", request.method, path, client, error.status, said)


def _openapi(tokens: bool) -> bytes:
    from missive_http.openapi import openapi

    return encode(openapi(HTTP.rpartition(".")[2], tokens=tokens))


def problem_response(error: ProblemError) -> Response:
    return Response(encode(error.document()), error.status, error.headers, PROBLEM)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = headers.get("Allow", "")
        found = refused(405, f"{request.method[:16]} is not possible here", help=f"use {allowed}")
    else:
        found = refused(
            error.status_code, f"there is nothing at {request.url.path[:128]}", help=f"see {ROOT}/v1/openapi.json"
        )
    found.headers |= headers
    return problem_response(found)
