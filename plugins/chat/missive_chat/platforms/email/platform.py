"""A mail account as a chat platform."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread

from missive_chat.platform import (
    Attachment,
    Button,
    ChatCapabilities,
    ChatError,
    Check,
    Inbound,
    Outgoing,
    Place,
    PlatformContext,
    Reaction,
    Receive,
)
from missive_chat.platforms.email.checks import check_account
from missive_chat.platforms.email.imap import ConnectionLostError, Imap, Session
from missive_chat.platforms.email.inbound import inbound_of
from missive_chat.platforms.email.mailbox import MIB, Mailbox, find_sent, save_sent
from missive_chat.platforms.email.outbound import compose, message_id_of, plain
from missive_chat.platforms.email.settings import Settings
from missive_chat.platforms.email.smtp import Smtp

IDLE = 4 * 60.0
"""Seconds after which IDLE is renewed: servers end it after 29 minutes, what is between us may end it after 5, and only
an answer shows that the connection is alive."""
CURSOR = "mailbox"
MAX_TEXT = 200_000
TRIES = 3
"""So often a mail is asked for that the server says it has and does not give."""
RECONNECTS = 6


class EmailPlatform:
    """Receives by IMAP and sends by SMTP. `idle` is for how long it waits at most before it looks by itself."""

    def __init__(self, context: PlatformContext, *, idle: float = IDLE) -> None:
        self._context = context
        self._log = context.log
        self._settings = Settings.of(context.options)
        self._smtp = Smtp(self._settings)
        self._imap = Imap(self._settings.imap)
        # in Base64 a file is 4/3 as large, and there may be two of them
        self._mailbox = Mailbox(self._settings.mailbox, 3 * self._settings.max_attachment + MIB)
        self._idle = idle
        self._refused: dict[int, int] = {}
        self._says_read_only = False
        for name in ("imapclient", "imapclient.imaplib", "aiosmtplib"):  # they write down what they say
            logging.getLogger(name).setLevel(logging.WARNING)

    @property
    def identity(self) -> str:
        return f"{self._settings.address} {self._settings.mailbox}"

    @property
    def capabilities(self) -> ChatCapabilities:
        return ChatCapabilities(
            max_text=MAX_TEXT,
            threads="tree",
            attachments_in=self._settings.max_attachment,
            attachments_out=20 * MIB,
            can_find=self._settings.sent_folder is not None,
            dialect="html" if self._settings.html else "plain",
        )

    async def open(self) -> None:
        async with self._smtp.connected():
            pass
        await self._imap.run(lambda session: session.select(self._settings.mailbox))

    async def close(self) -> None:
        await self._imap.close()

    def render(self, text: str) -> str:
        return plain(text)

    # --- in

    async def listen(self, receive: Receive) -> None:
        """Fetch what is new, wait for more, and connect again if the connection breaks."""
        failures = 0
        while True:
            try:
                await self._catch_up(receive)
                failures = 0
                self._context.alive()
                if await self._imap.has_idle():
                    await self._imap.idle(self._has_news, self._idle, self._context.alive)
                else:
                    await anyio.sleep(self._settings.poll_interval)
            except ConnectionLostError as error:
                failures += 1
                if failures > RECONNECTS:
                    raise
                self._log.info("%s; connecting again", error.message)
                await anyio.sleep(0 if failures == 1 else 2.0 ** (failures - 2))

    def _position(self) -> tuple[int, int] | None:
        """Return UIDVALIDITY and the UID of the last mail that was dealt with."""
        text = self._context.cursor.get(CURSOR)
        if text is None:
            return None
        validity, _, uid = text.partition(":")
        return int(validity), int(uid)

    def _has_news(self, session: Session) -> bool:
        position = self._position()
        return position is None or self._mailbox.has_news(session, *position)

    async def _catch_up(self, receive: Receive) -> None:
        if (position := self._position()) is not None:
            validity, last = position
            uids = await self._imap.run(lambda session: self._mailbox.after(session, validity, last))
            if uids is not None:
                for uid in uids:
                    await self._take(validity, uid, receive)
                    await self._context.cursor.set(CURSOR, f"{validity}:{uid}")
                    await self._mark_read(validity, uid)
                return
            self._log.warning("the server has numbered the mailbox anew; what nobody has read is looked at")
        await self._begin(receive)

    async def _begin(self, receive: Receive) -> None:
        """Take what is unread, where no position is known. The position is not set before all of it was taken."""
        since = datetime.now(UTC).date() - timedelta(days=math.ceil(self._settings.max_age / 86400))
        validity, last, uids = await self._imap.run(lambda session: self._mailbox.unread(session, since))
        for uid in uids:
            await self._take(validity, uid, receive)
            await self._mark_read(validity, uid)
        await self._context.cursor.set(CURSOR, f"{validity}:{last}")

    async def _take(self, validity: int, uid: int, receive: Receive) -> None:
        """Hand one mail over. One that is gone, or no mail at all, is passed over: it must not come again for ever."""
        try:
            fetched = await self._imap.run(lambda session: self._mailbox.fetch(session, validity, uid))
        except ConnectionLostError:
            raise
        except ChatError as error:
            tries = self._refused[uid] = self._refused.get(uid, 0) + 1
            if tries < TRIES:
                raise ConnectionLostError(error.message) from None
            self._log.error("mail %d is left out, the server does not give it: %s", uid, error.message)
            return
        finally:
            self._context.alive()
        if fetched is None:
            return
        inbound: Inbound
        try:
            inbound = await anyio.to_thread.run_sync(inbound_of, fetched, self._settings)
        except Exception as error:  # noqa: BLE001 - strangers wrote it: whatever it breaks, the next mail must come in
            self._log.error("mail %d cannot be read, and is left out: %s: %s", uid, type(error).__name__, error)
            return
        await receive(inbound)

    async def _mark_read(self, validity: int, uid: int) -> None:
        try:
            await self._imap.run(lambda session: self._mailbox.mark_read(session, validity, uid))
        except ConnectionLostError:
            raise
        except ChatError as error:
            if not self._says_read_only:
                self._log.warning("mail cannot be marked as read: %s", error.message)
            self._says_read_only = True

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        octets = await self._imap.run(lambda session: self._mailbox.file(session, attachment.id, limit))
        await anyio.Path(path).write_bytes(octets)
        return len(octets)

    # --- out

    async def send(self, message: Outgoing) -> str:
        if len(plain(message.text)) > MAX_TEXT:
            raise ChatError(f"a text of more than {MAX_TEXT} characters is too long for a mail", permanent=True)
        composed = await anyio.to_thread.run_sync(compose, message, self._settings, datetime.now().astimezone())
        await self._smtp.send(composed)
        folder = self._settings.sent_folder
        if folder is not None and self._settings.save_sent:
            try:
                await self._imap.run(lambda session: save_sent(session, folder, composed.octets))
            except ChatError as error:  # it is sent: that is what counts
                self._log.warning("a mail was sent, but no copy could be kept: %s", error.message)
        return composed.message_id

    async def find(self, message: Outgoing) -> str | None:
        folder, message_id = self._settings.sent_folder, message_id_of(message, self._settings)
        if folder is None:
            return None
        found = await self._imap.run(lambda session: find_sent(session, folder, message_id))
        return message_id if found else None

    async def check(self) -> tuple[Check, ...]:
        return await check_account(self._settings, self._smtp, self._imap)

    # --- what mail does not have

    async def edit(
        self,
        place: Place,  # noqa: ARG002
        message_id: str,  # noqa: ARG002
        text: str,  # noqa: ARG002
        *,
        buttons: tuple[Button, ...] = (),  # noqa: ARG002
        final: bool = False,  # noqa: ARG002
    ) -> None:
        raise ChatError("a mail cannot be changed", permanent=True)

    async def react(
        self,
        place: Place,  # noqa: ARG002
        message_id: str,  # noqa: ARG002
        reaction: Reaction,  # noqa: ARG002
        *,
        instead_of: Reaction | None,  # noqa: ARG002
    ) -> None:
        raise ChatError("there are no reactions to a mail", permanent=True)

    async def typing(self, place: Place) -> None:  # noqa: ARG002
        raise ChatError("mail does not show who is writing", permanent=True)
