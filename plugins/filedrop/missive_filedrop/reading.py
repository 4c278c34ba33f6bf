"""A file becomes an envelope, or an error that says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from missive_filedrop.attachments import confine
from missive_filedrop.files import read_file
from missive_filedrop.folders import Folders
from missive_filedrop.inbox import Inbox
from missive_filedrop.names import Claim
from missive_host.envelopes import FILE_DROP, Envelope, FrameError, parse_envelope
from missive_host.errors import ErrorReport, IoError, MissiveError, ValidationError

SOURCE_ID = "file-drop"
"""``source.source_id`` of a request that names none."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file is not run."""

    report: ErrorReport
    frame_id: str | None = None


class Reader:
    """Takes files from the inbox and reads them."""

    def __init__(self, folders: Folders, inbox: Inbox, options: Mapping[str, Any], *, durable: bool) -> None:
        self._folders = folders
        self._inbox = inbox
        self._limit: int = options["max_file_size"]
        any_order = options["any_order"]
        # In the gateway one session would be one conversation, of files that have nothing to do with each other.
        self._in_order: bool = not (durable if any_order is None else any_order)
        self._durable = durable

    def open(self, item: Claim | tuple[str, str]) -> tuple[Claim, Envelope | Refusal]:
        """Take a file, unless that was done, and read what is in it. Raises `OSError` if it cannot be taken."""
        claim = item if isinstance(item, Claim) else self._inbox.take(*item)
        try:
            data = read_file(self._inbox.path / claim.file, self._limit)
        except FileNotFoundError:
            raise
        except OSError as error:
            unreadable = IoError(f"while reading the file: {error.strerror}", help="see to its permissions")
            return claim, Refusal(unreadable.report())
        try:
            envelope = self._parsed(data)
        except FrameError as error:
            return claim, Refusal(error.report(), error.frame_id)
        try:
            return claim, self._placed(claim, envelope)
        except MissiveError as error:
            return claim, Refusal(error.report(), envelope.id)

    def _parsed(self, data: bytes | None) -> Envelope:
        if data is None:
            raise FrameError(
                f"the file is longer than {self._limit} bytes",
                help="raise --max-file-size, or name big files in `file_bytes`",
            )
        if not data.strip():
            raise FrameError("the file is empty", help="write it under another name, then rename it to NAME.json")
        return parse_envelope(data, FILE_DROP, default_source=SOURCE_ID, default_session=self._in_order)

    def _placed(self, claim: Claim, envelope: Envelope) -> Envelope:
        """Return the envelope with what the file's place says. Raises `MissiveError`."""
        changed: dict[str, Any] = {"command": confine(envelope.command, self._folders, claim.folder)}
        if claim.folder:
            named = envelope.source.resume_name
            if named not in ("default", claim.folder):
                raise ValidationError(
                    f"field `source.resume_name`: this folder is the session '{claim.folder}', not '{named}'",
                    help="leave it out, or drop the file into the other folder",
                )
            changed["source"] = msgspec.structs.replace(envelope.source, resume_name=claim.folder)
            changed["in_session"] = True
        if self._durable and envelope.idempotency_key is None:
            # A claim that was taken in just before a crash is taken in again: then it is known by this.
            changed["idempotency_key"] = f"file-drop/{claim.uid}"
        return msgspec.structs.replace(envelope, **changed)
