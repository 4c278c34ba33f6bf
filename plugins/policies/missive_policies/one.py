"""Policies that choose one agent and need to remember nothing.

A resting agent is chosen by these only if all that fit are resting: one message goes to one agent, so it should go to
one that is likely to take it.
"""

from __future__ import annotations

from collections.abc import Callable

from missive_host.specs import Candidate, RoutePlan
from missive_policies.fitting import Field, Stateless, no_match, shown, weight_of, written


def only(field: Field, best: Candidate, reason: str, left: Callable[[Candidate], str] | None = None) -> RoutePlan:
    """Write the plan that chooses `best`."""
    return written(field, "single", {best.agent: reason}, left or (lambda _: f"it fits, but {best.agent} is taken"))


def preferred_or_first(field: Field) -> tuple[Candidate, str]:
    """Return the preferred agent, else the first of a pool that is not empty, with the reason."""
    preferred = field.request.preferred_agent
    if preferred is None:
        return field.pool[0], "the first that fits"
    liked = field.in_pool(preferred)
    if liked is not None:
        return liked, "the request prefers it"
    return field.pool[0], f"the first that fits; the preferred {field.why_not(preferred)}"


class Direct(Stateless):
    """The preferred agent, else the first."""

    def choose(self, field: Field) -> RoutePlan:
        if not field.pool:
            return no_match(field, "single")
        return only(field, *preferred_or_first(field))


class HighestWeight(Stateless):
    """The heaviest agent; of several, the first. The reference calls this ``weighted``."""

    def choose(self, field: Field) -> RoutePlan:
        if not field.pool:
            return no_match(field, "single")
        best = max(field.pool, key=weight_of)  # the first of equals
        highest = weight_of(best)

        def left(each: Candidate) -> str:
            weight = weight_of(each)
            if weight == highest:
                return f"weight {shown(weight)} too, but {best.agent} comes first"
            return f"weight {shown(weight)} is less than {shown(highest)}"

        return only(field, best, f"the highest weight, {shown(highest)}", left)


class LeastBusy(Stateless):
    """The agent with the fewest messages in flight for its weight; of several, the heaviest, then the first.

    An agent of weight 2 with two messages is as busy as one of weight 1 with one.
    """

    def choose(self, field: Field) -> RoutePlan:
        if not field.pool:
            return no_match(field, "single")
        best = min(field.pool, key=_busyness)
        fewest = _busyness(best)

        def left(each: Candidate) -> str:
            if _busyness(each) == fewest:
                return f"{_load(each)} too, but {best.agent} comes first"
            return f"{_load(each)}, {best.agent} has {best.in_flight} at {shown(weight_of(best))}"

        return only(field, best, f"least busy: {_load(best)}", left)


def _busyness(candidate: Candidate) -> tuple[float, float]:
    weight = weight_of(candidate)
    # nothing is asked of an agent without weight while there is another
    load = max(candidate.in_flight, 0) / weight if weight else float("inf")
    return load, -weight


def _load(candidate: Candidate) -> str:
    return f"{candidate.in_flight} in flight at weight {shown(weight_of(candidate))}"
