"""Files: out in the three steps that Slack asks for, in by an address that takes our token."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import anyio

from missive_chat.platform import Attachment, ChatError, Outgoing, OutgoingFile
from missive_chat.platforms.slack.api import Api, broken, is_loopback
from missive_chat.platforms.slack.messages import fallback

if TYPE_CHECKING:
    from aiohttp import ClientResponse

MAX_FILE = 1 << 30
CHUNK = 1 << 16
HOPS = 3
HOSTS = ("slack.com", "slack-edge.com", "slack-files.com")
LONG = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
WAITS = (0.1, 0.3, 1.0, 2.0, 4.0)
"""Seconds between the looks for the message of a file: Slack makes it after it has answered."""

NO_MESSAGE = "file:"
"""Begins the id of a file whose message was not to be found."""


async def send(api: Api, message: Outgoing) -> str:
    """Upload the file of a message and share it; return the id of the message."""
    file = message.file
    assert file is not None
    path = anyio.Path(file.path)
    try:
        size = (await path.stat()).st_size
    except OSError as error:
        raise ChatError(f"cannot read the file {file.name}: {error.strerror}", permanent=True) from None
    if size == 0:
        raise ChatError(f"Slack takes no empty file: {file.name}", permanent=True)
    answer = await api.call("files_getUploadURLExternal", filename=file.name, length=size)
    await _upload(api, str(answer["upload_url"]), file.path, file.name)
    shared = {"thread_ts": message.place.thread} if message.place.thread else {}
    if message.text:
        shared["initial_comment"] = fallback(message.text)
    await api.call(
        "files_completeUploadExternal",
        files=[{"id": answer["file_id"], "title": file.name}],
        channel_id=message.place.chat,
        **shared,
    )
    return await _message_of(api, str(answer["file_id"]), message.place.chat)


def is_same(shared: dict[str, Any], file: OutgoingFile) -> bool:
    """Say whether a file that is there is the one that was to be sent."""
    if shared.get("name") != file.name:
        return False
    try:
        return shared.get("size") in (None, file.path.stat().st_size)
    except OSError:
        return True


async def _upload(api: Api, url: str, path: Path, name: str) -> None:
    _check(api, url, "Slack's address for uploads")
    try:
        with path.open("rb") as content:
            async with api.session.post(url, data=content, timeout=LONG, proxy=api.proxy(url)) as response:
                status = response.status
    except (TimeoutError, aiohttp.ClientError) as error:
        failure = broken(error, f"the upload of {name}")
        failure.maybe_sent = False  # it is not shared yet, so nobody sees it
        raise failure from None
    except OSError as error:
        raise ChatError(f"cannot read the file {name}: {error.strerror}", permanent=True) from None
    if status != 200:
        raise ChatError(f"Slack did not take the file {name}: HTTP status {status}", permanent=status in (400, 413))


async def _message_of(api: Api, file_id: str, chat: str) -> str:
    for wait in WAITS:
        with suppress(ChatError):  # it is sent, whatever becomes of this
            info = (await api.call("files_info", file=file_id)).get("file") or {}
            for shares in (info.get("shares") or {}).values():
                for share in shares.get(chat) or ():
                    return str(share["ts"])
        await anyio.sleep(wait)
    return NO_MESSAGE + file_id


async def download(api: Api, attachment: Attachment, path: Path, *, limit: int) -> int:
    """Write a file that somebody sent to `path`; return its size."""
    info: dict[str, Any] = (await api.call("files_info", file=attachment.id)).get("file") or {}
    url = str(info.get("url_private_download") or info.get("url_private") or "")
    if not url:
        raise ChatError(f"Slack does not let us have the file {attachment.name}", permanent=True)
    declared = info.get("size")
    if isinstance(declared, int) and declared > limit:
        raise _too_large(attachment, limit)
    try:
        return await _fetch(api, url, attachment, path, limit=limit, info=info)
    except (aiohttp.ClientError, TimeoutError) as error:
        failure: ChatError = broken(error, f"the file {attachment.name}")
    except ChatError as error:
        failure = error
    await anyio.Path(path).unlink(missing_ok=True)
    raise failure


async def _fetch(api: Api, url: str, attachment: Attachment, path: Path, *, limit: int, info: dict[str, Any]) -> int:
    for _ in range(HOPS):
        _check(api, url, f"the address of {attachment.name}")
        headers = {"Authorization": f"Bearer {api.token}"}
        proxy = api.proxy(url)
        async with api.session.get(url, headers=headers, allow_redirects=False, timeout=LONG, proxy=proxy) as response:
            if response.status not in (301, 302, 303, 307, 308):
                return await _write(response, attachment, path, limit=limit, info=info)
            url = urljoin(url, response.headers.get("Location", ""))
    raise ChatError(f"the address of {attachment.name} leads nowhere", permanent=True)


async def _write(
    response: ClientResponse, attachment: Attachment, path: Path, *, limit: int, info: dict[str, Any]
) -> int:
    if response.status != 200:
        passing = response.status >= 500 or response.status == 429
        raise ChatError(f"the file {attachment.name}: HTTP status {response.status}", permanent=not passing)
    size = 0
    async with await anyio.open_file(path, "wb") as out:
        async for chunk in response.content.iter_chunked(CHUNK):
            size += len(chunk)
            if size > limit:
                raise _too_large(attachment, limit)
            await out.write(chunk)
    is_page = response.content_type == "text/html"
    if is_page and (info.get("mimetype") != "text/html" or info.get("size") not in (None, size)):
        raise ChatError(
            f"Slack sent its login page for the file {attachment.name}",
            permanent=True,
            help="add the scope files:read to the app, and install it again",
        )
    return size


def _too_large(attachment: Attachment, limit: int) -> ChatError:
    return ChatError(f"the file {attachment.name} is larger than {limit} bytes", permanent=True)


def _check(api: Api, url: str, what: str) -> None:
    """Our token, and other people's files, go to Slack alone."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" and any(f".{host}".endswith(f".{name}") for name in HOSTS):
        return
    if host == urlsplit(api.url).hostname and (parts.scheme == "https" or is_loopback(url)):
        return
    raise ChatError(f"{what} is not one of Slack", permanent=True)
