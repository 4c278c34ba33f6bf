"""Sending: one connection a mail, and an honest word about how far it got."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.email.headers import one_line
from missive_chat.platforms.email.outbound import Composed
from missive_chat.platforms.email.settings import Endpoint, Settings

if TYPE_CHECKING:
    from aiosmtplib import SMTP, SMTPResponseException

TIMEOUT = 60.0
SLOWEST = 50_000
"""Bytes a second: a large mail gets as much more time."""
_NOT_THE_MAIL = {421, 530, 534, 535, 538, 454}
"""Codes that are about the connection or the login: the same mail may be taken later."""


class Smtp:
    def __init__(self, settings: Settings, *, timeout: float = TIMEOUT) -> None:
        self._settings = settings
        self._endpoint: Endpoint = settings.smtp
        self._timeout = timeout

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[SMTP]:
        """Connect and log in. Raises `ChatLoginError`, and `ChatError` for what may be over the next time."""
        from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPResponseException

        endpoint = self._endpoint
        client = SMTP(
            hostname=endpoint.host,
            port=endpoint.port,
            use_tls=endpoint.security == "tls",
            start_tls=endpoint.security == "starttls",
            tls_context=endpoint.tls(),
            timeout=self._timeout,
            local_hostname=self._settings.domain,
        )
        try:
            try:
                await client.connect()
                await client.ehlo()
                # a relay on this machine may ask nobody who he is
                if endpoint.security != "none" or client.supports_extension("auth"):
                    await client.login(endpoint.username, endpoint.password.reveal())
            except SMTPAuthenticationError as error:
                if error.code // 100 == 4:
                    raise ChatError(f"the {endpoint} cannot log us in now: {_words(error)}") from None
                raise ChatLoginError(
                    f"the {endpoint} does not let {endpoint.username} in: {_words(error)}",
                    help="Check `username` and `password`; many providers want an app password here.",
                ) from None
            except SMTPResponseException as error:
                raise ChatError(f"the {endpoint} refuses us: {_words(error)}") from None
            except SMTPException as error:
                raise ChatError(f"the {endpoint} cannot be used: {one_line(error.message)}") from None
            except (OSError, ValueError) as error:
                raise ChatError(f"the {endpoint} cannot be reached: {one_line(str(error))}") from None
            yield client
            with suppress(SMTPException, OSError):
                await client.quit(timeout=5)
        finally:
            client.close()

    async def send(self, mail: Composed) -> None:
        """Hand a mail over. What the server has refused was not sent; if its last word is missing, nobody knows."""
        from aiosmtplib import SMTPException, SMTPResponseException

        try:
            async with self.connected() as client:
                self._check_size(client, mail)
                size = [f"SIZE={len(mail.octets)}"] if client.supports_extension("size") else []
                try:
                    await client.mail(self._settings.address, options=size)
                    await client.rcpt(mail.recipient)
                except SMTPResponseException as error:
                    raise self._refused(error, mail) from None
                except (SMTPException, OSError) as error:
                    raise ChatError(f"the {self._endpoint} broke off: {one_line(str(error))}") from None
                try:
                    await client.data(mail.octets, timeout=self._timeout + len(mail.octets) / SLOWEST)
                except SMTPResponseException as error:
                    raise self._refused(error, mail) from None
                except (SMTPException, OSError) as error:
                    raise ChatError(
                        f"the {self._endpoint} broke off while it took a mail: {one_line(str(error))}", maybe_sent=True
                    ) from None
        except ChatLoginError as error:  # a password that was right when we started
            raise ChatError(error.message, help=error.help) from None

    def _check_size(self, client: SMTP, mail: Composed) -> None:
        limit = client.esmtp_extensions.get("size", "").strip()
        if limit.isdigit() and 0 < int(limit) < len(mail.octets):
            raise ChatError(
                f"the mail has {len(mail.octets)} bytes, and the {self._endpoint} takes {limit}", permanent=True
            )

    def _refused(self, error: SMTPResponseException, mail: Composed) -> ChatError:
        permanent = error.code // 100 == 5 and error.code not in _NOT_THE_MAIL
        return ChatError(
            f"the {self._endpoint} refuses the mail to {mail.recipient}: {_words(error)}", permanent=permanent
        )


def _words(error: SMTPResponseException) -> str:
    return f"{error.code} {one_line(error.message)[:300]}"
