"""The built-in reducers, found as the host finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.plugins import catalog, load
from missive_host.specs import AgentResult, Reduced, ReducerSpec, ReductionContext

if TYPE_CHECKING:
    from collections.abc import Iterable

    from missive_host.protocols import Reducer

PLUGINS = load(tuple(record for record in catalog() if record.name == "reducers"), strict=True)
SPECS: dict[str, ReducerSpec] = {spec.name: spec for spec, _ in PLUGINS.reducers()}
REDUCERS: dict[str, Reducer] = {name: PLUGINS.factory(spec)() for name, spec in SPECS.items()}
TEMPLATE = "{{group}}/{{context_id}}/{{strategy}}/{{input_count}}\n{{inputs}}\n{{default_reduction}}"


def context(expected: Iterable[str] = (), **settings: Any) -> ReductionContext:
    return ReductionContext("g", "ctx-1", tuple(expected), settings)


def given(agent: str, text: str | None = None, *data: Any, **more: Any) -> AgentResult:
    """A result that holds something; its rank is that of the alias in the alphabet."""
    values = {"rank": agent, "status": "gathered", "task_id": f"task-{agent}", "text": text, "data": data} | more
    return AgentResult(agent=agent, **values)


def needed(name: str) -> dict[str, Any]:
    """The settings that a reducer cannot do without."""
    return {"template": TEMPLATE} if name == "custom" else {}


def reduce(name: str, results: Iterable[AgentResult], missing: tuple[str, ...] = (), **settings: Any) -> Reduced:
    """Reduce as the host does: in rank order if the reducer says so, and stop at an early answer."""
    results = list(results)
    expected = sorted({*(each.agent for each in results), *missing})
    if SPECS[name].ordered:
        place = {agent: number for number, agent in enumerate(expected)}
        results.sort(key=lambda each: place[each.agent])
    reduction = REDUCERS[name].start(context(expected, **(needed(name) | settings)))
    for each in results:
        early = reduction.add(each)
        if early is not None:
            return early
    return reduction.close(missing)
