"""A body of multipart/form-data: the part `frame`, and files."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import msgspec
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from missive_host.envelopes import Envelope, FrameError
from missive_host.errors import IoError
from missive_http.documents import ProblemError, refused
from missive_http.uploads import File

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile

    from missive_http.uploads import Uploads

MOST_FILES = 100
FRAME = "frame"


@asynccontextmanager
async def form_of(
    request: Request, *, limit: int, frame_limit: int, too_long: Callable[[int], ProblemError]
) -> AsyncIterator[tuple[bytes, list[File]]]:
    """Read the form: its frame and its files, which are there within the context. Raises `ProblemError`."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise too_long(limit)
    total = 0

    async def receive() -> Any:
        nonlocal total
        message = await request.receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise too_long(limit)
        return message

    limited = Request(request.scope, receive)
    try:
        form = await limited.form(max_files=MOST_FILES, max_fields=10, max_part_size=frame_limit)
    except (HTTPException, MultiPartException) as error:
        detail = getattr(error, "detail", None) or getattr(error, "message", "")
        raise refused(400, f"the form cannot be read: {detail}", help="curl -F frame=@frame.json -F file=@…") from None
    except OSError as error:
        raise no_space(error) from None
    try:
        yield await _parts(form.multi_items(), frame_limit)
    finally:
        await limited.close()


async def _parts(items: list[tuple[str, UploadFile | str]], frame_limit: int) -> tuple[bytes, list[File]]:
    frame: bytes | None = None
    files: list[File] = []
    for name, part in items:
        if name == FRAME:
            if frame is not None:
                raise refused(400, "there is more than one part `frame`", help="send one frame, and files")
            frame = part.encode() if isinstance(part, str) else await part.read(frame_limit + 1)
            if len(frame) > frame_limit:
                raise refused(413, f"the frame is longer than {frame_limit} bytes", help="send less")
        elif isinstance(part, str):
            raise refused(
                400, f"part `{name[:64]}` is no file: it has no file name", help="the frame is the part `frame`"
            )
        else:
            files.append(File(part.filename or name, part.content_type or "application/octet-stream", part.file))
    if frame is None:
        raise refused(400, "there is no part `frame`", help="curl -F 'frame={\"command\":…}' -F file=@report.pdf")
    return frame, files


def without_files(envelope: Envelope) -> Envelope:
    """Return a frame that names no files here. Raises `FrameError`: files of this machine are none of a client's."""
    for field in ("files", "file_bytes"):
        if getattr(envelope.command, field, ()):
            raise FrameError(
                f"field `{field}`: over HTTP, files are parts of multipart/form-data",
                frame_id=envelope.id,
                help="curl -F 'frame={\"command\":…}' -F file=@report.pdf",
            )
    return envelope


async def with_files(envelope: Envelope, files: list[File], uploads: Uploads) -> tuple[Envelope, str | None]:
    """Write the files down; return the frame that carries them, and their folder. Raises `ProblemError`."""
    if not files:
        return envelope, None
    command = envelope.command
    if not hasattr(command, "file_bytes"):
        raise refused(400, "this command carries no files", help="send, stream and broadcasts do")
    try:
        folder, paths = await anyio.to_thread.run_sync(uploads.keep, files, envelope.idempotency_key)
    except OSError as error:
        raise no_space(error) from None
    changes: dict[str, Any] = {"file_bytes": paths}
    if not getattr(command, "mime", ()):
        json_parts = getattr(command, "json_parts", ())
        kinds = [file.media_type.partition(";")[0].strip()[:128] for file in files]
        changes["mime"] = (*kinds, *["application/json"] * len(json_parts))
    return msgspec.structs.replace(envelope, command=msgspec.structs.replace(command, **changes)), folder


def no_space(error: OSError) -> ProblemError:
    """Return the refusal of files that cannot be written."""
    status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500
    return ProblemError(status, IoError(f"while writing the files down: {error.strerror}", help="try again later"))
