"""A real SMTP server in a thread: AUTH, STARTTLS or TLS. A test says what it refuses, and when it falls silent."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import default
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from support.chat.mail import PASSWORD
from support.chat.servers import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import EmailMessage
    from types import TracebackType
    from typing import Self

    from raw_http import Certificate


@dataclass
class Sent:
    """A mail that was taken."""

    sender: str
    recipients: list[str]
    octets: bytes

    @property
    def mail(self) -> EmailMessage:
        return BytesParser(policy=default).parsebytes(self.octets)


@dataclass
class Behaviour:
    """What it does next; each answer that is set is given for one mail, then the next one."""

    rcpt: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    """What is said after DATA: nothing with ``silence``; ``drop`` breaks the connection before the mail was taken. With
    ``silence after`` and ``drop after`` it was taken before that."""
    login: list[str] = field(default_factory=list)


class SmtpServer:
    """Takes mail of whoever logs in. `forward` gets what was taken, e.g. to put it into a mailbox."""

    def __init__(
        self,
        certificate: Certificate | None = None,
        *,
        security: str = "none",
        forward: Callable[[Sent], None] | None = None,
        size_limit: int = 40_000_000,
    ) -> None:
        self.sent: list[Sent] = []
        self.next = Behaviour()
        self.forward = forward
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
        self.port = free_port()
        self._controller = Controller(
            self,
            hostname=HOST,
            port=self.port,
            ssl_context=context if security == "tls" else None,
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            auth_require_tls=False,
            server_hostname="mx.bot.example",
            authenticator=self._log_in,
            data_size_limit=size_limit,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    def _log_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        if self.next.login:
            return AuthResult(success=False, handled=False, message=self.next.login.pop(0))
        # not `handled`: else nobody would say 535
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 log in first"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.next.rcpt and (answer := self.next.rcpt.pop(0)):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.next.data.pop(0) if self.next.data else ""
        if answer and not answer.endswith("after"):
            return await _misbehave(server, answer)
        assert isinstance(envelope.content, bytes)
        sent = Sent(envelope.mail_from or "", list(envelope.rcpt_tos), envelope.content)
        if self.forward is not None:
            await asyncio.to_thread(self.forward, sent)
        self.sent.append(sent)
        return await _misbehave(server, answer.removesuffix(" after")) if answer else "250 taken"


async def _misbehave(server: SMTP, answer: str) -> str:
    if answer == "drop":
        assert isinstance(server.transport, asyncio.Transport)
        server.transport.abort()
    elif answer == "silence":
        await asyncio.sleep(3600)
    return answer
