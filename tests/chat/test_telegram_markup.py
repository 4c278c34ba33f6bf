"""Markdown and Telegram's entities, both ways."""

from __future__ import annotations

from typing import Any

import pytest
from missive_chat.platforms.telegram.markup import from_markdown, to_markdown, units


def parts(markdown: str) -> tuple[str, list[tuple[str, str]]]:
    text, entities = from_markdown(markdown)
    raw = text.encode("utf-16-le")
    return text, [
        (each["type"], raw[2 * each["offset"] : 2 * (each["offset"] + each["length"])].decode("utf-16-le"))
        for each in entities
    ]


@pytest.mark.parametrize(
    ("markdown", "text", "found"),
    [
        ("plain", "plain", []),
        ("**b** and *i* and _i_ and ~~s~~", "b and i and i and s", ["bold", "italic", "italic", "strikethrough"]),
        ("***both***", "both", ["italic", "bold"]),
        ("**bold *italic* bold**", "bold italic bold", ["bold", "italic"]),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4", []),
        ("**open and *open and `open", "**open and *open and `open", []),
        ("`**code**` and ``a ` b``", "**code** and a ` b", ["code", "code"]),
        (r"\*not\* \_at\_ \`all\`", "*not* _at_ `all`", []),
        ("[name](https://example.org/a_(b)_c)", "name", ["text_link"]),
        ("[name](javascript:alert)", "[name](javascript:alert)", []),
        ("[name](tg://user?id=1)", "[name](tg://user?id=1)", []),
        ("<https://example.org>", "https://example.org", []),
        ("# Title", "Title", ["bold"]),
        ("#hashtag", "#hashtag", []),
        ("- one\n  * two\n1. three", "• one\n  • two\n1. three", []),
        ("> a\n> b", "a\nb", ["blockquote"]),
        ("```py\n**x**\n```", "**x**", ["pre"]),
        ("```\nnever closed", "never closed", ["pre"]),
        ("~~~~\n```\n~~~~\nafter", "```\nafter", ["pre"]),
        ("|a|b|\n|-|---|\n|1|2|", "|a|b|\n|-|---|\n|1|2|", []),
        ("|a|b|\n|---|---|\n|1|2|\n\nafter", "|a|b|\n|---|---|\n|1|2|\n\nafter", ["pre"]),
        ("a\n\n---\n\nb", "a\n\n———\n\nb", []),
        ("  **x**  ", "x", ["bold"]),
        ("\n\n**x**\n\n", "x", ["bold"]),
        ("**", "**", []),
        ("** x **", "** x **", []),
        ("", "", []),
        ("a\r\nb", "a\nb", []),
        ("a\0b", "ab", []),
    ],
)
def test_from_markdown(markdown: str, text: str, found: list[str]) -> None:
    shown, entities = parts(markdown)
    assert (shown, [kind for kind, _ in entities]) == (text, found)


def test_offsets_are_of_utf_16_units() -> None:
    _, entities = parts("😀😀 **fett 😀** 🇩🇪 `code`")
    assert entities == [("bold", "fett 😀"), ("code", "code")]
    assert units("a😀") == 3


def test_a_language_and_an_address_are_kept() -> None:
    _, (code, link) = from_markdown("```python title\nx\n```\n[y](mailto:me@example.org)")
    assert code["language"] == "python"
    assert link["url"] == "mailto:me@example.org"


def test_half_a_character_is_no_reason_to_fail() -> None:
    text, _ = from_markdown("half \ud83d of it **x**")
    assert text == "half \ufffd of it x"
    text.encode()


@pytest.mark.parametrize(
    "hostile",
    [
        "**a ", "[a", "`a``b", "*a **b _c ~~d ", "](https://x", "<https://", "- ", "|", "# a", "> ", "\\", "***", "]("
        "[a](https://example.org/" + "(" * 50,
    ],
)  # fmt: skip
def test_a_hostile_text_takes_no_longer_than_another(hostile: str) -> None:
    """It is read once from the left to the right; a quadratic reading would run into the time limit."""
    text = hostile * (300_000 // len(hostile))
    shown, entities = from_markdown(text)
    assert shown
    assert len(entities) <= 100


@pytest.mark.parametrize(
    ("text", "entities", "markdown"),
    [
        ("a b c", [("bold", 2, 1)], "a **b** c"),
        ("a b c", [("bold", 0, 5), ("italic", 2, 1)], "**a _b_ c**"),
        ("😀 x", [("code", 3, 1)], "😀 `x`"),
        ("a`b", [("code", 0, 3)], "``a`b``"),
        ("say x now", [("pre", 4, 1)], "say \n```\nx\n```\n now"),
        ("x", [("underline", 0, 1), ("spoiler", 0, 1), ("hashtag", 0, 1)], "x"),
    ],
)
def test_to_markdown(text: str, entities: list[tuple[str, int, int]], markdown: str) -> None:
    given: list[dict[str, Any]] = [{"type": kind, "offset": at, "length": length} for kind, at, length in entities]
    assert to_markdown(text, given, lambda *_: None) == markdown


def test_what_is_left_out_takes_its_marks_with_it() -> None:
    entities = [{"type": "bold", "offset": 0, "length": 7}, {"type": "mention", "offset": 2, "length": 4}]
    result = to_markdown("a @bot b", entities, lambda inner, entity: (0, 4) if entity["type"] == "mention" else None)
    assert result == "**a **b"
