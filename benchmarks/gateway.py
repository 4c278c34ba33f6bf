"""The gateway: HTTP and file-drop with durable intake, many open receipts, and the start with a full store.

HTTP is held against `http_raw.py`, a bare Starlette handler that calls the same agent through a2a-sdk and keeps
nothing. missive answers 200 when the delivery, the message, its answer and the outcome are on the disk. Both sides are
driven by the same client, round by round in turn.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.request import urlopen

from load import Load
from measure import (
    AGENT,
    HERE,
    TEXT,
    Goal,
    Report,
    arguments,
    bench_home,
    cpu_seconds,
    environment,
    fast_agent,
    median,
    missive,
    note,
    percentile,
    resident_bytes,
)
from stdio import Side

from missive_host.ids import now
from missive_host.store import Store
from missive_host.store.rows import TaskRow

MIB = 1024 * 1024
GOAL_AT_64 = 0.7
WARM_UP = 8
"""Messages of each connection before the first round."""
FRAME = {"id": "bench", "command": "send", "agent": AGENT, "message": TEXT}
RECEIPTS_GOAL = 64.0
"""MiB that 10,000 open receipts may cost."""
PATIENCE = 600.0
"""Seconds until files without a result are given up."""
START_GOAL = 1.5
"""How many times as long a start may take with a full store."""


class GatewayProcess:
    """``missive gateway run`` in a home, with an HTTP door and, with `drop`, one of files; `more` is further config."""

    def __init__(self, home: Path, *, drop: Path | None = None, any_order: bool = False, more: str = "") -> None:
        config = home / "missive.toml"
        text = '[gateway]\nbind_address = "127.0.0.1:0"\ndrain = "100ms"\n\n[adapters.web]\nkind = "http"\n'
        if drop is not None:
            text += (
                '\n[adapters.drop]\nkind = "file-drop"\n\n[adapters.drop.settings]\n'
                f'inbox = "{drop}/in"\noutbox = "{drop}/out"\nany_order = {str(any_order).lower()}\n'
            )
        config.write_text(text + more)
        began = perf_counter()
        self.process = subprocess.Popen(
            [*missive("--config", str(config), "gateway", "run", "--ndjson")],
            env=environment(home),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("error: the gateway did not start")
        url = f"http://{json.loads(line)['data']['bind_address']}"
        while not self._is_ready(url):
            time.sleep(0.005)
        self.start_seconds = perf_counter() - began
        self.url = f"{url}/adapter/http/v1/messages"

    def _is_ready(self, url: str) -> bool:
        try:
            with urlopen(f"{url}/readyz"):
                return True
        except HTTPError:
            return False

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.process:
            self.process.send_signal(signal.SIGTERM)


class RawProcess:
    """`http_raw.py` in a process of its own."""

    def __init__(self, home: Path, agent: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "http_raw.py"), agent],
            env=environment(home),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise SystemExit("error: the raw handler did not start")
        time.sleep(1)  # the line comes before the agent's card has been fetched

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.process:
            self.process.terminate()


def measure_http(rounds: int, messages: int, levels: list[int]) -> Report:
    report = Report("gateway, HTTP", {"rounds": rounds, "messages a round": messages, "bytes of text": len(TEXT)})
    with fast_agent() as agent, bench_home(agent) as home:
        for connections in levels:
            note(f"{connections} connections …")
            with GatewayProcess(home) as gateway, RawProcess(home, agent) as raw:
                ours = Side("missive gateway", gateway.pid, Load(gateway.url, FRAME).run)
                theirs = Side("Starlette + a2a-sdk", raw.pid, Load(raw.url, FRAME).run)
                for side in (ours, theirs):
                    side.run(connections, WARM_UP * connections)
                for _ in range(rounds):
                    ours.take(connections, messages)
                    theirs.take(connections, messages)
            for side in (ours, theirs):
                row = side.row(connections, theirs)
                report.rows.append({name.replace("SDK", "raw"): value for name, value in row.items()})
            added = percentile(ours.latencies, 0.99) - percentile(theirs.latencies, 0.99)
            report.settings = {**report.settings, f"p99 added at {connections}": f"{added * 1000:.1f} ms"}
            if connections == 64:
                # Of each pair of rounds, which stood side by side in time; then the median of the pairs.
                ratio = median([a / b for a, b in zip(ours.rates, theirs.rates, strict=True)])
                report.goals.append(Goal("throughput at 64 connections / raw", ratio, GOAL_AT_64, at_most=False))
    return report


def measure_files(files: int, singles: int) -> Report:
    report = Report("gateway, file-drop", {"files": files, "one by one": singles})
    for any_order in (False, True):
        with fast_agent() as agent, bench_home(agent) as home, Dropped(home) as dropped:
            with GatewayProcess(home, drop=dropped.folder, any_order=any_order) as gateway:
                dropped.drop("warm", 8)
                latencies = [dropped.drop(f"single-{number}", 1) for number in range(singles)]
                before = cpu_seconds(gateway.pid)
                seconds = dropped.drop("many", files)
                after = cpu_seconds(gateway.pid)
            cpu = None if before is None or after is None else round((after - before) / files * 1e6)
            report.rows.append(
                {
                    "order": "any" if any_order else "of the names",
                    "files/s": round(files / seconds),
                    "rename to result, p50 ms": round(percentile(latencies, 0.5) * 1000, 1),
                    "p99 ms": round(percentile(latencies, 0.99) * 1000, 1),
                    "CPU µs/file": cpu,
                }
            )
    return report


class Dropped:
    """An inbox and an outbox, beside a folder in which files are written before they are dropped."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "drop"
        self._staging = self.folder / "staging"
        for name in ("in", "out", "staging"):
            (self.folder / name).mkdir(parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: the home goes as a whole."""

    def drop(self, name: str, files: int) -> float:
        """Drop so many files at once; return the seconds from the first rename until all results are there."""
        names = [f"{name}-{number:05}" for number in range(files)]
        for each in names:
            (self._staging / f"{each}.json").write_text(json.dumps({**FRAME, "id": each}))
        began = perf_counter()
        for each in names:
            (self._staging / f"{each}.json").rename(self.folder / "in" / f"{each}.json")
        while not self._is_answered(names):
            if perf_counter() - began > PATIENCE:
                raise SystemExit(f"error: there are files without a result after {PATIENCE:g} s")
            time.sleep(0.0005 if files == 1 else 0.01)
        return perf_counter() - began

    def _is_answered(self, names: list[str]) -> bool:
        if len(names) == 1:
            return (self.folder / "out" / f"{names[0]}.result.json").exists()
        wanted = {f"{name}.result.json" for name in names}
        with os.scandir(self.folder / "out") as found:
            return wanted <= {entry.name for entry in found}


def measure_receipts(receipts: int) -> Report:
    report = Report("gateway, open receipts", {"receipts": receipts})
    silent = {**FRAME, "message": "slow 300"}
    with fast_agent() as agent, bench_home(agent) as home, GatewayProcess(home) as gateway:
        Load(gateway.url, FRAME).run(16, 512)
        time.sleep(1)
        before = resident_bytes(gateway.pid) / MIB
        load = Load(gateway.url, silent, expect=202, headers="prefer: respond-async\r\n")
        seconds, _ = load.run(16, receipts)
        time.sleep(2)
        after = resident_bytes(gateway.pid) / MIB
    report.rows.append(
        {
            "receipts": receipts,
            "taken in/s": round(receipts / seconds),
            "MiB before": round(before, 1),
            "MiB after": round(after, 1),
            "bytes/receipt": round((after - before) * MIB / receipts),
        }
    )
    report.goals.append(Goal(f"MiB for {receipts} open receipts", after - before, RECEIPTS_GOAL))
    return report


def measure_start(tasks: int, rounds: int) -> Report:
    report = Report("gateway, start", {"stored tasks": tasks, "rounds": rounds})
    with fast_agent() as agent, bench_home(agent) as empty, bench_home(agent) as full:
        note(f"writing {tasks} tasks …")
        fill(full, tasks)
        seconds: dict[str, list[float]] = {"empty": [], "full": []}
        for number in range(rounds + 1):
            for name, home in (("empty", empty), ("full", full)):
                with GatewayProcess(home) as gateway:
                    if number:  # the first round warms up
                        seconds[name].append(gateway.start_seconds)
    for name, values in seconds.items():
        report.rows.append(
            {
                "store": name,
                "ready after ms": round(median(values) * 1000),
                "× empty": median(values) / median(seconds["empty"]),
            }
        )
    report.goals.append(
        Goal("start with a full store / empty", median(seconds["full"]) / median(seconds["empty"]), START_GOAL)
    )
    return report


def fill(home: Path, tasks: int) -> None:
    """Put completed tasks into the store of a home."""
    at = now()
    path = next(home.rglob("missive.sqlite3"))
    with Store.open(path) as store:
        for first in range(0, tasks, 10_000):
            rows = [
                TaskRow(
                    agent_alias=AGENT,
                    task_id=f"task-{number}",
                    state="completed",
                    task={
                        "id": f"task-{number}",
                        "status": {"state": "TASK_STATE_COMPLETED"},
                        "history": [{"text": TEXT}],
                    },
                    created_at=at,
                    updated_at=at,
                    completed_at=at,
                )
                for number in range(first, min(first + 10_000, tasks))
            ]
            store.write(lambda tables, rows=rows: [tables.tasks.upsert(row) for row in rows])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=("http", "files", "receipts", "start"), help="measure this alone")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each side")
    parser.add_argument("--messages", type=int, default=1024, help="messages of one round")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="levels to measure")
    parser.add_argument("--files", type=int, default=1000, help="files that are dropped at once")
    parser.add_argument("--receipts", type=int, default=10_000, help="receipts that stay open")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks in the full store")
    options = parser.parse_args()
    steps = {
        "http": lambda: measure_http(options.rounds, options.messages, options.connections),
        "files": lambda: measure_files(options.files, 50),
        "receipts": lambda: measure_receipts(options.receipts),
        "start": lambda: measure_start(options.tasks, options.rounds),
    }
    reports = []
    for name, step in steps.items():
        if options.only in (None, name):
            reports.append(step())
            reports[-1].print()
    if options.json is not None:
        documents = [report.document() for report in reports]
        options.json.write_text(json.dumps(documents, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
