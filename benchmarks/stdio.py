"""Throughput and latency of ``missive adapter stdio`` against a raw a2a-sdk client, persistence on.

For each number of messages in flight both clients are started once and warmed up; then they take turns, round by
round, on the same agent. missive writes each message and each answer to its store before it goes on, the SDK client
keeps nothing. The driver of missive's pipes is one more process on the same machine; the SDK client needs none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from driver import StdioProcess
from measure import (
    HERE,
    TEXT,
    Goal,
    Report,
    arguments,
    bench_home,
    cpu_seconds,
    environment,
    fast_agent,
    finish,
    median,
    note,
    percentile,
    spread,
)

GOALS = {1: 0.9, 16: 0.9, 64: 1.3}
"""Messages in flight to the least ratio of the throughputs."""
WARM_UP = 8
"""Messages of each slot before the first round."""

Round = Callable[[int, int], tuple[float, list[float]]]
"""``(in flight, messages)`` to seconds and latencies."""


class SdkProcess:
    """`sdk_loop.py` in a process of its own."""

    def __init__(self, home: Path, url: str, text: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "sdk_loop.py"), url, text],
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._answer() != "ready\n":
            raise SystemExit("error: the SDK client did not start")

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.process:
            pass

    def run(self, in_flight: int, messages: int) -> tuple[float, list[float]]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{in_flight} {messages}\n")
        self.process.stdin.flush()
        answer = json.loads(self._answer() or "null")
        if answer is None:
            raise SystemExit("error: the SDK client ended early")
        return answer["seconds"], answer["latencies"]

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@dataclass
class Side:
    """The rounds of one client."""

    name: str
    pid: int
    run: Round
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Seconds a message, of each round."""

    def take(self, in_flight: int, messages: int) -> None:
        before = cpu_seconds(self.pid)
        seconds, latencies = self.run(in_flight, messages)
        after = cpu_seconds(self.pid)
        self.rates.append(len(latencies) / seconds)
        self.latencies += latencies
        if before is not None and after is not None:
            self.cpu.append((after - before) / len(latencies))

    def row(self, in_flight: int, other: Side) -> dict[str, object]:
        rate = median(self.rates)
        return {
            "client": self.name,
            "in flight": in_flight,
            "messages/s": round(rate, 1),
            "IQR": round(spread(self.rates), 1),
            "p50 ms": round(percentile(self.latencies, 0.5) * 1000, 2),
            "p99 ms": round(percentile(self.latencies, 0.99) * 1000, 2),
            "CPU µs/message": round(median(self.cpu) * 1e6) if self.cpu else None,
            "× SDK": round(rate / median(other.rates), 2),
        }


def measure_stdio(rounds: int, messages: int, levels: list[int]) -> Report:
    report = Report("stdio throughput", {"rounds": rounds, "messages a round": messages, "bytes of text": len(TEXT)})
    with fast_agent() as url, bench_home(url) as home:
        for in_flight in levels:
            note(f"{in_flight} in flight …")
            with StdioProcess(home, in_flight, TEXT) as missive, SdkProcess(home, url, TEXT) as sdk:
                ours, theirs = Side("missive stdio", missive.pid, missive.run), Side("a2a-sdk", sdk.pid, sdk.run)
                for side in (ours, theirs):
                    side.run(in_flight, WARM_UP * in_flight)
                for _ in range(rounds):
                    ours.take(in_flight, messages)
                    theirs.take(in_flight, messages)
            report.rows += [ours.row(in_flight, theirs), theirs.row(in_flight, theirs)]
            if in_flight in GOALS:
                # Of each pair of rounds, which stood side by side in time; then the median of the pairs.
                ratio = median([a / b for a, b in zip(ours.rates, theirs.rates, strict=True)])
                report.goals.append(
                    Goal(f"throughput at {in_flight} in flight / SDK", ratio, GOALS[in_flight], at_most=False)
                )
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each client")
    parser.add_argument("--messages", type=int, default=1024, help="messages of one round")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16, 64], help="levels to measure")
    options = parser.parse_args()
    finish(measure_stdio(options.rounds, options.messages, options.in_flight), options.json)


if __name__ == "__main__":
    main()
