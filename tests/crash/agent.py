"""A real agent for the crash tests: ``python tests/crash/agent.py --port 20001 --log FILE``.

It is built on a2a-sdk, as the demo agents are. Every message that it gets is in its log, on the disk, before anything
else is done with it: one line of JSON with ``id`` (the messageId) and ``text``. Texts:

``now X``      a direct Message with X
``later S X``  a task that works for S seconds and ends with the artifact X

It prints one line when it is ready, and leaves when its standard input ends. Tasks are in its memory only.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["OTEL_INSTRUMENTATION_A2A_SDK_ENABLED"] = "false"  # before anything imports a2a

import anyio
import uvicorn
from a2a.helpers import new_text_part
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore

from missive_host.demo.agents import AgentOptions, interfaces, make_app, make_card
from missive_host.demo.behaviours import DemoExecutor
from missive_host.demo.server import HOST, listen

if TYPE_CHECKING:
    from a2a.server.agent_execution import RequestContext
    from a2a.server.events import EventQueue
    from starlette.types import ASGIApp, Receive, Scope, Send

SENDING = ("SendMessage", "SendStreamingMessage")


class Worker(DemoExecutor):
    """Answers at once, or works for a while."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        how, *rest = context.get_user_input().split()
        turn = self._turn(context, event_queue, " ".join(rest))
        if how == "now":
            await turn.reply(new_text_part(rest[0]))
            return
        await turn.start()
        await anyio.sleep(float(rest[0]))
        await turn.updater.add_artifact([new_text_part(rest[1])], artifact_id="x", name="x", last_chunk=True)
        await turn.updater.complete()


class Logged:
    """Writes each message down before the agent sees it."""

    def __init__(self, app: ASGIApp, log: int) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            part = await receive()
            if part["type"] == "http.disconnect":
                return
            body, more = body + part.get("body", b""), part.get("more_body", False)
        request = json.loads(body)
        if request["method"] in SENDING:
            message = request["params"]["message"]
            entry = {"id": message["messageId"], "text": message["parts"][0]["text"]}
            os.write(self._log, json.dumps(entry).encode() + b"\n")
            os.fsync(self._log)
        given = False

        async def replay() -> Any:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    args = parser.parse_args()
    sock = listen(args.port)
    options = AgentOptions("worker", bindings=("JSONRPC",))
    base_url = f"http://{HOST}:{sock.getsockname()[1]}"
    card = make_card(options, interfaces(options, base_url, None))
    handler = DefaultRequestHandler(Worker("worker"), InMemoryTaskStore(), card)
    log = os.open(args.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    app = Logged(make_app(options, card, handler), log)
    logging.disable()  # that a task has ended already is nothing to tell
    server = uvicorn.Server(
        uvicorn.Config(app, ws="none", lifespan="off", access_log=False, log_config=None, timeout_graceful_shutdown=1)
    )

    def leave() -> None:
        while os.read(0, 4096):
            continue
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()
    print(json.dumps({"url": base_url, "pid": os.getpid()}), flush=True)
    server.run(sockets=[sock])


if __name__ == "__main__":
    main()
