"""What every routing policy must hold, one test each. The docstring of a test is the rule."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, get_args

from missive_host.errors import ValidationError
from missive_host.protocols import RoutingPolicy
from missive_host.specs import Candidate, PlanMode, PolicySpec, Requirements, RoutePlan, RouteRequest
from missive_host.testing.declared import PluginContract

Case = tuple[RouteRequest, tuple[Candidate, ...]]

_A = Candidate("a", "0", ("fast", "german"), 1.0, ("code",), ("text/plain",), ("text/plain",), True, True)
_B = Candidate("b", "1", ("fast",), 2.5, (), ("text/plain", "application/json"), ("text/plain",), False, False)
_C = Candidate("c", "2", (), 0.5, ("code",), (), (), None, None, resting=True, in_flight=7, failures=3)
_D = Candidate("d", None, ("german",), 1.0, (), ("text/plain",), (), True, None, metadata={"price": 3, "note": "x"})
GROUPS: tuple[tuple[Candidate, ...], ...] = (
    (),
    (_A,),
    (_C,),
    (_A, _B),
    (_A, _B, _C, _D),
    tuple(Candidate(f"member-{number}", str(number), weight=1 + number % 3) for number in range(12)),
)
"""Nobody, one, one who rests, several who differ, many who are alike."""
NEEDS: tuple[Requirements, ...] = (
    Requirements(),
    Requirements(tags=("fast",)),
    Requirements(capabilities=("code",), tags=("german",)),
    Requirements(input_modes=("application/json",)),
    Requirements(streaming=True, push_notifications=True),
    Requirements(tags=("nobody-has-this",)),
)
STATES: tuple[Mapping[str, Any], ...] = (
    {},
    {"cursor": 10**20, "current": {"a": 1.5, "gone": -3}, "pins": {"ctx": "gone"}},
    {"cursor": "x", "current": [1, None], "pins": 5, "last": {"nested": [True]}, "agent": "gone", "turn": None},
)
"""What a policy may find: nothing, what other members have left, and what it has never written."""


class PolicyContract(PluginContract[PolicySpec]):
    """Subclass it as ``Test…`` and say which plugin; give `cases` if yours looks at something of its own."""

    requirements_first: ClassVar[bool] = True
    """An agent that lacks what the request requires is not chosen. False: the policy does not look at requirements."""

    _kind = PolicySpec

    def cases(self) -> Sequence[Case]:
        """Return requests with candidates, beside those that every policy is tried with."""
        return ()

    def policy(self) -> RoutingPolicy:
        """Return a new one, made as the host makes it."""
        made: RoutingPolicy = self.factory()()
        return made

    def every_case(self) -> Iterator[Case]:
        """Return all cases: the policy's own, then every kind of request with every kind of group."""
        yield from self.cases()
        for group in GROUPS:
            for needs in NEEDS:
                yield RouteRequest(needs), group
            if group:
                yield RouteRequest(preferred_agent=group[-1].agent), group
                yield RouteRequest(part_modes=("text/plain",), context="ctx", context_agent=group[0].agent), group
                yield RouteRequest(context="ctx", context_agent="gone"), group
                yield RouteRequest(quorum=1), group

    def plans(self) -> Iterator[tuple[Case, RoutePlan]]:
        """Plan every case with an empty state. A case that the policy refuses with a `ValidationError` is left out."""
        policy = self.policy()
        for request, group in self.every_case():
            plan = planned(policy, request, group, {})
            if plan is not None:
                yield (request, group), plan

    # --- the rules

    def test_it_makes_plans(self) -> None:
        """The factory takes no arguments; `plan` is synchronous and returns a `RoutePlan` for whom it can serve."""
        policy = self.policy()
        assert callable(getattr(policy, "plan", None)), f"{type(policy).__name__} has no method `plan`"
        made = [plan for _, plan in self.plans()]
        assert made, "it refuses everything"
        wrong = [plan for plan in made if not isinstance(plan, RoutePlan)]
        assert not wrong, f"it returned {type(wrong[0]).__name__}, not a RoutePlan"
        assert any(plan.targets for plan in made), "it has chosen nobody, whoever was there"

    def test_every_candidate_has_its_decision(self) -> None:
        """One `Decision` for each candidate, in their order, each with a reason; those selected are the targets."""
        for (request, group), plan in self.plans():
            where = f"{request} among {[each.agent for each in group]}"
            assert [each.agent for each in plan.decisions] == [each.agent for each in group], where
            assert all(each.reason.strip() for each in plan.decisions), f"a decision without a reason: {where}"
            selected = {each.agent for each in plan.decisions if each.selected}
            assert selected == set(plan.targets), f"the decisions say {selected}, the targets {plan.targets}: {where}"

    def test_the_plan_can_be_carried_out(self) -> None:
        """The mode is one that the host knows, and the targets are candidates, each once."""
        for (request, group), plan in self.plans():
            where = f"{request} among {[each.agent for each in group]}"
            assert plan.mode in get_args(PlanMode), f"there is no mode {plan.mode!r}; there are {get_args(PlanMode)}"
            assert set(plan.targets) <= {each.agent for each in group}, f"{plan.targets} are no candidates: {where}"
            assert len(set(plan.targets)) == len(plan.targets), f"{plan.targets}: twice the same: {where}"
            assert plan.mode != "single" or len(plan.targets) <= 1, f"`single` with {plan.targets}: {where}"
            if plan.mode == "quorum" and plan.targets:
                assert plan.required is not None, f"`quorum` without `required`: {where}"
                assert plan.required >= 1, f"a quorum of {plan.required}: {where}"

    def test_requirements_come_first(self) -> None:
        """Who lacks what the request requires is no target; if nobody fits there is none. See `requirements_first`."""
        if not self.requirements_first:
            assert any(
                not all(fits(request, each) for each in group if each.agent in plan.targets)
                for (request, group), plan in self.plans()
            ), "it does: take `requirements_first = False` away"
            return
        for (request, group), plan in self.plans():
            unfit = [each.agent for each in group if each.agent in plan.targets and not fits(request, each)]
            assert not unfit, f"{unfit} lack what is required: {request.requirements}"

    def test_it_is_pure(self) -> None:
        """The same gives the same, from another instance too; what it was given is as it was."""
        policy = self.policy()
        for request, group in self.every_case():
            for state in STATES:
                given = copy.deepcopy((request, group, dict(state)))
                first = planned(policy, *given)
                assert given == (request, group, dict(state)), "it has changed what it was given"
                for other in (policy, self.policy()):
                    again = planned(other, *copy.deepcopy((request, group, dict(state))))
                    assert again == first, f"the second plan is another one: {request}"

    def test_its_memory_is_the_state(self) -> None:
        """`RoutePlan.state` is JSON, and all that it remembers: after a restart it goes on where it was."""
        stays, restarts = self.policy(), None
        for group in GROUPS[3:]:
            state: dict[str, Any] = {}
            for turn in range(8):
                request = RouteRequest(context=f"ctx-{turn % 3}")
                plan = planned(stays, request, group, state)
                restarts = planned(self.policy(), request, group, copy.deepcopy(state))
                assert plan == restarts, f"turn {turn}: a new one decides {restarts}, the old one {plan}"
                if plan is None:
                    break
                try:
                    kept = json.loads(json.dumps(plan.state, allow_nan=False))
                except (TypeError, ValueError) as error:
                    raise AssertionError(f"the state is no JSON: {error}") from None
                assert kept == plan.state, f"the state changes when it is stored: {plan.state} becomes {kept}"
                state = kept

    def test_it_takes_any_state(self) -> None:
        """Whatever the state holds - of members that have left, of another version - it makes a plan."""
        policy = self.policy()
        for request, group in self.every_case():
            wanted = planned(policy, request, group, {})
            for state in STATES:
                plan = planned(policy, request, group, copy.deepcopy(dict(state)))
                assert (plan is None) == (wanted is None), f"with the state {state} it refuses {request}"
                if plan is not None:
                    assert set(plan.targets) <= {each.agent for each in group}, f"{plan.targets} are from {state}"

    def test_it_refuses_with_a_sentence(self) -> None:
        """What cannot be meant, such as an unknown preferred agent, gives a plan or a `ValidationError`, no crash."""
        for group in GROUPS:
            for request in (RouteRequest(preferred_agent="nobody"), RouteRequest(quorum=-1), RouteRequest(quorum=99)):
                try:
                    plan = self.policy().plan(request, group, {})
                except ValidationError as error:
                    assert error.message.strip(), "an error without a sentence"
                except Exception as error:
                    raise AssertionError(f"{type(error).__name__} instead of a ValidationError: {request}") from error
                else:
                    assert set(plan.targets) <= {each.agent for each in group}, f"{plan.targets} for {request}"


def planned(
    policy: RoutingPolicy, request: RouteRequest, group: tuple[Candidate, ...], state: Mapping[str, Any]
) -> RoutePlan | None:
    """Return the plan; None if the policy refuses the request."""
    try:
        return policy.plan(request, group, state)
    except ValidationError:
        return None


def fits(request: RouteRequest, candidate: Candidate) -> bool:
    """Tell whether a candidate has all that is required."""
    needs = request.requirements
    labels = (
        (needs.tags, candidate.tags),
        (needs.capabilities, candidate.capabilities),
        (needs.input_modes, candidate.input_modes),
        (needs.output_modes, candidate.output_modes),
    )
    return (
        all(set(wanted) <= set(has) for wanted, has in labels)
        and (not needs.streaming or candidate.streaming is True)
        and (not needs.push_notifications or candidate.push_notifications is True)
    )
