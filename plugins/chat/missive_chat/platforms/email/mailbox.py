"""What is asked of the mailbox. These run in the connection's thread."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from imapclient import SEEN
from imapclient.exceptions import IMAPClientError

from missive_chat.platform import ChatError
from missive_chat.platforms.email.files import files_of
from missive_chat.platforms.email.imap import Session
from missive_chat.platforms.email.inbound import Fetched, parse

MIB = 1024 * 1024
BEGINNING = MIB
"""So much is read of a mail that is too large."""


class Mailbox:
    """The folder that mail comes into. `largest` is the size of the largest mail that is read as a whole."""

    def __init__(self, folder: str, largest: int) -> None:
        self._folder = folder
        self._largest = largest

    def after(self, session: Session, validity: int, uid: int) -> list[int] | None:
        """Return the UIDs after one; None if the server has numbered the mailbox anew."""
        state = session.select(self._folder)
        if int(state[b"UIDVALIDITY"]) != validity:
            return None
        session.client.noop()
        # the range always matches the last mail, even if its UID is lower
        return [each for each in session.search(["UID", f"{uid + 1}:*"]) if each > uid]

    def has_news(self, session: Session, validity: int, uid: int) -> bool:
        return self.after(session, validity, uid) != []

    def unread(self, session: Session, since: date) -> tuple[int, int, list[int]]:
        """Return UIDVALIDITY, the last UID there is, and the UIDs of what nobody has read."""
        session.folder = None  # what the server said of it may be old
        state = session.select(self._folder)
        unread = session.search(["UNSEEN", "SINCE", since])
        last = int(state.get(b"UIDNEXT", 0)) - 1
        if last < 0:
            last = max(session.search("ALL"), default=0)
        # what came after the SELECT has a UID above it, and is found the next time
        return int(state[b"UIDVALIDITY"]), last, [uid for uid in unread if uid <= last]

    def fetch(self, session: Session, validity: int, uid: int) -> Fetched | None:
        """Return a mail, or the beginning of one that is too large; None if it is gone. It stays unread."""
        if int(session.select(self._folder)[b"UIDVALIDITY"]) != validity:
            return None
        session.client.normalise_times = False
        about = session.client.fetch([uid], ["RFC822.SIZE", "INTERNALDATE"]).get(uid)
        if about is None:
            return None
        size = int(about[b"RFC822.SIZE"])
        section = "BODY.PEEK[]" if size <= self._largest else f"BODY.PEEK[]<0.{BEGINNING}>"
        octets = _body(session.client.fetch([uid], [section]).get(uid))
        if octets is None:
            return None
        arrived = about.get(b"INTERNALDATE")
        # a server may count lines' ends in its own way: only a mail that was cut on purpose is not whole
        size = len(octets) if size <= self._largest else size
        return Fetched(validity, uid, octets, size, arrived.timestamp() if isinstance(arrived, datetime) else None)

    def mark_read(self, session: Session, validity: int, uid: int) -> None:
        if int(session.select(self._folder)[b"UIDVALIDITY"]) == validity:
            session.client.add_flags([uid], [SEEN], silent=True)

    def file(self, session: Session, file_id: str, limit: int) -> bytes:
        """Return the bytes of a file of a mail."""
        validity, uid, number = (int(each) for each in file_id.split(":"))
        fetched = self.fetch(session, validity, uid)
        if fetched is None:
            raise ChatError("the mail that has the file is no longer in the mailbox", permanent=True)
        if not fetched.is_whole:
            raise ChatError(f"the mail that has the file is too large: {fetched.size} bytes", permanent=True)
        files = files_of(parse(fetched.octets))
        if number >= len(files):
            raise ChatError("the mail does not have the file", permanent=True)
        octets = files[number].content()
        if len(octets) > limit:
            raise ChatError(f"the file has {len(octets)} bytes, more than {limit}", permanent=True)
        return octets


def find_sent(session: Session, folder: str, message_id: str) -> bool:
    """Tell whether a mail with this id is in the folder of sent mail."""
    session.folder = None  # else mail that came in since it was selected is not seen
    session.select(folder, readonly=True)
    return bool(session.client.search(["HEADER", "Message-ID", message_id]))


def save_sent(session: Session, folder: str, octets: bytes) -> None:
    session.client.append(folder, octets, flags=[SEEN], msg_time=datetime.now(UTC))


def newest(session: Session, folder: str, count: int) -> dict[int, dict[bytes, Any]]:
    """Return arrival time and headers of the newest mails, for `checks`."""
    session.folder = None
    session.select(folder)
    uids = session.search("ALL")[-count:]
    session.client.normalise_times = False
    return dict(session.client.fetch(uids, ["INTERNALDATE", "BODY.PEEK[HEADER]"])) if uids else {}


def is_writable(session: Session, folder: str) -> bool:
    """Tell whether marks can be set in a folder."""
    session.folder = None
    state = session.select(folder)
    return b"READ-ONLY" not in state and SEEN in state.get(b"PERMANENTFLAGS", (SEEN,))


def exists(session: Session, folder: str) -> bool:
    try:
        return bool(session.client.folder_exists(folder))
    except IMAPClientError:
        return False


def _body(data: dict[bytes, Any] | None) -> bytes | None:
    """Return the body in the answer to a FETCH, whatever section was asked for."""
    for name, value in (data or {}).items():
        if name.startswith(b"BODY[") and isinstance(value, bytes):
            return value
    return None
