"""``bcast`` to many members against a bare fan-out with anyio and the a2a-sdk, persistence on.

Both sides are processes that were started once and warmed up, and take turns, round by round, on the same agent: a
frame ``bcast`` through ``missive adapter stdio``, and a line to `sdk_fan_out.py`. missive writes down the operation,
each request before it is sent and each answer; the fan-out keeps nothing. Then the agents are slow, and a round is
held against one ``send`` to one of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from measure import (
    HERE,
    TEXT,
    Goal,
    Report,
    arguments,
    environment,
    fast_agent,
    finish,
    median,
    missive,
    note,
    spread,
)

OF_FAN_OUT = 1.25
"""The most that a broadcast may take, as a share of the bare fan-out."""
OF_SLOWEST = 1.5
"""The most that it may take when members are slow, as a share of one of them alone."""
WARM_UP = 3


class Lines:
    """A process that answers a line with a line."""

    def __init__(self, argv: list[str], home: Path) -> None:
        self._process = subprocess.Popen(
            argv, env=environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            pass

    def read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("error: a measured process ended early")
        return line

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.read()


class Missive(Lines):
    """``missive adapter stdio``."""

    def run(self, **command: Any) -> float:
        """Run a command and return the seconds until its answer was there. Raises `SystemExit` if it failed."""
        frame = json.dumps({"id": "1", **command})
        began = perf_counter()
        answer = self.ask(frame)
        seconds = perf_counter() - began
        if '"ok":true' not in answer[:200]:
            raise SystemExit(f"error: {answer}")
        return seconds


class FanOut(Lines):
    """`sdk_fan_out.py`."""

    def run(self, text: str) -> float:
        return float(self.ask(text))


@contextmanager
def home_with_group(url: str, members: int) -> Iterator[Path]:
    """Make a throw-away home whose config has the group ``all`` with this many members, all of them at one agent."""
    with tempfile.TemporaryDirectory(prefix="missive-bench-") as folder:
        lines = ["[qos]", f"concurrency = {members}"]
        for number in range(members):
            lines += [f"[agents.m{number}]", f'base_url = "{url}"']
        places = ", ".join(f'{{ agent = "m{number}", rank = "{number}" }}' for number in range(members))
        lines += ["[groups.all]", f"members = [{places}]"]
        home = Path(folder)
        (home / "config.toml").write_text("\n".join(lines) + "\n")
        yield home


def measure_collectives(members: int, rounds: int, slow: float, slow_rounds: int) -> Report:
    report = Report("bcast", {"members": members, "rounds": rounds, "bytes of text": len(TEXT), "slow s": slow})
    with fast_agent() as url, home_with_group(url, members) as home:
        config = str(home / "config.toml")
        stdio = missive("adapter", "stdio", "--mode", "long-running", "--config", config)
        with (
            Missive(stdio, home) as ours,
            FanOut([sys.executable, str(HERE / "sdk_fan_out.py"), url, str(members)], home) as theirs,
        ):
            if theirs.read() != "ready\n":
                raise SystemExit("error: the fan-out did not start")
            for _ in range(WARM_UP):
                ours.run(command="bcast", group="all", message=TEXT)
                theirs.run(TEXT)
            broadcast, bare = [], []
            note(f"{rounds} rounds with {members} members …")
            for _ in range(rounds):
                broadcast.append(ours.run(command="bcast", group="all", message=TEXT))
                bare.append(theirs.run(TEXT))
            note(f"{slow_rounds} rounds with members that take {slow:g} s …")
            together, alone = [], []
            for _ in range(slow_rounds):
                together.append(ours.run(command="bcast", group="all", message=f"slow {slow}"))
                alone.append(ours.run(command="send", agent="m0", message=f"slow {slow}"))
    # Of each pair of rounds, which stood side by side in time; then the median of the pairs.
    ratio = median([a / b for a, b in zip(broadcast, bare, strict=True)])
    of_slowest = median([a / b for a, b in zip(together, alone, strict=True)])
    for name, seconds, share in (
        ("missive bcast", broadcast, ratio),
        ("anyio + a2a-sdk", bare, 1.0),
        (f"missive bcast, each takes {slow:g} s", together, of_slowest),
        (f"missive send, it takes {slow:g} s", alone, 1.0),
    ):
        report.rows.append(
            {
                "what": name,
                "ms": round(median(seconds) * 1000, 1),
                "IQR": round(spread(seconds) * 1000, 1),
                "× the other": round(share, 2),
            }
        )
    report.goals += [
        Goal(f"bcast to {members} / bare fan-out", ratio, OF_FAN_OUT),
        Goal(f"bcast to {members} slow members / one alone", of_slowest, OF_SLOWEST),
    ]
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--members", type=int, default=64, help="members of the group")
    parser.add_argument("--rounds", type=int, default=21, help="rounds of each side")
    parser.add_argument("--slow", type=float, default=1.0, help="seconds that a slow member takes")
    parser.add_argument("--slow-rounds", type=int, default=3, help="rounds with slow members")
    options = parser.parse_args()
    finish(measure_collectives(options.members, options.rounds, options.slow, options.slow_rounds), options.json)


if __name__ == "__main__":
    main()
