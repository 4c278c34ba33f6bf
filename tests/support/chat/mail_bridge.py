"""A gateway process that reads a mailbox and answers by mail, with real servers and a demo agent."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from missive_chat.state import State
from support.chat.mail import DOMAIN, PASSWORD, SERVERS
from support.chat.mails import ALICE, MX, mail
from support.chat.smtp import SmtpServer
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from email.message import EmailMessage

    from support.chat.mail import ImapServer
    from support.chat.smtp import Sent
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess


class Town:
    """The mailbox, people who write to it, and the gateway that may be killed and started."""

    def __init__(self, home: Home, imap: ImapServer, smtp: SmtpServer, user: str) -> None:
        self.home, self.imap, self.smtp, self.user = home, imap, smtp, user
        self.gateway: GatewayProcess | None = None
        self.other = ""

    # --- people

    def write(self, text: str, *, answering: EmailMessage | None = None, **more: Any) -> None:
        """Let Alice write a mail, or answer one as mail programs do, with the quote below."""
        if answering is not None:
            more["In_Reply_To"] = answering["Message-ID"]
            more["References"] = f"{answering['References'] or ''} {answering['Message-ID']}".strip()
            more["Subject"] = answering["Subject"]
            quote = "".join(f"> {line}\n" for line in self.words(answering).splitlines())
            text += f"\n\nOn Monday, 5 January 2026, the bot <bot@{DOMAIN}> wrote:\n{quote}"
        self.imap.deliver(self.user, mail(text, **{"Subject": "", **more}))

    @property
    def answers(self) -> list[EmailMessage]:
        return [sent.mail for sent in list(self.smtp.sent)]

    @staticmethod
    def words(answer: EmailMessage) -> str:
        body = answer.get_body(("plain",))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n").strip()

    def texts(self) -> list[str]:
        return [self.words(answer) for answer in self.answers]

    async def until(self, true: Callable[[], Any], seconds: float = 40) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, (self.texts(), self.gateway and self.gateway.errors[-3000:])
            await asyncio.sleep(0.02)
        return found

    # --- the gateway's life

    async def start(self) -> None:
        self.gateway = GatewayProcess(
            self.home, env={"MAIL_PASSWORD": PASSWORD, "XDG_RUNTIME_DIR": str(self.home.folder)}
        )
        await asyncio.to_thread(self.gateway.ready)

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.gateway is not None
        await asyncio.to_thread(self.gateway.kill)
        assert PASSWORD not in self.gateway.errors

    async def again(self) -> None:
        await self.kill()
        await self.start()

    def count(self, question: str) -> int:
        """Ask what the bridge remembers."""
        state = State(self.home.settings().paths.data / "adapters" / "team")
        try:
            return int(state.value(question))
        finally:
            state.close()

    async def settled(self, events: int) -> None:
        """Wait until so many mails have been dealt with, and all that should be sent has been."""
        await self.until(lambda: self.count("SELECT count(*) FROM inbox WHERE state = 'done'") >= events)
        await self.until(lambda: self.count("SELECT count(*) FROM outbox WHERE state = 'waiting'") == 0)


def settings_of(imap: ImapServer, smtp: SmtpServer, user: str, address: str, more: str) -> str:
    """Return the settings of an account."""
    return (
        f'address = "{address}"\nusername = "{user}"\npassword = {{ secret = "env:MAIL_PASSWORD" }}\n'
        f'imap_host = "127.0.0.1"\nimap_port = {imap.port}\nimap_security = "none"\n'
        f'smtp_host = "127.0.0.1"\nsmtp_port = {smtp.port}\nsmtp_security = "none"\n'
        f'trusted_authserv = ["{MX}"]\nagent = "echo"\n{more}'
    )


@asynccontextmanager
async def mail_bridge(
    home: Home,
    agent: AgentProcess,
    settings: str = f'users = ["{ALICE}"]\n',
    *,
    forward: Callable[[Town, Sent], None] | None = None,
    other: tuple[str, str] | None = None,
    start: bool = True,
) -> AsyncIterator[Town]:
    """Run a gateway whose adapter ``team`` is the mailbox of ``bot@bot.example`` for the agent ``echo``.

    `other` is the address and the settings of a second mailbox, for a second adapter; its user is ``town.other``.
    """
    with SERVERS[0]() as imap:
        town: Town
        with SmtpServer(forward=(lambda sent: forward(town, sent)) if forward else None) as smtp:
            town = Town(home, imap, smtp, imap.new_user())
            connection = imap.login(town.user)
            connection.create("Sent")
            connection.logout()
            text = '[qos]\nretry_backoff = "10ms"\n[gateway]\ndrain = "500ms"\n[adapters.team]\nkind = "email"\n'
            text += "[adapters.team.settings]\n" + settings_of(imap, smtp, town.user, f"bot@{DOMAIN}", settings)
            if other is not None:
                town.other = imap.new_user()
                text += '[adapters.other]\nkind = "email"\n[adapters.other.settings]\n'
                text += settings_of(imap, smtp, town.other, *other)
            home.configure(text)
            async with home.core() as core:
                core.add("echo", agent)
            try:
                if start:
                    await town.start()
                yield town
            finally:
                if town.gateway is not None:
                    await town.kill()
