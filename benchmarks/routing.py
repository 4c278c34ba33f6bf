"""Planning a route over many candidates: each policy alone, and the whole road from the store and back to it.

The candidates are members of one group, each with a fresh card of its own. ``plan`` is the policy alone, which the goal
is about: the candidates are there, the state is that of the plan before, everything is required. ``road`` is all that
a message to the group costs before it is sent: the members, registrations, cards and breakers are read, the policy
is asked, its state and the plan are written down, with a reason for each candidate, and are on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from measure import Goal, Report, arguments, bench_home, finish, median, spread

from missive_host.commands import Requirements, Send
from missive_host.config import load as load_config
from missive_host.core import Core
from missive_host.ids import now
from missive_host.protocols import RoutingPolicy
from missive_host.routing.candidates import group_candidates
from missive_host.routing.planner import free, plan_for
from missive_host.security.options import call_options
from missive_host.specs import Candidate, Requirements as Needs, RouteRequest
from missive_host.store import AgentRow, CardRow, GroupRow, MemberRow, Tables

GROUP = "crowd"
GOAL = 5.0
"""Milliseconds that a policy may take for 1,000 candidates."""
NEEDS: dict[str, Any] = {
    "tags": ("fast",),
    "capabilities": ("translate",),
    "input_modes": ("text/plain",),
    "output_modes": ("text/plain",),
}
LATER = "2999-01-01T00:00:00.000000Z"


def card(number: int) -> dict[str, Any]:
    """Return a card as agents have them; every third does not stream."""
    skill = {"id": "translate", "name": "Translate", "description": "From one language to another.", "tags": ["fast"]}
    other = {"id": f"skill-{number}", "name": f"Skill {number}", "description": "Something else.", "tags": ["own"]}
    return {
        "name": f"Agent {number}",
        "description": "One of many.",
        "version": "1.0.0",
        "supportedInterfaces": [
            {"url": f"http://127.0.0.1:9/{number}", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        ],
        "capabilities": {"streaming": number % 3 > 0},
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill, other],
    }


def crowd(core: Core, count: int) -> None:
    """Fill the store."""
    at = now()

    def write(tables: Tables) -> None:
        tables.groups.create(GroupRow(name=GROUP, created_at=at, updated_at=at))
        for number in range(count):
            alias, url = f"agent-{number:04}", f"http://127.0.0.1:9/{number}"
            tables.agents.add(AgentRow(alias=alias, base_url=url, tags=("fast",), created_at=at, updated_at=at))
            tables.agents.put_card(CardRow(alias=alias, url=url, card=card(number), fetched_at=at, expires_at=LATER))
            tables.groups.put_member(
                MemberRow(
                    group=GROUP, agent=alias, rank=str(number), weight=1 + number % 7, created_at=at, updated_at=at
                )
            )

    core.store.write(write)


def plans(policy: RoutingPolicy, candidates: tuple[Candidate, ...], rounds: int) -> list[float]:
    """Return the seconds of each plan; the state goes from one to the next."""
    request = RouteRequest(Needs(**NEEDS), ("text/plain",), context="context", preferred_agent=candidates[-1].agent)
    state: dict[str, Any] = {"pins": [[f"context-{number}", candidates[0].agent] for number in range(1000)]}
    taken = []
    for _ in range(rounds):
        began = perf_counter()
        plan = policy.plan(request, candidates, state)
        taken.append(perf_counter() - began)
        assert plan.targets
        state = plan.state
    return taken


async def roads(core: Core, policy: str, rounds: int) -> list[float]:
    command = Send(group=GROUP, message="hello", policy=policy, context="context", requirements=Requirements(**NEEDS))
    taken = []
    for _ in range(rounds):
        began = perf_counter()
        planned = await plan_for(core, command, part_modes=("text/plain",))
        taken.append(perf_counter() - began)
        free(core, planned.reserved)
    return taken


def _core(home: Path) -> Core:
    environ = {"MISSIVE_HOME": str(home), "HOME": str(home)}
    settings = load_config(env=environ)
    return Core(settings, call_options(protocol=settings.config.protocol, environ=environ))


async def _measure(report: Report, count: int, rounds: int) -> None:
    with bench_home() as home:
        core = _core(home)
        try:
            crowd(core, count)
            candidates = await group_candidates(core, GROUP)
            slowest = 0.0
            for spec, _ in core.plugins.policies():
                make: Callable[[], RoutingPolicy] = core.plugins.factory(spec)
                alone = plans(make(), candidates, rounds)
                road = await roads(core, spec.name, max(3, rounds // 5))
                slowest = max(slowest, median(alone))
                report.rows.append(
                    {
                        "policy": spec.name,
                        "plan, ms": median(alone) * 1e3,
                        "IQR": spread(alone) * 1e3,
                        "road, ms": median(road) * 1e3,
                        "road IQR": spread(road) * 1e3,
                    }
                )
        finally:
            await core.aclose()
    report.goals.append(Goal(f"planning over {count} candidates, the slowest policy, ms", slowest * 1e3, GOAL))


def measure_routing(count: int, rounds: int) -> Report:
    report = Report("planning a route", {"candidates": count, "rounds": rounds})
    asyncio.run(_measure(report, count, rounds))
    return report


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=50, help="plans of each policy; a fifth as many whole roads")
    options = parser.parse_args()
    finish(measure_routing(options.candidates, options.rounds), options.json)


if __name__ == "__main__":
    main()
