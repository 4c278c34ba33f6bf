"""A person who writes mail to the bot and reads its answers, for the contract of platforms."""

from __future__ import annotations

import asyncio
import mimetypes
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from missive_chat.platforms.email.headers import message_ids
from missive_chat.platforms.email.ids import thread_of
from missive_chat.platforms.email.platform import EmailPlatform
from missive_chat.testing import Rig, Shown
from support.chat.mail import DOMAIN, PASSWORD
from support.chat.mails import ALICE, PASSED, options
from support.chat.servers import free_port
from support.secrets import planted

from missive_host.security.secrets import Secret

if TYPE_CHECKING:
    from missive_chat.platform import PlatformContext
    from support.chat.mail import ImapServer
    from support.chat.smtp import Sent, SmtpServer
    from support.cutting import CuttingProxy

WRONG = planted("mailbox-wrong")


class EmailRig(Rig):
    refusal = "535 5.7.8"
    secrets = (PASSWORD, WRONG)

    def __init__(self, imap: ImapServer, smtp: SmtpServer, proxy: CuttingProxy) -> None:
        self._imap, self._smtp, self._proxy = imap, smtp, proxy
        self._user = imap.new_user()
        smtp.forward = self._keep
        connection = imap.login(self._user)
        connection.create("Sent")
        connection.logout()
        port = int(proxy.address.rpartition(":")[2])
        self.options = options(
            imap_port=port, smtp_port=smtp.port, username=self._user, sent_folder="Sent", save_sent=False
        )
        self.wrong_options = {**self.options, "password": Secret(WRONG)}
        self.unreachable_options = {**self.options, "smtp_port": free_port()}
        self._written: list[bytes] = []

    def platform(self, context: PlatformContext) -> EmailPlatform:
        return EmailPlatform(context)

    def _keep(self, sent: Sent) -> None:
        """Put what was sent into the folder for that, as large providers do."""
        connection = self._imap.login(self._user)
        connection.append("Sent", "(\\Seen)", "", sent.octets)
        connection.logout()

    async def say(
        self,
        text: str,
        *,
        direct: bool = False,
        mention: bool = False,
        thread: bool = False,
        reply_to: str | None = None,
        file: tuple[str, bytes] | None = None,
    ) -> None:
        message = EmailMessage()
        message["From"], message["To"] = ALICE, f"bot@{DOMAIN}"
        message["Message-ID"] = f"<{len(self._written)}.{self._user}@people.example>"
        if thread or reply_to:
            message["References"] = message["In-Reply-To"] = reply_to or "<an-older-mail@people.example>"
        message.set_content(text)
        if file is not None:
            name, content = file
            main, _, sub = (mimetypes.guess_type(name)[0] or "application/octet-stream").partition("/")
            message.add_attachment(content, maintype=main, subtype=sub, filename=name)
        self._written.append(f"Authentication-Results: {PASSED}\r\n".encode() + message.as_bytes())
        await self.redeliver()

    async def redeliver(self) -> None:
        await asyncio.to_thread(self._imap.deliver, self._user, self._written[-1])

    async def shown(self) -> list[Shown]:
        return [self._shown(sent.mail) for sent in list(self._smtp.sent)]

    def _shown(self, mail: Any) -> Shown:
        body = mail.get_body(("plain",))
        earlier = message_ids(mail["References"] or "")
        return Shown(
            id=mail["Message-ID"],
            text=body.get_content().replace("\r\n", "\n").removesuffix("\n"),
            thread=thread_of(mail["Message-ID"], earlier, "nobody.example")[0],
            files=tuple(each.get_content() for each in mail.iter_attachments()),
        )

    async def lose_answer(self) -> None:
        self._smtp.next.data.append("drop after")

    async def drop(self) -> None:
        self._proxy.reset()
