"""IRC's lines, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from missive_chat.platform import ChatError
from missive_chat.platforms.irc.wire import TEXT, Decoder, clean, command, fold, pieces, target, without_codes


@pytest.mark.parametrize("text", ["a\r\nQUIT", "a\nQUIT", "a\rQUIT", "a\0b"])
def test_a_line_cannot_hold_another_one(text: str) -> None:
    with pytest.raises(ChatError, match="must not hold a line break"):
        command("PRIVMSG", "#a", text)


@pytest.mark.parametrize("name", ["", "#a b", "#a,#b", ":#a", "#a\r\nQUIT", "#a\x07", "a\0", "\u2003"])
def test_what_is_no_name_is_not_spoken_to(name: str) -> None:
    with pytest.raises(ChatError, match="not the name of a channel"):
        target(name)


@pytest.mark.parametrize("name", ["#a", "&local", "@#ops", "nick[1]", "#köln"])
def test_names(name: str) -> None:
    assert target(name) == name


def test_control_characters_do_not_go_out() -> None:
    assert clean("\x01DCC SEND x\x01\tand \x02bold\x02\r\n\r\nsecond\u2028third\x85fourth") == (
        "DCC SEND x  and bold\nsecond\nthird\nfourth"
    )


@given(st.text(), st.integers(min_value=20, max_value=TEXT))
def test_pieces_fit_and_nothing_is_lost(text: str, width: int) -> None:
    lines = list(pieces(text, width))
    assert all(0 < len(line.encode("utf-8", "replace")) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(clean(text).split())
    for line in lines:
        assert command("PRIVMSG", "#a", line).endswith(b"\r\n")
        assert not set(line) & set("\r\n\0\x01\x02\x03")


def test_a_line_is_cut_between_words_and_never_within_a_character() -> None:
    assert list(pieces("one two three four", 10)) == ["one two", "three four"]
    assert list(pieces("ä" * 30, 21)) == ["ä" * 10, "ä" * 10, "ä" * 10]
    family = "👨‍👩‍👧"
    assert list(pieces(family * 3, 40)) == [family * 2, family]
    assert list(pieces("e\u0301" * 10, 19)) == ["e\u0301" * 6, "e\u0301" * 4]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("\x02bold\x02 \x1ditalic\x1d \x1funder\x1f \x0fplain", "bold italic under plain"),
        ("\x0304red\x03 \x034,12red on blue\x03, 5", "red red on blue, 5"),
        ("\x04ff0000red\x04", "red"),
        ("\x033rd and \x0399four", "rd and four"),
    ],
)
def test_colours_are_taken_out(line: str, text: str) -> None:
    assert without_codes(line) == text


def test_names_are_compared_as_the_server_says() -> None:
    assert fold("Nick[]\\~") == "nick{}|^"
    assert fold("Nick[]\\~", "ascii") == "nick[]\\~"
    assert fold("Nick[]\\~", "rfc1459-strict") == "nick{}|~"
    assert fold("ÄÖ") == "ÄÖ"


def test_what_is_no_line_of_irc_is_passed_over() -> None:
    decoder = Decoder()
    assert decoder.push(b"\r\n\n  \r\n:only.a.source\r\n@\r\n@tag\xff PING\r\nPI") == []
    (ping,) = decoder.push(b"NG :a b\r\n")
    assert (ping.command, ping.params) == ("PING", ["a b"])
    (latin,) = decoder.push(":a!b@c PRIVMSG #a :gr\u00fc\u00dfe\r\n".encode("latin-1"))
    assert latin.params == ["#a", "grüße"]


def test_a_line_without_end_is_an_error() -> None:
    with pytest.raises(ChatError, match="a line without end"):
        Decoder().push(b"x" * 20_000)
