"""The login on IRC, line by line."""

from __future__ import annotations

import base64

import pytest
from irctokens.line import tokenise
from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.irc.login import Login


def say(login: Login, *lines: str) -> list[str]:
    """Return what the login answers to lines of the server."""
    answers = [answer for line in lines for answer in login.handle(tokenise(line))]
    return [answer.decode().removesuffix("\r\n") for answer in answers]


def test_without_capabilities() -> None:
    login = Login("bot", user="bot", password="door key")
    assert login.begin() == [
        b"CAP LS 302\r\n", b"PASS :door key\r\n", b"NICK bot\r\n", b"USER bot 0 * missive\r\n",
    ]  # fmt: skip
    assert say(login, ":s 421 * CAP :Unknown command", "PING :abc", ":s 001 bot :Welcome") == ["PONG abc"]
    assert not login.is_done()
    assert say(login, ":s 422 bot :No MOTD") == []
    assert login.is_done()
    assert login.caps == set()


def test_capabilities_that_take_several_lines() -> None:
    login = Login("bot", user="bot")
    assert say(login, ":s CAP * LS * :batch sts=port=6697", ":s CAP * LS :server-time other") == [
        "CAP REQ :batch server-time"
    ]
    assert say(login, ":s CAP * ACK :batch server-time") == ["CAP END"]
    assert login.caps == {"batch", "server-time"}


def test_one_capability_that_is_refused_does_not_cost_the_others() -> None:
    login = Login("bot", user="bot")
    say(login, ":s CAP * LS :batch server-time")
    assert say(login, ":s CAP * NAK :batch server-time") == ["CAP REQ batch", "CAP REQ server-time"]
    assert say(login, ":s CAP * NAK :batch") == []
    assert say(login, ":s CAP * ACK :server-time") == ["CAP END"]
    assert login.caps == {"server-time"}


def test_nothing_that_we_want_is_offered() -> None:
    assert say(Login("bot", user="bot"), ":s CAP * LS :multi-prefix") == ["CAP END"]
    assert say(Login("bot", user="bot"), ":s CAP * LS :") == ["CAP END"]


def test_sasl() -> None:
    login = Login("bot", user="bot", sasl=("bot", "x" * 400))
    assert say(login, ":s CAP * LS :sasl=PLAIN,EXTERNAL", ":s CAP * ACK :sasl") == [
        "CAP REQ sasl",
        "AUTHENTICATE PLAIN",
    ]
    parts = [line.removeprefix("AUTHENTICATE ") for line in say(login, "AUTHENTICATE +")]
    assert [len(part) for part in parts] == [400, len(parts[1])]
    assert base64.b64decode("".join(parts)) == b"bot\0bot\0" + b"x" * 400
    assert say(login, ":s 900 bot bot!b@h account :hello", ":s 903 bot :ok") == ["CAP END"]
    assert login.account == "account"


def test_sasl_of_exactly_one_line_is_ended() -> None:
    login = Login("bot", user="bot", sasl=("b", "x" * 296))
    say(login, ":s CAP * LS :sasl", ":s CAP * ACK :sasl")
    assert say(login, "AUTHENTICATE +")[-1] == "AUTHENTICATE +"


def test_sasl_where_there_is_none() -> None:
    with pytest.raises(ChatLoginError, match="offers no SASL"):
        say(Login("bot", user="bot", sasl=("a", "b")), ":s CAP * LS :batch", ":s CAP * ACK :batch")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (":s 464 * :Password incorrect", "Password incorrect"),
        (":s 465 bot :You are banned: spam", "You are banned: spam"),
        (":s 432 * b@t :Erroneous nickname", "Erroneous nickname"),
        (":s 904 bot :SASL authentication failed", "SASL authentication failed"),
        (":s 908 bot EXTERNAL :are available SASL mechanisms", "are available SASL mechanisms"),
        ("ERROR :Closing link: K-lined", "K-lined"),
        ("ERROR :Bad Password", "Bad Password"),
    ],
)
def test_what_ends_the_login_for_good(line: str, words: str) -> None:
    with pytest.raises(ChatLoginError, match=words):
        say(Login("b@t", user="bot"), line)


def test_what_may_be_better_later() -> None:
    with pytest.raises(ChatError, match="Throttled"):
        say(Login("bot", user="bot"), "ERROR :Throttled, try again later")


def test_a_nick_that_is_taken() -> None:
    login = Login("bot", user="bot")
    assert say(login, ":s 433 * bot :in use", ":s 433 * bot_ :in use", ":s 437 * bot_2 :unavailable") == [
        "NICK bot_", "NICK bot_2", "NICK bot_3",
    ]  # fmt: skip
    say(login, ":s 001 bot_3 :Welcome")
    assert login.nick == "bot_3"
    with pytest.raises(ChatError, match="no nick for us"):
        say(login, *[":s 433 * bot :in use"] * 30)
