"""Markdown as Discord shows it."""

from __future__ import annotations

import pytest
from missive_chat.platforms.discord.rendering import render

ZERO = "\u200b"


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "**bold** *it* ~~no~~ `code`",
        "# One\n## Two\n### Three",
        "- a\n- b",
        "> quoted",
        "[a](https://e.org/)",
        "",
    ],
)
def test_what_discord_knows_is_left_alone(text: str) -> None:
    assert render(text) == text


def test_mass_mentions_are_harmless_also_in_code_and_in_any_spelling() -> None:
    assert render("@everyone `@here`") == f"@{ZERO}everyone `@{ZERO}here`"
    assert "@everyone" not in render("```\n@everyone\n```").lower()
    assert "@everyone" not in render("| a | b |\n|---|---|\n| @everyone | @here |")
    assert render("me@example.org") == "me@example.org"


def test_a_table_becomes_code() -> None:
    table = "Before:\n| Name | Größe |\n|:-----|------:|\n| a \\| b | 12 |\n| 漢字 | |\nAfter."
    assert render(table).split("\n") == [
        "Before:",
        "```",
        "Name   Größe",
        "-----  -----",
        "a | b  12",
        "漢字",
        "```",
        "After.",
    ]


def test_a_wide_table_becomes_a_list() -> None:
    wide = "x" * 200
    assert render(f"| A | B |\n|---|---|\n| 1 | {wide} |") == f"- A: 1; B: {wide}"


def test_a_table_in_code_is_code() -> None:
    text = "````md\n| a | b |\n|---|---|\n```\n#### no heading\n````\n#### a heading"
    assert render(text) == "````md\n| a | b |\n|---|---|\n```\n#### no heading\n````\n**a heading**"


def test_a_table_cannot_end_its_code() -> None:
    assert render("| a | b |\n|---|---|\n| ``` | x |").count("```") == 2


def test_tildes_are_a_fence_that_discord_does_not_know() -> None:
    assert render("~~~py\n~~x~~\n~~~") == "```py\n~~x~~\n```"


def test_an_image_is_a_link() -> None:
    assert render('![a cat](https://e.org/c.png "title") ![](https://e.org/d.png)') == (
        "[a cat](https://e.org/c.png) [image](https://e.org/d.png)"
    )


def test_lines_with_a_bar_are_no_table() -> None:
    assert render("a | b\nc | d") == "a | b\nc | d"
