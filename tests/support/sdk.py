"""The SDK's own client, as short as a test wants it."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.types import Message, Part, Role, SendMessageRequest, StreamResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from a2a.client import Client

    from missive_host.demo.fleet import AgentProcess

_UNLIMITED = [("grpc.max_receive_message_length", -1)]


class Peer:
    """A client of one agent over one binding."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def stream(self, *parts: str | Part, **ids: str) -> list[StreamResponse]:
        """Send and return all events, or the one answer of a blocking peer. `ids`: ``task_id``, ``context_id``."""
        return [event async for event in self.client.send_message(request(*parts, **ids))]

    async def send(self, *parts: str | Part, **ids: str) -> StreamResponse:
        """Send and return the one answer; for blocking peers and direct Messages."""
        (answer,) = await self.stream(*parts, **ids)
        return answer


def request(*parts: str | Part, **ids: str) -> SendMessageRequest:
    """Return a request with a text part for each string."""
    made = [Part(text=part) if isinstance(part, str) else part for part in parts]
    return SendMessageRequest(message=Message(message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=made, **ids))


@asynccontextmanager
async def connect(
    agent: AgentProcess, binding: str, *, streaming: bool = False, headers: dict[str, str] | None = None
) -> AsyncIterator[Peer]:
    """Connect to `agent` over `binding` (``JSONRPC``, ``HTTP+JSON`` or ``GRPC``)."""

    def channel(url: str) -> Any:
        return grpc.aio.insecure_channel(url, options=_UNLIMITED)

    # verify=False: plain HTTP on the loopback interface; a store of certificates takes its time to load.
    async with httpx.AsyncClient(timeout=30, headers=headers, trust_env=False, verify=False) as http:
        config = ClientConfig(
            httpx_client=http,
            streaming=streaming,
            supported_protocol_bindings=[binding],
            grpc_channel_factory=channel,
        )
        async with await ClientFactory(config).create_from_url(agent.url) as client:
            yield Peer(client)
