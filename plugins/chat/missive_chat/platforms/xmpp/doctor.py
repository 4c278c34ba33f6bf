"""What ``missive chat doctor`` says of an XMPP account."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from missive_chat.platform import Check
from missive_chat.platforms.xmpp import names as n

if TYPE_CHECKING:
    from missive_chat.platforms.xmpp.files import Store
    from missive_chat.platforms.xmpp.rooms import Room, Rooms
    from missive_chat.platforms.xmpp.stream import Stream


def look(stream: Stream, rooms: Rooms, archives: Collection[str], store: Store | None) -> tuple[Check, ...]:
    return tuple(_checks(stream, rooms, archives, store))


def _checks(stream: Stream, rooms: Rooms, archives: Collection[str], store: Store | None) -> Iterator[Check]:
    client = stream.client
    yield Check("login", "ok", f"connected as {client.boundjid.full}")
    encrypted = isinstance(client.socket, (ssl.SSLSocket, ssl.SSLObject))
    yield Check("tls", "ok", "the connection is encrypted" if encrypted else "no TLS: the server is on this machine")
    if client.boundjid.bare in archives:
        yield Check("archive", "ok", "the server keeps what is said while we are away")
    else:
        fix = "switch on the archive (MAM) of the account; of Prosody: mod_mam, with archiving as the default"
        yield Check("archive", "warn", "the server has no archive: what is said while we are away may be lost", fix)
    if store is not None:
        yield Check("files", "ok", f"files go to {store.name}, up to {store.limit or 'any number of'} bytes")
    else:
        yield Check("files", "warn", "the server takes no files (XEP-0363)", "switch on HTTP file upload")
    for room in rooms.rooms.values():
        yield _room(room, has_archive=room.name in archives)


def _room(room: Room, *, has_archive: bool) -> Check:
    name = f"room {room.name}"
    if room.refused is not None:
        return Check(name, "fail", f"{room.name}: {room.refused}", "make the account a member, or set `room_passwords`")
    if "muc_nonanonymous" not in room.features or n.MAM not in room.features or not has_archive:
        if "muc_nonanonymous" not in room.features:
            words, fix = "hides who its members are, so that nobody there is answered", "let anyone see real JIDs in it"
        else:
            words, fix = "keeps nothing: what is said while we are away is lost", "switch on its archive (MAM)"
        return Check(name, "warn", f"{room.name} {words}", fix)
    return Check(name, "ok", f"we are in {room.name} as {room.nick}")
