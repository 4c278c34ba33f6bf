"""Services that take notifications over HTTP, on this machine: what they got, and how they answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Service:
    """An HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        """Path and body of what it has taken."""
        self.refused = 0
        self.answers: list[int] = []
        """Statuses of the next answers; then 200."""
        self._changed = threading.Condition()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status = service._take(self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_PUT = do_POST

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def _take(self, path: str, body: bytes) -> int:
        with self._changed:
            status = self.answers.pop(0) if self.answers else 200
            if status == 200:
                self.got.append((path, json.loads(body)))
            else:
                self.refused += 1
            self._changed.notify_all()
            return status

    def until(self, enough: Callable[[Service], Any], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not enough(self):
                left = deadline - time.monotonic()
                assert left > 0, (self.got, self.refused)
                self._changed.wait(min(left, 0.5))

    @property
    def titles(self) -> list[str]:
        return [body["title"] for _, body in self.got]

    @contextmanager
    def running(self) -> Iterator[Service]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
