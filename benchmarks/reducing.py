"""Reducing many answers with each built-in reducer: four times as many take four times as long, not sixteen."""

from __future__ import annotations

from time import perf_counter

from measure import Goal, Report, arguments, finish, median, spread

from missive_host.plugins import Gates, catalog, load
from missive_host.protocols import Reducer
from missive_host.specs import AgentResult, ReductionContext

GOAL = 8.0
"""Four times as many may take eight times as long: linear, with room for bigger texts in memory; a square is 16."""
SETTINGS = {"custom": {"template": "{{inputs}}"}}


def answers(count: int) -> list[AgentResult]:
    return [
        AgentResult(
            f"a{number}", str(number), "gathered",
            text=f"answer {number % 7} " + "x" * 200, data=({"k": number % 5, "v": {"n": number % 3}},),
        )
        for number in range(count)
    ]  # fmt: skip


def once(reducer: Reducer, results: list[AgentResult], settings: dict[str, object]) -> float:
    context = ReductionContext("g", "c", tuple(result.agent for result in results), settings)
    began = perf_counter()
    reduction = reducer.start(context)
    for result in results:
        reduction.add(result)
    reduction.close(())
    return perf_counter() - began


def measure_reducing(count: int, rounds: int) -> Report:
    report = Report("reducing answers", {"answers": count, "rounds": rounds})
    plugins = load(catalog(Gates()))
    worst = 0.0
    few, many = answers(count), answers(4 * count)
    for spec, _ in plugins.reducers():
        settings = dict(SETTINGS.get(spec.name, {}))
        reducer: Reducer = plugins.factory(spec)()
        short = [once(reducer, few, settings) for _ in range(rounds)]
        long = [once(reducer, many, settings) for _ in range(rounds)]
        worst = max(worst, median(long) / median(short))
        report.rows.append(
            {
                "reducer": spec.name,
                f"{count}, ms": median(short) * 1e3,
                "IQR": spread(short) * 1e3,
                f"{4 * count}, ms": median(long) * 1e3,
                "x": median(long) / median(short),
            }
        )
    report.goals.append(Goal("four times as many answers take so many times as long, at the worst", worst, GOAL))
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--answers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    finish(measure_reducing(options.answers, options.rounds), options.json)


if __name__ == "__main__":
    main()
