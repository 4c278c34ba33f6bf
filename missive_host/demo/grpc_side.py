"""The gRPC side of a demo agent. Needs the extra ``grpc``; imported only where it is offered."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from a2a.server.request_handlers import GrpcHandler
from a2a.server.request_handlers.grpc_handler import DefaultGrpcServerCallContextBuilder
from a2a.types.a2a_pb2_grpc import add_A2AServiceServicer_to_server

from missive_host.demo.wire import WIRE, Wire, bearer_accepted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from a2a.server.context import ServerCallContext
    from a2a.server.request_handlers import DefaultRequestHandler

    from missive_host.demo.agents import AgentOptions

_MESSAGE_LIMIT = 300 << 20
"""Bytes; ``big`` gives at most 256 MiB."""


def _metadata(context: Any) -> list[tuple[str, str]]:
    pairs = context.invocation_metadata() or ()
    return [(key, value if isinstance(value, str) else value.decode("latin-1")) for key, value in pairs]


class _Builder(DefaultGrpcServerCallContextBuilder):
    """Hands the `Wire` of the call on to the behaviours."""

    def __init__(self, current: ContextVar[Wire]) -> None:
        self._current = current

    def build(self, context: Any) -> ServerCallContext:
        call = super().build(context)
        wire = self._current.get(None)
        call.state[WIRE] = Wire(_metadata(context)) if wire is None else wire
        return call


class _WireInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """For gRPC what `missive_host.demo.wire.WireMiddleware` is for HTTP."""

    def __init__(self, current: ContextVar[Wire], token: str | None) -> None:
        self._current = current
        self._token = token

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        header = next((value for key, value in details.invocation_metadata if key == "authorization"), None)
        refused = self._token is not None and not bearer_accepted(header, self._token)

        async def unary(request: Any, context: Any) -> Any:
            if refused:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "A bearer token is needed.")
            return await handler.unary_unary(request, context)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            if refused:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "A bearer token is needed.")
            wire = Wire(_metadata(context))
            self._current.set(wire)  # each call has a context of its own
            async for event in handler.unary_stream(request, context):
                yield event
                end = wire.passed()
                if end == "break":
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "The stream broke off.")
                if end is not None:
                    return

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)


class GrpcSide:
    """One gRPC server on a free port of the loopback interface."""

    def __init__(self, options: AgentOptions) -> None:
        self._legacy = options.protocol == "0.3"
        self._current: ContextVar[Wire] = ContextVar("wire")
        self._server = grpc.aio.server(
            interceptors=[_WireInterceptor(self._current, options.bearer_token)],
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
                ("grpc.max_send_message_length", _MESSAGE_LIMIT),
                ("grpc.so_reuseport", 0),  # two agents must never share a port unnoticed
            ],
        )
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")

    async def start(self, handler: DefaultRequestHandler) -> None:
        """Serve `handler`, with the service of the agent's protocol version only."""
        builder = _Builder(self._current)
        if self._legacy:
            from a2a.compat.v0_3.a2a_v0_3_pb2_grpc import (
                add_A2AServiceServicer_to_server as add_legacy_servicer,
            )
            from a2a.compat.v0_3.grpc_handler import CompatGrpcHandler

            servicer: Any = CompatGrpcHandler(handler, context_builder=builder)
            register: Any = add_legacy_servicer
        else:
            servicer = GrpcHandler(handler, context_builder=builder)
            register = add_A2AServiceServicer_to_server
        register(servicer, self._server)
        await self._server.start()

    async def stop(self) -> None:
        """Stop; calls that run get a quarter of a second."""
        await self._server.stop(0.25)
