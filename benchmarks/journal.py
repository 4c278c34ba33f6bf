"""Looking things up in a journal of 1,000 events and in one of 1,000,000: each should cost the same.

Both are filled with the same traffic: of four agents, with contexts of a hundred events, and a few events of kinds,
agents and times of their own right at the beginning. Each look-up is a whole command, as the command line runs it once
it has started. What the journal costs whoever writes is in ``store.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from measure import Goal, Report, arguments, bench_home, environment, finish, median, note

from missive_host import commands as c
from missive_host.config import load
from missive_host.core import Core
from missive_host.security.options import call_options
from missive_host.store import ContextRow, EventRow, MessageRow, Store, Tables, TaskRow

SHORT = 1_000
GOAL = 2.0
AGENTS = ("ann", "bob", "cleo", "dave")
TYPES = (
    "a2a.stream.request",
    *("a2a.stream.status_update",) * 5,
    *("a2a.stream.artifact_update",) * 3,
    "a2a.stream.task",
)
IN_CONTEXT, IN_TASK = 100, 10
PAYLOAD = {"statusUpdate": {"taskId": "t", "status": {"state": "TASK_STATE_WORKING"}, "note": "x" * 150}}
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 10_000


def at(number: int) -> str:
    return (BEGAN + timedelta(seconds=number)).isoformat(timespec="microseconds")[:26] + "Z"


def event(number: int) -> EventRow:
    """Ten events are one message and its task, for one delivery; of a hundred the first is another kind."""
    task = number // IN_TASK
    early = number < 5
    kind = "missive.route.planned" if early else TYPES[number % IN_TASK]
    millis = f"{int((BEGAN.timestamp() + number) * 1000):012x}"  # ids tell when they were made
    return EventRow(
        event_id=f"evt/{kind}/{millis[:8]}-{millis[8:]}-7000-8000-{number:012x}",
        timestamp=at(number),
        source="gateway:webhook" if early else "core",
        event_type=kind,
        agent_alias="quiet" if early else AGENTS[task % len(AGENTS)],
        context_id=f"context-{number // IN_CONTEXT}",
        task_id=f"task-{task}",
        message_id=f"message-{task}",
        work_id=f"work-{task}",
        payload=PAYLOAD,
    )


def state(number: int, tables: Tables) -> None:
    """Write what the tables have of a task: it, its context, its request."""
    agent, time = AGENTS[number % len(AGENTS)], at(number * IN_TASK)
    context, task, message = f"context-{number * IN_TASK // IN_CONTEXT}", f"task-{number}", f"message-{number}"
    if number * IN_TASK % IN_CONTEXT == 0:
        tables.contexts.create(ContextRow(context_id=context, created_at=time, updated_at=time))
    body = {"id": task, "status": {"state": "TASK_STATE_COMPLETED"}}
    tables.tasks.upsert(
        TaskRow(
            agent_alias=agent, task_id=task, context_id=context, state="completed", task=body, created_at=time,
            updated_at=time,
        )
    )  # fmt: skip
    tables.messages.add_request(
        MessageRow(
            agent_alias=agent, message_id=message, direction="request", context_id=context, task_id=task, role="user",
            content={"messageId": message, "parts": [{"text": "hello"}]}, created_at=time, updated_at=time,
        )
    )  # fmt: skip


def fill(store: Store, count: int) -> None:
    for begin in range(0, count, BATCH):
        numbers = range(begin, min(begin + BATCH, count))

        def write(tables: Tables, numbers: range = numbers) -> None:
            for number in numbers:
                if number % IN_TASK == 0:
                    state(number // IN_TASK, tables)
                tables.events.append(event(number))

        store.write(write)


def looks(count: int) -> Iterator[tuple[str, Callable[[Core], object]]]:
    """Yield what is looked up in a journal of so many events."""

    def run(command: c.Command) -> Callable[[Core], object]:
        return lambda core: core.run_local(command)

    middle = count // 2 // IN_TASK
    lists = {
        "list": c.EventsList(limit=20),
        "list --agent": c.EventsList(agent="ann", limit=20),
        "list --agent, a rare one": c.EventsList(agent="quiet", limit=20),
        "list --type a2a.stream.*": c.EventsList(types=("a2a.stream.*",), limit=20),
        "list --type, a rare one": c.EventsList(types=("missive.route.*",), limit=20),
        "list --type, none": c.EventsList(types=("missive.job.*",), limit=20),
        "list --agent --type": c.EventsList(agent="bob", types=("a2a.stream.task",), limit=20),
        "list --source": c.EventsList(source="core", limit=20),
        "list --source, a rare one": c.EventsList(source="gateway:webhook", limit=20),
        "list --message": c.EventsList(message=f"message-{middle}", limit=20),
        "list --task": c.EventsList(task=f"task-{middle}", limit=20),
        "list --work": c.EventsList(work=f"work-{middle}", limit=20),
        "list --context": c.EventsList(context=f"context-{middle * IN_TASK // IN_CONTEXT}", limit=20),
        "list --since": c.EventsList(since=at(count - 50), limit=20),
        "list --until": c.EventsList(until=at(count // 2), limit=20),
        "list --type --since": c.EventsList(types=("a2a.stream.task",), since=at(count - 500), limit=20),
        "list --type --until": c.EventsList(types=("a2a.stream.task",), until=at(count // 2), limit=20),
    }
    for name, command in lists.items():
        yield name, run(command)
    yield "show, by id", lambda core: core.store.read(lambda t: t.events.find(_id_of(t, count // 2)))
    for name, patterns in (("a step of tail", ()), ("a step of tail --type, a rare one", ("missive.route.*",))):
        yield (
            name,
            lambda core, patterns=patterns: core.store.read(  # type: ignore[misc]
                lambda t: t.events.tail(t.events.last_sequence() - 10, types=patterns)
            ),
        )
    yield (
        "a step of an event sink",
        lambda core: core.store.read(
            lambda t: t.events.follow(t.events.last_sequence() - 10, ("missive.*",), limit=100)
        ),
    )
    for what in ("message", "task", "work", "context"):
        key = f"{what}-{middle * IN_TASK // IN_CONTEXT if what == 'context' else middle}"
        yield f"trace, of a {'delivery' if what == 'work' else what}", run(c.Trace(id=key))


def _id_of(tables: Tables, sequence: int) -> str:
    row = tables.events.find(str(sequence))
    assert row is not None
    return row.event_id


def measure(home: Path, count: int, rounds: int) -> dict[str, float]:
    core = Core(load(env=environment(home)), call_options(environ=environment(home)))
    began = perf_counter()
    fill(core.store, count)
    note(f"{count} events written in {perf_counter() - began:.0f} s")
    found: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, look in looks(count):
            began = perf_counter()
            look(core)
            if number:  # the first round warms up
                found.setdefault(name, []).append(perf_counter() - began)
    core.store.close()
    return {name: median(seconds) for name, seconds in found.items()}


def measure_journal(count: int, rounds: int) -> Report:
    report = Report("look-ups in the journal", {"events": f"{SHORT} and {count}", "rounds": rounds})
    with bench_home() as one, bench_home() as other:
        short, long = measure(one, SHORT, rounds), measure(other, count, rounds)
    for name in short:
        ratio = long[name] / short[name]
        report.rows.append(
            {
                "look-up": name,
                "short, ms": round(short[name] * 1e3, 2),
                "long, ms": round(long[name] * 1e3, 2),
                "× short": round(ratio, 2),
            }
        )
    worst = max(short, key=lambda name: long[name] / short[name])
    report.goals.append(Goal(f"the worst of them, {worst}", long[worst] / short[worst], GOAL))
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the long journal")
    parser.add_argument("--rounds", type=int, default=50, help="how often each look-up is made")
    options = parser.parse_args()
    finish(measure_journal(options.events, options.rounds), options.json)


if __name__ == "__main__":
    main()
