"""A demo agent that appends each message that it gets to a file: ``python logging_agent.py FILE``.

A line is the messageId, a tab and the text. It is written before the message is worked on.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from missive_host.demo import agents, server


def main(file: str) -> int:
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    made = agents.make_app

    def make_app(*args: Any) -> Any:
        app = made(*args)

        async def logged(scope: Any, receive: Any, send: Any) -> None:
            chunks: list[bytes] = []

            async def heard() -> Any:
                event = await receive()
                chunks.append(event.get("body", b""))
                if event["type"] == "http.request" and not event.get("more_body"):
                    _note(fd, b"".join(chunks))
                return event

            await app(scope, heard, send)

        return logged

    setattr(agents, "make_app", make_app)  # noqa: B010
    return server.main(["--name", "logging", "--bindings", "json-rpc", "--exit-with-stdin"])


def _note(fd: int, body: bytes) -> None:
    if not body:
        return
    message = json.loads(body).get("params", {}).get("message")
    if message is not None:
        text = " ".join(part.get("text", "") for part in message["parts"])
        os.write(fd, f"{message['messageId']}\t{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
