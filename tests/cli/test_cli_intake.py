"""``missive intake``: what the gateway has taken in, and its dead letters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.deliveries import put_ended

if TYPE_CHECKING:
    from support.cores import Home


def missive(home: Home, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), "intake", *words],
        env={**os.environ, **home.environ}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


def data(home: Home, *words: str) -> Any:
    return json.loads(missive(home, *words, "--json").stdout)["data"]


def test_none(home: Home) -> None:
    assert missive(home, "list").stdout == "no dead letters\n"
    assert data(home, "retry", "--all")["count"] == 0


def test_dead_letters_are_listed_shown_tried_again_and_dropped(home: Home) -> None:
    first, second = put_ended(home, "dead", "one"), put_ended(home, "dead", "two")
    put_ended(home, "done")
    assert [each["receipt_id"] for each in data(home, "list")["deliveries"]] == [first, second]
    assert len(data(home, "list", "--state", "done", "--state", "dead")["deliveries"]) == 3
    table = missive(home, "list").stdout
    assert first in table
    assert "it broke" in table
    shown = missive(home, "show", first).stdout
    assert '"message": "one"' in shown
    assert data(home, "show", second)["delivery"]["error"]["message"] == "it broke"
    assert data(home, "retry", first)["receipt_ids"] == [first]
    assert data(home, "show", first)["delivery"]["state"] == "ready"
    assert data(home, "drop", second)["count"] == 1
    assert missive(home, "show", second, status=64).stderr.startswith(f"error: there is no delivery '{second}'")
    assert [row.event_type for row in events(home)] == ["missive.intake.retry", "missive.intake.drop"]


def events(home: Home) -> Any:
    with home.store() as store:
        return [row for row in store.read(lambda t: t.events.list()) if row.event_type.startswith("missive.intake")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("retry",), "no delivery is named"),
        (("drop", "--all", "x"), "exclude each other"),
        (("list", "--state", "deaf"), "--state"),
        (("retry", "nothing"), "there is no delivery 'nothing'"),
    ],
)
def test_refused(home: Home, words: tuple[str, ...], said: str) -> None:
    assert said in missive(home, *words, status=64).stderr


def test_what_has_not_ended_stays(home: Home) -> None:
    receipt = put_ended(home, "dead")
    data(home, "retry", receipt)
    assert "it has not ended" in missive(home, "drop", receipt, status=64).stderr
    assert "nothing to try again" in missive(home, "retry", receipt, status=64).stderr
