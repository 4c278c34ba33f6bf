"""Files on their way in and out: each message has a folder of its own below the adapter's data folder."""

from __future__ import annotations

import base64
import binascii
import shutil
from contextlib import suppress
from pathlib import Path
from time import time

import anyio
import anyio.to_thread

from missive_chat.answers import FoundFile
from missive_chat.names import safe_name
from missive_chat.platform import Attachment, ChatError, OutgoingFile, Platform

INCOMING = "in"
OUTGOING = "out"
KEPT = 7 * 86400.0
"""Seconds after which a file is removed, whatever became of it."""


class Files:
    """The folders of one adapter."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir

    async def fetch(
        self, platform: Platform, owner: str, attachments: tuple[Attachment, ...], limit: int
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Fetch attachments; return paths below the data folder, their media types, and what went wrong, in words."""
        most = platform.capabilities.attachments_in
        paths: list[str] = []
        types: list[str] = []
        problems: list[str] = []
        for number, attachment in enumerate(attachments):
            limit_here = limit if most is None else min(limit, most)
            name = safe_name(attachment.name)
            path = self._root / INCOMING / owner / f"{number}" / name
            if most is None:
                problems.append(f"the file {name} cannot be fetched here")
            elif attachment.size is not None and attachment.size > limit_here:
                problems.append(f"the file {name} is too big: {attachment.size} bytes, and {limit_here} may be")
            else:
                await anyio.Path(path.parent).mkdir(parents=True, exist_ok=True, mode=0o700)
                try:
                    await platform.download(attachment, path, limit=limit_here)
                except (ChatError, OSError) as error:
                    if isinstance(error, ChatError) and not error.permanent:
                        raise
                    words = error.message if isinstance(error, ChatError) else str(error.strerror)
                    problems.append(f"the file {name} could not be fetched: {words}")
                else:
                    paths.append(path.relative_to(self._root).as_posix())
                    types.append(attachment.media_type or _guessed(name))
        return tuple(paths), tuple(types), tuple(problems)

    async def keep(self, owner: str, number: int, file: FoundFile) -> OutgoingFile:
        """Write a file of an answer down, for the outbox. Raises `OSError`, and `ValueError` if it is no base64."""
        return await anyio.to_thread.run_sync(self._keep, owner, number, file)

    def _keep(self, owner: str, number: int, file: FoundFile) -> OutgoingFile:
        folder = self._root / OUTGOING / owner / str(number)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / safe_name(file.name)
        try:
            path.write_bytes(base64.b64decode(file.raw, validate=True))
        except binascii.Error as error:
            raise ValueError(str(error)) from None
        return OutgoingFile(path=path, name=path.name, media_type=file.media_type)

    async def drop(self, owner: str) -> None:
        """Remove what came in with a message."""
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(self._root / INCOMING / owner, ignore_errors=True))

    def sweep(self) -> None:
        """Remove what is old. It blocks: it is for a thread."""
        before = time() - KEPT
        for folder in (self._root / INCOMING, self._root / OUTGOING):
            with suppress(FileNotFoundError):
                for entry in folder.iterdir():
                    if entry.stat().st_mtime < before:
                        shutil.rmtree(entry, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file that has been sent, and its folders. It blocks: it is for a thread."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        path.parent.parent.rmdir()  # if there is no other file of the answer


def _guessed(name: str) -> str:
    import mimetypes

    return mimetypes.guess_type(name)[0] or "application/octet-stream"
