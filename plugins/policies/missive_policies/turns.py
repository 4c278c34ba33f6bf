"""Policies that give each agent its turn. What they remember is in the plan's state.

A resting agent has no turn while another that fits is awake. The state may be of another version, of other members or
damaged: what cannot be used counts as not remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from missive_host.specs import Candidate, RoutePlan, RouteRequest
from missive_policies.fitting import finite, no_match, shown, survey, weight_of, whole, written

_MOST_TURNS = 2**53 - 1
"""Whole numbers up to this survive any JSON reader."""


class RoundRobin:
    """The agent whose turn it is: number ``cursor`` modulo how many fit.

    State: ``{"cursor": int}``, the number of turns so far.
    """

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:
        field = survey(request, candidates)
        cursor = whole(state.get("cursor"), most=_MOST_TURNS)
        pool = field.pool
        if not pool:
            return no_match(field, "single", state={"cursor": cursor})
        turn = cursor % len(pool)
        chosen = {pool[turn].agent: f"its turn, {turn + 1} of {len(pool)}"}
        following = {"cursor": cursor + 1 if cursor < _MOST_TURNS else 0}
        return written(field, "single", chosen, lambda _: "not its turn", state=following)


class Weighted:
    """Smooth weighted round-robin, as nginx does it.

    At each turn every agent that fits gains its weight, the one that has most is chosen and pays the sum. So over a
    cycle each is chosen as often as its weight says, and a heavy one's turns are spread. State:
    ``{"current": {alias: float}}``, what each has, in units of weight. A new member begins with 0, one that has left is
    forgotten, and one that rests or does not fit keeps what it has.
    """

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:
        field = survey(request, candidates)
        kept = state.get("current")
        kept = kept if isinstance(kept, Mapping) else {}
        current = {each.agent: finite(kept[each.agent]) for each in candidates if each.agent in kept}
        pool = field.pool
        if not pool:
            return no_match(field, "single", state={"current": current})
        # the units are those of all candidates, so that what a resting one has is not rounded while it rests
        weights, unit = _whole_weights([weight_of(each) for each in candidates])
        most = sum(weights)
        gain = {each.agent: weight for each, weight in zip(candidates, weights, strict=True)}
        total = sum(gain[each.agent] for each in pool)
        has = [_between(current.get(each.agent, 0.0) / unit, most) + gain[each.agent] for each in pool]
        turn = has.index(max(has))  # the first of equals
        has[turn] -= total
        for each, amount in zip(pool, has, strict=True):
            current[each.agent] = amount * unit
        of = shown(total * unit)

        def share(each: Candidate) -> str:
            return f"weight {shown(gain[each.agent] * unit)} of {of}"

        chosen = {pool[turn].agent: f"its turn ({share(pool[turn])})"}
        return written(
            field, "single", chosen, lambda each: f"not its turn ({share(each)})", state={"current": current}
        )  # fmt: skip


_SCALES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_FINEST = 1_000_000
_MOST_WHOLE = 2**40
"""The sum of a thousand such weights is still an exact float."""


def _whole_weights(weights: list[float]) -> tuple[list[int], float]:
    """Return the weights as whole numbers, which add up exactly, and the weight that 1 of them stands for.

    Weights with up to six decimals are kept exactly. Others are rounded to a millionth of the highest. If nobody has
    a weight, all have the same.
    """
    highest = max(weights)
    if not highest:
        return [1] * len(weights), 1.0
    for scale in _SCALES:
        if highest * scale > _MOST_WHOLE:
            break
        numbers = [round(weight * scale) for weight in weights]
        if all(number / scale == weight for number, weight in zip(numbers, weights, strict=True)):
            return numbers, 1 / scale
    # whoever has any weight has a turn now and then
    numbers = [max(round(weight / highest * _FINEST), int(weight > 0)) for weight in weights]
    return numbers, highest / _FINEST


def _between(amount: float, most: int) -> int:
    """Return what an agent has as a whole number; nobody has more than the sum of all weights, or owes more."""
    return round(min(max(amount, -float(most)), float(most)))
