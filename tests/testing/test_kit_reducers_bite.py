"""Each rule for reducers can be broken, and is noticed: one reducer for each way to do it wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from missive_host.errors import ValidationError
from missive_host.specs import AgentResult, Reduced, ReducerSpec, ReductionContext
from missive_host.testing import ReducerContract

SPEC = ReducerSpec("roll-call", "nowhere:RollCall", "Who has said what.")
ORDERED = ReducerSpec("roll-call", "nowhere:RollCall", "Who has said what.", ordered=True)


class RollCall:
    """A reducer that holds every rule. One method for each thing that can be got wrong."""

    def start(self, context: ReductionContext) -> Any:
        self.check(context)
        return Reduction(self, context)

    def check(self, context: ReductionContext) -> None:
        for name in context.settings:
            raise ValidationError(f"the reducer `roll-call` has no setting `{name}`")

    def takes(self, result: AgentResult) -> bool:
        return result.status == "gathered"

    def early(self, results: dict[str, AgentResult]) -> Reduced | None:
        return None

    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        used = tuple(sorted(results))
        notes = tuple(f"nothing from {name}" for name in missing)
        return Reduced(", ".join(used) or "nobody is there", data=list(used), used=used, notes=notes)


class Reduction:
    def __init__(self, reducer: RollCall, context: ReductionContext) -> None:
        self.reducer = reducer
        self.context = context
        self.results: dict[str, AgentResult] = {}

    def add(self, result: AgentResult) -> Reduced | None:
        if self.reducer.takes(result):
            self.results[result.agent] = result
        return self.reducer.early(self.results)

    def close(self, missing: tuple[str, ...]) -> Any:
        return self.reducer.answer(self.results, missing)


class RollCallContract(ReducerContract):
    __test__ = False
    plugin = "roll-call"
    made: type[RollCall] = RollCall
    declared = SPEC

    @property
    def spec(self) -> ReducerSpec:
        return self.declared

    def factory(self) -> Callable[..., Any]:
        return self.made


RULES = {name for name in dir(ReducerContract) if name.startswith("test_")}
DECLARED = {"test_it_is_installed_and_loads", "test_its_declaration_is_light"}
"""The same code for all kinds: `test_kit_adapters_bite` breaks them."""
BROKEN: dict[type[RollCall], str] = {}


@pytest.mark.parametrize("rule", sorted(RULES - DECLARED))
@pytest.mark.parametrize("spec", [SPEC, ORDERED], ids=["any order", "ordered"])
def test_the_good_one_holds_all(rule: str, spec: ReducerSpec) -> None:
    getattr(type("Contract", (RollCallContract,), {"declared": spec})(), rule)()


def breaks(rule: str) -> Callable[[type[RollCall]], type[RollCall]]:
    def mark(made: type[RollCall]) -> type[RollCall]:
        BROKEN[made] = rule
        return made

    return mark


@breaks("test_it_always_answers")
class NothingOfNothing(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return super().answer(results, missing) if results else None


@breaks("test_it_always_answers")
class SaysNothing(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return super().answer(results, missing) if results else Reduced("")


@breaks("test_it_always_answers")
class FailsWithoutResults(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        max(results)
        return super().answer(results, missing)


@breaks("test_used_are_those_that_gave_something")
class UsesFailures(RollCall):
    def takes(self, result: AgentResult) -> bool:
        return True


@breaks("test_used_are_those_that_gave_something")
class UsesNobody(RollCall):
    def takes(self, result: AgentResult) -> bool:
        return False


@breaks("test_used_are_those_that_gave_something")
class UsesTwice(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return Reduced("all", used=tuple(results) * 2, notes=missing)


@breaks("test_a_reader_learns_who_is_missing")
class KeepsTheMissing(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return super().answer(results, ())


@breaks("test_the_data_are_json")
class GivesASet(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return Reduced("all", data=set(results), used=tuple(sorted(results)), notes=missing)


@breaks("test_the_data_are_json")
class GivesNoNumber(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return Reduced("all", data=float("nan"), used=tuple(sorted(results)), notes=missing)


@breaks("test_the_order_does_not_matter")
class AsTheyCome(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return Reduced(", ".join(results), used=tuple(results), notes=missing)


@breaks("test_the_order_does_not_matter")
class TheFirstThatComes(RollCall):
    def early(self, results: dict[str, AgentResult]) -> Reduced | None:
        return Reduced(next(iter(results)), used=tuple(results)) if results else None


@breaks("test_it_is_pure")
class RemembersAll(RollCall):
    def __init__(self) -> None:
        self.all: dict[str, AgentResult] = {}

    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        self.all |= results
        return super().answer(self.all, missing)


@breaks("test_it_is_pure")
class CountsReductions(RollCall):
    count = 0

    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        CountsReductions.count += 1
        return Reduced(f"number {self.count}", used=tuple(sorted(results)))


@breaks("test_it_is_pure")
class EmptiesTheData(RollCall):
    def takes(self, result: AgentResult) -> bool:
        for value in result.data:
            if isinstance(value, dict):
                value.clear()
        return super().takes(result)


@breaks("test_it_is_pure")
class FillsTheSettings(RollCall):
    def start(self, context: ReductionContext) -> Any:
        reduction = super().start(context)
        context.settings.clear()
        context.settings["x"] = 1
        return reduction

    def check(self, context: ReductionContext) -> None: ...


@breaks("test_unknown_settings_are_refused")
class TakesAnySetting(RollCall):
    def check(self, context: ReductionContext) -> None: ...


@breaks("test_unknown_settings_are_refused")
class SaysNotWhich(RollCall):
    def check(self, context: ReductionContext) -> None:
        if context.settings:
            raise ValidationError("a setting is wrong")


@breaks("test_unknown_settings_are_refused")
class CrashesOnSettings(RollCall):
    def check(self, context: ReductionContext) -> None:
        if context.settings:
            raise KeyError("no_such_setting")


@breaks("test_it_bears_what_strangers_write")
class FillsTemplates(RollCall):
    def takes(self, result: AgentResult) -> bool:
        return bool((result.text or "").format(group="x")) or super().takes(result)


@breaks("test_it_bears_what_strangers_write")
class PassesDataOn(RollCall):
    def answer(self, results: dict[str, AgentResult], missing: tuple[str, ...]) -> Any:
        return Reduced("all", data=[each.data for each in results.values()], used=tuple(sorted(results)), notes=missing)


@pytest.mark.parametrize("made", BROKEN, ids=lambda made: made.__name__)
def test_a_broken_reducer_is_noticed(made: type[RollCall]) -> None:
    contract = type("Contract", (RollCallContract,), {"made": made})()
    with pytest.raises((AssertionError, ValueError)):
        getattr(contract, BROKEN[made])()


def test_each_rule_is_broken_once() -> None:
    assert set(BROKEN.values()) | DECLARED == RULES
