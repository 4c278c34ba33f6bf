"""What every reducer must hold, and what is this one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from missive_json_mean import JsonMean

from missive_host.errors import ValidationError
from missive_host.specs import AgentResult, Reduced, ReductionContext
from missive_host.testing import ReducerContract


class TestContract(ReducerContract):
    plugin = "json-mean"
    settings: ClassVar[Mapping[str, Any]] = {"digits": 3}


def mean(*values: Any, missing: tuple[str, ...] = (), **settings: Any) -> Reduced:
    reduction = JsonMean().start(ReductionContext("g", "ctx-1", (), settings))
    for number, value in enumerate(values):
        result = AgentResult(f"a{number}", str(number), "gathered", data=(value,), weight=number + 1.0)
        assert reduction.add(result) is None
    return reduction.close(missing)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2), 1.5),
        ((1, 3), 2),
        (({"price": 3, "size": {"x": 1}}, {"price": 4}), {"price": 3.5, "size": {"x": 1}}),
        ((1, {"price": 2}), {"price": 2}),
        (({"a": True, "b": "2", "c": [3], "d": None}, {"b": 4}), {"b": 4}),
        ((0.1, 0.2, 0.3), 0.2),
        ((1e300, 1e300), 1e300),
        ((10**400, 2), 2),
        ((float("nan"), float("inf"), 5), 5),
    ],
)
def test_the_mean(values: tuple[Any, ...], expected: Any) -> None:
    assert mean(*values).data == expected


def test_weights_digits_and_notes() -> None:
    answer = mean(1, 4, "none", missing=("late",), weighted="true", digits="1")
    assert (answer.data, answer.text, answer.used) == (3, "3", ("a0", "a1"))
    assert answer.notes == ("a2 gave no number (gathered)", "nothing from late")
    assert mean(1, 1, 2, digits=2).data == 1.33


def test_a_text_that_is_json_will_do() -> None:
    reduction = JsonMean().start(ReductionContext("g", "ctx-1", ()))
    reduction.add(AgentResult("a", "1", "gathered", '{"n": 2}'))
    reduction.add(AgentResult("b", "2", "gathered", "two"))
    assert reduction.close(()) == Reduced('{"n": 2}', {"n": 2}, ("a",), ("b gave no number (gathered)",))


@pytest.mark.parametrize("settings", [{"digit": 2}, {"digits": "x"}, {"digits": 99}, {"weighted": "perhaps"}])
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mean(1, **settings)
