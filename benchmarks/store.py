"""Commits a second of the store: one writer that waits for each, and many at once, whose commits are made together.

Each commit writes one event to the journal and is on the disk when it returns. As the disk decides most of it, the
same is done with bare ``sqlite3`` in turn: the ratio is what missive adds, and what it gains by committing together.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from time import perf_counter

from measure import Report, arguments, bench_home, finish, median, spread

from missive_host.ids import now
from missive_host.store import EventRow, Store, Tables
from missive_host.store.events import new_event_id

PAYLOAD = {"message": {"parts": [{"text": "x" * 200}]}}
_TABLE = "CREATE TABLE journal (sequence INTEGER PRIMARY KEY, at TEXT NOT NULL, payload TEXT NOT NULL) STRICT"


def append(tables: Tables) -> int:
    return tables.events.append(
        EventRow(event_id=new_event_id("bench"), timestamp=now(), source="bench", event_type="bench", payload=PAYLOAD)
    )


async def together(store: Store, commits: int, producers: int) -> float:
    async def produce() -> None:
        for _ in range(commits // producers):
            await store.commit(append)

    began = perf_counter()
    await asyncio.gather(*(produce() for _ in range(producers)))
    return perf_counter() - began


def one_by_one(store: Store, commits: int) -> float:
    began = perf_counter()
    for _ in range(commits):
        store.write(append)
    return perf_counter() - began


def bare(connection: sqlite3.Connection, commits: int) -> float:
    began = perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO journal (at, payload) VALUES (?, ?)", (now(), str(PAYLOAD)))
        connection.execute("COMMIT")
    return perf_counter() - began


def bare_connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE)
    return connection


def measure_store(rounds: int, commits: int) -> Report:
    report = Report("commits of the store", {"rounds": rounds, "commits a round": commits})
    rates: dict[str, list[float]] = {}
    with bench_home() as home, Store.open(home / "missive.sqlite3") as store:
        connection = bare_connection(home / "bare.sqlite3")
        for number in range(rounds + 1):
            for name, seconds in (
                ("bare sqlite3, alone", bare(connection, commits)),
                ("store, alone", one_by_one(store, commits)),
                ("store, 64 producers", asyncio.run(together(store, commits * 8, 64)) / 8),
            ):
                if number:  # the first round warms up
                    rates.setdefault(name, []).append(commits / seconds)
        connection.close()
    alone = median(rates["bare sqlite3, alone"])
    for name, values in rates.items():
        rate = median(values)
        report.rows.append(
            {
                "writer": name,
                "commits/s": round(rate),
                "IQR": round(spread(values)),
                "× bare": round(rate / alone, 2),
            }
        )
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each writer")
    parser.add_argument("--commits", type=int, default=1000, help="commits of one round; eight times that for 64")
    options = parser.parse_args()
    finish(measure_store(options.rounds, options.commits), options.json)


if __name__ == "__main__":
    main()
