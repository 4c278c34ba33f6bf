"""The built-in routing policies, found as the host finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.plugins import catalog, load
from missive_host.specs import Candidate, PolicySpec, Requirements, RoutePlan, RouteRequest

if TYPE_CHECKING:
    from missive_host.protocols import RoutingPolicy

PLUGINS = load(tuple(record for record in catalog() if record.name == "policies"), strict=True)
SPECS: dict[str, PolicySpec] = {spec.name: spec for spec, _ in PLUGINS.policies()}
POLICIES: dict[str, RoutingPolicy] = {name: PLUGINS.factory(spec)() for name, spec in SPECS.items()}


def group(*agents: str, **more: Any) -> tuple[Candidate, ...]:
    """Candidates written ``a``, ``b=2`` (weight) and ``c!`` (resting)."""
    candidates = []
    for text in agents:
        name, _, weight = text.rstrip("!").partition("=")
        candidates.append(Candidate(name, name, weight=float(weight or 1), resting=text.endswith("!"), **more))
    return tuple(candidates)


def plan(
    policy: str, candidates: tuple[Candidate, ...], *, state: dict[str, Any] | None = None, **request: Any
) -> RoutePlan:
    needs = {name: request.pop(name) for name in tuple(request) if name in Requirements.__dataclass_fields__}
    return POLICIES[policy].plan(RouteRequest(Requirements(**needs), **request), candidates, state or {})


def reasons(made: RoutePlan) -> dict[str, str]:
    return {each.agent: each.reason for each in made.decisions}


def turns(policy: str, candidates: tuple[Candidate, ...], count: int, **request: Any) -> list[str]:
    """The agents that are chosen one after another."""
    state: dict[str, Any] = {}
    chosen: list[str] = []
    for _ in range(count):
        made = plan(policy, candidates, state=state, **request)
        chosen += made.targets
        state = made.state
    return chosen
