"""An HTTP client that costs next to nothing, since it has to share the cores with what it measures.

Requests are ready bytes, answers are not parsed: status line and ``content-length`` are searched for in their heads.
"""

from __future__ import annotations

import json
import selectors
import socket
from time import perf_counter
from urllib.parse import urlsplit

_LENGTH = b"content-length: "


class Load:
    """Keep-alive connections to one URL, each with one request in flight."""

    def __init__(self, url: str, body: dict[str, object], *, expect: int = 200, headers: str = "") -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port or 80)
        data = json.dumps(body).encode()
        self._request = (
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
            f"{headers}content-length: {len(data)}\r\n\r\n"
        ).encode() + data
        self._status = b"HTTP/1.1 %d " % expect

    def run(self, connections: int, messages: int) -> tuple[float, list[float]]:
        """Send `messages` in all over so many connections; return the seconds it took and the latency of each."""
        latencies: list[float] = []
        with selectors.DefaultSelector() as selector:
            sockets = [self._connect() for _ in range(connections)]
            for sock in sockets:
                selector.register(sock, selectors.EVENT_READ, [b"", 0.0, messages // connections])
            began = perf_counter()
            for key in list(selector.get_map().values()):
                key.data[1] = perf_counter()
                key.fileobj.send(self._request)  # type: ignore[union-attr]
            left = connections
            while left:
                for key, _ in selector.select():
                    sock, slot = key.fileobj, key.data
                    assert isinstance(sock, socket.socket)
                    data = sock.recv(1 << 16)
                    if not data:
                        raise SystemExit("error: the server closed a connection")
                    slot[0] += data
                    if not self._whole(slot[0]):
                        continue
                    now = perf_counter()
                    latencies.append(now - slot[1])
                    slot[0], slot[1], slot[2] = b"", now, slot[2] - 1
                    if slot[2]:
                        sock.send(self._request)
                    else:
                        left -= 1
            seconds = perf_counter() - began
        for sock in sockets:
            sock.close()
        return seconds, latencies

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(self._address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _whole(self, answer: bytes) -> bool:
        head, found, body = answer.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(self._status):
            raise SystemExit(f"error: {answer.decode(errors='replace')}")
        at = head.lower().index(_LENGTH) + len(_LENGTH)
        return len(body) >= int(head[at:].partition(b"\r")[0])
