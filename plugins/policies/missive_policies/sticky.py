"""The policy that keeps a conversation with one agent."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from math import log
from typing import Any

from missive_host.specs import Candidate, RoutePlan, RouteRequest
from missive_policies.fitting import ALL_REST, Field, no_match, survey, weight_of, written
from missive_policies.one import preferred_or_first

MOST_PINS = 1000
"""How many contexts are remembered; the one that was not used for longest is forgotten first.

Forgetting does little harm: as long as the group is as it was, the same agent is chosen again.
"""

_THERE = "it is resting after failures, but what the context is about is known there"


class Sticky:
    """One context stays with one agent while that is a candidate, even if it rests: the conversation is there.

    A context that an agent has had already, before the policy was asked, stays with that one. A new context gets the
    preferred agent, else one by rendezvous hashing: each agent's chance is its weight, and when an agent comes or goes
    only contexts that it has or had are concerned. Resting agents get a new context only if all that fit are resting.
    If the context's agent lacks what one message requires, that message goes to another one and the context stays.
    Without a context it is as `direct`.

    State: ``{"pins": [[context, alias], …]}``, the latest used last.
    """

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:
        field = survey(request, candidates)
        pins = _pins(state.get("pins"))
        if not field.pool:
            return no_match(field, "single", state=_kept(pins))
        if request.context is None:
            best, reason = preferred_or_first(field)
            return _only(field, best, f"{reason}; there is no context to keep", pins)
        context = request.context
        holder = pins.get(context, request.context_agent)
        pinned = next((each for each in candidates if each.agent == holder), None)
        if pinned is not None and pinned.agent not in field.lacking:
            _pin(pins, context, pinned.agent)
            return _only(field, pinned, "the context is with it", pins)
        if pinned is not None:
            best, reason = _hashed(context, field)
            return _only(field, best, f"{reason}, for this message: {field.why_not(pinned.agent)}", pins)
        liked = field.in_pool(request.preferred_agent)
        best, reason = (liked, "the request prefers it") if liked else _hashed(context, field)
        before = f"; {holder}, which had the context, is no candidate now" if holder is not None else ""
        _pin(pins, context, best.agent)
        return _only(field, best, f"{reason}; the context stays with it{before}", pins)


def _only(field: Field, best: Candidate, reason: str, pins: dict[str, str]) -> RoutePlan:
    return written(
        field, "single", {best.agent: reason}, lambda _: f"it fits, but {best.agent} is taken",
        despite=_THERE if field.awake else ALL_REST, state=_kept(pins),
    )  # fmt: skip


def _hashed(context: str, field: Field) -> tuple[Candidate, str]:
    """Choose by weighted rendezvous hashing: the least of -ln(hash) / weight, where hash is between 0 and 1."""
    start = blake2b(context.encode("utf-8", "surrogatepass") + b"\0", digest_size=8)
    unweighted = not any(weight_of(each) for each in field.pool)

    def distance(each: Candidate) -> float:
        weight = 1.0 if unweighted else weight_of(each)
        if not weight:
            return float("inf")
        hashed = start.copy()
        hashed.update(each.agent.encode("utf-8", "surrogatepass"))
        return -log((int.from_bytes(hashed.digest(), "big") + 0.5) / 2**64) / weight

    return min(field.pool, key=distance), "chosen for this context by hash and weight"


def _pins(kept: Any) -> dict[str, str]:
    """Read the pins; what cannot be used is left out."""
    if not isinstance(kept, (list, tuple)):
        return {}
    pins: dict[str, str] = {}
    for item in kept:
        if isinstance(item, (list, tuple)) and len(item) == 2 and all(isinstance(part, str) for part in item):
            _pin(pins, *item)
    return pins


def _pin(pins: dict[str, str], context: str, agent: str) -> None:
    pins.pop(context, None)
    pins[context] = agent


def _kept(pins: dict[str, str]) -> dict[str, Any]:
    return {"pins": [[context, agent] for context, agent in list(pins.items())[-MOST_PINS:]]}
