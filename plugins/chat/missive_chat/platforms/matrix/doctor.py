"""What must be right for the account to work: looked at over the connection, and said with what mends it."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from missive_chat.platform import ChatError, Check
from missive_chat.platforms.matrix.connection import V3

if TYPE_CHECKING:
    from missive_chat.platforms.matrix.connection import Connection
    from missive_chat.platforms.matrix.keys import Keys

NEEDED = "v1.11"
"""Since this version of the specification, files are fetched with a token."""
CLOCK_SECONDS = 60


async def examine(connection: Connection, keys: Keys, *, encryption: bool, keys_here: bool) -> tuple[Check, ...]:
    found = [await _token(connection), await _version(connection), await _rooms(connection)]
    found.append(await _encryption(connection, keys, wanted=encryption, here=keys_here))
    found.append(await _clock(connection))
    return tuple(found)


async def _token(connection: Connection) -> Check:
    try:
        answer = await connection.call("GET", f"{V3}/account/whoami", doing="ask who we are")
    except ChatError as error:
        return Check("token", "fail", error.message, "make a new access token, or use `user` and `password`")
    device = answer.get("device_id")
    if not device:
        fix = "use a token of an ordinary login, or `user` and `password`"
        return Check("token", "fail", f"the token of {answer['user_id']} belongs to no device", fix)
    return Check("token", "ok", f"{answer['user_id']}, device {device}, at {connection.homeserver}")


async def _version(connection: Connection) -> Check:
    try:
        answer = await connection.call("GET", "/_matrix/client/versions", doing="ask for the versions")
    except ChatError as error:
        return Check("server", "fail", error.message, "check `homeserver`")
    versions = [str(version) for version in answer.get("versions", [])]
    if NEEDED not in versions:
        newest = versions[-1] if versions else "none"
        return Check("server", "warn", f"the server speaks up to {newest}", f"files need {NEEDED}: update the server")
    return Check("server", "ok", f"the server speaks {versions[0]} to {versions[-1]}")


async def _rooms(connection: Connection) -> Check:
    try:
        answer = await connection.call("GET", f"{V3}/joined_rooms", doing="ask for our rooms")
    except ChatError as error:
        return Check("rooms", "fail", error.message)
    rooms = answer.get("joined_rooms", [])
    if not rooms:
        return Check("rooms", "warn", "the account is in no room", "invite it from an account that is in `users`")
    return Check("rooms", "ok", f"in {len(rooms)} {'room' if len(rooms) == 1 else 'rooms'}")


async def _encryption(connection: Connection, keys: Keys, *, wanted: bool, here: bool) -> Check:
    if not wanted:
        return Check("encryption", "ok", "off: encrypted rooms are neither read nor written to")
    try:
        published = await keys.published()
    except ChatError as error:
        return Check("encryption", "fail", error.message)
    if not here:
        return Check("encryption", "ok", "on; another process has the keys open (the gateway, as it should be)")
    if published != keys.own():
        return Check(
            "encryption", "fail", f"others see other keys of the device {connection.device_id} than we have",
            "the keys on this machine were lost: log the device out, and log in anew as another device",
        )  # fmt: skip
    return Check("encryption", "ok", f"on; the keys of the device {connection.device_id} are those that others see")


async def _clock(connection: Connection) -> Check:
    try:
        response = await connection.request("GET", "/_matrix/client/versions", doing="ask for the time")
        response.release()
        theirs = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (ChatError, KeyError, ValueError) as error:
        return Check("clock", "warn", f"the server does not tell its time: {error}")
    apart = time.time() - theirs
    if abs(apart) > CLOCK_SECONDS:
        way = "ahead of" if apart > 0 else "behind"
        return Check("clock", "warn", f"our clock is {abs(apart):.0f} s {way} the server's", "set the clock (NTP)")
    return Check("clock", "ok", "within a minute of the server's")
