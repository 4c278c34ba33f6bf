"""What people would write without missive: a Starlette handler that hands a message to an agent through a2a-sdk.

``http_raw.py URL`` serves ``POST /messages`` on a free port of the loopback interface and prints where. It takes the
same body as missive's HTTP door, checks nothing and keeps nothing: uvicorn with httptools on asyncio, as in missive.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from a2a.client import ClientConfig, ClientFactory
from a2a.helpers import new_text_message
from a2a.types import SendMessageRequest
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with httpx.AsyncClient() as http:
        # Not streaming: one request, one answer, as `send` does it.
        config = ClientConfig(httpx_client=http, streaming=False)
        app.state.client = await ClientFactory(config).create_from_url(sys.argv[1])
        yield


async def messages(request: Request) -> JSONResponse:
    frame = await request.json()
    sent = SendMessageRequest(message=new_text_message(frame["message"]))
    answers = [MessageToDict(answer) async for answer in request.app.state.client.send_message(sent)]
    return JSONResponse({"id": frame["id"], "ok": True, "outputs": answers})


async def main() -> None:
    app = Starlette(routes=[Route("/messages", messages, methods=["POST"])], lifespan=lifespan)
    config = uvicorn.Config(app, http="httptools", loop="asyncio", ws="none", access_log=False, log_level="warning")
    # IPPROTO_TCP is named, or asyncio does not set TCP_NODELAY and each answer waits for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(2048)
        print(f"http://127.0.0.1:{sock.getsockname()[1]}/messages", flush=True)
        await uvicorn.Server(config).serve(sockets=[sock])


asyncio.run(main())
