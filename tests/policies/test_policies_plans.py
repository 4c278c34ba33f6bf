"""What each policy chooses, in what order, and what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from routing_kit import POLICIES, group, plan, reasons, turns

from missive_host.errors import ValidationError
from missive_host.specs import Candidate

ABC = group("a", "b", "c")
RESTING = group("a!", "b", "c")


@pytest.mark.parametrize(
    ("policy", "candidates", "request_", "mode", "targets"),
    [
        ("direct", ABC, {}, "single", "a"),
        ("direct", ABC, {"preferred_agent": "c"}, "single", "c"),
        ("direct", RESTING, {}, "single", "b"),
        ("direct", RESTING, {"preferred_agent": "a"}, "single", "b"),
        ("direct", group("a!", "b!"), {"preferred_agent": "b"}, "single", "b"),
        ("capability-match", group("a=1", "b=3", "c=2"), {}, "filter", "abc"),
        ("capability-match", group("a=1", "b=3", "c=2", tags=("x",)), {"tags": ("x",)}, "filter", "bca"),
        ("capability-match", group("a", "b=9!", "c=2", tags=("x",)), {"tags": ("x",)}, "filter", "cab"),
        ("tag-match", group("a=1", "b=3", "c=2", tags=("x",)), {"tags": ("x",)}, "filter", "abc"),
        ("tag-match", RESTING, {}, "filter", "bca"),
        ("round-robin", ABC, {}, "single", "a"),
        ("round-robin", ABC, {"state": {"cursor": 4}}, "single", "b"),
        ("weighted", group("a", "b=2"), {}, "single", "b"),
        ("highest-weight", group("a", "b=3", "c=3"), {}, "single", "b"),
        ("highest-weight", group("a", "b=3!", "c=2"), {}, "single", "c"),
        ("broadcast", RESTING, {}, "all", "bca"),
        ("first-success", ABC, {}, "first_success", "abc"),
        ("first-success", RESTING, {}, "first_success", "bc"),
        ("first-success", group("a!", "b!"), {}, "first_success", "ab"),
        ("quorum", RESTING, {}, "quorum", "bca"),
        ("fallback", ABC, {"preferred_agent": "b"}, "ordered_attempts", "bac"),
        ("fallback", RESTING, {"preferred_agent": "a"}, "ordered_attempts", "bca"),
        ("fallback", group("a!", "b", "c!"), {"preferred_agent": "c"}, "ordered_attempts", "bca"),
        ("sticky", ABC, {}, "single", "a"),
        ("sticky", ABC, {"preferred_agent": "b"}, "single", "b"),
        ("sticky", ABC, {"preferred_agent": "b", "context": "k"}, "single", "b"),
        ("sticky", ABC, {"preferred_agent": "b", "context": "k", "state": {"pins": [["k", "c"]]}}, "single", "c"),
        ("sticky", ABC, {"context": "k", "context_agent": "c"}, "single", "c"),
        ("sticky", ABC, {"context": "k", "context_agent": "c", "state": {"pins": [["k", "b"]]}}, "single", "b"),
        ("sticky", group("a", "b", "c!"), {"context": "k", "context_agent": "c"}, "single", "c"),
        ("sticky", group("a", "b", "c!"), {"context": "k", "state": {"pins": [["k", "c"]]}}, "single", "c"),
        ("least-busy", ABC, {}, "single", "a"),
    ],
)
def test_targets_in_order(policy: str, candidates: Any, request_: dict[str, Any], mode: str, targets: str) -> None:
    made = plan(policy, candidates, **request_)
    assert (made.mode, "".join(made.targets)) == (mode, targets)


@pytest.mark.parametrize("policy", POLICIES)
def test_nobody_fits(policy: str) -> None:
    made = plan(policy, ABC, tags=("fast",), streaming=True)
    assert made.targets == ()
    for each in made.decisions:
        assert each.missing == ("tag:fast", "streaming:unknown")
        assert each.matched == ()
        assert each.reason == "lacks the tag fast and streaming, as far as is known: it has no card"


@pytest.mark.parametrize("policy", POLICIES)
def test_without_candidates_there_are_no_targets(policy: str) -> None:
    made = plan(policy, (), context="k")
    assert (made.targets, made.decisions) == ((), ())


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_chooses_only_who_meets_the_requirements(policy: str) -> None:
    able = Candidate(
        "able", "2", ("fast",), 1.0, ("sum",), ("text/plain",), ("image/png",), streaming=True, push_notifications=True
    )
    needs: dict[str, Any] = {
        "tags": ("fast",),
        "capabilities": ("sum",),
        "input_modes": ("text/plain",),
        "output_modes": ("image/png",),
        "streaming": True,
        "push_notifications": True,
    }
    labels = (
        "tag:fast", "capability:sum", "input_mode:text/plain", "output_mode:image/png", "streaming:true",
        "push_notifications:true",
    )  # fmt: skip
    lacking: dict[str, dict[str, Any]] = {
        "tag:fast": {"tags": ("slow",)},
        "capability:sum": {"capabilities": ()},
        "input_mode:text/plain": {"input_modes": ("text/*",)},
        "output_mode:image/png": {"output_modes": ("image/jpeg",)},
        "streaming:false": {"streaming": False},
        "push_notifications:unknown": {"push_notifications": None},
    }
    unable = tuple(replace(able, agent=f"no-{number}", **change) for number, change in enumerate(lacking.values()))
    made = plan(policy, (*unable, able), **needs)
    assert made.targets == ("able",)
    *left, taken = made.decisions
    assert taken.matched == labels
    for decision, missing in zip(left, lacking, strict=True):
        assert decision.missing == (missing,)
        kind = missing.partition(":")[0]
        assert decision.matched == tuple(label for label in labels if label.partition(":")[0] != kind)
        assert decision.reason.startswith("lacks ")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_preferred_agent_that_is_no_candidate_is_refused(policy: str) -> None:
    with pytest.raises(ValidationError) as refused:
        plan(policy, group("alpha", "beta"), preferred_agent="alpah")
    assert refused.value.message == "the preferred agent `alpah` is not among the candidates; did you mean 'alpha'?"
    assert refused.value.help == "the candidates are alpha, beta"


def test_a_preferred_agent_that_does_not_fit_is_passed_over_with_the_reason() -> None:
    made = plan("direct", (*group("a", tags=("x",)), *group("b", streaming=False)), preferred_agent="b", tags=("x",))
    assert made.targets == ("a",)
    assert reasons(made) == {"a": "the first that fits; the preferred b lacks the tag x", "b": "lacks the tag x"}


def test_what_can_be_said_of_resting_agents() -> None:
    assert reasons(plan("direct", RESTING))["a"] == "it fits, but is resting after failures"
    assert reasons(plan("first-success", RESTING))["a"].endswith("; the others are enough")
    assert reasons(plan("broadcast", RESTING))["a"] == "all get it; last, because it is resting after failures"
    assert reasons(plan("direct", group("a!")))["a"].endswith("it is resting after failures, but so are all that fit")
    pinned = plan("sticky", RESTING, context="k", state={"pins": [["k", "a"]]})
    assert reasons(pinned)["a"].endswith("but what the context is about is known there")


def test_the_media_types_of_the_message_count_in_a_match_but_are_not_required() -> None:
    candidates = (Candidate("a"), Candidate("b", input_modes=("image/png", "text/plain")), Candidate("c"))
    made = plan("capability-match", candidates, part_modes=("text/plain", "image/png"))
    assert made.targets == ("b", "a", "c")
    assert reasons(made)["b"] == "matches 2 of 2, weight 1"


@pytest.mark.parametrize(
    ("wanted", "required"), [(None, 2), (1, 1), (3, 3)]
)  # fmt: skip
def test_a_quorum_is_a_majority_unless_the_request_says_otherwise(wanted: int | None, required: int) -> None:
    made = plan("quorum", ABC, quorum=wanted)
    assert (made.required, made.targets) == (required, ("a", "b", "c"))


@pytest.mark.parametrize("size", range(1, 8))
def test_two_majorities_always_have_a_member_in_common(size: int) -> None:
    required = plan("quorum", tuple(Candidate(str(number)) for number in range(size))).required
    assert required is not None
    assert size < 2 * required <= size + 2


@pytest.mark.parametrize(("candidates", "wanted"), [(ABC, 0), (ABC, 4), (ABC, -1), ((), 1)])
def test_a_quorum_outside_of_the_group_is_refused(candidates: Any, wanted: int) -> None:
    with pytest.raises(ValidationError, match=f"a quorum of {wanted} is not possible with"):
        plan("quorum", candidates, quorum=wanted)


def test_a_quorum_that_those_who_fit_cannot_reach_asks_nobody() -> None:
    made = plan("quorum", (*group("a", "b!", tags=("x",)), *ABC[2:]), tags=("x",), quorum=3)
    assert made.targets == ()
    assert reasons(made)["a"] == reasons(made)["b"] == "it fits, but 3 must succeed and only 2 fit"
    assert made.required == 3


def test_least_busy_counts_messages_for_weight() -> None:
    def busy(agent: str, in_flight: int, weight: float) -> Candidate:
        return Candidate(agent, weight=weight, in_flight=in_flight)

    assert plan("least-busy", (busy("a", 2, 1), busy("b", 3, 2))).targets == ("b",)
    assert plan("least-busy", (busy("a", 1, 1), busy("b", 2, 2))).targets == ("b",)  # a tie: the heavier
    assert plan("least-busy", (busy("a", 1, 1), busy("b", 1, 1))).targets == ("a",)  # a tie: the first
    made = plan("least-busy", (busy("a", 0, 1), replace(busy("b", 0, 5), resting=True), busy("c", 4, 2)))
    assert reasons(made)["a"] == "least busy: 0 in flight at weight 1"
    assert reasons(made)["c"] == "4 in flight at weight 2, a has 0 at 1"


def test_round_robin_goes_round_and_passes_over_who_rests() -> None:
    assert turns("round-robin", ABC, 7) == list("abcabca")
    assert turns("round-robin", RESTING, 4) == list("bcbc")
    made = plan("round-robin", ABC, state={"cursor": 5})
    assert made.state == {"cursor": 6}
    assert reasons(made) == {"a": "not its turn", "b": "not its turn", "c": "its turn, 3 of 3"}


def test_weighted_spreads_the_turns_as_nginx_does() -> None:
    assert turns("weighted", group("a=5", "b", "c"), 7) == list("aabacaa")
    assert turns("weighted", group("a=0.5", "b=0.1", "c=0.1"), 7) == list("aabacaa")
    assert reasons(plan("weighted", group("a=5", "b"))) == {
        "a": "its turn (weight 5 of 6)",
        "b": "not its turn (weight 1 of 6)",
    }


def test_a_member_that_comes_goes_or_rests_does_not_upset_the_turns() -> None:
    state = plan("weighted", group("a=2", "b")).state
    assert state == {"current": {"a": -1.0, "b": 1.0}}
    joined = plan("weighted", group("a=2", "b", "c=4"), state=state)
    assert joined.targets == ("c",)
    assert set(joined.state["current"]) == {"a", "b", "c"}
    left = plan("weighted", group("b", "c=4"), state=joined.state)
    assert set(left.state["current"]) == {"b", "c"}
    rests = plan("weighted", group("a=2", "b!"), state=state)
    assert rests.state == {"current": {"a": -1.0, "b": 1.0}}


def test_sticky_keeps_a_context_for_one_message_that_its_agent_cannot_take() -> None:
    candidates = (Candidate("a"), Candidate("b", tags=("x",)))
    state = {"pins": [["k", "a"]]}
    away = plan("sticky", candidates, state=state, context="k", tags=("x",))
    assert away.targets == ("b",)
    assert reasons(away)["b"] == (
        "chosen for this context by hash and weight, for this message: "
        "a lacks the tag x, as far as is known: it has no card"
    )
    assert away.state == state
    assert plan("sticky", candidates, state=away.state, context="k").targets == ("a",)


def test_sticky_gives_a_context_whose_agent_has_left_to_another_and_stays_there() -> None:
    gone = plan("sticky", ABC, state={"pins": [["k", "z"]]}, context="k")
    assert "z, which had the context, is no candidate now" in reasons(gone)[gone.targets[0]]
    assert gone.state["pins"] == [["k", gone.targets[0]]]
    again = plan("sticky", (*ABC, Candidate("z", weight=100)), state=gone.state, context="k")
    assert again.targets == gone.targets


def test_sticky_forgets_the_context_that_was_not_used_for_longest() -> None:
    state: dict[str, Any] = {"pins": [[f"k{number}", "a"] for number in range(1000)]}
    state = plan("sticky", ABC, state=state, context="k0").state
    state = plan("sticky", ABC, state=state, context="new", preferred_agent="b").state
    pins = dict(state["pins"])
    assert len(pins) == 1000
    assert "k1" not in pins
    assert (pins["k0"], pins["new"]) == ("a", "b")
