"""Markdown for platforms that have none."""

from __future__ import annotations

import pytest
from missive_chat.platforms.plain import plain, without_mention


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("**bold** and __bold__", "bold and bold"),
        ("2 ** 3 ** 4, snake__case__name", "2 ** 3 ** 4, snake__case__name"),
        ("# Title #\ntext", "Title\ntext"),
        ("[docs](https://a.example/b)", "docs (https://a.example/b)"),
        ("[https://a.example](https://a.example)", "https://a.example"),
        ("![a cat](https://a.example/cat.png)", "a cat https://a.example/cat.png"),
        ("use `**kwargs` here", "use **kwargs here"),
        ("```python\n**kwargs\n# no title\n```\nend", "**kwargs\n# no title\nend"),
        ("a\n---\nb", "a\nb"),
        ("~~gone~~ \\*kept\\*", "gone *kept*"),
        ("* item\n1. item\n> quoted", "* item\n1. item\n> quoted"),
    ],
)
def test_markdown_as_somebody_would_write_it_who_has_only_text(markdown: str, text: str) -> None:
    assert plain(markdown) == text


def test_with_styling() -> None:
    text = "# T\n**b** ~~s~~ `c`\n```py\n**x**\n```"
    assert plain(text, fences=True, strong="*", struck="~") == "*T*\n*b* ~s~ `c`\n```\n**x**\n```"


def test_a_nick_is_a_whole_word() -> None:
    assert without_mention("bot, hi", ("bot",)) == ("hi", True)
    assert without_mention("hi bot!", ("bot",)) == ("hi bot!", True)
    assert without_mention("botany", ("bot",)) == ("botany", False)
    assert without_mention("a.b: x", ("a.b",)) == ("x", True)
    assert without_mention("aXb: x", ("a.b",)) == ("aXb: x", False)
