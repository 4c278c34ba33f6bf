"""Long answers in pieces: nothing lost, nothing too long, code still code, characters whole."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st
from missive_chat.chunks import chunks, length, truncated

FENCE_LINE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*$", re.MULTILINE)
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ZALGO = "e\u0301\u0323"
FLAG = "\U0001f1e9\U0001f1ea"

MEASURES: dict[str, Callable[[str], int]] = {
    "characters": len,
    "utf-16": lambda text: length(text, "utf-16"),
    "bytes": lambda text: length(text, "bytes"),
    "escaped": lambda text: len(html.escape(text)),
}

words = st.text(alphabet="abcdefgh<&é漢", min_size=1, max_size=12)
lines = st.lists(words, max_size=12).map(" ".join)
code = st.lists(st.text(alphabet="abc(){} \t=", max_size=30), max_size=12).map(lambda rows: "\n".join(rows) + "\n")
fences = st.tuples(st.sampled_from(["", "py", "c++ title=x"]), code).map(lambda part: f"```{part[0]}\n{part[1]}```")
texts = st.lists(st.one_of(lines, fences, st.sampled_from(["", "- a\n- b", "# Title"])), max_size=12).map("\n\n".join)


def seen(text: str) -> str:
    """What is left of a text without fences and white space."""
    return re.sub(r"\s+", "", FENCE_LINE.sub("", text))


def balanced(piece: str) -> bool:
    return len(FENCE_LINE.findall(piece)) % 2 == 0


@settings(max_examples=150)
@given(text=texts, limit=st.integers(60, 200), unit=st.sampled_from(sorted(MEASURES)))
def test_nothing_is_lost_or_too_long_and_code_stays_code(text: str, limit: int, unit: str) -> None:
    measure = MEASURES[unit]
    pieces = chunks(text, limit, measure)
    assert [piece for piece in pieces if measure(piece) > limit] == []
    assert [piece for piece in pieces if not piece.strip()] == []
    assert [piece for piece in pieces if not balanced(piece)] == []
    assert seen("\n".join(pieces)) == seen(text)


@settings(max_examples=200)
@given(text=st.text(max_size=400), limit=st.integers(1, 60), unit=st.sampled_from(sorted(MEASURES)))
def test_any_text_at_any_limit_is_kept(text: str, limit: int, unit: str) -> None:
    measure = MEASURES[unit]
    pieces = chunks(text, limit, measure)
    if not FENCE_LINE.search(text):
        assert re.sub(r"\s+", "", "".join(pieces)) == re.sub(r"\s+", "", text)
    assert [piece for piece in pieces if measure(piece) > limit and len(piece) > 1] == []


@settings(max_examples=150)
@given(text=texts, limit=st.integers(60, 200), unit=st.sampled_from(sorted(MEASURES)))
def test_the_end_of_a_growing_text_fits_and_stays_visible(text: str, limit: int, unit: str) -> None:
    measure = MEASURES[unit]
    for cut in (len(text), len(text) // 2):
        growing = text[:cut]
        shown = truncated(growing, limit, measure)
        assert measure(shown) <= limit
        assert balanced(shown)
        if not shown.startswith("…"):
            assert seen(shown) == seen(growing)
        else:
            assert seen(growing).endswith(seen(shown[1:]))
            assert len(shown) > 1


@given(text=st.text(max_size=300), limit=st.integers(2, 60))
def test_the_end_of_any_text_fits(text: str, limit: int) -> None:
    assert len(truncated(text, limit, len)) <= limit


@pytest.mark.parametrize("character", [FAMILY, ZALGO, FLAG, "\U0001f44d\U0001f3fd", "각", "\r\n"])
def test_a_character_as_it_is_seen_is_not_cut(character: str) -> None:
    text = "x" + character * 100 + "x"
    for limit in (10, 11, 12, 13, 25):
        for piece in chunks(text, limit, len):
            assert piece.strip("x").replace(character.strip(), "").strip() == ""
        shown = truncated(text, limit, len).lstrip("…").strip("x")
        assert shown.replace(character.strip(), "").strip() == ""


def test_a_text_that_fits_is_left_as_it_is() -> None:
    text = "  two lines\n\n```py\nx\n"
    assert chunks(text, 100, len) == (text,)
    assert chunks(" \n ", 100, len) == ()
    assert chunks("", 100, len) == ()


def test_what_a_platform_shortens_is_one_piece_if_it_fits_after_it() -> None:
    def without_addresses(text: str) -> int:
        return len(re.sub(r"\]\([^)]*\)", "]", text))

    assert len(chunks("[a](https://example.test/long) " * 14, 120, without_addresses)) == 1


def test_it_is_cut_between_paragraphs_before_lines_before_sentences_before_words() -> None:
    paragraph = "One two three. Four five six."
    lines = f"{paragraph}\n{paragraph}"
    assert chunks(f"{lines}\n\n{lines}", 95, len) == (lines, lines)
    assert chunks(f"{paragraph}\n{paragraph}", 40, len) == (paragraph, paragraph)
    assert chunks(paragraph, 22, len) == ("One two three.", "Four five six.")
    assert chunks("one two three four", 9, len) == ("one two", "three", "four")
    assert chunks("abcdefghij", 4, len) == ("abcd", "efgh", "ij")


def test_indentation_at_the_beginning_of_a_piece_is_kept() -> None:
    text = "- one\n  - " + "a" * 20 + "\n  - " + "b" * 20
    assert chunks(text, 36, len)[1] == "  - " + "b" * 20


def test_a_fence_is_closed_and_opened_again_with_its_info_string() -> None:
    rows = [f"row {number} = {number}" for number in range(20)]
    text = "Before.\n\n```python\n" + "\n".join(rows) + "\n```\n\nAfter."
    pieces = chunks(text, 80, len)
    assert len(pieces) > 3
    assert pieces[0] == "Before." or pieces[0].endswith("\n```")
    inner = [piece for piece in pieces if "```" in piece]
    assert all(piece.startswith(("```python\n", "Before.")) for piece in inner)
    assert all(piece.endswith("\n```") for piece in inner[:-1])
    bodies = "\n".join(re.sub(r"(?s).*?```python\n(.*?)\n```.*", r"\1", piece) for piece in inner)
    assert bodies == "\n".join(rows)
    assert pieces[-1].endswith("After.")


def test_blanks_in_code_survive_the_cut() -> None:
    body = "def a():\n    x\n\n\n    y\n" * 8
    pieces = chunks(f"```\n{body}```", 60, len)
    assert "".join(piece.removeprefix("```\n").removesuffix("```") for piece in pieces) == body


def test_a_fence_that_fits_into_the_next_piece_is_kept_together() -> None:
    fence = "```py\n" + "x = 1\n" * 6 + "```"
    assert chunks("A few words before it.\n" + fence, 60, len) == ("A few words before it.", fence)


def test_a_longer_fence_around_a_shorter_one_is_closed_by_its_own_kind() -> None:
    text = "````md\n" + "```\ninner line\n```\n" * 10 + "````"
    for piece in chunks(text, 70, len):
        assert piece.startswith("````md\n")
        assert piece.endswith("\n````")


def test_a_link_is_not_cut_if_it_fits() -> None:
    link = "[the long words of a link](https://example.test/a/b/c)"
    pieces = chunks(f"Some words come before it, and then {link} and after.", 70, len)
    assert [piece for piece in pieces if link in piece]
    code = "`one two three four five six`"
    assert [piece for piece in chunks("Some words before " + code + " after", 40, len) if code in piece]


def test_the_end_of_growing_code_is_still_code() -> None:
    text = "Here:\n```sh\n" + "echo one two three\n" * 20
    shown = truncated(text, 80, len)
    assert shown.startswith("…\n```sh\necho")
    assert shown.endswith("three\n```")
    assert truncated("```sh\necho", 80, len) == "```sh\necho\n```"
    assert truncated("short", 80, len) == "short"
    assert truncated("word " * 50, 20, len) == "…word word word "


def test_units() -> None:
    assert [length("a\U0001f600é", unit) for unit in ("characters", "utf-16", "bytes")] == [3, 4, 7]
    assert length("\ud83d", "bytes") == 3


@pytest.mark.parametrize(
    "unit_of_text",
    ["word ", "x", "[", "[](", "```\n", "`", "\n", " ", "e\u0301", "\u0301", "\U0001f1e9", "~~~py\nx\n~~~\n\n", "a. "],
    ids=ascii,
)
def test_the_work_is_bounded_by_the_length(unit_of_text: str) -> None:
    """Counted in characters that are measured, for texts that are hard to cut."""
    measured = 0

    def measure(text: str) -> int:
        nonlocal measured
        measured += len(text)
        return len(text)

    text = unit_of_text * (262_144 // len(unit_of_text))
    chunks(text, 2000, measure)
    assert measured < 40 * len(text)
    measured = 0
    truncated(text, 2000, measure)
    assert measured < 40 * 8000
