"""How long a command takes from its start to its end, against a bare interpreter and a script with the SDK.

Each round starts every command once, one after another, so that what else the machine does meets all of them alike.
The agent is registered and its card cached; modules are compiled, as they are after the first run of an install.
"""

from __future__ import annotations

import subprocess
import sys
import time

from measure import (
    AGENT,
    HERE,
    TEXT,
    Goal,
    Report,
    arguments,
    bench_home,
    environment,
    fast_agent,
    finish,
    median,
    missive,
    spread,
)


def measure_start(rounds: int) -> Report:
    report = Report("process start", {"rounds": rounds})
    with fast_agent() as url, bench_home(url) as home:
        env = environment(home)
        commands = {
            "bare interpreter": [sys.executable, "-c", "pass"],
            "missive --version": missive("--version"),
            "missive agent list --json": missive("agent", "list", "--json"),
            "missive send": missive("send", AGENT, TEXT, "--json"),
            "a2a-sdk script": [sys.executable, str(HERE / "sdk_send.py"), url, TEXT],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
                if number:  # the first round compiles and fills caches
                    times[name].append(time.perf_counter() - began)
    took = {name: median(values) for name, values in times.items()}
    bare, sdk = took["bare interpreter"], took["a2a-sdk script"]
    for name, seconds in took.items():
        report.rows.append(
            {
                "command": name,
                "median ms": round(seconds * 1000, 1),
                "IQR ms": round(spread(times[name]) * 1000, 1),
                "× bare": round(seconds / bare, 2),
                "× SDK script": round(seconds / sdk, 3),
            }
        )
    report.goals = [
        Goal("--version / bare interpreter", took["missive --version"] / bare, 2),
        Goal("agent list / bare interpreter", took["missive agent list --json"] / bare, 10),
        Goal("send / SDK script", took["missive send"] / sdk, 0.6),
    ]
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="starts of each command")
    options = parser.parse_args()
    finish(measure_start(options.rounds), options.json)


if __name__ == "__main__":
    main()
