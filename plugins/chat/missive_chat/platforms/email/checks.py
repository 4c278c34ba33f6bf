"""What ``missive chat doctor`` looks at in a mail account."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from missive_chat.platform import ChatError, Check
from missive_chat.platforms.email.authors import server_of
from missive_chat.platforms.email.headers import raw_values
from missive_chat.platforms.email.imap import Imap, Session
from missive_chat.platforms.email.inbound import parse
from missive_chat.platforms.email.mailbox import exists, is_writable, newest
from missive_chat.platforms.email.settings import Endpoint, Settings
from missive_chat.platforms.email.smtp import Smtp

DAY = 86400
SOON = 14 * DAY
SKEW = 120
LOOKED_AT = 20


async def check_account(settings: Settings, smtp: Smtp, imap: Imap) -> tuple[Check, ...]:
    """Look at both servers. What cannot be looked at any more because of a failure before it is left out."""
    checks: list[Check] = []
    try:
        async with smtp.connected() as client:
            checks.append(Check("smtp", "ok", f"{settings.smtp.username} is logged in at the {settings.smtp}"))
            secured = client.get_transport_info("ssl_object")
            checks.append(_certificate("smtp-tls", settings.smtp, secured and secured.getpeercert()))
    except ChatError as error:
        checks.append(Check("smtp", "fail", error.message, error.help))

    async def look(id_: str, job: Callable[[Session], Check]) -> None:
        try:
            checks.append(await imap.run(job))
        except ChatError as error:
            checks.append(Check(id_, "fail", error.message, error.help))

    await look("imap", lambda _: Check("imap", "ok", f"{settings.imap.username} is logged in at the {settings.imap}"))
    if checks[-1].status == "fail":
        return tuple(checks)
    await look("imap-tls", lambda session: _certificate("imap-tls", settings.imap, _peer(session)))
    await look("idle", lambda session: _idle(session, settings))
    await look("mailbox", lambda session: _mailbox(session, settings))
    await look("sent", lambda session: _sent(session, settings))
    await look("senders", lambda session: _senders(session, settings))
    await look("clock", lambda session: _clock(session, settings))
    return tuple(checks)


def _peer(session: Session) -> dict[str, Any] | None:
    connection = session.client.socket()
    return connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None


def _certificate(id_: str, endpoint: Endpoint, peer: dict[str, Any] | None) -> Check:
    if endpoint.security == "none":
        return Check(id_, "ok", f"the {endpoint} is on this machine and is used without TLS")
    if not peer or "notAfter" not in peer:
        return Check(id_, "warn", f"the certificate of the {endpoint} says nothing of its end")
    left = ssl.cert_time_to_seconds(peer["notAfter"]) - time.time()
    words = f"the certificate of the {endpoint} is valid for {int(left // DAY)} more days"
    if left < SOON:
        return Check(id_, "warn", words, "Renew it; when it has expired, no mail comes in or goes out.")
    return Check(id_, "ok", words)


def _idle(session: Session, settings: Settings) -> Check:
    if session.client.has_capability("IDLE"):
        return Check("idle", "ok", "the server says by itself when there is mail (IDLE)")
    every = f"{settings.poll_interval:g} seconds"
    return Check(
        "idle", "warn", f"the server has no IDLE; it is asked every {every}", "`poll_interval` says how often."
    )


def _mailbox(session: Session, settings: Settings) -> Check:
    name = settings.mailbox
    if not exists(session, name):
        return Check(
            "mailbox", "fail", f"there is no mailbox {name!r}", "Make it, or set `mailbox` to one that is there."
        )
    if not is_writable(session, name):
        return Check("mailbox", "warn", f"mail in {name!r} cannot be marked as read", "Give the account the right to.")
    return Check("mailbox", "ok", f"{name!r} is there, and mail in it can be marked as read")


def _sent(session: Session, settings: Settings) -> Check:
    name = settings.sent_folder
    if name is None:
        return Check(
            "sent", "warn", "there is no `sent_folder`: after a crash in the wrong moment a mail may be sent twice",
            "Set `sent_folder`, and `save_sent = true` if the server does not keep copies by itself.",
        )  # fmt: skip
    if not exists(session, name):
        return Check(
            "sent", "fail", f"there is no folder {name!r}", "Make it, or set `sent_folder` to one that is there."
        )
    return Check("sent", "ok", f"sent mail is looked for in {name!r}")


def _senders(session: Session, settings: Settings) -> Check:
    if settings.trust_from:
        return Check(
            "senders", "warn", "every From is believed (`trust_from`)",
            "Right only if nobody but internal senders can reach the mailbox; else set `trusted_authserv`.",
        )  # fmt: skip
    seen: set[str] = set()
    for mail in newest(session, settings.mailbox, LOOKED_AT).values():
        octets = next((value for name, value in mail.items() if name.startswith(b"BODY[")), b"")
        seen.update(server_of(value) for value in raw_values(parse(octets), "Authentication-Results")[:1])
    wanted = ", ".join(sorted(settings.trusted_authserv))
    if seen & settings.trusted_authserv:
        return Check("senders", "ok", f"{wanted} has checked the senders of mail in {settings.mailbox!r}")
    if not seen:
        return Check(
            "senders", "warn", f"no recent mail has an Authentication-Results header, of {wanted} or of anybody",
            "Have the mail server check DMARC, and send a mail from elsewhere to see it.",
        )  # fmt: skip
    found = ", ".join(sorted(seen))
    return Check(
        "senders", "fail", f"recent mail was checked by {found}, not by {wanted} (`trusted_authserv`): it is ignored",
        "Set `trusted_authserv` to the name of your own server, if it is among these.",
    )  # fmt: skip


def _clock(session: Session, settings: Settings) -> Check:
    """The server's clock shows in when mail came in; only that it is ahead of ours can be seen."""
    times = [mail.get(b"INTERNALDATE") for mail in newest(session, settings.mailbox, LOOKED_AT).values()]
    ahead = max((each.timestamp() - time.time() for each in times if isinstance(each, datetime)), default=-math.inf)
    if ahead > SKEW:
        return Check("clock", "fail", f"mail has come in {ahead:.0f} seconds in the future", "Set the clock (NTP).")
    return Check("clock", "ok", f"no mail is from the future ({datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC here)")
