"""Each rule for policies can be broken, and is noticed: one policy for each way to do it wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from missive_host.errors import ValidationError
from missive_host.specs import Candidate, Decision, RoutePlan, RouteRequest
from missive_host.testing import PolicyContract
from missive_host.testing.policies import fits

COUNT = itertools.count()


class Turns:
    """A policy that holds every rule. One method for each thing that can be got wrong."""

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:
        self.check(request, candidates)
        able = self.able(request, candidates)
        turn = self.turn(state)
        chosen = able[turn % len(able)] if able else None
        decisions = tuple(self.decision(each, chosen) for each in candidates)
        targets = (chosen.agent,) if chosen else ()
        return RoutePlan("single", targets, decisions, state=self.kept(turn))

    def check(self, request: RouteRequest, candidates: tuple[Candidate, ...]) -> None:
        if request.preferred_agent is not None and request.preferred_agent not in [each.agent for each in candidates]:
            raise ValidationError(f"there is no candidate '{request.preferred_agent}'")

    def able(self, request: RouteRequest, candidates: tuple[Candidate, ...]) -> list[Candidate]:
        return [each for each in candidates if fits(request, each)]

    def turn(self, state: Mapping[str, Any]) -> int:
        found = state.get("turn")
        return found if type(found) is int and found >= 0 else 0

    def kept(self, turn: int) -> dict[str, Any]:
        return {"turn": (turn + 1) % 1_000_000}

    def decision(self, candidate: Candidate, chosen: Candidate | None) -> Decision:
        return Decision(candidate.agent, candidate is chosen, "has the turn" if candidate is chosen else "waits")


RULES = {name for name in dir(PolicyContract) if name.startswith("test_")}
DECLARED = {"test_it_is_installed_and_loads", "test_its_declaration_is_light"}
"""The same code for all kinds: `test_kit_adapters_bite` breaks them."""
BROKEN: dict[type[Turns], str] = {}


@pytest.mark.parametrize("rule", sorted(RULES - DECLARED))
def test_the_good_one_holds_all(rule: str) -> None:
    contract = type("Contract", (PolicyContract,), {"factory": lambda _self: Turns, "plugin": "turns"})()
    getattr(contract, rule)()


def breaks(rule: str) -> Callable[[type[Turns]], type[Turns]]:
    def mark(made: type[Turns]) -> type[Turns]:
        BROKEN[made] = rule
        return made

    return mark


class Planning(Turns):
    """One that changes the whole plan."""

    def plan(self, request: RouteRequest, candidates: tuple[Candidate, ...], state: Mapping[str, Any]) -> RoutePlan:
        made: RoutePlan = self.alter(super().plan(request, candidates, state), candidates)
        return made

    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        raise NotImplementedError


@breaks("test_it_makes_plans")
class HasNoPlan(Turns):
    plan = None  # type: ignore[assignment]


@breaks("test_it_makes_plans")
class RefusesEverything(Turns):
    def check(self, request: RouteRequest, candidates: tuple[Candidate, ...]) -> None:
        raise ValidationError("no")


@breaks("test_it_makes_plans")
class ReturnsNames(Planning):
    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        return plan.targets


@breaks("test_it_makes_plans")
class ChoosesNobody(Turns):
    def able(self, request: RouteRequest, candidates: tuple[Candidate, ...]) -> list[Candidate]:
        return []


@breaks("test_every_candidate_has_its_decision")
class TellsOfTheChosenOnly(Planning):
    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        return replace(plan, decisions=tuple(each for each in plan.decisions if each.selected))


@breaks("test_every_candidate_has_its_decision")
class GivesNoReason(Turns):
    def decision(self, candidate: Candidate, chosen: Candidate | None) -> Decision:
        return replace(super().decision(candidate, chosen), reason=" ")


@breaks("test_every_candidate_has_its_decision")
class SelectsAnother(Turns):
    def decision(self, candidate: Candidate, chosen: Candidate | None) -> Decision:
        return replace(super().decision(candidate, chosen), selected=False)


@breaks("test_the_plan_can_be_carried_out")
class InventsAMode(Planning):
    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        return replace(plan, mode="random")  # type: ignore[arg-type]


@breaks("test_the_plan_can_be_carried_out")
class SendsToStrangers(Planning):
    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        return replace(plan, targets=("stranger",))


@breaks("test_the_plan_can_be_carried_out")
class SendsTwice(Planning):
    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        return replace(plan, mode="all", targets=plan.targets * 2)


@breaks("test_the_plan_can_be_carried_out")
class SendsSingleToAll(Planning):
    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        return replace(plan, targets=tuple(each.agent for each in candidates))


@breaks("test_the_plan_can_be_carried_out")
class NeedsNoQuorum(Planning):
    def alter(self, plan: RoutePlan, candidates: tuple[Candidate, ...]) -> Any:
        return replace(plan, mode="quorum")


@breaks("test_requirements_come_first")
class TakesAnybody(Turns):
    def able(self, request: RouteRequest, candidates: tuple[Candidate, ...]) -> list[Candidate]:
        return list(candidates)


@breaks("test_it_is_pure")
class ThrowsDice(Turns):
    def turn(self, state: Mapping[str, Any]) -> int:
        return next(COUNT)


@breaks("test_it_is_pure")
class WritesIntoTheState(Turns):
    def turn(self, state: Mapping[str, Any]) -> int:
        state["turn"] = 1  # type: ignore[index]
        return super().turn(state)


@breaks("test_its_memory_is_the_state")
class RemembersByItself(Turns):
    at = -1

    def turn(self, state: Mapping[str, Any]) -> int:
        self.at += 1
        return self.at


@breaks("test_its_memory_is_the_state")
class KeepsWhatIsNoJson(Turns):
    def kept(self, turn: int) -> dict[str, Any]:
        return {"turn": turn + 1, "who": {"a", "b"}}


@breaks("test_its_memory_is_the_state")
class KeepsWhatChanges(Turns):
    def kept(self, turn: int) -> dict[str, Any]:
        return {"turn": turn + 1, "by": {1: "a"}}


@breaks("test_it_takes_any_state")
class BelievesTheState(Turns):
    def turn(self, state: Mapping[str, Any]) -> int:
        return int(state.get("turn", 0))


@breaks("test_it_takes_any_state")
class RefusesAnOldState(Turns):
    def turn(self, state: Mapping[str, Any]) -> int:
        if "pins" in state:
            raise ValidationError("the state is not mine")
        return super().turn(state)


@breaks("test_it_refuses_with_a_sentence")
class CrashesOnTheUnknown(Turns):
    def check(self, request: RouteRequest, candidates: tuple[Candidate, ...]) -> None:
        if request.preferred_agent is not None:
            {each.agent: each for each in candidates}[request.preferred_agent]


@breaks("test_it_refuses_with_a_sentence")
class RefusesWithoutWords(Turns):
    def check(self, request: RouteRequest, candidates: tuple[Candidate, ...]) -> None:
        if request.preferred_agent == "nobody":
            raise ValidationError("")


@pytest.mark.parametrize("made", BROKEN, ids=lambda made: made.__name__)
def test_a_broken_policy_is_noticed(made: type[Turns]) -> None:
    contract = type("Contract", (PolicyContract,), {"factory": lambda _self: made, "plugin": "turns"})()
    with pytest.raises((AssertionError, TypeError, ValueError)):
        getattr(contract, BROKEN[made])()


def test_each_rule_is_broken_once() -> None:
    assert set(BROKEN.values()) | DECLARED == RULES


def test_who_does_not_look_at_requirements_says_so_truly() -> None:
    settings = {"factory": lambda _self: TakesAnybody, "plugin": "turns", "requirements_first": False}
    type("Contract", (PolicyContract,), settings)().test_requirements_come_first()
    with pytest.raises(AssertionError, match="requirements_first"):
        type(
            "Contract", (PolicyContract,), {**settings, "factory": lambda _self: Turns}
        )().test_requirements_come_first()
