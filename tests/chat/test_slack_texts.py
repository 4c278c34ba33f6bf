"""What people write in Slack arrives as Markdown, and what agents write pings nobody."""

from __future__ import annotations

import pytest
from missive_chat.platforms.slack.markup import HIDDEN, cut, harmless, to_markdown, to_mrkdwn
from missive_chat.platforms.slack.messages import MAX_FALLBACK, fallback


@pytest.mark.parametrize(
    ("written", "markdown"),
    [
        ("<@UBOT> hello", "hello"),
        ("<@UBOT|missive>: hello", "hello"),
        ("hello <@UBOT> there", "hello there"),
        ("one\n<@UBOT> two", "one\ntwo"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
        ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
        ("*bold* _italic_ ~gone~", "**bold** _italic_ ~~gone~~"),
        ("2*3*4 and a ~ b", "2*3*4 and a ~ b"),
        ("`*x* &lt;y&gt;` and ```\n*z*\n```", "`*x* <y>` and ```\n*z*\n```"),
        ("<https://a.example/?q=1&amp;r=2|see here>", "[see here](https://a.example/?q=1&r=2)"),
        ("<https://a.example>", "https://a.example"),
        ("<http://a.example|a.example>", "http://a.example"),
        ("`curl <http://a.example|a.example>`", "`curl http://a.example`"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"),
        ("<#C1|general> <#C2> <@U2|ann> <@U3>", "#general #C2 @ann @U3"),
        ("<!here> <!channel|channel> <!subteam^S1|@team>", "@here @channel @team"),
        ("<!date^1392734382^{date}|yesterday>", "yesterday"),
    ],
)
def test_what_is_written_becomes_markdown(written: str, markdown: str) -> None:
    assert to_markdown(written, me="UBOT") == markdown


@pytest.mark.parametrize(
    "mention",
    [
        "<!channel>",
        "<!here|here>",
        "<!EVERYONE>",
        "<!group>",
        "<!subteam^S1|@team>",
        "<@U123ABC>",
        "@here",
        "@Everyone",
    ],
)
def test_a_mention_of_many_is_seen_and_does_nothing(mention: str) -> None:
    text = harmless(f"so: {mention}, or `{mention}`")
    assert mention not in text
    assert text.replace(HIDDEN, "") == f"so: {mention}, or `{mention}`"
    assert harmless(text) == text
    assert mention not in fallback(f"so: {mention}")


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE html>", "<!-- note -->", "mail a@here.example", "List<@NonNull T>", "@herewith"]
)
def test_what_is_no_mention_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_the_text_of_notifications_is_escaped_and_reads_well() -> None:
    markdown = "# Title\n**bold** & <b> [there](https://a.example/?a&b) `**code**` ~~gone~~"
    assert to_mrkdwn(markdown) == (
        "*Title*\n*bold* &amp; &lt;b&gt; <https://a.example/?a&amp;b|there> `**code**` ~gone~"
    )
    assert to_mrkdwn("[x](javascript:alert)") == "[x](javascript:alert)"


def test_the_text_of_notifications_is_cut_by_bytes_and_never_in_a_character() -> None:
    text = fallback("ü😀" * 3000)
    assert MAX_FALLBACK - 8 < len(text.encode()) <= MAX_FALLBACK
    assert text.endswith("…")
    assert set(text) <= set("ü😀…")
    assert cut("short", 10) == "short"
