"""What the benchmarks share: the agent under test, a home of their own, processes, figures, tables.

The scripts are run as they are (``python benchmarks/start.py``), so this folder is on the path. All times are wall
times in seconds unless a name says otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from missive_host import __version__
from missive_host.demo.fleet import AgentSpec, Fleet

HERE = Path(__file__).resolve().parent
AGENT = "fast"
"""Alias of the agent under test in the home of `bench_home`."""
TEXT = "echo " + "x" * 195
"""What is sent: 200 bytes. The agent answers with the same text in a Message."""


# --- what is measured against


def missive(*arguments: str) -> list[str]:
    """Return the command line of the ``missive`` that belongs to this interpreter."""
    script = shutil.which("missive", path=str(Path(sys.executable).parent)) or shutil.which("missive")
    if script is None:
        raise SystemExit("error: there is no `missive` beside this interpreter; install missive into its environment")
    return [script, *arguments]


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a measured process: its own home, and compiled modules are kept as usual."""
    unwanted = ("MISSIVE_", "XDG_", "PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONDEVMODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "MISSIVE_HOME": str(home)}


@contextmanager
def fast_agent() -> Iterator[str]:
    """Run the agent under test in a process of its own; yields its URL.

    It is fast, so that the client's side is what is measured: uvloop, httptools, the SDK's own tracing off.
    """
    if find_spec("uvloop") is None:
        note("uvloop is not installed, so the agent is slower and the ratios are nearer to 1:")
        note("  pip install -r requirements/bench.txt")
    with Fleet([AgentSpec(AGENT, bindings=("json-rpc", "http+json"), fast=True)]) as fleet:
        yield fleet[AGENT].url


@contextmanager
def bench_home(url: str | None = None) -> Iterator[Path]:
    """Make a throw-away home; with `url` the agent is registered in it and its card cached."""
    with tempfile.TemporaryDirectory(prefix="missive-bench-") as folder:
        home = Path(folder)
        if url is not None:
            for line in (("agent", "add", AGENT, url), ("agent", "inspect", AGENT)):
                subprocess.run(missive(*line), env=environment(home), check=True, stdout=subprocess.DEVNULL)
        yield home


# --- one process


_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float | None:
    """Return user and system time of a running process with all its threads; None where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a running process."""
    statm = Path(f"/proc/{pid}/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True).stdout
    return int(told) * 1024


# --- figures


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """Return the distance between the quartiles."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True)
class Goal:
    """A figure and where it should be."""

    what: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{'met   ' if self.met else 'MISSED'} {self.what}: {self.value:.2f} (goal {sign} {self.limit:g})"


@dataclass
class Report:
    """All that one benchmark found."""

    benchmark: str
    settings: Mapping[str, object]
    rows: list[dict[str, object]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def print(self) -> None:
        print(f"\n{self.benchmark}  ({', '.join(f'{name} {value}' for name, value in self.settings.items())})\n")
        print(table(self.rows))
        if self.goals:
            print()
        for goal in self.goals:
            print(goal)

    def document(self) -> dict[str, object]:
        return {
            "benchmark": self.benchmark,
            "machine": machine(),
            "settings": dict(self.settings),
            "results": self.rows,
            "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals],
        }


def machine() -> dict[str, object]:
    """Return what the figures were taken on."""
    from importlib.metadata import version

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "missive": __version__,
        "a2a_sdk": version("a2a-sdk"),
        "httpx": version("httpx"),
        "uvloop": version("uvloop") if find_spec("uvloop") else None,
    }


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows of the same keys as an aligned Markdown table; texts to the left, numbers to the right."""
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    text = [isinstance(rows[0][name], str) for name in names]

    def line(items: Sequence[str]) -> str:
        padded = (item.ljust(w) if left else item.rjust(w) for item, w, left in zip(items, widths, text, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if left else "-" * (width - 1) + ":" for width, left in zip(widths, text, strict=True)]
    return "\n".join([line(names), line(rule), *map(line, cells)])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


# --- the command line


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results as JSON, too")
    return parser


def finish(report: Report, target: Path | None) -> None:
    """Print a report and write it to `target`, if there is one."""
    report.print()
    if target is not None:
        target.write_text(json.dumps(report.document(), indent=2, ensure_ascii=False) + "\n")


def note(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr, flush=True)
