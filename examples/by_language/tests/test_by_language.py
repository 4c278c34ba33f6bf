"""What every routing policy must hold, and what is this one's own."""

from __future__ import annotations

import pytest
from missive_by_language import ByLanguage

from missive_host.specs import Candidate, Requirements, RouteRequest
from missive_host.testing import PolicyContract

GROUP = (
    Candidate("anna", metadata={"languages": ["de", "fr"]}),
    Candidate("beat", metadata={"languages": ["de-CH"]}),
    Candidate("cleo", metadata={"languages": ["fr", "de"]}, tags=("fast",)),
    Candidate("dora", tags=("lang-en",)),
    Candidate("emil", metadata={"languages": ["*"]}),
)


class TestContract(PolicyContract):
    plugin = "by-language"

    def cases(self) -> list[tuple[RouteRequest, tuple[Candidate, ...]]]:
        return [(RouteRequest(), GROUP)]


@pytest.mark.parametrize(
    ("tags", "targets"),
    [
        (("lang-de-ch",), ("beat", "anna", "cleo", "emil")),
        (("lang-fr",), ("cleo", "anna", "emil")),
        (("lang-en-us",), ("dora", "emil")),
        (("lang-it",), ("emil",)),
        (("lang-de", "fast"), ("cleo",)),
        (("slow",), ()),
        ((), ("anna", "beat", "cleo", "dora", "emil")),
    ],
)
def test_who_is_asked_in_which_order(tags: tuple[str, ...], targets: tuple[str, ...]) -> None:
    plan = ByLanguage().plan(RouteRequest(Requirements(tags=tags)), GROUP, {})
    assert plan.targets == targets


def test_the_reasons() -> None:
    group = (
        *GROUP[:2],
        Candidate("fritz", metadata={"languages": "de"}),
        Candidate("gerd", tags=("lang-de",), resting=True),
    )
    plan = ByLanguage().plan(RouteRequest(Requirements(tags=("lang-de",))), group, {})
    assert [decision.reason for decision in plan.decisions] == [
        "speaks de",
        "does not speak de",
        "does not speak de",
        "speaks de, but is resting",
    ]
