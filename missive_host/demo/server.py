"""One demo agent as a process: ``python -m missive_host.demo.server --name worker``.

When it is ready it prints one line of JSON on standard output, and nothing else ever::

    {"name": "worker", "url": "http://127.0.0.1:40001", "pid": 4711, "protocol": "1.0",
     "bindings": ["JSONRPC", "HTTP+JSON"],
     "interfaces": [{"binding": "JSONRPC", "url": "http://127.0.0.1:40001/rpc"}, …]}

``url`` is the base URL: the card is at ``/.well-known/agent-card.json`` under it. The process ends
with status 0 on SIGTERM and SIGINT, and with ``--exit-with-stdin`` at the end of its standard
input: a parent that dies closes that pipe, so no orphan remains. Status 2: it could not start.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Callable, Generator, Sequence

    import anyio

    from missive_host.demo.agents import AgentOptions

HOST = "127.0.0.1"
_BACKLOG = 2048
_GRACE_SECONDS = 1


def listen(port: int) -> socket.socket:
    """Return a listening socket on the loopback interface; port 0 takes a free one."""
    import socket

    # The protocol is named because asyncio sets TCP_NODELAY only where it reads IPPROTO_TCP, and a connection has it
    # from its listener. Without it each answer waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


async def serve(
    options: AgentOptions,
    sock: socket.socket,
    announce: Callable[[dict[str, Any]], None],
    stop: anyio.Event,
    log_level: str = "critical",
) -> None:
    """Serve one agent on `sock` until `stop` is set. `announce` gets the ready document once it accepts calls."""
    import contextlib

    import anyio
    import uvicorn

    from missive_host.demo import agents

    grpc_side = None
    if agents.GRPC in options.offered():
        from missive_host.demo.grpc_side import GrpcSide

        grpc_side = GrpcSide(options)
    base_url = f"http://{HOST}:{sock.getsockname()[1]}"
    offered = agents.interfaces(options, base_url, grpc_side.port if grpc_side else None)
    card = agents.make_card(options, offered)
    http = None
    if options.push:
        import httpx

        http = httpx.AsyncClient(timeout=10, trust_env=False, verify=False)  # noqa: S501 - to this machine
    handler = agents.make_handler(card, http)
    ready = {
        "name": options.name,
        "url": base_url,
        "pid": os.getpid(),
        "protocol": options.protocol,
        "bindings": [binding for binding, _ in offered],
        "interfaces": [{"binding": binding, "url": url} for binding, url in offered],
    }

    class Server(uvicorn.Server):
        """Leaves the signals to us: uvicorn raises them again after it has stopped."""

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            announce(ready)

    server = Server(
        uvicorn.Config(
            agents.make_app(options, card, handler),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level=log_level,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )

    async def stop_server() -> None:
        await stop.wait()
        await handler.aclose()  # ends the streams that are open, so that nothing has to be waited for
        server.should_exit = True

    try:
        if grpc_side is not None:
            await grpc_side.start(handler)
        async with anyio.create_task_group() as group:
            group.start_soon(stop_server)
            await server.serve(sockets=[sock])
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await handler.aclose()
            if grpc_side is not None:
                await grpc_side.stop()
            if http is not None:
                await http.aclose()


async def _process(options: AgentOptions, sock: socket.socket, args: argparse.Namespace) -> None:
    import asyncio
    import json
    import signal
    import threading

    import anyio

    stop = anyio.Event()
    loop = asyncio.get_running_loop()

    def announce(ready: dict[str, Any]) -> None:
        print(json.dumps(ready), flush=True)

    def end_with_stdin() -> None:
        # os.read, not sys.stdin: a thread that is blocked in a buffered read holds a lock that the interpreter
        # wants at its end.
        while os.read(0, 4096):
            continue
        loop.call_soon_threadsafe(stop.set)

    async def end_with_signal() -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                stop.set()

    if args.exit_with_stdin:
        threading.Thread(target=end_with_stdin, name="stdin", daemon=True).start()
    async with anyio.create_task_group() as group:
        group.start_soon(end_with_signal)
        await serve(options, sock, announce, stop, args.log_level)
        group.cancel_scope.cancel()


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(prog="missive_host.demo.server", description="Run one demo agent.")
    parser.add_argument("--name", default="demo", help="name on the card")
    parser.add_argument("--port", type=int, default=0, help="HTTP port on the loopback interface; 0: a free one")
    parser.add_argument("--bindings", help="json-rpc,http+json,grpc in the card's order; default: all there are")
    parser.add_argument("--protocol", choices=["1.0", "0.3"], default="1.0")
    parser.add_argument("--require-bearer-env", metavar="VAR", help="ask for the bearer token in this variable")
    parser.add_argument("--tenant", default="", help="tenant that the card's interfaces name")
    parser.add_argument("--push", action="store_true", help="send push notifications to whoever asks for them")
    parser.add_argument("--no-streaming", action="store_true", help="say that it does not stream")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    parser.add_argument("--fast", action="store_true", help="for benchmarks: uvloop, if it is installed")
    parser.add_argument("--log-level", choices=["critical", "error", "warning", "info"], default="critical")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the process; returns its exit status."""
    args = _arguments(sys.argv[1:] if argv is None else argv)
    # Before anything imports a2a: its tracing costs a fifth of the agent's CPU, and nobody looks at it here.
    os.environ["OTEL_INSTRUMENTATION_A2A_SDK_ENABLED"] = "false"
    import logging
    from importlib.util import find_spec

    import anyio

    from missive_host.demo.agents import AgentOptions, parse_bindings
    from missive_host.errors import MissiveError

    logging.basicConfig(level=args.log_level.upper())
    try:
        token = None
        if args.require_bearer_env is not None:
            token = os.environ.get(args.require_bearer_env)
            if not token:
                print(f"error: the variable {args.require_bearer_env} is empty or not set", file=sys.stderr)
                return 2
        options = AgentOptions(
            name=args.name,
            bindings=None if args.bindings is None else parse_bindings(args.bindings),
            protocol=args.protocol,
            bearer_token=token,
            tenant=args.tenant,
            push=args.push,
            streaming=not args.no_streaming,
        )
        sock = listen(args.port)
    except MissiveError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot listen on port {args.port}: {error.strerror}", file=sys.stderr)
        return 2
    uvloop = args.fast and find_spec("uvloop") is not None
    anyio.run(_process, options, sock, args, backend_options={"use_uvloop": uvloop})
    return 0


if __name__ == "__main__":
    sys.exit(main())
