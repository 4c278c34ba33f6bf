"""`docs/plugins/delivery.md`: its tables have what the code has; its example is executed with the other pages."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from missive_host import protocols
from missive_host.contracts.http import RECEIPT_STATES
from missive_host.core import intake

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "delivery.md").read_text("utf-8")


def first_column(heading: str) -> list[str]:
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_every_state_and_every_outcome_has_a_row() -> None:
    assert sorted(first_column("State")) == sorted(RECEIPT_STATES)
    assert first_column("Outcome") == [cls.__name__ for cls in get_args(protocols.Outcome)]


def test_what_it_names_is_there() -> None:
    assert f"has {intake.SETTLE_SECONDS:g} s" in PAGE
    assert "durable" in {field.name for field in fields(protocols.AdapterContext)}
    assert {"duplicate", "state"} <= {field.name for field in fields(protocols.Receipt)}
    assert protocols.IntakeFullError.retry_after
    for cls, method in re.findall(r"`(\w+)\.(\w+)\(", PAGE):
        assert hasattr(getattr(protocols, cls), method)
