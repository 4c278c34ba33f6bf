"""What traces cost: the gateway without a collector, with one that takes all, and with one that is away.

The three are driven by the same client, round by round in turn. Besides: what a span costs where nobody records.
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection

from gateway import FRAME, WARM_UP, GatewayProcess
from load import Load
from measure import TEXT, Goal, Report, arguments, bench_home, fast_agent, median, note
from stdio import Side

from missive_host.telemetry.spans import CLIENT, span

GOAL = 0.8
"""Of the throughput without a collector, with one that takes every span."""
AWAY = "http://127.0.0.1:9"


class _Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve(pipe: Connection) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Collector)
    pipe.send(server.server_port)
    server.serve_forever()


@contextmanager
def collector() -> Iterator[str]:
    """A process that takes whatever is sent to it."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


@contextmanager
def gateway_of(agent: str, url: str | None = None) -> Iterator[GatewayProcess]:
    """A gateway in a home of its own, with this collector."""
    more = "" if url is None else f'\n[telemetry]\nendpoint = "{url}"\n'
    with bench_home(agent) as home, GatewayProcess(home, more=more) as gateway:
        yield gateway


def nobody_records() -> float:
    """Return the nanoseconds that a span costs where nobody records."""
    calls = 200_000

    def one() -> None:
        with span("invoke_agent", CLIENT, {"gen_ai.agent.name": "echo", "rpc.method": "SendMessage"}) as each:
            each.note("missive.task.id", "1")

    return min(timeit.repeat(one, number=calls, repeat=5)) / calls * 1e9


def measure_telemetry(rounds: int, messages: int, connections: int) -> Report:
    report = Report(
        "telemetry",
        {
            "rounds": rounds,
            "messages a round": messages,
            "bytes of text": len(TEXT),
            "a span that nobody records": f"{nobody_records():.0f} ns",
        },
    )
    with (
        fast_agent() as agent,
        collector() as url,
        gateway_of(agent) as off,
        gateway_of(agent, url) as on,
        gateway_of(agent, AWAY) as away,
    ):
        note(f"{connections} connections …")
        sides = [
            Side(name, gateway.pid, Load(gateway.url, FRAME).run)
            for name, gateway in (("without", off), ("with a collector", on), ("collector away", away))
        ]
        for side in sides:
            side.run(connections, WARM_UP * connections)
        for _ in range(rounds):
            for side in sides:
                side.take(connections, messages)
    for side in sides:
        report.rows.append(
            {name.replace("SDK", "without"): value for name, value in side.row(connections, sides[0]).items()}
        )
    for side in sides[1:]:
        ratio = median([a / b for a, b in zip(side.rates, sides[0].rates, strict=True)])
        report.goals.append(Goal(f"throughput {side.name} / without", ratio, GOAL, at_most=False))
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=1024)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    report = measure_telemetry(options.rounds, options.messages, options.connections)
    report.print()
    if options.json is not None:
        options.json.write_text(json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
