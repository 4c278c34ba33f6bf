"""Answers as mail, through a real SMTP server: what they look like, what is refused, and what nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from missive_chat.platform import ChatError, ChatLoginError, Outgoing, OutgoingFile, Place
from missive_chat.platforms.email.outbound import compose
from missive_chat.platforms.email.settings import Settings
from missive_chat.platforms.email.smtp import Smtp
from raw_http import Certificate, make_certificate
from support.chat.mail import PASSWORD
from support.chat.mails import ALICE, mail, options, outgoing, raw_mail, read
from support.chat.smtp import Sent, SmtpServer

from missive_host.errors import ConfigError
from missive_host.security.secrets import Secret


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


async def send(server: SmtpServer, message: Outgoing, **given: Any) -> None:
    """Send by what the platform sends by."""
    settings = Settings.of(options(smtp_port=server.port, **given))
    await Smtp(settings, timeout=5).send(compose(message, settings, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))


async def sent(message: Outgoing, **given: Any) -> Sent:
    with SmtpServer() as server:
        await send(server, message, **given)
        (one,) = server.sent
        return one


def words(part: Any) -> str:
    """Return the text of a part with the line ends of a text."""
    return str(part.get_content()).replace("\r\n", "\n")


# --- what an answer looks like


async def test_an_answer_is_a_reply_that_machines_leave_alone() -> None:
    question = read(mail(Message_ID="<2@x>", References="<0@x> <1@x>", Subject="A tést"))
    one = await sent(outgoing("Grüße **dir**", key="ab" * 12, to=question), name="The Bot, Ltd. Ö")
    assert (one.sender, one.recipients) == ("bot@bot.example", [ALICE])
    letter = one.mail
    assert letter["From"].addresses[0].display_name == "The Bot, Ltd. Ö"
    assert letter["From"].addresses[0].addr_spec == "bot@bot.example"
    assert letter["To"] == ALICE
    assert letter["Subject"] == "Re: A tést"
    assert letter["Message-ID"] == f"<{'ab' * 12}.{question.place.thread}.1@bot.example>"
    assert letter["In-Reply-To"] == "<2@x>"
    assert letter["References"] == "<0@x> <1@x> <2@x>"
    assert letter["Auto-Submitted"] == "auto-replied"
    assert letter["X-Auto-Response-Suppress"] == "All"
    assert letter["Date"].datetime.isoformat() == "2026-01-02T03:04:05+00:00"
    plain, page = letter.iter_parts()
    assert words(plain) == "Grüße **dir**\n"
    assert "<p>Grüße <strong>dir</strong></p>" in page.get_content()


async def test_a_mail_out_of_the_blue() -> None:
    letter = (await sent(outgoing("*Backup* done\nsee below"), html=False)).mail
    assert letter["Subject"] == "Backup done see below"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["In-Reply-To"] is None
    assert letter.get_content_type() == "text/plain"


@pytest.mark.parametrize("subject", ["Re: x", "AW: x", "re[2]: x", "SV:x"])
async def test_an_answer_to_an_answer_is_not_marked_twice(subject: str) -> None:
    assert (await sent(outgoing(to=read(mail(Subject=subject))))).mail["Subject"] == subject


async def test_html_of_an_agent_is_text_and_its_images_are_not_fetched() -> None:
    letter = (await sent(outgoing("<script>evil()</script>\n\n![x](https://spy.example/p.gif) [l](javascript:a)"))).mail
    page = words(letter.get_body(("html",)))
    assert "<script" not in page
    assert "<img" not in page
    assert 'href="javascript' not in page


async def test_long_ids_stay_whole() -> None:
    long = [f"<{letter * 200}@mail.people.example>" for letter in "abc"]
    question = read(raw_mail(f"From: {ALICE}\nMessage-ID: {long[2]}\nReferences: {' '.join(long[:2])}"))
    letter = (await sent(outgoing(to=question))).mail
    assert letter["References"].split() == long
    assert letter["In-Reply-To"] == long[2]


async def test_lines_that_begin_with_a_dot_or_are_long_arrive_as_they_were() -> None:
    text = ".\n..\n.hidden\n" + "x" * 5000 + "\nFrom here\n\ttab  \nend\x07\r\nlast"
    letter = (await sent(outgoing(text), html=False)).mail
    assert words(letter) == text.replace("\x07", "").replace("\r\n", "\n") + "\n"


async def test_a_subject_cannot_bring_in_headers() -> None:
    question = read(mail())
    place = Place(
        chat=ALICE, is_direct=True, thread="0" * 16, facts={**question.place.facts, "subject": "x\r\nBcc: eve@x"}
    )
    letter = (await sent(Outgoing(key="0" * 24, place=place, text="y"))).mail
    assert letter["Bcc"] is None
    assert letter["Subject"] == "Re: x Bcc: eve@x"


@pytest.mark.parametrize("address", ["alice@x\r\nBcc: eve@x", "a@b, c@d", "nobody", "ü@people.example"])
async def test_what_is_no_address_is_refused_for_good(address: str) -> None:
    with pytest.raises(ChatError, match="is no address") as caught:
        await sent(Outgoing(key="0" * 24, place=Place(chat=address), text="y"))
    assert caught.value.permanent


async def test_a_file_of_20_mb_arrives_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * (20 * 4096)
    (tmp_path / "größe.bin").write_bytes(content)
    message = outgoing("", file=tmp_path / "größe.bin")
    letter = (await sent(message)).mail
    (attached,) = letter.iter_attachments()
    assert attached.get_filename() == "größe.bin"
    assert attached.get_content() == content
    assert words(letter.get_body(("plain",))) == "größe.bin\n"


async def test_the_type_of_a_file_is_what_the_agent_says_if_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"{}")
    for given, shown in (("application/json", "application/json"), ("evil\r\nBcc: x", "application/octet-stream")):
        file = OutgoingFile(path=tmp_path / "x", name="a\r\nb.json", media_type=given)
        letter = (await sent(Outgoing(key="0" * 24, place=Place(chat=ALICE), text="y", file=file))).mail
        (attached,) = letter.iter_attachments()
        assert attached.get_content_type() == shown
        assert attached.get_filename() == "a b.json"
        assert letter["Bcc"] is None


async def test_a_file_that_is_gone_is_an_error_for_good(tmp_path: Path) -> None:
    with pytest.raises(ChatError, match=r"gone\.txt cannot be read: No such file") as caught:
        await sent(outgoing("x", file=tmp_path / "gone.txt"))
    assert caught.value.permanent


# --- what is refused


@pytest.mark.parametrize(
    ("stage", "answer", "permanent"),
    [
        ("rcpt", "550 5.1.1 no such user", True),
        ("rcpt", "451 4.7.1 greylisted, come back later", False),
        ("rcpt", "421 too busy", False),
        ("data", "554 5.7.1 spam", True),
        ("data", "552 too large", True),
        ("data", "452 no space", False),
        ("data", "530 log in first", False),
    ],
)
async def test_what_the_server_refuses_was_not_sent(stage: str, answer: str, permanent: bool) -> None:
    with SmtpServer() as server:
        getattr(server.next, stage).append(answer)
        with pytest.raises(ChatError) as caught:
            await send(server, outgoing())
        assert answer in caught.value.message
        assert (caught.value.permanent, caught.value.maybe_sent) == (permanent, False)
        await send(server, outgoing())
        assert len(server.sent) == 1


@pytest.mark.parametrize("answer", ["drop", "drop after"])
async def test_a_connection_that_breaks_before_the_last_word_leaves_it_open(answer: str) -> None:
    with SmtpServer() as server:
        server.next.data.append(answer)
        with pytest.raises(ChatError) as caught:
            await send(server, outgoing())
        assert (caught.value.permanent, caught.value.maybe_sent) == (False, True)
        await send(server, outgoing())
        ids = [one.mail["Message-ID"] for one in server.sent]
        assert len(set(ids)) == 1, "each attempt has the same id"
        assert len(ids) == (1 if answer == "drop" else 2)


async def test_a_server_that_falls_silent_leaves_it_open() -> None:
    with SmtpServer() as server:
        server.next.data.append("silence")
        settings = Settings.of(options(smtp_port=server.port))
        composed = compose(outgoing(), settings, datetime.now(UTC))
        with pytest.raises(ChatError) as caught:
            await Smtp(settings, timeout=0.3).send(composed)
        assert caught.value.maybe_sent


async def test_a_mail_that_is_larger_than_the_server_says_is_not_even_begun(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 200_000)
    with SmtpServer(size_limit=100_000) as server:
        with pytest.raises(ChatError, match="takes 100000") as caught:
            await send(server, outgoing(file=tmp_path / "large"))
        assert caught.value.permanent


async def test_a_server_that_is_not_there() -> None:
    with SmtpServer() as server:
        port = server.port
    with pytest.raises(ChatError, match=f"the SMTP server 127.0.0.1:{port} cannot be") as caught:
        async with Smtp(Settings.of(options(smtp_port=port)), timeout=5).connected():
            pass
    assert (caught.value.permanent, caught.value.maybe_sent) == (False, False)


# --- login and TLS


async def test_a_wrong_password_is_said_in_the_servers_words_and_never_shown() -> None:
    with SmtpServer() as server:
        settings = Settings.of(options(smtp_port=server.port, smtp_password=Secret("the-wrong-one")))
        with pytest.raises(ChatLoginError, match=r"535 5\.7\.8 Authentication credentials invalid") as caught:
            async with Smtp(settings, timeout=5).connected():
                pass
        assert "the-wrong-one" not in f"{caught.value!r} {caught.value.help}"
        assert "app password" in str(caught.value.help)


async def test_a_login_that_fails_for_now_is_no_wrong_password() -> None:
    with SmtpServer() as server:
        server.next.login += ["454 4.7.0 Temporary authentication failure"] * 2
        with pytest.raises(ChatError, match="cannot log us in now: 454"):
            async with Smtp(Settings.of(options(smtp_port=server.port)), timeout=5).connected():
                pass


async def test_a_password_that_is_wrong_later_does_not_lose_the_mail() -> None:
    with SmtpServer() as server:
        with pytest.raises(ChatError, match="535") as caught:
            await send(server, outgoing(), smtp_password=Secret("changed"))
        assert not isinstance(caught.value, ChatLoginError)
        assert (caught.value.permanent, caught.value.maybe_sent) == (False, False)


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_tls(certificate: Certificate, security: str) -> None:
    with SmtpServer(certificate, security=security) as server:
        trusting = {"smtp_host": "localhost", "smtp_security": security, "ca_file": str(certificate.certificate)}
        await send(server, outgoing(), **trusting)
        assert len(server.sent) == 1
        for wrong, words in (
            ({"ca_file": None}, "certificate verify failed"),
            ({"smtp_host": "127.0.0.1"}, "certificate"),
        ):
            with pytest.raises(ChatError, match=words):
                await send(server, outgoing(), **{**trusting, **wrong})


async def test_no_password_goes_over_a_connection_that_was_made_plain() -> None:
    with SmtpServer() as server, pytest.raises(ChatError, match="STARTTLS"):
        await send(server, outgoing(), smtp_host="localhost", smtp_security="starttls")


@pytest.mark.parametrize("protocol", ["imap", "smtp"])
def test_without_tls_only_on_this_machine(protocol: str) -> None:
    with pytest.raises(ConfigError, match=f"`{protocol}_security` is `none`, and mail.example is another machine"):
        Settings.of(options(**{f"{protocol}_host": "mail.example"}))


def test_the_ports_follow_from_the_security() -> None:
    settings = Settings.of(options(imap_security="tls", smtp_security="starttls"))
    assert (settings.imap.port, settings.smtp.port) == (993, 587)
    assert PASSWORD not in repr(settings)
