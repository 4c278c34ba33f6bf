"""Files: fetched with our token and never more than may be, put up as they are or encrypted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread

from missive_chat.platform import ChatError
from missive_chat.platforms.matrix.connection import refusal_of

if TYPE_CHECKING:
    from pathlib import Path

    from missive_chat.platform import Attachment, OutgoingFile
    from missive_chat.platforms.matrix.connection import Connection

MEDIA = "/_matrix/client/v1/media"
DEFAULT_LIMIT = 50 * 1024 * 1024
"""What a server takes that does not say it."""
TRANSFER_SECONDS = 600
CHUNK = 64 * 1024


async def server_limit(connection: Connection) -> int:
    """Return the largest file that the server takes."""
    answer = await connection.call("GET", f"{MEDIA}/config", doing="ask for the limit of files")
    size = answer.get("m.upload.size")
    return size if isinstance(size, int) and size > 0 else DEFAULT_LIMIT


async def download(connection: Connection, attachment: Attachment, path: Path, *, limit: int) -> int:
    """Write a file to `path` and return its size."""
    known = json.loads(attachment.id)
    url = urlsplit(str(known["url"]))
    if url.scheme != "mxc" or not url.netloc or not url.path.strip("/"):
        raise ChatError(f"the file '{attachment.name}' is not on a Matrix server", permanent=True)
    where = f"{MEDIA}/download/{quote(url.netloc, safe=':[]')}/{quote(url.path.strip('/'), safe='')}"
    doing = f"fetch the file '{attachment.name}'"
    try:
        with anyio.fail_after(TRANSFER_SECONDS):
            size = await _fetch(connection, where, path, limit, doing)
            if "key" in known:
                await anyio.to_thread.run_sync(_decrypt, path, known, doing)
    except BaseException:
        _remove(path)
        raise
    return size


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _fetch(connection: Connection, where: str, path: Path, limit: int, doing: str) -> int:
    from aiohttp import ClientError

    response = await connection.request("GET", where, doing=doing, seconds=TRANSFER_SECONDS)
    size = 0
    try:
        async with await anyio.open_file(path, "wb") as file:
            async for chunk in response.content.iter_chunked(CHUNK):
                size += len(chunk)
                if size > limit:
                    raise ChatError(f"could not {doing}: it has more than {limit:,} bytes", permanent=True)
                await file.write(chunk)
    except (ClientError, TimeoutError) as error:
        raise ChatError(f"could not {doing}: {error or type(error).__name__}") from None
    finally:
        response.close()
    return size


def _decrypt(path: Path, known: dict[str, Any], doing: str) -> None:
    from nio.crypto import decrypt_attachment
    from nio.exceptions import EncryptionError

    try:
        path.write_bytes(decrypt_attachment(path.read_bytes(), known["key"], known["hash"], known["iv"]))
    except (EncryptionError, KeyError, TypeError, ValueError) as error:
        raise ChatError(f"could not {doing}: it cannot be decrypted: {error}", permanent=True) from None


async def upload(connection: Connection, file: OutgoingFile, *, encrypt: bool) -> tuple[dict[str, Any], int]:
    """Put a file up; return where it is, as the content of an event says it, and its size."""
    from aiohttp import ClientError
    from nio import UploadResponse

    media_type = file.media_type or "application/octet-stream"
    size = file.path.stat().st_size
    try:
        with anyio.fail_after(TRANSFER_SECONDS), file.path.open("rb") as data:
            answer, keys = await connection.nio.upload(
                data, media_type, None if encrypt else file.name, encrypt=encrypt, filesize=size
            )
    except (ClientError, TimeoutError) as error:
        raise ChatError(f"could not send the file '{file.name}': {error or type(error).__name__}") from None
    if not isinstance(answer, UploadResponse):
        raise refusal_of(f"send the file '{file.name}'", answer)
    if keys is None:
        return {"url": answer.content_uri}, size
    return {"file": {**keys, "url": answer.content_uri}}, size
