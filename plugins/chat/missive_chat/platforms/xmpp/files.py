"""Files: uploaded to the server's own store (XEP-0363), fetched from stores that are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import SubElement

from missive_chat.platform import Attachment, ChatError, OutgoingFile
from missive_chat.platforms.xmpp import names as n
from missive_chat.platforms.xmpp.stream import LOOPBACK, Stream

if TYPE_CHECKING:
    import httpx

_HEADERS = {"authorization", "cookie", "expires"}
"""Headers that a store may ask for; no others are sent."""
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Store:
    """The service of our server that takes files."""

    name: str
    limit: int | None


class Hosts:
    """Whose files are fetched: a link to anywhere would let everybody knock at every door that we can reach."""

    def __init__(self, domain: str, more: Iterable[str]) -> None:
        self._domain = domain.lower()
        self._more = {name.lower() for name in more}

    def allow(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").lower()
        except ValueError:
            return False
        if parts.scheme != "https" and not (parts.scheme == "http" and LOOPBACK.fullmatch(host)):
            return False
        return host in self._more or host == self._domain or host.endswith(f".{self._domain}")


async def find_store(stream: Stream) -> Store | None:
    """Return the service that takes files, if the server has one."""
    domain = stream.client.boundjid.domain
    items = stream.client.make_iq_get(ito=domain)
    items.enable("disco_items")
    try:
        answer = await stream.ask(items)
    except ChatError:
        return None
    for name in (domain, *(str(item[0]) for item in answer["disco_items"]["items"])):
        info = stream.client.make_iq_get(ito=name)
        info.enable("disco_info")
        try:
            answer_info = await stream.ask(info, 10)
        except ChatError:
            continue
        if n.UPLOAD in answer_info["disco_info"]["features"]:
            return Store(name, _limit(answer_info))
    return None


def _limit(info: Any) -> int | None:
    for field in info.xml.iter("{jabber:x:data}field"):
        if field.get("var") == "max-file-size":
            text = field.findtext("{jabber:x:data}value") or ""
            return int(text) if text.isdecimal() else None
    return None


async def upload(stream: Stream, store: Store, file: OutgoingFile) -> str:
    """Put a file into the store; return where people can get it."""
    import anyio
    import httpx

    try:
        content = await anyio.Path(file.path).read_bytes()
    except OSError as error:
        raise ChatError(f"the file {file.name} cannot be read: {error}", permanent=True) from None
    media_type = file.media_type or "application/octet-stream"
    iq = stream.client.make_iq_get(ito=store.name)
    request = SubElement(iq.xml, f"{{{n.UPLOAD}}}request", filename=file.name, size=str(len(content)))
    request.set("content-type", media_type)
    slot = (await stream.ask(iq)).xml.find(f"{{{n.UPLOAD}}}slot")
    put = slot.find(f"{{{n.UPLOAD}}}put") if slot is not None else None
    get = slot.find(f"{{{n.UPLOAD}}}get") if slot is not None else None
    if put is None or get is None:
        raise ChatError("the server gave no place for the file", permanent=True)
    where, there = str(put.get("url")), str(get.get("url"))
    if not _is_safe(where):
        raise ChatError(f"the server wants the file at {where}, which is not https", permanent=True)
    headers = {
        name: value.replace("\n", "").replace("\r", "")
        for each in put
        if (name := each.get("name") or "").lower() in _HEADERS and (value := each.text)
    }
    try:
        async with _http() as http:
            answer = await http.put(where, content=content, headers={**headers, "Content-Type": media_type})
    except httpx.HTTPError as error:
        raise ChatError(f"the file {file.name} could not be uploaded: {error}") from None
    if not answer.is_success:
        broken = answer.status_code < 500 and answer.status_code != 429
        raise ChatError(f"the file {file.name} could not be uploaded: HTTP {answer.status_code}", permanent=broken)
    return there


async def fetch(attachment: Attachment, path: Path, *, limit: int) -> int:
    """Fetch a file of at most `limit` bytes."""
    import anyio
    import httpx

    size = 0
    try:
        async with _http() as http, http.stream("GET", attachment.id) as answer:
            if not answer.is_success:
                raise ChatError(
                    f"the file {attachment.name} cannot be had: HTTP {answer.status_code}",
                    permanent=answer.status_code < 500 and answer.status_code != 429,
                )
            async with await anyio.open_file(path, "wb") as file:
                async for piece in answer.aiter_bytes():
                    size += len(piece)
                    if size > limit:
                        raise ChatError(f"the file {attachment.name} is over {limit} bytes", permanent=True)
                    await file.write(piece)
    except BaseException as error:
        Path.unlink(path, missing_ok=True)
        if isinstance(error, httpx.HTTPError):
            raise ChatError(f"the file {attachment.name} cannot be had: {error}") from None
        raise
    return size


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and bool(LOOPBACK.fullmatch(parts.hostname or "")))


def _http() -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False, trust_env=False)
