"""What holds for every policy and any input."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from routing_kit import POLICIES, group, plan, turns

from missive_host.errors import ValidationError
from missive_host.specs import Candidate, Requirements, RouteRequest

LABELS = st.lists(st.sampled_from(["x", "y", "z"]), max_size=2).map(tuple)
WEIGHTS = st.one_of(
    st.integers(1, 9).map(float),
    st.floats(1e-3, 1e3),
    st.sampled_from([0.0, -1.0, 1e-300, 1e308, float("inf"), float("nan")]),
)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Candidate, ...]:
    names = draw(st.lists(st.sampled_from("abcdefgh") | st.text(max_size=5), unique=True, max_size=7))
    fact = st.none() | st.booleans()
    return tuple(
        Candidate(
            name,
            draw(st.none() | st.text(max_size=2)),
            draw(LABELS),
            draw(WEIGHTS),
            draw(LABELS),
            draw(LABELS),
            draw(LABELS),
            draw(fact),
            draw(fact),
            draw(st.booleans()),
            draw(st.integers(-1, 50)),
        )
        for name in names
    )


REQUIREMENTS = st.builds(Requirements, LABELS, LABELS, LABELS, LABELS, st.booleans(), st.booleans())
REQUESTS = st.builds(
    RouteRequest,
    st.just(Requirements()) | REQUIREMENTS,
    LABELS,
    st.none() | st.sampled_from("abcdefgh"),
    st.none() | st.text(max_size=3),
    st.none() | st.integers(-1, 8),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=6,
)
STATES = st.dictionaries(st.sampled_from(["cursor", "current", "pins", "other"]), JSON)
MANY = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize("policy", POLICIES)
@MANY
@given(data=st.data())
def test_a_plan_is_made_or_refused_whatever_comes_in(policy: str, data: st.DataObject) -> None:
    request, among, state = data.draw(REQUESTS), data.draw(candidates()), data.draw(STATES)
    aliases = [each.agent for each in among]
    before = copy.deepcopy(state)
    try:
        made = POLICIES[policy].plan(request, among, state)
    except ValidationError:
        unknown = request.preferred_agent is not None and request.preferred_agent not in aliases
        wrong = policy == "quorum" and request.quorum is not None and not 1 <= request.quorum <= len(among)
        assert unknown or wrong
        return
    assert [each.agent for each in made.decisions] == aliases
    assert {each.agent for each in made.decisions if each.selected} == set(made.targets)
    assert len(set(made.targets)) == len(made.targets)
    assert all(each.reason.strip() for each in made.decisions)
    assert not any(each.missing and each.selected for each in made.decisions)
    assert made.mode != "single" or len(made.targets) <= 1
    fit = [each for each in made.decisions if not each.missing]
    assert bool(made.targets) == bool(fit) or (policy == "quorum" and (made.required or 0) > len(fit))
    json.dumps(made.state, allow_nan=False)
    # pure: the inputs are as they were, and the same again gives the same
    assert repr(state) == repr(before)
    assert POLICIES[policy].plan(request, among, state) == made
    assert type(POLICIES[policy])().plan(request, among, json.loads(json.dumps(before))) == made


@MANY
@given(weights=st.lists(st.integers(1, 12), min_size=1, max_size=6), cycles=st.integers(1, 3))
def test_over_a_cycle_each_has_as_many_turns_as_its_weight(weights: list[int], cycles: int) -> None:
    members = group(*(f"{name}={weight}" for name, weight in zip("abcdef", weights, strict=False)))
    chosen = turns("weighted", members, sum(weights) * cycles)
    assert Counter(chosen) == {each.agent: each.weight * cycles for each in members}


@MANY
@given(weights=st.lists(st.integers(1, 40), min_size=2, max_size=5))
def test_turns_are_spread_so_that_nobody_is_ahead_by_a_turn_or_more(weights: list[int]) -> None:
    tenths = group(*(f"{name}={weight / 10}" for name, weight in zip("abcde", weights, strict=False)))
    total = sum(weights)
    count: Counter[str] = Counter()
    for turn, agent in enumerate(turns("weighted", tenths, total), 1):
        count[agent] += 1
        for each, weight in zip(tenths, weights, strict=True):
            assert count[each.agent] - turn * weight / total < 1
    assert [count[each.agent] for each in tenths] == weights


@MANY
@given(state=STATES, weights=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_weighted_turns_come_right_again_after_a_damaged_state(state: dict[str, Any], weights: list[int]) -> None:
    members = group(*(f"{name}={weight}" for name, weight in zip("abcd", weights, strict=False)))
    total = sum(weights)
    chosen: list[str] = []
    for _ in range(4 * total * len(weights)):
        made = plan("weighted", members, state=state)
        chosen += made.targets
        state = made.state
    assert set(chosen) == {each.agent for each in members}


@MANY
@given(size=st.integers(1, 7), start=st.integers(0, 1000))
def test_round_robin_gives_everybody_a_turn_before_anybody_has_two(size: int, start: int) -> None:
    members = group(*"abcdefg"[:size])
    state: dict[str, Any] = {"cursor": start}
    chosen: list[str] = []
    for _ in range(size):
        made = plan("round-robin", members, state=state)
        chosen += made.targets
        state = made.state
    assert sorted(chosen) == [each.agent for each in members]


@MANY
@given(contexts=st.sets(st.text(min_size=1, max_size=8), max_size=20), leaver=st.sampled_from("abcdef"))
def test_only_the_contexts_of_who_leaves_move(contexts: set[str], leaver: str) -> None:
    members = group("a", "b=2", "c=0.5", "d", "e=3", "f")
    rest = tuple(each for each in members if each.agent != leaver)
    for context in contexts:
        before = plan("sticky", members, context=context).targets
        # without any memory, and in another order of the members
        after = plan("sticky", rest[::-1], context=context).targets
        assert after == before or before == (leaver,)


@MANY
@given(data=st.data())
def test_a_context_stays_while_its_agent_is_a_candidate(data: st.DataObject) -> None:
    names = st.sets(st.sampled_from("abcdef"), min_size=1)
    state: dict[str, Any] = {}
    where: dict[str, str] = {}
    for _ in range(data.draw(st.integers(1, 12))):
        context = data.draw(st.sampled_from(["k1", "k2", "k3"]))
        members = tuple(
            Candidate(name, weight=data.draw(st.floats(0.1, 10)), resting=data.draw(st.booleans()))
            for name in sorted(data.draw(names))
        )
        made = plan("sticky", members, state=json.loads(json.dumps(state)), context=context)
        (chosen,) = made.targets
        if where.get(context) in {each.agent for each in members}:
            assert chosen == where[context]
        where[context] = chosen
        state = made.state


def test_new_contexts_are_spread_by_weight() -> None:
    members = group("a", "b=3")
    chosen = Counter(plan("sticky", members, context=f"context-{number}").targets[0] for number in range(2000))
    assert 1400 < chosen["b"] < 1600  # 1500 expected; the hash is the same on every machine


@pytest.mark.parametrize("policy", POLICIES)
def test_a_thousand_candidates(policy: str) -> None:
    members = tuple(
        Candidate(f"agent-{number:03}", tags=("x",), weight=1 + number % 7, streaming=bool(number % 2))
        for number in range(1000)
    )
    made = plan(policy, members, tags=("x",), streaming=True, context="k")
    assert len(made.decisions) == 1000
    assert set(made.targets) <= {each.agent for each in members if each.streaming}
    assert made.targets
