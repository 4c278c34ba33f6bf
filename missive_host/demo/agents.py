"""The demo agents as servers: card, routes, middleware. What they do stands in `behaviours`.

Every agent runs the same executor and differs by its options only:

==================  ===============================================================================
option              meaning
==================  ===============================================================================
``name``            the card's name
``bindings``        which interfaces the card offers, in this order; None: all that can be had here
                    (JSON-RPC and HTTP+JSON always, gRPC when the extra ``grpc`` is installed)
``protocol``        ``1.0``, or ``0.3``: a card in the form of 0.3, and only what 0.3 understands
``bearer_token``    calls without this bearer token get 401 (gRPC: UNAUTHENTICATED); the card
                    declares the scheme and stays public
``tenant``          the tenant that all interfaces of the card name (1.0 only)
``push``            it sends push notifications to whoever asks for them, to any URL
``streaming``       False: the card says that it does not stream
==================  ===============================================================================

The texts they understand are listed in `missive_host.demo.behaviours`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from missive_host.demo.wire import WIRE, WireMiddleware
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    import httpx
    from a2a.server.context import ServerCallContext
    from a2a.server.request_handlers import DefaultRequestHandler
    from a2a.types import AgentCard, AgentSkill
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    Protocol = Literal["1.0", "0.3"]

JSONRPC = "JSONRPC"
HTTP_JSON = "HTTP+JSON"
GRPC = "GRPC"
_SPELLINGS = {
    "jsonrpc": JSONRPC,
    "json-rpc": JSONRPC,
    "http+json": HTTP_JSON,
    "rest": HTTP_JSON,
    "grpc": GRPC,
}
RPC_PATH = "/rpc"
REST_PATH = "/rest"
CARD_PATH = "/.well-known/agent-card.json"
CACHE_CONTROL = "public, max-age=60"
_VERSIONS = {"1.0": "1.0", "0.3": "0.3.0"}
_IDLE_TASK_SECONDS = 600.0


@dataclass(frozen=True)
class AgentOptions:
    """How one agent differs from the others. The module's docstring has the meaning."""

    name: str = "demo"
    bindings: tuple[str, ...] | None = None
    protocol: Protocol = "1.0"
    bearer_token: str | None = field(default=None, repr=False)
    tenant: str = ""
    push: bool = False
    streaming: bool = True

    def offered(self) -> tuple[str, ...]:
        """Return the bindings of the card, in order."""
        return available_bindings() if self.bindings is None else self.bindings


def available_bindings() -> tuple[str, ...]:
    """Return the bindings that can be served here: gRPC only where the extra is installed."""
    return (JSONRPC, HTTP_JSON, GRPC) if find_spec("grpc") is not None else (JSONRPC, HTTP_JSON)


def parse_bindings(text: str) -> tuple[str, ...]:
    """Return the bindings in a list like ``json-rpc,http+json,grpc``, in its order.

    Raises `ValidationError` for an unknown name, for one that is named twice and for
    gRPC where its extra is not installed.
    """
    found: list[str] = []
    for word in text.split(","):
        binding = _SPELLINGS.get(word.strip().lower())
        if binding is None:
            raise ValidationError(f"'{word.strip()}' is no binding", help="Use json-rpc, http+json or grpc.")
        if binding in found:
            raise ValidationError(f"the binding {binding} is named twice")
        if binding not in available_bindings():
            raise ValidationError(
                "gRPC is not installed here", help="Install it with: pip install 'missive-host[grpc]'"
            )
        found.append(binding)
    return tuple(found)


def interfaces(options: AgentOptions, base_url: str, grpc_port: int | None) -> tuple[tuple[str, str], ...]:
    """Return (binding, URL) for each interface of the card. gRPC URLs are ``host:port``, without a scheme."""
    urls = {JSONRPC: base_url + RPC_PATH, HTTP_JSON: base_url + REST_PATH, GRPC: f"127.0.0.1:{grpc_port}"}
    return tuple((binding, urls[binding]) for binding in options.offered())


def make_card(options: AgentOptions, offered: tuple[tuple[str, str], ...]) -> AgentCard:
    """Return the card (spec 4.4.1) of an agent that is served at the URLs in `offered`."""
    from a2a.types import (
        AgentCapabilities,
        AgentCard,
        AgentInterface,
        HTTPAuthSecurityScheme,
        SecurityRequirement,
        SecurityScheme,
        StringList,
    )

    card = AgentCard(
        name=options.name,
        description="A small agent to try missive with. The first word of the text chooses what it does.",
        version="1.0.0",
        supported_interfaces=[
            AgentInterface(
                url=url,
                protocol_binding=binding,
                protocol_version=_VERSIONS[options.protocol],
                tenant=options.tenant,
            )
            for binding, url in offered
        ],
        capabilities=AgentCapabilities(streaming=options.streaming, push_notifications=options.push),
        default_input_modes=["text/plain", "application/json", "application/octet-stream"],
        default_output_modes=["text/plain", "application/json", "application/octet-stream"],
        skills=_skills(),
    )
    if options.bearer_token is not None:
        scheme = HTTPAuthSecurityScheme(scheme="bearer", description="The token that the agent was started with.")
        card.security_schemes["bearer"].CopyFrom(SecurityScheme(http_auth_security_scheme=scheme))
        card.security_requirements.append(SecurityRequirement(schemes={"bearer": StringList()}))
    return card


def _skills() -> list[AgentSkill]:
    from a2a.types import AgentSkill

    return [
        AgentSkill(
            id="echo", name="Echo", description="Sends the text back.", tags=["demo", "text"], examples=["echo hello"]
        ),
        AgentSkill(
            id="task",
            name="Task",
            description="Works for a while and returns a text, some data and a file.",
            tags=["demo", "task"],
            examples=["task 2", "stream 5 0.2", "sleep 10", "big 5"],
        ),
        AgentSkill(
            id="ask",
            name="Ask",
            description="Asks something back before it completes.",
            tags=["demo", "input-required"],
            examples=["ask What is your name?", "auth"],
        ),
        AgentSkill(
            id="choose",
            name="Choose",
            description="Has an opinion of its own: chooses one of the words.",
            tags=["demo", "opinion"],
            examples=["choose tea coffee"],
        ),
        AgentSkill(
            id="trouble",
            name="Trouble",
            description="Fails, rejects, breaks off: what a client must be ready for.",
            tags=["demo", "errors"],
            examples=["fail", "reject", "break", "cut", "slow 6"],
        ),
    ]


def make_handler(card: AgentCard, http: httpx.AsyncClient | None = None) -> DefaultRequestHandler:
    """Return the SDK's request handler for an agent with this card; tasks live in memory.

    With a client it sends push notifications.
    """
    from a2a.server.request_handlers import DefaultRequestHandler
    from a2a.server.tasks import BasePushNotificationSender, InMemoryPushNotificationConfigStore, InMemoryTaskStore

    from missive_host.demo.behaviours import DemoExecutor

    configs = InMemoryPushNotificationConfigStore() if http is not None else None
    return DefaultRequestHandler(
        agent_executor=DemoExecutor(card.name),
        task_store=InMemoryTaskStore(),
        agent_card=card,
        push_config_store=configs,
        push_sender=BasePushNotificationSender(http, configs) if http is not None and configs is not None else None,
        interrupted_task_timeout=_IDLE_TASK_SECONDS,  # else each unanswered question stays for ever
    )


def make_app(options: AgentOptions, card: AgentCard, handler: DefaultRequestHandler) -> ASGIApp:
    """Return the HTTP side of the agent: card, JSON-RPC and HTTP+JSON, whatever the card offers of them."""
    from a2a.server.routes import (
        DefaultServerCallContextBuilder,
        create_agent_card_routes,
        create_jsonrpc_routes,
        create_rest_routes,
    )
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    class Builder(DefaultServerCallContextBuilder):
        """Hands the `Wire` of the request on to the behaviours."""

        def build(self, request: Request) -> ServerCallContext:
            call = super().build(request)
            call.state[WIRE] = request.scope[WIRE]
            return call

    legacy = options.protocol == "0.3"
    offered = options.offered()
    routes: list[BaseRoute] = []
    if legacy:
        routes.append(_legacy_card_route(card))
    else:
        routes += create_agent_card_routes(card, cache_control=CACHE_CONTROL)
    if JSONRPC in offered:
        for path in (RPC_PATH, RPC_PATH + "/"):
            routes += create_jsonrpc_routes(handler, path, context_builder=Builder(), enable_v0_3_compat=legacy)
    if HTTP_JSON in offered:
        # The SDK's own path_prefix puts a tenant before the prefix, where no client looks for it: hence Mount.
        rest = create_rest_routes(handler, context_builder=Builder(), enable_v0_3_compat=legacy)
        if legacy:
            rest = [route for route in rest if isinstance(route, Route) and route.path.startswith("/v1/")]
        routes.append(Mount(REST_PATH, routes=rest))
    return WireMiddleware(Starlette(routes=routes), token=options.bearer_token, legacy=legacy)


def _legacy_card_route(card: AgentCard) -> BaseRoute:
    """Serve the card as an agent of 0.3 writes it.

    The SDK's route would add the fields of 0.3 to a card of 1.0; an old agent has no such card.
    """
    from a2a.compat.v0_3.conversions import to_compat_agent_card
    from starlette.responses import Response
    from starlette.routing import Route

    document = to_compat_agent_card(card).model_dump(mode="json", by_alias=True, exclude_none=True)
    body = json.dumps(document).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL}

    async def get_card(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    return Route(CARD_PATH, get_card, methods=["GET"])
