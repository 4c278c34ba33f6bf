"""The four folders of a door, made if they are missing, and held apart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from missive_filedrop.files import make_folder
from missive_host.errors import IoError, ValidationError


@dataclass(frozen=True, slots=True)
class Folders:
    """Where requests come in, answers go out, and requests end."""

    inbox: Path
    outbox: Path
    processed: Path
    error: Path

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Folders:
        """Return the folders that the options name, as absolute paths."""
        inbox = _absolute(options["inbox"])
        return cls(
            inbox=inbox,
            outbox=_absolute(options["outbox"]),
            processed=_absolute(options["processed"] or inbox / "processed"),
            error=_absolute(options["error"] or inbox / "error"),
        )

    def prepare(self) -> None:
        """Make what is missing. Raises `IoError`, and `ValidationError` if answers would become requests."""
        for path in (self.inbox, self.outbox, self.processed, self.error):
            try:
                make_folder(path)
            except OSError as error:
                raise IoError(
                    f"while making the folder {path}: {error.strerror}", help="make it yourself, or name another"
                ) from None
        for name in ("outbox", "processed", "error"):
            if os.path.samestat(getattr(self, name).stat(), self.inbox.stat()):
                raise ValidationError(
                    f"`{name}` and `inbox` are the same folder: what is written there would be a request again",
                    help="name another folder; it may lie in the inbox",
                )

    def is_own(self, found: os.stat_result) -> bool:
        """True for the folders that are not for requests, wherever they lie."""
        for path in (self.outbox, self.processed, self.error):
            with suppress(FileNotFoundError):  # somebody removed it; the next answer makes it again
                if os.path.samestat(found, path.stat()):
                    return True
        return False


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - links stay as they are
