"""``/healthz``, ``/readyz``, ``/status`` and ``/metrics``: the daemon's truth about itself, over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from missive_host.errors import ValidationError
from missive_host.outputs_gateway import Status

if TYPE_CHECKING:
    from missive_host.gateway.metrics import Metrics

log = logging.getLogger("missive.gateway")


@dataclass(frozen=True, slots=True)
class HealthPaths:
    """Where the answers are. Raises `ValidationError` for what cannot be a path, or is there twice."""

    health: str = "/healthz"
    ready: str = "/readyz"
    status: str = "/status"
    metrics: str = "/metrics"

    def __post_init__(self) -> None:
        paths: tuple[str, ...] = astuple(self)
        for path in paths:
            if not path.startswith("/") or path == "/" or any(char in path for char in "?#{} "):
                raise ValidationError(f"'{path}' is not a path to answer at", help="use one such as /healthz")
            if paths.count(path) > 1:
                raise ValidationError(f"the path '{path}' is given twice", help="give each answer a path of its own")


def health_app(
    truth: Callable[[], Status],
    *,
    metrics: Metrics | None = None,
    paths: HealthPaths | None = None,
    allowed: Callable[[str], bool] | None = None,
    whole: Callable[[], bool] = lambda: True,
) -> Starlette:
    """Return the application.

    `truth` tells how things stand and should be quick. With `allowed`, ``/status`` and ``/metrics`` want a bearer
    token that it accepts: for a listener that others than this machine can reach. The probes need none.
    While the gateway is not `whole`, since adapters are still to come, what is not found is 503: try it again.
    """
    at = paths or HealthPaths()

    async def health(_: Request) -> Response:
        return _json({"status": "ok"})  # whoever gets this knows that the event loop turns

    async def ready(_: Request) -> Response:
        try:
            now = truth()
        except Exception:  # not ready, whatever the reason
            log.exception("the state of the gateway cannot be told")
            return _json({"status": "not_ready", "reasons": ["the state of the gateway cannot be told"]}, 503)
        if now.ready:
            return _json({"status": "ready", "reasons": []})
        return _json({"status": "not_ready", "reasons": now.reasons}, 503)

    async def status(request: Request) -> Response:
        _authorize(request, allowed)
        return _json(truth())

    async def scrape(request: Request) -> Response:
        _authorize(request, allowed)
        assert metrics is not None
        body, media_type = metrics.render(truth(), request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})

    routes = [Route(at.health, health), Route(at.ready, ready), Route(at.status, status)]
    if metrics is not None:
        routes.append(Route(at.metrics, scrape))

    def problem(request: Request, error: Exception) -> Response:
        if getattr(error, "status_code", 0) == 404 and not whole():
            error = HTTPException(503, "this is not served at the moment", {"retry-after": "1"})
        return _problem(request, error)

    return Starlette(routes=routes, exception_handlers={HTTPException: problem, Exception: _internal})


def _authorize(request: Request, allowed: Callable[[str], bool] | None) -> None:
    if allowed is None:
        return
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not allowed(token.strip()):
        raise HTTPException(401, "a bearer token is needed", {"www-authenticate": "Bearer"})


def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(
        {"title": error.detail, "status": error.status_code},
        error.status_code,
        {**(error.headers or {}), "content-type": "application/problem+json"},
    )


def _internal(_: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette logs it by raising it again
    return _json({"title": "Internal Server Error", "status": 500}, 500, {"content-type": "application/problem+json"})


def _json(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(body) + b"\n",
        status,
        {"content-type": "application/json", "cache-control": "no-store", **(headers or {})},
    )
