"""The reducer `json-mean`: the mean of the numbers that the members of a group gave as JSON.

Numbers are averaged where they are: of ``{"price": 3, "size": {"x": 1}}`` and ``{"price": 4}`` the mean is
``{"price": 3.5, "size": {"x": 1}}``. What is no number is left out.
"""

import json
from collections.abc import Iterator, Mapping
from math import fsum, isfinite
from typing import Any

from missive_host.hookspecs import hookimpl
from missive_host.specs import AgentResult, Reduced, ReducerSpec, ReductionContext

SETTINGS = ("digits", "weighted")
DEPTH = 20
"""What is nested deeper is left out."""
LARGEST = 1e300
"""What is bigger has no mean that a double can hold."""


@hookimpl
def missive_reducers() -> Iterator[ReducerSpec]:
    yield ReducerSpec("json-mean", f"{__name__}:JsonMean", "The mean of the numbers that the members gave as JSON.")


class JsonMean:
    def start(self, context: ReductionContext) -> "Averaging":
        from missive_host.errors import ValidationError, nearest  # what declares should import next to nothing

        for name in context.settings:
            if name not in SETTINGS:
                raise ValidationError(
                    f"the reducer `json-mean` has no setting `{name}`{nearest(name, SETTINGS)}",
                    help="there are " + ", ".join(SETTINGS),
                )
        digits = _integer(context.settings.get("digits", 6))
        weighted = {"true": True, "false": False}.get(str(context.settings.get("weighted", False)).lower())
        if digits is None or not 0 <= digits <= 15:
            raise ValidationError("the setting `digits` is a number from 0 to 15")
        if weighted is None:
            raise ValidationError("the setting `weighted` is true or false")
        return Averaging(digits, weighted)


class Averaging:
    def __init__(self, digits: int, weighted: bool) -> None:
        self.digits, self.weighted = digits, weighted
        self.given: dict[str, tuple[float, dict[tuple[str, ...], float]]] = {}
        self.without: list[str] = []

    def add(self, result: AgentResult) -> Reduced | None:
        numbers: dict[tuple[str, ...], float] = {}
        for value in values_of(result):
            numbers.update(numbers_in(value))
        if numbers:
            self.given[result.agent] = (result.weight if self.weighted else 1.0, numbers)
        else:
            self.without.append(f"{result.agent} gave no number ({result.status})")
        return None

    def close(self, missing: tuple[str, ...]) -> Reduced:
        notes = (*sorted(self.without), *(f"nothing from {agent}" for agent in missing))
        places = sorted({place for _, numbers in self.given.values() for place in numbers})
        value: Any = None
        for place in places:
            found = [(weight, numbers[place]) for weight, numbers in self.given.values() if place in numbers]
            value = put(value, place, self.mean(found))
        if value is None:
            return Reduced("no member gave a number", notes=notes)
        return Reduced(json.dumps(value, sort_keys=True), data=value, used=tuple(sorted(self.given)), notes=notes)

    def mean(self, found: list[tuple[float, float]]) -> float:
        total = fsum(weight for weight, _ in found)
        mean = round(fsum(weight / total * number for weight, number in found), self.digits)
        return int(mean) if mean.is_integer() and abs(mean) < 2**53 else mean


def values_of(result: AgentResult) -> tuple[Any, ...]:
    """Return what a member gave as JSON: its data parts, or a text that is JSON."""
    if result.data or not result.text:
        return result.data
    try:
        return (json.loads(result.text),)
    except (ValueError, RecursionError):
        return ()


def numbers_in(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield each number with the names that lead to it."""
    if isinstance(value, Mapping) and len(place) < DEPTH:
        for name, inner in value.items():
            yield from numbers_in(inner, (*place, name))
    elif type(value) in (int, float) and abs(value) <= LARGEST and isfinite(value):
        yield place, float(value)


def put(value: Any, place: tuple[str, ...], number: float) -> Any:
    """Return the value with a number at a place. Where one gave a number and another an object, the object is kept."""
    if not place:
        return number
    value = value if isinstance(value, dict) else {}
    value[place[0]] = put(value.get(place[0]), place[1:], number)
    return value


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
