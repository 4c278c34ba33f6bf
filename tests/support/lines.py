"""A real A2A agent behind a Unix socket that speaks lines of JSON-RPC, as `missive_transports.unix` wants it.

Each line is handed to a demo agent, and what it answers is handed back: one line, or one for each event of a stream.
"""

from __future__ import annotations

import json
import socketserver
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from missive_host.demo.fleet import AgentProcess


class LineAgent:
    """``with LineAgent(path, agent) as front``. `seen` are the requests; `cut` ends a stream after so many events."""

    def __init__(self, path: Path, agent: AgentProcess) -> None:
        self.url = f"unix://{path}"
        self.path = path
        self.agent = agent
        self.seen: list[dict[str, Any]] = []
        self.cut: int | None = None
        self.says: bytes | None = None
        """What it answers instead, whatever it is asked."""
        front = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(BrokenPipeError, ConnectionResetError):
                    front.answer(json.loads(self.rfile.readline()), self.wfile)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(str(path), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def methods(self) -> list[str]:
        return [request["method"] for request in self.seen]

    def answer(self, request: dict[str, Any], out: Any) -> None:
        self.seen.append(request)
        if self.says is not None:
            out.write(self.says)
            return
        headers = request.pop("serviceParameters")
        if request["method"] == "GetExtendedAgentCard":
            with urllib.request.urlopen(f"{self.agent.url}/.well-known/agent-card.json") as answer:
                card = json.loads(answer.read())
            out.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": card}).encode() + b"\n")
            return
        asked = urllib.request.Request(
            self.agent.interfaces["JSONRPC"],
            json.dumps(request).encode(),
            {**headers, "Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
        )
        with urllib.request.urlopen(asked) as answer:
            if not answer.headers["content-type"].startswith("text/event-stream"):
                out.write(answer.read().strip() + b"\n")
                return
            for line in answer:
                if line.startswith(b"data:"):
                    out.write(line[5:].strip() + b"\n")
                    out.flush()
                    if self.cut is not None:
                        self.cut -= 1
                        if self.cut <= 0:
                            self.cut = None
                            return
