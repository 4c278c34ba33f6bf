"""What needs neither agents nor a store: judging a barrier, templates, the options of a reduction."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from missive_host.collectives import barrier
from missive_host.collectives.barrier import decide, judge
from missive_host.collectives.templates import check, fill, placeholders
from missive_host.errors import ValidationError

DONE = frozenset({"completed"})


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (None, "missing"),
        ("submitted", "pending"),
        ("working", "pending"),
        ("unknown", "pending"),
        ("completed", "satisfied"),
        ("failed", "failed"),
        ("rejected", "failed"),
        ("cancelled", "cancelled"),
        ("input_required", "input_required"),
        ("auth_required", "auth_required"),
    ],
)
def test_a_member_is_judged_by_its_state(state: str | None, status: str) -> None:
    assert judge(state, DONE, explicit=False) == status


def test_states_that_are_asked_for_are_a_success_and_others_that_end_are_not() -> None:
    wanted = frozenset({"working", "input_required"})
    assert judge("working", wanted, explicit=True) == "satisfied"
    assert judge("input_required", wanted, explicit=True) == "satisfied"
    assert judge("completed", wanted, explicit=True) == "terminal_unmatched"
    assert judge("failed", wanted, explicit=True) == "terminal_unmatched"
    assert judge("auth_required", wanted, explicit=True) == "auth_required"
    assert judge("submitted", wanted, explicit=True) == "pending"


@pytest.mark.parametrize(
    ("statuses", "required", "policy", "outcome"),
    [
        ("satisfied satisfied", 2, "stop", "succeeded"),
        ("satisfied pending", 1, "stop", "succeeded"),
        ("satisfied failed", 1, "stop", "succeeded"),
        ("satisfied pending", 2, "stop", None),
        ("missing pending", 1, "stop", None),
        ("failed pending pending", 2, "stop", "failed"),
        ("failed pending pending", 2, "continue", None),
        ("failed pending pending", 3, "continue", "failed"),
        ("error pending", 2, "stop", "failed"),
        ("terminal_unmatched pending", 2, "stop", "failed"),
        ("cancelled pending", 2, "stop", "cancelled"),
        ("cancelled failed", 1, "continue", "failed"),
        ("input_required pending", 2, "stop", "input_required"),
        ("input_required pending", 1, "continue", None),
        ("input_required auth_required", 1, "continue", "input_required"),
        ("auth_required cancelled", 1, "continue", "auth_required"),
        ("auth_required failed", 1, "continue", "failed"),
    ],
)
def test_a_barrier_is_decided(statuses: str, required: int, policy: str, outcome: str | None) -> None:
    known = statuses.split()
    for order in itertools.permutations(known):
        assert decide(order, required, policy) == outcome


_STATUS = st.sampled_from(
    ("satisfied", "pending", "missing", "failed", "error", "terminal_unmatched", "cancelled", *barrier.WAITING)
)


@given(st.lists(_STATUS, min_size=1, max_size=20), st.data(), st.sampled_from(["stop", "continue"]))
def test_a_barrier_ends_when_nothing_can_change_and_never_too_early(
    statuses: list[str], data: st.DataObject, policy: str
) -> None:
    required = data.draw(st.integers(1, len(statuses)))
    outcome = decide(statuses, required, policy)
    undecided = sum(status in ("pending", "missing") for status in statuses)
    reached = statuses.count("satisfied")
    assert (outcome == "succeeded") == (reached >= required)
    if undecided == 0:
        assert outcome is not None
    if outcome is None:
        assert reached + undecided >= required
    elif policy == "continue" and outcome != "succeeded":
        assert reached + undecided < required


# --- templates


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_expanded(first: str, second: str) -> None:
    template = "<{{first}}|{{ second }}|{{first}}>"
    values = {"first": first + "{{second}}", "second": second + "{{first}}"}
    assert fill(template, values) == f"<{values['first']}|{values['second']}|{values['first']}>"


def test_a_template_with_an_unknown_name_is_refused_with_the_nearest() -> None:
    check("{{rank}} and {not one} and {{ }}", ("rank", "agent"))
    with pytest.raises(ValidationError, match=r"unknown placeholder \{\{agnet\}\}; did you mean 'agent'") as caught:
        check("{{rank}} {{agnet}}", ("rank", "agent"))
    for slip in ("{{Rank}}", "{{rank1}}", "{{ra-nk}}"):
        with pytest.raises(ValidationError, match="did you mean 'rank'"):
            check(slip, ("rank", "agent"))
    assert caught.value.help == "known: {{rank}}, {{agent}}"
    with pytest.raises(ValidationError, match="empty"):
        check("  ", ("rank",))
    assert placeholders("{{rank}} {{ agent }}") == {"rank", "agent"}
