"""A gateway process, a demo agent, a real mailbox: nothing is lost, and machines do not answer each other."""

from __future__ import annotations

import asyncio
import re
from email.message import EmailMessage
from typing import TYPE_CHECKING

from support.chat.mail import PASSWORD
from support.chat.mail_bridge import Town, mail_bridge
from support.chat.mails import ALICE, MX, PASSED, mail
from support.gateways import GatewayProcess
from support.secrets import planted

if TYPE_CHECKING:
    from support.chat.smtp import Sent
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

KEEPING = f'users = ["{ALICE}"]\nsent_folder = "Sent"\n'


async def test_a_mail_is_answered_in_its_thread(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent) as town:
        town.write(
            "echo good morning", Subject="echo", Message_ID="<1@people.example>", In_Reply_To="<0@people.example>"
        )
        await town.until(lambda: town.texts() == ["good morning"])
        (answer,) = town.answers
        assert answer["To"] == ALICE
        assert answer["Subject"] == "Re: echo"
        assert answer["In-Reply-To"] == "<1@people.example>"
        town.write("echo and once more", answering=answer)
        await town.until(lambda: town.texts()[1:] == ["and once more"])
        assert town.answers[1]["References"].split()[0] == "<0@people.example>"
        await town.settled(2)
        assert town.count("SELECT count(DISTINCT conversation) FROM outbox") == 1
        assert town.imap.unread(town.user) == []


async def test_a_question_is_answered_by_the_next_mail(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent) as town:
        town.write("ask What is your name?")
        await town.until(lambda: town.texts() == ["What is your name?"])
        await town.again()
        town.write("Alice", answering=town.answers[0])
        await town.until(lambda: len(town.texts()) == 2)
        assert town.texts()[1].startswith("You answered: Alice"), "without the quote below it"
        assert town.answers[1]["In-Reply-To"] != town.answers[0]["In-Reply-To"]


async def test_leave_is_given_by_a_code(home: Home, agent: AgentProcess) -> None:
    settings = f'users = ["{ALICE}", "bob@people.example"]\napprovers = ["bob@people.example"]\n'
    async with mail_bridge(home, agent, settings) as town:
        town.write("auth")
        code = (await town.until(lambda: re.search(r"!approve (\w+)", "\n".join(town.texts()))))[1]
        town.write(f"!approve {code}")
        await town.until(lambda: any("not listed" in text for text in town.texts()))
        town.write(f"!approve {code}", sender="bob@people.example")
        await town.until(lambda: any("You answered" in text for text in town.texts()))
        (done,) = (answer for answer in town.answers if "You answered" in town.words(answer))
        assert done["To"] == ALICE


async def test_files_go_both_ways(home: Home, agent: AgentProcess) -> None:
    content = bytes(range(256)) * 2000
    async with mail_bridge(home, agent) as town:
        message = EmailMessage()
        message["From"], message["Message-ID"] = ALICE, "<file@people.example>"
        message.set_content("echo-parts")
        message.add_attachment(content, maintype="application", subtype="x-own", filename="../täble.bin")
        town.imap.deliver(town.user, f"Authentication-Results: {PASSED}\r\n".encode() + message.as_bytes())
        await town.until(lambda: any([*answer.iter_attachments()] for answer in town.answers))
        (attached,) = [part for answer in town.answers for part in answer.iter_attachments()]
        assert attached.get_content() == content
        assert (attached.get_filename() or "").endswith("täble.bin")


async def test_what_came_while_nobody_was_there_is_answered_once(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent) as town:
        town.write("echo before")
        await town.until(lambda: town.texts() == ["before"])
        await town.settled(1)
        assert town.gateway is not None
        assert await asyncio.to_thread(town.gateway.stop, 20) == 0, "it does not wait for the end of IDLE"
        for number in range(3):
            town.write(f"echo waiting {number}")
        await town.start()
        await town.until(lambda: len(town.texts()) == 4)
        await town.again()
        town.write("echo after")
        await town.until(lambda: "after" in town.texts())
        await town.settled(5)
        assert sorted(town.texts()) == ["after", "before", "waiting 0", "waiting 1", "waiting 2"]


def keep(town: Town, sent: Sent) -> None:
    """Keep a copy of what was sent, as large providers do."""
    connection = town.imap.login(town.user)
    connection.append("Sent", "(\\Seen)", "", sent.octets)
    connection.logout()


async def test_a_kill_while_it_sends_where_sent_mail_is_kept(home: Home, agent: AgentProcess) -> None:
    """The mail was taken and nobody said so: it is found in the folder of sent mail, and not sent again."""
    async with mail_bridge(home, agent, KEEPING, forward=keep) as town:
        town.smtp.next.data.append("silence after")
        town.write("echo exactly once")
        await town.until(town.texts)
        await town.again()
        await town.until(lambda: town.count("SELECT count(*) FROM outbox WHERE state = 'sent'") == 1)
        await town.settled(1)
        assert town.texts() == ["exactly once"]


async def test_a_kill_while_it_sends_where_none_is_kept(home: Home, agent: AgentProcess) -> None:
    """It is sent again, and has the same id, by which many programs show it once."""
    async with mail_bridge(home, agent) as town:
        town.smtp.next.data.append("silence after")
        town.write("echo at least once")
        await town.until(town.texts)
        await town.again()
        await town.until(lambda: town.count("SELECT count(*) FROM outbox WHERE state = 'sent'") == 1)
        await town.settled(1)
        assert town.texts() == ["at least once"] * 2
        assert len({answer["Message-ID"] for answer in town.answers}) == 1


async def test_a_kill_before_anything_was_taken(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent, KEEPING, forward=keep) as town:
        town.smtp.next.data.append("silence")
        town.write("echo exactly once")
        await town.until(lambda: not town.smtp.next.data)
        await town.again()
        await town.until(town.texts)
        await town.settled(1)
        assert town.texts() == ["exactly once"]


async def test_a_server_that_says_come_back_later_gets_it_later(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent) as town:
        town.smtp.next.rcpt += ["451 4.7.1 greylisted", "451 4.7.1 greylisted"]
        town.write("echo patience")
        await town.until(lambda: town.texts() == ["patience"])


async def test_forgers_robots_and_strangers_get_no_answer(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent) as town:
        letters = [
            mail("echo forged", results=None),
            mail("echo forged", results="mx.evil.example; dmarc=pass header.from=people.example"),
            mail("echo forged", results=f"{MX}; dmarc=fail header.from=people.example"),
            mail("echo robot", Auto_Submitted="auto-replied"),
            mail("echo list", List_Id="<x.people.example>"),
            mail("echo bounce", sender="MAILER-DAEMON@people.example"),
            mail("echo stranger", sender="eve@people.example"),
            mail("echo mine", sender="bot@bot.example", results=f"{MX}; dmarc=pass header.from=bot.example"),
            b"\xff\xfe no mail at all\r\n",
        ]
        for letter in letters:
            town.imap.deliver(town.user, letter)
        town.write("echo me")
        await town.until(town.texts)
        await town.settled(1)
        assert town.texts() == ["me"]
        assert town.imap.unread(town.user) == []


async def test_what_is_wrong_in_the_settings_is_said(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent, "trust_from = true\n", start=False) as town:
        with GatewayProcess(home, env={"MAIL_PASSWORD": PASSWORD}) as gateway:
            await town.until(lambda: "`trusted_authserv` and `trust_from` exclude each other" in gateway.errors)


async def test_a_wrong_password_is_told_at_once_and_shown_nowhere(home: Home, agent: AgentProcess) -> None:
    async with mail_bridge(home, agent, start=False) as town:
        with GatewayProcess(home, env={"MAIL_PASSWORD": planted("mailbox-wrong")}) as gateway:
            await town.until(lambda: "535 5.7.8 Authentication credentials invalid" in gateway.errors)
            assert planted("mailbox-wrong") not in gateway.errors


def pass_on(town: Town, sent: Sent, *, lost: str = "$") -> None:
    """Deliver what one bot writes to the other, without the headers whose names are lost on the way."""
    user = {"bot@bot.example": town.user, "other@other.example": town.other}.get(sent.recipients[0])
    if user is not None:
        head, _, body = sent.octets.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not re.match(lost.encode(), line)]
        domain = sent.sender.rpartition("@")[2]
        results = f"Authentication-Results: {MX}; dmarc=pass header.from={domain}".encode()
        town.imap.deliver(user, b"\r\n".join([results, *lines]) + b"\r\n\r\n" + body)


EVERYBODY = 'dm_policy = "open"\nmax_replies = 3\n'
OTHER = ("other@other.example", EVERYBODY)


async def test_two_bridges_that_write_to_each_other_end(home: Home, agent: AgentProcess) -> None:
    """A mail from one to the other is answered, and the answer is not."""
    async with mail_bridge(home, agent, EVERYBODY, forward=pass_on, other=OTHER) as town:
        results = f"{MX}; dmarc=pass header.from=other.example"
        town.imap.deliver(town.user, mail("echo hello", sender=OTHER[0], results=results, Subject=""))
        await town.until(lambda: town.texts() == ["hello"])
        await town.until(lambda: not town.imap.unread(town.other) and town.imap.flags(town.other))
        town.write("echo and a person")
        await town.until(lambda: town.texts() == ["hello", "and a person"])


async def test_they_end_even_if_nothing_says_that_they_are_machines(home: Home, agent: AgentProcess) -> None:
    """Each answers three times in one thread, and no more."""

    def forget(town: Town, sent: Sent) -> None:
        pass_on(town, sent, lost="Auto-Submitted|X-Auto")

    async with mail_bridge(home, agent, EVERYBODY, forward=forget, other=OTHER) as town:
        results = f"{MX}; dmarc=pass header.from=other.example"
        town.imap.deliver(town.user, mail("echo echo echo", sender=OTHER[0], results=results, Subject=""))
        await town.until(lambda: len(town.texts()) == 6)
        await town.until(lambda: not town.imap.unread(town.user) and not town.imap.unread(town.other))
        town.write("echo and a person")
        await town.until(lambda: town.texts()[6:] == ["and a person"])
        writers = [sent.sender for sent in town.smtp.sent]
        assert writers[:6] == ["bot@bot.example", OTHER[0]] * 3
