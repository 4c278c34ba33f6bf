"""Resident memory of a long-running stdio process: it must not grow with the frames that went through.

Persistence is on, so the database grows with every message; the process is asked for its memory after each batch.
"""

from __future__ import annotations

from time import perf_counter

from driver import StdioProcess
from measure import Goal, Report, arguments, bench_home, fast_agent, finish, median, note, resident_bytes

MIB = 1024 * 1024
TEXT = "echo hi"
WARM_UP = 0.2
"""Share of the frames after which caches and pools should be full."""
GROWTH_PER_100_000 = 2.0
"""MiB that a process may grow by and still be called flat: less than its memory moves about by itself."""
MEANINGFUL = 20_000
"""Frames from which on growth is told apart from filling."""


def measure_memory(frames: int, every: int, in_flight: int) -> Report:
    report = Report("memory of stdio", {"frames": frames, "in flight": in_flight})
    samples: list[tuple[int, float]] = []
    with fast_agent() as url, bench_home(url) as home, StdioProcess(home, in_flight, TEXT) as missive:
        missive.run(in_flight, in_flight)  # or the first sample would catch it in the middle of its imports
        began = perf_counter()
        for done in range(0, frames + 1, every):
            if done:
                missive.run(in_flight, every)
            resident = resident_bytes(missive.pid) / MIB
            disk = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / MIB
            samples.append((done, resident))
            report.rows.append({"frames": done, "resident MiB": round(resident, 2), "database MiB": round(disk, 1)})
            note(f"{done} frames, {resident:.1f} MiB, {perf_counter() - began:.0f} s")
    settled = [(done, resident) for done, resident in samples if done and done >= frames * WARM_UP]
    growth = slope(settled) * 100_000
    report.settings = {
        **report.settings,
        "MiB after warm-up": round(median([resident for _, resident in settled]), 2),
        "highest": round(max(resident for _, resident in samples), 2),
        "MiB per 100,000 frames": round(growth, 2),
    }
    if frames >= MEANINGFUL:
        report.goals = [Goal("growth in MiB over 100,000 frames", growth, GROWTH_PER_100_000)]
    else:
        note(f"fewer than {MEANINGFUL} frames say nothing about growth")
    return report


def slope(samples: list[tuple[int, float]]) -> float:
    """Return MiB a frame: the median of the slopes between any two samples (Theil-Sen), which no outlier moves."""
    slopes = [(y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(samples) for x2, y2 in samples[i + 1 :]]
    return median(slopes) if slopes else 0.0


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, default=100_000, help="messages to send")
    parser.add_argument("--every", type=int, default=5_000, help="frames between two samples")
    parser.add_argument("--in-flight", type=int, default=32, help="messages at a time")
    options = parser.parse_args()
    finish(measure_memory(options.frames, options.every, options.in_flight), options.json)


if __name__ == "__main__":
    main()
