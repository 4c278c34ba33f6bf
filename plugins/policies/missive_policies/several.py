"""Policies that choose several agents, or put them in an order. They remember nothing."""

from __future__ import annotations

from missive_host.errors import ValidationError
from missive_host.specs import Candidate, RoutePlan
from missive_policies.fitting import LEFT_IN_PEACE, TRIED_LAST, Field, Stateless, no_match, shown, weight_of, written


def _left(each: Candidate) -> str:
    """Nobody that fits and is awake is left by these policies."""
    return f"{each.agent} fits"


class CapabilityMatch(Stateless):
    """All that fit, the best match first.

    With requirements: by how much of what is asked they have, then by weight, then in rank order. The media types of
    the message's parts count as asked for, but an agent that does not declare one still fits. Resting agents come last:
    the first target gets the message, the others are there to be seen.
    """

    def choose(self, field: Field) -> RoutePlan:
        modes = tuple(dict.fromkeys(field.request.part_modes))
        scores = {
            each.agent: len(field.labels) + sum(mode in each.input_modes for mode in modes) for each in field.fitting
        }
        weighed = bool(field.labels)  # without requirements the rank order stands, as in the reference

        def key(each: Candidate) -> tuple[bool, int, float]:
            return each.resting, -scores[each.agent], -weight_of(each) if weighed else 0.0

        of = len(field.labels) + len(modes)
        chosen = {
            each.agent: f"matches {scores[each.agent]} of {of}, weight {shown(weight_of(each))}"
            if of
            else "nothing is required"
            for each in sorted(field.fitting, key=key)
        }
        return written(field, "filter", chosen, _left, despite=TRIED_LAST)


class TagMatch(Stateless):
    """All that fit, in rank order. Resting agents come last, as with capability-match."""

    def choose(self, field: Field) -> RoutePlan:
        reason = "has every tag" if field.request.requirements.tags else "no tag is required"
        return written(field, "filter", _each(field, reason), _left, despite=TRIED_LAST)


class Broadcast(Stateless):
    """All that fit. A resting agent gets it too, last: the message is for everybody."""

    def choose(self, field: Field) -> RoutePlan:
        return written(field, "all", _each(field, "all get it"), _left, despite=TRIED_LAST)


class FirstSuccess(Stateless):
    """All that fit at once. Resting agents are left out while another fits: one answer is enough."""

    def choose(self, field: Field) -> RoutePlan:
        chosen = {each.agent: "all are asked, the first that succeeds answers" for each in field.pool}
        return written(field, "first_success", chosen, _left, rested=f"{LEFT_IN_PEACE}; the others are enough")


class Quorum(Stateless):
    """All that fit; more than half of them must succeed, or as many as the request says.

    A resting agent is asked too, last, and counts: a majority that shrinks when agents fail is none. If the request
    wants more than fit, nobody is asked, because the quorum could not be reached.
    """

    def choose(self, field: Field) -> RoutePlan:
        wanted, members = field.request.quorum, len(field.candidates)
        if wanted is not None and not 1 <= wanted <= members:
            raise ValidationError(
                f"a quorum of {wanted} is not possible with {members} candidates",
                help=f"give a number from 1 to {members}" if members else "there are no candidates",
            )
        fit = len(field.fitting)
        if not fit:
            return no_match(field, "quorum")
        required = fit // 2 + 1 if wanted is None else wanted
        if required > fit:
            why = f"it fits, but {required} must succeed and only {fit} fit"
            return written(field, "quorum", {}, lambda _: why, rested=why, required=required)
        chosen = _each(field, f"all are asked, {required} of {fit} must succeed")
        return written(field, "quorum", chosen, _left, despite=TRIED_LAST, required=required)


class Fallback(Stateless):
    """The preferred agent, else the first, then the others in rank order, until one takes the message.

    Resting agents come last, the preferred one too: they are the last resort.
    """

    def choose(self, field: Field) -> RoutePlan:
        preferred = field.request.preferred_agent
        order = sorted(field.fitting, key=lambda each: (each.resting, each.agent != preferred))
        chosen = {}
        for number, each in enumerate(order, 1):
            liked = "; the request prefers it" if each.agent == preferred else ""
            chosen[each.agent] = (f"attempt {number}" if number > 1 else "the first attempt") + liked
        return written(field, "ordered_attempts", chosen, _left, despite=TRIED_LAST)


def _each(field: Field, reason: str) -> dict[str, str]:
    return {each.agent: reason for each in field.fitting}
