"""Who wrote a mail: what our own server vouches for, and nothing else; and what no person has written."""

from __future__ import annotations

import pytest
from missive_chat.platforms.email.authors import address_of
from support.chat.mails import ALICE, MX, PASSED, mail, raw_mail, read

from missive_host.errors import ConfigError

# --- authentic


@pytest.mark.parametrize(
    "results",
    [
        PASSED,
        "MX.Bot.Example 1; dmarc=pass header.from=People.Example",
        f"{MX} (a; comment; (with another)); spf=fail; dmarc=pass (p=none; x) header.from=people.example",
        f"{MX}; dkim=pass header.d=people.example; spf=none",
        f"{MX}; dkim=pass header.i=@people.example header.s=x",
        f"{MX}; dkim=fail header.d=people.example; dkim=pass header.d=people.example",
        f"{MX}; dmarc=none header.from=people.example; spf=pass smtp.mailfrom=alice@people.example",
        f'{MX}; dmarc = pass reason="a; b" header.from = people.example',
    ],
)
def test_a_sender_that_our_server_vouches_for(results: str) -> None:
    inbound = read(mail(results=results))
    assert (inbound.sender.id, inbound.unauthentic, inbound.automatic) == (ALICE, None, None)


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        (None, f"it has no Authentication-Results of {MX}"),
        ("mx.evil.example; dmarc=pass header.from=people.example", f"it has no Authentication-Results of {MX}"),
        (f"{MX}.evil.example; dmarc=pass header.from=people.example", f"it has no Authentication-Results of {MX}"),
        (f"(x) evil {MX}; dmarc=pass header.from=people.example", f"it has no Authentication-Results of {MX}"),
        (f"{MX}; dmarc=fail header.from=people.example; dkim=pass header.d=people.example", "dmarc=fail"),
        (f"{MX}; dmarc=temperror header.from=people.example", "dmarc=temperror"),
        (f"{MX}; dmarc=pass header.from=evil.example", "dmarc=pass is not about the domain of its From"),
        (f"{MX}; dmarc=pass", "dmarc=pass is not about the domain of its From"),
        (f"{MX}; dmarc=pass header.from=people.example; dmarc=fail header.from=people.example", "dmarc=fail"),
        (f"{MX}; dkim=pass header.d=evil.example", "nothing vouches for people.example: dkim=pass"),
        (f"{MX}; dkim=pass header.d=evilpeople.example", "nothing vouches for people.example: dkim=pass"),
        (f"{MX}; dkim=pass header.d=example", "nothing vouches for people.example: dkim=pass"),
        (f"{MX}; dkim=fail header.d=people.example", "nothing vouches for people.example: dkim=fail"),
        (f"{MX}; spf=pass smtp.mailfrom=x@evil.example", "nothing vouches for people.example: spf=pass"),
        (f"{MX}; spf=pass smtp.helo=people.example", "nothing vouches for people.example: spf=pass"),
        (f"{MX}; none", "nothing vouches for people.example: nothing"),
        (f"{MX}; (dmarc=pass header.from=people.example)", "nothing vouches for people.example: nothing"),
        (f'{MX}; x="; dmarc=pass header.from=people.example"', "nothing vouches for people.example: x="),
    ],
)
def test_a_sender_that_nobody_vouches_for(results: str | None, reason: str) -> None:
    inbound = read(mail(results=results))
    assert inbound.unauthentic is not None
    assert inbound.unauthentic.startswith(reason)


def test_only_the_topmost_word_of_our_server_counts() -> None:
    forged = f"Authentication-Results: {PASSED}\r\n".encode()
    ours = f"Authentication-Results: {MX}; dmarc=fail header.from=people.example\r\n".encode()
    letter = mail(results=None)
    assert read(ours + b"Received: from evil\r\n" + forged + letter).unauthentic == "dmarc=fail"
    assert read(forged.replace(MX.encode(), b"mx.other.example") + ours + forged + letter).unauthentic == "dmarc=fail"


@pytest.mark.parametrize(
    ("author", "sender"),
    [
        ("Alice <Alice@People.Example>", ALICE),
        ('"Bond, James (007)" <alice@people.example>', ALICE),
        ('"eve@evil.example" <alice@people.example>', ALICE),
        ("alice@people.example (Alice)", ALICE),
        ("John Q. Public <alice@people.example>", ALICE),
        ("alice@people.example <alice@people.example>", ALICE),
        ("=?utf-8?q?alice=40evil.example?= <alice@people.example>", ALICE),
        ("<alice@bücher.people.example>", "alice@xn--bcher-kva.people.example"),
    ],
)
def test_the_address_of_a_from(author: str, sender: str) -> None:
    inbound = read(raw_mail(f"From: {author}\nMessage-ID: <1@x>"))
    assert inbound.sender.id == inbound.place.chat == sender


@pytest.mark.parametrize(
    "author",
    [
        "alice@people.example, eve@evil.example",
        "eve@evil.example <alice@people.example>",
        "<alice@people.example> <eve@evil.example>",
        "<alice@people.example> eve",
        '"alice@people.example"@evil.example',
        "alice@people.example\nFrom: eve@evil.example",
        "Alice",
        "<>",
        "group: alice@people.example, bob@people.example;",
        "@people.example",
        "alice@",
        "alice@people..example",
        "a" * 2000 + "@people.example",
    ],
)
def test_a_from_that_may_be_read_in_two_ways_is_nobodys(author: str) -> None:
    for given in ({}, {"trusted_authserv": [], "trust_from": True}):
        inbound = read(raw_mail(f"From: {author}\nMessage-ID: <1@x>"), **given)
        assert inbound.unauthentic is not None
        assert inbound.sender.id == "unknown@unknown.invalid"


def test_no_from_at_all() -> None:
    assert read(raw_mail("Message-ID: <1@x>")).unauthentic == "it has no From"


def test_internal_senders_are_believed_where_the_operator_says_so() -> None:
    assert read(mail(results=None), trusted_authserv=[], trust_from=True).unauthentic is None


def test_one_of_the_two_must_be_said() -> None:
    with pytest.raises(ConfigError, match="nothing says how a sender is known") as caught:
        read(mail(), trusted_authserv=[])
    assert caught.value.help is not None
    assert "trusted_authserv" in caught.value.help
    with pytest.raises(ConfigError, match="exclude each other"):
        read(mail(), trust_from=True)


def test_a_forgery_does_not_take_the_place_of_the_mail_that_it_copies() -> None:
    letter = mail(results=None)
    forged, real = read(letter), read(f"Authentication-Results: {PASSED}\r\n".encode() + letter)
    assert forged.message_id == real.message_id
    assert forged.event_id != real.event_id


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Alice@Example.COM", "alice@example.com"),
        (" a.b+c@x ", "a.b+c@x"),
        ("a@b@c", None),
        ("a b@c", None),
        ("a@-b.c", None),
        ("a@b..c", None),
        ("<a@b>", None),
        ("a@b\r\nBcc: c@d", None),
        ("", None),
    ],
)
def test_addresses(text: str, address: str | None) -> None:
    assert address_of(text) == address


# --- automatic


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Auto_Submitted": "auto-replied"}, "Auto-Submitted: auto-replied"),
        ({"Auto_Submitted": "auto-generated; type=x"}, "Auto-Submitted: auto-generated"),
        ({"Auto_Submitted": "AUTO-NOTIFIED"}, "Auto-Submitted: auto-notified"),
        ({"Precedence": "bulk"}, "Precedence: bulk"),
        ({"Precedence": "Auto_Reply"}, "Precedence: auto_reply"),
        ({"List_Id": "<dev.lists.example>"}, "a mailing list (List-Id)"),
        ({"List_Unsubscribe": "<mailto:x@y>"}, "a mailing list (List-Unsubscribe)"),
        ({"X_Auto_Response_Suppress": "DR, OOF, AutoReply"}, "X-Auto-Response-Suppress"),
        ({"X_Autoreply": "yes"}, "X-Autoreply"),
        ({"Return_Path": "<>"}, "an empty Return-Path: a bounce, or an auto-reply"),
        ({"sender": "MAILER-DAEMON@people.example"}, "it is from mailer-daemon@"),
        ({"sender": "no-reply@people.example"}, "it is from no-reply@"),
        ({"sender": "noreply+17@people.example"}, "it is from noreply+17@"),
        ({"sender": "bot@bot.example"}, "it is our own"),
        ({"Message_ID": f"<{'a' * 24}.{'b' * 16}.1@bot.example>"}, "it is our own"),
    ],
)
def test_what_no_person_has_written(headers: dict[str, str], reason: str) -> None:
    assert read(mail(**headers)).automatic == reason


def test_a_bounce_is_a_report() -> None:
    octets = raw_mail(
        'From: alice@people.example\nMessage-ID: <1@x>\nContent-Type: multipart/report; boundary="b"',
        "--b\r\n\r\nLost.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n--b--\r\n",
    )
    assert read(octets).automatic == "a report of a mail server (multipart/report)"


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "no"},
        {"Precedence": "normal"},
        {"X_Auto_Response_Suppress": "DR, RN"},
        {"Return_Path": "<a@b>"},
    ],
)
def test_what_a_person_has_written(headers: dict[str, str]) -> None:
    assert read(mail(**headers)).automatic is None


def test_we_know_ourselves() -> None:
    inbound = read(mail(sender="Bot <BOT@bot.example>", results=f"{MX}; dmarc=pass header.from=bot.example"))
    assert inbound.sender.is_me
