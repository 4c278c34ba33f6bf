"""What each reducer answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from reducing_kit import REDUCERS, context, given, needed, reduce

from missive_host.errors import OrchestrationError, ValidationError
from missive_host.specs import AgentResult

A, B, C = given("a", "Yes"), given("b", " yes "), given("c", "No")
FILES = given("f", files=("plan.pdf", "map.png"), artifact_count=2)
FAILED = AgentResult("z", "z", "failed", text="it broke")


def test_summarise_has_a_line_for_each_input() -> None:
    answer = reduce("summarise", [C, A, FILES, given("e", task_id=None), FAILED], missing=("q",))
    assert answer.text == (
        "Summary for group 'g' in context 'ctx-1':\n"
        "- a (a, task task-a): Yes\n"
        "- c (c, task task-c): No\n"
        "- e (e, task missing): [no text output]\n"
        "- f (f, task task-f): [artifact output: plan.pdf, map.png]"
    )
    assert answer.used == ("a", "c", "e", "f")
    assert answer.notes == ("nothing from z (failed), q",)


def test_merge_has_a_section_for_each_input() -> None:
    answer = reduce("merge", [C, A, given("d", None, {"x": [1]})])
    assert answer.text == (
        "Merged output for group 'g' in context 'ctx-1'.\n\n"
        '## a (a)\nYes\n\n## c (c)\nNo\n\n## d (d)\n{\n  "x": [\n    1\n  ]\n}'
    )
    assert answer.notes == ()


def test_rank_scores_characters_artifacts_and_messages() -> None:
    results = [
        given("a", "x" * 30),
        given("b", "yy", artifact_count=1, message_count=1),
        given("c", "x" * 30),
        given("d", message_count=3, rank="0"),
    ]
    answer = reduce("rank", results)
    assert answer.text.splitlines() == [
        "Ranked outputs for group 'g' in context 'ctx-1':",
        "1. b (b) — score 37 — yy",
        "2. 0 (d) — score 30 — [no text output]",
        f"3. a (a) — score 30 — {'x' * 30}",
        f"4. c (c) — score 30 — {'x' * 30}",
    ]
    assert answer.data["ranking"][0] == {"agent": "b", "rank": "b", "score": 37}
    assert answer.used == ("b", "d", "a", "c")


def test_vote_counts_texts_that_differ_in_case_and_white_space_only_as_one() -> None:
    answer = reduce("vote", [C, B, A, given("d", None, {"yes": 1}), given("e", " \n")])
    assert answer.text == (
        'Vote result: "Yes" received 2 of 3 vote(s).\nTallies:\n'
        '- "No": 1 vote(s) from c (c)\n- "Yes": 2 vote(s) from a (a), b (b)'
    )
    assert answer.used == ("a", "b")
    assert answer.data == {
        "winner": "Yes", "votes": 2, "of": 3, "quorum": None, "tied": [],
        "tally": [{"text": "No", "votes": 1, "agents": ["c"]}, {"text": "Yes", "votes": 2, "agents": ["a", "b"]}],
    }  # fmt: skip
    assert answer.notes == ("left out, there is no text: d, e",)


@pytest.mark.parametrize(
    ("tie", "winner"), [({}, "no"), ({"tie": "smallest"}, "no"), ({"tie": "first"}, "Yes"), ({"tie": "none"}, None)]
)
def test_ties(tie: dict[str, Any], winner: str | None) -> None:
    answer = reduce("vote", [given("b", "no"), given("a", "Yes")], **tie)
    assert answer.data["winner"] == winner
    assert answer.data["tied"] == ["no", "Yes"]
    assert answer.notes == ("2 answers tied at 1 of 2 vote(s)",)
    assert bool(answer.used) == (winner is not None)


def test_a_tie_is_an_error_if_the_caller_wants_it_to_be_one() -> None:
    with pytest.raises(OrchestrationError, match=r"the vote is tied: 2 answers tied at 1 of 2 vote\(s\)"):
        reduce("vote", [A, C], tie="error")
    assert reduce("vote", [A, B, C], tie="error").data["winner"] == "Yes"


def test_a_vote_without_quorum_has_no_winner() -> None:
    answer = reduce("vote", [A, B, C], quorum="3")
    assert answer.text.startswith("Vote result: none, no answer has the 3 vote(s) that it needs.\nTallies:\n")
    assert (answer.data["winner"], answer.used) == (None, ())
    assert reduce("vote", [A, B, C], quorum=2).data["winner"] == "Yes"


def test_custom_is_what_the_template_says() -> None:
    answer = reduce("custom", [C, A, FAILED], template="{{group}} {{ context_id }} {{strategy}} {{input_count}}: {}")
    assert answer.text == "g ctx-1 custom 2: {}"
    assert answer.used == ("a", "c")
    inputs = reduce("custom", [A, FAILED], template="{{inputs}}").text
    assert inputs == (
        "### a (a)\n- status: gathered\n- task: task-a\n- messages: 0\n- artifacts: 0\n\nYes\n\n"
        "### z (z)\n- status: failed\n- task: missing\n- messages: 0\n- artifacts: 0"
    )
    assert reduce("custom", [A, FAILED], template="{{default_reduction}}").text == inputs


@pytest.mark.parametrize("name", ["summarise", "merge", "vote", "rank"])
def test_the_strategies_of_the_reference_take_a_template_around_their_answer(name: str) -> None:
    plain = reduce(name, [A, B, C])
    answer = reduce(name, [A, B, C], template="<{{strategy}}>{{default_reduction}}</{{strategy}}>")
    assert answer.text == f"<{name}>{plain.text}</{name}>"
    assert answer.data == plain.data
    assert answer.used == ("a", "b", "c")


def test_concat_puts_texts_in_rank_order() -> None:
    assert reduce("concat", [C, FILES, A]).text == "Yes\nNo"
    answer = reduce("concat", [C, FILES, A], separator="")
    assert (answer.text, answer.used) == ("YesNo", ("a", "c"))
    assert answer.notes == ("left out, there is no text: f",)


def test_first_answers_as_soon_as_a_result_says_something() -> None:
    reduction = REDUCERS["first"].start(context(("z", "e", "a", "c")))
    assert reduction.add(FAILED) is None
    assert reduction.add(given("e", "")) is None
    answer = reduction.add(given("a", "Yes", {"x": 1}))
    assert answer is not None
    assert (answer.text, answer.data, answer.used) == ("Yes", {"x": 1}, ("a",))
    assert answer.notes == ("nothing from z (failed), e (empty_output)",)
    assert reduction.add(C) == answer
    assert reduction.close(("q",)) == answer


def test_json_merge_goes_deep_and_reports_conflicts() -> None:
    results = [
        given("b", None, {"size": {"w": 2, "h": 3}, "tags": ["y", "z"], "ok": True, "n/~": 1}),
        given("a", None, {"size": {"w": 1}, "tags": ["x", "y"], "ok": True}, {"n/~": 1.0}),
        given("c", '{"size": 7, "ok": false}'),
        given("d", "words"),
    ]
    answer = reduce("json-merge", results)
    assert answer.data["value"] == {
        "size": {"w": 1, "h": 3}, "tags": ["x", "y", "z"], "ok": True, "n/~": 1.0,
    }  # fmt: skip
    assert json.loads(answer.text) == answer.data["value"]
    assert answer.data["conflicts"] == [
        {"path": "/size", "kept": "a", "value": {"w": 1}, "others": [{"agent": "c", "value": 7}]},
        {"path": "/size/w", "kept": "a", "value": 1, "others": [{"agent": "b", "value": 2}]},
        {"path": "/ok", "kept": "a", "value": True, "others": [{"agent": "c", "value": False}]},
    ]
    assert answer.used == ("a", "b", "c")
    assert answer.notes == (
        "left out, the text is not JSON: d",
        'conflict at "/size": kept {"w":1} of a, left 7 of c',
        'conflict at "/size/w": kept 1 of a, left 2 of b',
        'conflict at "/ok": kept true of a, left false of c',
    )


@pytest.mark.parametrize(
    ("settings", "value", "conflicts"),
    [
        ({}, {"l": [1, 1, 2], "v": "x"}, 1),
        ({"conflict": "last"}, {"l": [1, 1, 2], "v": "y"}, 1),
        ({"lists": "concat"}, {"l": [1, 1, 1, 2], "v": "x"}, 1),
        ({"lists": "whole"}, {"l": [1, 1], "v": "x"}, 2),
        ({"lists": "whole", "conflict": "last"}, {"l": [1, 2], "v": "y"}, 2),
    ],
)
def test_json_merge_settings(settings: dict[str, Any], value: Any, conflicts: int) -> None:
    answer = reduce(
        "json-merge", [given("a", None, {"l": [1, 1], "v": "x"}), given("b", None, {"l": [1, 2], "v": "y"})], **settings
    )
    assert answer.data["value"] == value
    assert len(answer.data["conflicts"]) == conflicts


def test_json_merge_can_refuse_conflicts() -> None:
    with pytest.raises(OrchestrationError, match='conflict at the top: kept 1 of a, left "1" of b'):
        reduce("json-merge", [given("a", None, 1), given("b", None, "1")], conflict="error")
    assert reduce("json-merge", [given("a", None, 1), given("b", None, 1.0)], conflict="error").data["value"] == 1


def test_many_conflicts_do_not_drown_the_reader() -> None:
    results = [given(f"m{number:03}", None, {f"k{key}": number for key in range(50)}) for number in range(100)]
    answer = reduce("json-merge", results)
    assert len(answer.data["conflicts"]) == 50
    assert all(len(each["others"]) == 99 for each in answer.data["conflicts"])
    assert answer.notes[-1] == "30 more conflicts"
    assert answer.notes[0].endswith("19 of m019, 20 of m020 and 79 more")
    assert len(answer.notes) == 21


def test_majority_json_compares_values_not_texts() -> None:
    results = [
        given("a", None, {"x": 1, "y": [1.0, None]}),
        given("b", '{"y": [1, null], "x": 1e0}'),
        given("c", None, {"x": True, "y": [1, None]}),
    ]
    answer = reduce("majority-json", results)
    assert answer.data["agreed"]
    assert answer.data["value"] == {"x": 1, "y": [1.0, None]}
    assert json.loads(answer.text) == answer.data["value"]
    assert (answer.data["votes"], answer.data["of"], answer.data["quorum"]) == (2, 3, 2)
    assert answer.used == ("a", "b")


def test_a_majority_is_one_of_all_members() -> None:
    results = [given("a", None, 1), given("b", None, 1), FAILED, given("c", "one")]
    answer = reduce("majority-json", results, missing=("y",))
    assert answer.text == "No majority: 2 of 5 member(s) agree, 3 must."
    assert (answer.data["agreed"], answer.data["value"], answer.used) == (False, None, ())
    assert answer.notes == ("nothing from z (failed), y", "left out, the text is not JSON: c")
    assert reduce("majority-json", results, missing=("y",), quorum=2).text == "1"


def test_null_can_have_the_majority() -> None:
    answer = reduce("majority-json", [given("a", None, None), given("b", "null")])
    assert (answer.data["agreed"], answer.data["value"], answer.text) == (True, None, "null")


def test_a_tie_for_a_small_quorum_is_said() -> None:
    answer = reduce("majority-json", [given("a", None, 2), given("b", None, 1)], quorum=1)
    assert (answer.text, answer.notes) == ("1", ("2 values tied at 1 vote(s)",))


# --- settings


@pytest.mark.parametrize("name", REDUCERS)
def test_a_setting_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=f"the reducer `{name}` has no setting `colour`"):
        REDUCERS[name].start(context(**needed(name), colour="red"))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("concat", {"seperator": ","}, "has no setting `seperator`; did you mean 'separator'?"),
        ("concat", {"separator": 1}, "must be a text"),
        ("custom", {}, "the reducer `custom` needs the setting `template`"),
        ("custom", {"template": None}, "the reducer `custom` needs the setting `template`"),
        ("custom", {"template": " "}, "the template is empty"),
        ("custom", {"template": "{{imputs}}"}, "`{{imputs}}`, which is not known; did you mean 'inputs'?"),
        ("merge", {"template": "{{ Group }}"}, "`{{Group}}`, which is not known; did you mean 'group'?"),
        ("first", {"template": "x"}, "the reducer `first` has no setting `template`"),
        ("vote", {"tie": "frist"}, "one of smallest, first, none, error; did you mean 'first'?"),
        ("vote", {"tie": ["first"]}, "must be one of smallest, first, none, error"),
        ("vote", {"quorum": 0}, "must be a whole number from 1 to 3"),
        ("vote", {"quorum": 4}, "must be a whole number from 1 to 3"),
        ("vote", {"quorum": True}, "must be a whole number from 1 to 3"),
        ("vote", {"quorum": "two"}, "must be a whole number from 1 to 3"),
        ("majority-json", {"quorum": 1.5}, "must be a whole number from 1 to 3"),
        ("json-merge", {"lists": "unoin"}, "one of union, concat, whole; did you mean 'union'?"),
        ("json-merge", {"conflict": "merge"}, "must be one of first, last, error"),
    ],
)
def test_settings_are_checked_before_anything_is_reduced(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        REDUCERS[name].start(context("abc", **settings))
    assert message in refused.value.message
