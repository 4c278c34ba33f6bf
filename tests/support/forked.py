"""Many demo agents, each a process of its own: ``python -m support.forked 64``.

What an agent imports is imported once, and then the process forks: 64 of them start in seconds, and share most of
their memory. Each prints its ready line as `missive_host.demo.server` does. They leave when standard input ends.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import anyio

from missive_host.demo import agents, server


def serve(name: str, announce: Callable[[dict[str, Any], anyio.Event], None]) -> None:
    """Serve one agent until its event is set."""
    options = agents.AgentOptions(name=name, bindings=agents.parse_bindings("json-rpc,http+json"))

    async def main() -> None:
        stop = anyio.Event()
        await server.serve(options, server.listen(0), lambda ready: announce(ready, stop), stop)

    anyio.run(main)


def ready(document: dict[str, Any], _stop: anyio.Event) -> None:
    os.write(1, json.dumps(document).encode() + b"\n")  # in one piece: several write here


def main() -> int:
    os.environ["OTEL_INSTRUMENTATION_A2A_SDK_ENABLED"] = "false"
    serve("first", lambda _ready, stop: stop.set())  # imports all there is to import
    gc.freeze()
    children: list[int] = []
    for number in range(int(sys.argv[1])):
        child = os.fork()
        if child == 0:
            try:
                serve(f"m{number}", ready)
            finally:
                os._exit(1)
        children.append(child)
    while os.read(0, 4096):
        continue
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
