"""All benchmarks with modest defaults: some eight minutes on two cores."""

from __future__ import annotations

import json
from collections.abc import Callable

from collectives import measure_collectives
from gateway import measure_files, measure_http, measure_receipts, measure_start as measure_gateway_start
from journal import measure_journal
from measure import Report, arguments
from memory import measure_memory
from reducing import measure_reducing
from routing import measure_routing
from start import measure_start
from stdio import measure_stdio
from store import measure_store
from telemetry import measure_telemetry


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, default=30_000, help="messages of the memory benchmark")
    options = parser.parse_args()
    steps: list[Callable[[], Report]] = [
        lambda: measure_start(15),
        lambda: measure_stdio(7, 1024, [1, 16, 64]),
        lambda: measure_store(5, 1000),
        lambda: measure_journal(100_000, 30),
        lambda: measure_routing(1000, 50),
        lambda: measure_reducing(1000, 30),
        lambda: measure_collectives(64, 15, 1.0, 3),
        lambda: measure_http(5, 1024, [1, 16, 64]),
        lambda: measure_files(500, 30),
        lambda: measure_receipts(10_000),
        lambda: measure_gateway_start(100_000, 5),
        lambda: measure_telemetry(5, 1024, 16),
        lambda: measure_memory(options.frames, 2_500, 32),
    ]
    reports = []
    for step in steps:
        reports.append(step())
        reports[-1].print()
    if options.json is not None:
        documents = [report.document() for report in reports]
        options.json.write_text(json.dumps(documents, indent=2, ensure_ascii=False) + "\n")
    missed = [str(goal) for report in reports for goal in report.goals if not goal.met]
    print("\nall goals are met" if not missed else "\n" + "\n".join(missed))


if __name__ == "__main__":
    main()
