"""Who can take the message at all, and how a plan is written down. Every policy begins and ends here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from missive_host.errors import ValidationError, nearest
from missive_host.specs import Candidate, Decision, PlanMode, Requirements, RoutePlan, RouteRequest

ALL_REST = "it is resting after failures, but so are all that fit"
TRIED_LAST = "last, because it is resting after failures"
LEFT_IN_PEACE = "it fits, but is resting after failures"

_LISTS = {
    "tag": ("tags", "the tag "),
    "capability": ("capabilities", "the capability "),
    "input_mode": ("input_modes", "input as "),
    "output_mode": ("output_modes", "output as "),
}
"""Requirements that are values in a list: their label, the field in `Requirements` and `Candidate`, and in words."""
_MOST_NAMES = 20
"""How many aliases an error's help lists."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a candidate does not fit."""

    missing: tuple[str, ...]
    matched: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Field:
    """The candidates of one request, sorted into those that fit, those that fit but rest, and the others."""

    request: RouteRequest
    candidates: tuple[Candidate, ...]
    awake: tuple[Candidate, ...]
    resting: tuple[Candidate, ...]
    lacking: Mapping[str, Lack]
    """Alias -> why, of those that do not fit."""
    labels: tuple[str, ...]
    """All that is required, as in `Decision.matched`."""

    @property
    def pool(self) -> tuple[Candidate, ...]:
        """Those among whom one is chosen: the resting ones only if there is nobody else."""
        return self.awake or self.resting

    @property
    def fitting(self) -> tuple[Candidate, ...]:
        """All that fit; the resting ones last."""
        return self.awake + self.resting

    def in_pool(self, agent: str | None) -> Candidate | None:
        """Return the candidate of this alias if one may choose it."""
        return next((each for each in self.pool if each.agent == agent), None)

    def why_not(self, agent: str) -> str:
        """Say why a candidate that one would have liked to choose is not in the pool."""
        lack = self.lacking.get(agent)
        return f"{agent} {lack.reason if lack else 'is resting after failures'}"


def survey(request: RouteRequest, candidates: tuple[Candidate, ...]) -> Field:
    """Sort the candidates by whether they meet the requirements.

    Raises `ValidationError` if the preferred agent is not among them.
    """
    preferred = request.preferred_agent
    if preferred is not None and not any(each.agent == preferred for each in candidates):
        aliases = [each.agent for each in candidates]
        raise ValidationError(
            f"the preferred agent `{preferred}` is not among the candidates{nearest(preferred, aliases)}",
            help=f"the candidates are {_listed(aliases)}" if aliases else "there are no candidates",
        )
    wanted = _wanted(request.requirements)
    awake: list[Candidate] = []
    resting: list[Candidate] = []
    lacking: dict[str, Lack] = {}
    known: dict[tuple[tuple[str, ...], bool], Lack] = {}  # many candidates lack the same
    for each in candidates:
        missing = tuple(filter(None, [_lacked(need, each) for need in wanted])) if wanted else ()
        if missing:
            carded = each.streaming is not None
            if (missing, carded) not in known:
                known[missing, carded] = _lack(wanted, each, missing, carded=carded)
            lacking[each.agent] = known[missing, carded]
        elif each.resting:
            resting.append(each)
        else:
            awake.append(each)
    return Field(request, candidates, tuple(awake), tuple(resting), lacking, tuple(need.label for need in wanted))


@dataclass(frozen=True, slots=True)
class _Need:
    """One requirement: `value` is in the candidate's list `field`, or if it is None the fact `field` is true."""

    kind: str
    field: str
    value: str | None = None

    @property
    def label(self) -> str:
        return f"{self.kind}:{'true' if self.value is None else self.value}"


def _wanted(needs: Requirements) -> tuple[_Need, ...]:
    """Return each requirement once."""
    wanted = [_Need(kind, name, value) for kind, (name, _) in _LISTS.items() for value in getattr(needs, name)]
    wanted += [_Need(name, name) for name in ("streaming", "push_notifications") if getattr(needs, name)]
    return tuple(dict.fromkeys(wanted))


def _lacked(need: _Need, candidate: Candidate) -> str | None:
    """Return the label of a requirement that is not met: ``tag:x``, ``streaming:false``, ``streaming:unknown``."""
    has = getattr(candidate, need.field)
    if need.value is not None:
        return None if need.value in has else need.label
    if has:
        return None
    return f"{need.kind}:{'unknown' if has is None else 'false'}"


def _lack(wanted: tuple[_Need, ...], candidate: Candidate, missing: tuple[str, ...], *, carded: bool) -> Lack:
    words = [
        need.kind.replace("_", " ") if need.value is None else _LISTS[need.kind][1] + need.value
        for need in wanted
        if _lacked(need, candidate)
    ]
    matched = tuple(need.label for need in wanted if not _lacked(need, candidate))
    said = " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    return Lack(missing, matched, f"lacks {said}" + ("" if carded else ", as far as is known: it has no card"))


def written(
    field: Field,
    mode: PlanMode,
    chosen: Mapping[str, str],
    left: Callable[[Candidate], str],
    *,
    despite: str = ALL_REST,
    rested: str = LEFT_IN_PEACE,
    required: int | None = None,
    state: dict[str, Any] | None = None,
) -> RoutePlan:
    """Write a plan with one decision for each candidate, in their order.

    `chosen` are the targets in order, each with its reason; `left` says why a candidate that fits was not chosen.
    `despite` is added to the reason of a target that rests, `rested` is the reason of one that rests and was left.
    """
    decisions = []
    for each in field.candidates:
        agent = each.agent
        lack = field.lacking.get(agent)
        if lack is not None:
            decisions.append(Decision(agent, False, lack.reason, lack.missing, lack.matched))
        elif agent in chosen:
            reason = f"{chosen[agent]}; {despite}" if each.resting else chosen[agent]
            decisions.append(Decision(agent, True, reason, (), field.labels))
        else:
            reason = rested if each.resting else left(each)
            decisions.append(Decision(agent, False, reason, (), field.labels))
    return RoutePlan(mode, tuple(chosen), tuple(decisions), required, {} if state is None else state)


def no_match(field: Field, mode: PlanMode, *, state: dict[str, Any] | None = None) -> RoutePlan:
    """Write the plan of a request that no candidate fits."""
    return written(field, mode, {}, lambda _: "it fits", state=state)


class Stateless(ABC):
    """A policy that remembers nothing."""

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:  # noqa: ARG002
        """Return the plan. Raises `ValidationError` for a request that cannot be meant."""
        return self.choose(survey(request, candidates))

    @abstractmethod
    def choose(self, field: Field) -> RoutePlan:
        """Choose among the candidates that fit."""


def weight_of(candidate: Candidate) -> float:
    """Return a weight that can be counted with: what is not a positive number is 0."""
    weight = candidate.weight
    return weight if 0 < weight <= _MOST_WEIGHT else (_MOST_WEIGHT if weight > 0 else 0.0)


_MOST_WEIGHT = 1e100
"""So that the sum of many weights is still a number."""


def shown(number: float) -> str:
    """Return a number as people write it: ``3``, ``0.5``."""
    return f"{number:.6g}"


def whole(value: Any, *, most: int) -> int:
    """Return a whole number from 0 to `most` that a policy remembered, or 0 for anything else."""
    return value if type(value) is int and 0 <= value <= most else 0


def finite(value: Any) -> float:
    """Return a number that a policy remembered, or 0 for anything else."""
    if type(value) not in (int, float):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _listed(aliases: list[str]) -> str:
    more = len(aliases) - _MOST_NAMES
    return ", ".join(aliases[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
