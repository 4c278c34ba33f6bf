"""Mail comes in through real IMAP servers: each once, none lost, whatever breaks in between."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.email.outbound import compose
from missive_chat.platforms.email.settings import Settings
from support.chat.mail import SERVERS, Dovecot, ImapServer, Pymap
from support.chat.mails import MX, PASSED, Account, mail, options, outgoing, raw_mail
from support.chat.smtp import SmtpServer
from support.cutting import CuttingProxy
from support.secrets import planted

from missive_host.security.secrets import Secret


def both(test: Any) -> Any:
    """A test that is made with each server there is; the others are made with the better one."""
    return pytest.mark.parametrize("imap", SERVERS, indirect=True, ids=lambda kind: kind.__name__)(test)


@pytest.fixture(scope="module", params=SERVERS[:1], ids=lambda kind: kind.__name__)
def imap(request: pytest.FixtureRequest) -> Iterator[ImapServer]:
    with request.param() as server:
        yield server


@pytest.fixture(scope="module")
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture
def user(imap: ImapServer) -> str:
    return imap.new_user()


@pytest.fixture
def account(imap: ImapServer, smtp: SmtpServer, user: str, tmp_path: Path) -> Account:
    return Account(options(imap_port=imap.port, smtp_port=smtp.port, username=user), tmp_path)


# --- how it comes in


@both
async def test_mail_is_received_in_order_and_is_read_then(imap: ImapServer, user: str, account: Account) -> None:
    imap.deliver(user, mail("One"))
    async with account.listening():
        await account.until(1)
        for text in ("Two", "Three", "Four"):
            imap.deliver(user, mail(text))
        await account.until(4)
        await account.settled()
    assert [each.text.rpartition("\n")[2] for each in account.received] == ["One", "Two", "Three", "Four"]
    assert imap.unread(user) == []
    assert all(each.unauthentic is None and each.sent_at is not None for each in account.received)


async def test_nothing_is_marked_before_it_was_received(imap: ImapServer, user: str, account: Account) -> None:
    imap.deliver(user, mail("One"))
    async with account.listening():
        await account.until(1)
        await account.settled()
    position = dict(account.cursor.values)
    imap.deliver(user, mail("Two"))
    account.fail.append(OSError("no space left on device"))
    with pytest.raises(OSError, match="no space"):
        async with account.open() as platform:
            await platform.listen(account.receive)
    assert account.cursor.values == position
    assert len(imap.unread(user)) == 1
    async with account.listening():
        await account.until(2)
        await account.settled()
    assert account.received[1].text.endswith("Two")
    assert imap.unread(user) == []


@both
async def test_a_restart_repeats_nothing_and_loses_nothing(imap: ImapServer, user: str, account: Account) -> None:
    for start in range(3):
        imap.deliver(user, mail(f"while down {start}"))
        async with account.listening():
            await account.until(2 * start + 1)
            imap.deliver(user, mail(f"while up {start}"))
            await account.until(2 * start + 2)
            await account.settled()
    texts = [each.text.rpartition("\n")[2] for each in account.received]
    assert texts == [f"while {how} {start}" for start in range(3) for how in ("down", "up")]


async def test_what_somebody_has_read_in_between_is_received_all_the_same(
    imap: ImapServer, user: str, account: Account
) -> None:
    async with account.listening():
        await account.settled()
    imap.deliver(user, mail("Seen by a person"))
    connection = imap.login(user)
    connection.select("INBOX")
    connection.store("1:*", "+FLAGS", "\\Seen")
    connection.logout()
    async with account.listening():
        await account.until(1)


async def test_where_nothing_is_new_the_last_mail_does_not_come_again(
    imap: ImapServer, user: str, account: Account
) -> None:
    imap.deliver(user, mail("One"))
    for _ in range(3):
        async with account.listening():
            await account.settled()
    assert len(account.received) == 1


async def test_the_first_start_takes_only_what_nobody_has_read(imap: ImapServer, user: str, account: Account) -> None:
    imap.deliver(user, mail("Read long ago"))
    connection = imap.login(user)
    connection.select("INBOX")
    connection.store("1", "+FLAGS", "\\Seen")
    connection.logout()
    imap.deliver(user, mail("Unread"))
    async with account.listening():
        await account.until(1)
        await account.settled()
    assert [each.text for each in account.received] == ["Subject: A question\n\nUnread"]


async def test_mail_that_came_two_days_ago_is_given_with_its_age(imap: ImapServer, user: str, account: Account) -> None:
    async with account.listening():
        await account.settled()
    connection = imap.login(user)
    connection.append("INBOX", "", '"02-Jan-2026 03:04:05 +0000"', mail("Old"))
    connection.logout()
    async with account.listening():
        await account.until(1)
    assert account.received[0].sent_at == 1767323045.0


async def test_a_burst_of_200(imap: ImapServer, user: str, account: Account) -> None:
    connection = imap.login(user)
    for number in range(200):
        connection.append("INBOX", "", "", mail(f"number {number}"))
    connection.logout()
    async with account.listening():
        await account.until(200)
        await account.settled()
    assert [each.text.rpartition(" ")[2] for each in account.received] == [str(number) for number in range(200)]


# --- what breaks


@both
async def test_a_mailbox_that_was_numbered_anew(imap: ImapServer, user: str, account: Account) -> None:
    connection = imap.login(user)
    connection.create("agents")
    account.options["mailbox"] = "agents"
    letters = [mail(text) for text in ("One", "Two", "Three")]
    for letter in letters[:2]:
        connection.append("agents", "", "", letter)
    async with account.listening():
        await account.until(2)
        await account.settled()
    before = account.cursor.values["mailbox"]
    connection.delete("agents")
    await anyio.sleep(1.1)  # servers make UIDVALIDITY of the second
    connection.create("agents")
    connection.append("agents", "(\\Seen)", "", letters[0])
    connection.append("agents", "", "", letters[1])
    connection.append("agents", "", "", letters[2])
    connection.logout()
    async with account.listening():
        await account.until(4)
        await account.settled()
    assert account.cursor.values["mailbox"].partition(":")[0] != before.partition(":")[0]
    events = [each.event_id for each in account.received]
    assert events[1] == events[2], "what was not marked comes again, and is known"
    assert len(set(events)) == 3, "what was read does not, and what is new comes"


@both
async def test_a_connection_that_breaks_while_it_waits_is_made_again(
    imap: ImapServer, user: str, account: Account
) -> None:
    async with CuttingProxy(f"127.0.0.1:{imap.port}") as proxy:
        account.options["imap_port"] = int(proxy.address.rpartition(":")[2])
        async with account.listening():
            await account.settled()
            for number in range(1, 4):
                proxy.reset()
                imap.deliver(user, mail(f"after break {number}"))
                await account.until(number)
        assert proxy.connections == 4
    assert len(account.received) == 3


async def test_a_connection_that_breaks_in_the_middle_of_a_mail(imap: ImapServer, user: str, account: Account) -> None:
    imap.deliver(user, mail("x" * 3_000_000))
    async with CuttingProxy(f"127.0.0.1:{imap.port}") as proxy:
        account.options["imap_port"] = int(proxy.address.rpartition(":")[2])
        async with account.open() as platform, anyio.create_task_group() as group:
            group.start_soon(platform.listen, account.receive)
            await anyio.sleep(0.02)
            proxy.reset()
            await account.until(1)
            await account.settled()
            group.cancel_scope.cancel()
    assert len(account.received) == 1


async def test_a_server_that_stays_away_is_reported(
    imap: ImapServer, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("missive_chat.platforms.email.platform.RECONNECTS", 1)
    async with CuttingProxy(f"127.0.0.1:{imap.port}") as proxy:
        account.options["imap_port"] = int(proxy.address.rpartition(":")[2])
        async with account.open() as platform:
            proxy._server.close()
            proxy.reset()
            with pytest.raises(ChatError, match="cannot be reached"):
                await platform.listen(account.receive)


@pytest.mark.parametrize(
    "octets", [b"\xff\xfegarbage\r\n", b"\r\n", b"\r\n\r\n", b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x"]
)
async def test_what_is_no_mail_does_not_stop_the_next_one(
    imap: ImapServer, user: str, account: Account, octets: bytes
) -> None:
    imap.deliver(user, octets)
    imap.deliver(user, mail("A real one"))
    async with account.listening():
        await account.until(2)
        await account.settled()
    assert account.received[-1].text.endswith("A real one")
    assert imap.unread(user) == []


async def test_what_cannot_be_read_is_marked_and_logged_and_never_a_loop(
    imap: ImapServer, user: str, account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RecursionError("a thousand parts, each in the other")

    imap.deliver(user, mail("Poison"))
    with monkeypatch.context() as patch:
        patch.setattr("missive_chat.platforms.email.platform.inbound_of", broken)
        async with account.listening():
            with anyio.fail_after(30):
                while imap.unread(user):
                    await anyio.sleep(0.05)
    assert "mail 1 cannot be read, and is left out: RecursionError" in caplog.text
    imap.deliver(user, mail("Next"))
    async with account.listening():
        await account.until(1)
    assert account.received[0].text.endswith("Next")


# --- waiting


async def test_without_idle_the_server_is_asked(smtp: SmtpServer, tmp_path: Path) -> None:
    kind = SERVERS[0]
    with kind(idle=False) as server:
        user = server.new_user()
        account = Account(
            options(imap_port=server.port, smtp_port=smtp.port, username=user, poll_interval=0.05), tmp_path
        )
        async with account.listening():
            await account.looked()
            server.deliver(user, mail("Polled"))
            await account.until(1)
        async with account.open() as platform:
            assert {check.id: check.status for check in await platform.check()}["idle"] == "warn"


@both
async def test_idle_is_renewed(imap: ImapServer, user: str, account: Account) -> None:
    async with account.listening(idle=0.05):
        for _ in range(4):
            await account.looked()
        imap.deliver(user, mail("Later"))
        await account.until(1)


async def test_the_connection_is_shared_while_it_waits(imap: ImapServer, user: str, account: Account) -> None:
    """What else is asked of the server does not wait for the end of IDLE, and there is one connection only."""
    async with CuttingProxy(f"127.0.0.1:{imap.port}") as proxy:
        account.options["imap_port"] = int(proxy.address.rpartition(":")[2])
        async with account.listening() as platform:
            await account.settled()
            with anyio.fail_after(20):
                for _ in range(3):
                    await platform.check()
            imap.deliver(user, mail("Still here"))
            await account.until(1)
        assert proxy.connections == 1


async def test_closing_is_quick_while_it_waits_and_may_be_done_twice(account: Account) -> None:
    platform = account._current = account.platform()
    await platform.open()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(platform.listen, account.receive)
            await account.settled()
            group.cancel_scope.cancel()
        await platform.close()
        await platform.close()
    await account.platform().close()


# --- login


@both
async def test_a_wrong_password_is_said_at_once_and_never_shown(
    account: Account, smtp: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    account.options |= {"smtp_password": account.options["password"], "password": Secret(planted("mailbox-wrong"))}
    platform = account.platform()
    with pytest.raises(ChatLoginError, match=r"the IMAP server .* does not let bot") as caught:
        await platform.open()
    await platform.close()
    assert planted("mailbox-wrong") not in f"{caught.value!r}{caught.value.help}{caplog.text}"


@both
async def test_tls(imap: ImapServer, user: str, account: Account) -> None:
    ways = [("starttls", imap.port)] + ([("tls", imap.tls_port)] if isinstance(imap, Dovecot) else [])
    for security, port in ways:
        account.options |= {"imap_host": "localhost", "imap_security": security, "imap_port": port}
        account.options["ca_file"] = str(imap.certificate)
        async with account.open() as platform:
            checks = {check.id: check for check in await platform.check()}
            assert checks["imap-tls"].status == "warn", "it ends tomorrow"
            assert "is valid for 1 more days" in checks["imap-tls"].message
        account.options["ca_file"] = None
        platform = account.platform()
        with pytest.raises(ChatError, match="certificate verify failed"):
            await platform.open()
        await platform.close()


# --- files


@pytest.mark.parametrize("size", [0, 1000, 20 * 1024 * 1024])
async def test_files_are_fetched_as_they_were_sent(
    imap: ImapServer, user: str, account: Account, tmp_path: Path, size: int
) -> None:
    content = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
    (tmp_path / "data.bin").write_bytes(content)
    settings = Settings.of({**account.options, "address": "alice@people.example"})
    letter = compose(outgoing("Look at this", file=tmp_path / "data.bin"), settings, datetime.now(UTC)).octets
    letter = letter.replace(b"Auto-Submitted: auto-generated\r\n", b"")
    imap.deliver(user, f"Authentication-Results: {PASSED}\r\n".encode() + letter)
    async with account.listening() as platform:
        (inbound,) = await account.until(1)
        (attachment,) = inbound.attachments
        assert (attachment.name, attachment.size) == ("data.bin", size)
        assert await platform.download(attachment, tmp_path / "got.bin", limit=size) == size
        assert (tmp_path / "got.bin").read_bytes() == content
        if size == 1000:
            with pytest.raises(ChatError, match="more than") as caught:
                await platform.download(attachment, tmp_path / "not.bin", limit=size - 1)
            assert caught.value.permanent
    if size <= 1000:
        async with account.open() as platform:  # after a restart, too
            assert await platform.download(attachment, tmp_path / "again.bin", limit=size) == size


@both
async def test_a_file_of_a_mail_that_is_gone(imap: ImapServer, user: str, account: Account, tmp_path: Path) -> None:
    octets = raw_mail(
        'From: alice@people.example\nContent-Type: text/plain; name="a.txt"\nContent-Disposition: attachment', b"a"
    )
    imap.deliver(user, octets)
    async with account.listening() as platform:
        (inbound,) = await account.until(1)
        await account.settled()
        connection = imap.login(user)
        connection.select("INBOX")
        connection.store("1:*", "+FLAGS", "\\Deleted")
        connection.expunge()
        connection.logout()
        with pytest.raises(ChatError, match="no longer in the mailbox") as caught:
            await platform.download(inbound.attachments[0], tmp_path / "a", limit=100)
        assert caught.value.permanent


async def test_of_a_mail_that_is_much_too_large_the_beginning_is_read(
    imap: ImapServer, user: str, account: Account
) -> None:
    account.options["max_attachment"] = 1000
    imap.deliver(user, mail("beginning " + "x" * 2_000_000))
    async with account.listening():
        (inbound,) = await account.until(1)
    assert inbound.text.startswith("Subject: A question\n\nbeginning xxx")
    assert "which is too much: only its beginning was read" in inbound.text


# --- the copy of what was sent


@both
async def test_what_was_sent_is_found_by_its_key(imap: ImapServer, account: Account, user: str) -> None:
    connection = imap.login(user)
    connection.create("Sent")
    connection.logout()
    account.options |= {"sent_folder": "Sent", "save_sent": True}
    async with account.listening() as platform:
        assert platform.capabilities.can_find
        await account.settled()
        one, two = outgoing(key="1" * 24), outgoing(key="2" * 24)
        assert await platform.find(one) is None
        message_id = await platform.send(one)
        assert await platform.find(one) == message_id
        assert await platform.find(two) is None
        imap.deliver(user, mail("Still listening"))
        await account.until(1)
    assert ["\\Seen" in flags for flags in imap.flags(user, "Sent").values()] == [True]


async def test_a_copy_that_cannot_be_kept_does_not_make_the_mail_unsent(
    account: Account, smtp: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    account.options |= {"sent_folder": "No such folder", "save_sent": True}
    before = len(smtp.sent)
    async with account.open() as platform:
        await platform.send(outgoing())
    assert len(smtp.sent) == before + 1
    assert "a mail was sent, but no copy could be kept" in caplog.text


# --- doctor


@both
async def test_the_doctor_finds_all_well(imap: ImapServer, user: str, account: Account) -> None:
    imap.deliver(user, mail())
    async with account.open() as platform:
        checks = {check.id: check for check in await platform.check()}
    names = {"smtp", "smtp-tls", "imap", "imap-tls", "idle", "mailbox", "sent", "senders", "clock"}
    assert set(checks) == names
    assert {name: check.status for name, check in checks.items()} == dict.fromkeys(names, "ok") | {"sent": "warn"}
    assert all(check.fix for check in checks.values() if check.status != "ok")


async def test_the_doctor_says_what_is_wrong(
    imap: ImapServer, user: str, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("missive_chat.platforms.email.checks.SKEW", -600)  # servers do not take mail from the future
    imap.deliver(user, mail(results="mx.provider.example; dmarc=pass header.from=people.example"))
    account.options["sent_folder"] = "No such folder"
    async with account.open() as platform:
        checks = {check.id: check for check in await platform.check()}
    assert checks["senders"].status == "fail"
    assert f"was checked by mx.provider.example, not by {MX}" in checks["senders"].message
    assert checks["clock"].status == "fail"
    assert checks["sent"].message == "there is no folder 'No such folder'"


async def test_a_mailbox_that_is_not_there(account: Account) -> None:
    account.options["mailbox"] = "No such"
    platform = account.platform()
    with pytest.raises(ChatError, match=r"IMAP server .* refuses"):
        await platform.open()
    await platform.close()


def test_both_servers_are_tried_where_dovecot_is_installed() -> None:
    assert Pymap in SERVERS
    assert (Dovecot in SERVERS) == Dovecot.is_installed()
