"""End-to-end encryption: who holds the keys of the device, who gets those of a room, and encrypting.

The library does the cryptography. Its own sending is not used: it takes a room whose keys it could not hand out for one
that has them.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.matrix.connection import SECONDS, V3, refusal_of
from missive_host.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nio import MatrixRoom

    from missive_chat.platforms.matrix.connection import Connection

ALGORITHM = "m.room.encryption"


class Lock:
    """Only one process may use the keys: two that do spoil each other's sessions with every other device."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "keys.lock"
        self._file: int | None = None

    def take(self) -> bool:
        """Return False if another process has it."""
        if self._file is None:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._file = file
        return True

    def give_back(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def require_encryption() -> None:
    """Raise `ConfigError` if the library has no cryptography: nothing is ever sent in the clear instead."""
    from nio.crypto import ENCRYPTION_ENABLED

    if not ENCRYPTION_ENABLED:
        raise ConfigError(
            "`encryption` is on, and what it needs is not installed",
            help="pip install 'missive-host[matrix-e2ee]'",
        )


class Keys:
    """The keys of this device. With `wanted`, but not `here`, another process has them."""

    def __init__(self, connection: Connection, *, wanted: bool, here: bool) -> None:
        self._connection = connection
        self._wanted = wanted
        self._here = here
        self._encrypted: set[str] = set()
        self._sharing: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def begin(self) -> None:
        """Make our keys known. Raises `ChatLoginError` if others know other keys of this device: ours were lost."""
        client = self._connection.nio
        if self._here and not client.olm_account_shared and await self.published() not in (None, self.own()):
            raise ChatLoginError(
                f"the keys of the device {self._connection.device_id} are not on this machine any more",
                help=f"log in as a new device: make a new access token, or remove {self._connection.session_file}",
            )
        await self.upkeep()

    async def upkeep(self) -> None:
        """Make known what others need to write to us, ask for what we need, and send what is due."""
        from nio import ErrorResponse

        client = self._connection.nio
        if not self._here:
            return
        answers: list[Any] = []
        if client.should_upload_keys:
            answers.append(await self._ask(client.keys_upload()))
        if client.should_query_keys:
            answers.append(await self._ask(client.keys_query()))
        if client.should_claim_keys:
            answers.append(await self._ask(client.keys_claim(client.get_users_for_key_claiming())))
        due = list(client.outgoing_to_device_messages)
        answers += [await self._ask(client.to_device(message)) for message in due]
        for answer in answers:
            if isinstance(answer, ErrorResponse):
                raise refusal_of("exchange keys", answer)

    async def published(self) -> str | None:
        """Return the key of this device that others see, if there is one."""
        client = self._connection.nio
        user, device = self._connection.user_id, self._connection.device_id
        body = {"device_keys": {user: [device]}}
        answer = await self._connection.call("POST", f"{V3}/keys/query", body, doing="ask for keys")
        keys = answer.get("device_keys", {}).get(user, {}).get(device, {}).get("keys", {})
        found = keys.get(f"ed25519:{client.device_id}")
        return str(found) if found else None

    def own(self) -> str | None:
        """Return the key that this process signs with."""
        olm = self._connection.nio.olm
        return str(olm.account.identity_keys["ed25519"]) if olm is not None else None

    # --- sending

    async def seal(self, room_id: str, kind: str, content: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return type and content of an event as they may be sent to the room: encrypted, if the room is."""
        if not await self.encrypted(room_id):
            return kind, dict(content)
        if not self._wanted:
            raise ChatError(
                f"the room {room_id} is encrypted", permanent=True,
                help="set `encryption = true`, or use a room that is not encrypted",
            )  # fmt: skip
        if not self._here:
            raise ChatError(
                "another process has the keys of this device open",
                help="stop the gateway to send to encrypted rooms from here, or use a room that is not encrypted",
            )
        client = self._connection.nio
        async with self._sharing[room_id]:
            await self._ready(room_id)
            assert client.olm is not None
            session = client.olm.outbound_group_sessions[room_id]
            # not by the library: it would write three to six bytes for each letter that is not ASCII
            said = json.dumps({"type": kind, "content": content, "room_id": room_id}, ensure_ascii=False)
            sealed = {
                "algorithm": "m.megolm.v1.aes-sha2", "sender_key": client.olm.account.identity_keys["curve25519"],
                "ciphertext": session.encrypt(said), "session_id": session.id, "device_id": self._connection.device_id,
            }  # fmt: skip
        relation = content.get("m.relates_to")  # this the server must see
        return "m.room.encrypted", sealed | ({"m.relates_to": relation} if relation else {})

    async def encrypted(self, room_id: str) -> bool:
        """Tell whether a room is encrypted. What is not known is asked for: a guess would lay a message open."""
        client = self._connection.nio
        if room_id in self._encrypted or room_id in client.encrypted_rooms:
            return True
        if (room := client.rooms.get(room_id)) is not None and not room.encrypted:
            return False
        if room is None:
            path = f"{V3}/rooms/{quote(room_id, safe='')}/state/{ALGORITHM}/"
            try:
                await self._connection.call("GET", path, doing="look at the room")
            except ChatError as error:
                if "M_NOT_FOUND" in error.message:
                    return False
                raise
        self._encrypted.add(room_id)
        return True

    async def _ready(self, room_id: str) -> None:
        """See to it that all devices in the room have the key that the next message is encrypted with."""
        from nio import ErrorResponse

        client = self._connection.nio
        room = client.rooms.get(room_id) or await self._learn(room_id)
        if not room.members_synced:
            members = await self._ask(client.joined_members(room_id))
            if isinstance(members, ErrorResponse):
                raise refusal_of("ask who is in the room", members)
        await self.upkeep()
        assert client.olm is not None
        if client.olm.should_share_group_session(room_id):
            await self._ask(client.share_group_session(room_id, ignore_unverified_devices=True))
            self._check_shared(room)

    def _check_shared(self, room: MatrixRoom) -> None:
        """Raise if a device did not get the key though it could have been told: then nobody gets the message yet."""
        olm = self._connection.nio.olm
        assert olm is not None
        session = olm.outbound_group_sessions[room.room_id]
        done = session.users_shared_with | session.users_ignored
        for user_id in room.users:
            for device in self._connection.nio.device_store.active_user_devices(user_id):
                if (user_id, device.id) not in done and olm.session_store.get(device.curve25519) is not None:
                    del olm.outbound_group_sessions[room.room_id]
                    raise ChatError(f"could not give the key of the room {room.room_id} to all who are in it")

    async def _learn(self, room_id: str) -> MatrixRoom:
        """Load the state of one room, before the first sync, or without any."""
        from nio import ErrorResponse

        client = self._connection.nio
        client.next_batch = ""  # else the library passes over an answer that brings it no further
        nothing: dict[str, Any] = {"types": []}
        timeline = {"limit": 1}
        room_filter = {"rooms": [room_id], "timeline": timeline, "ephemeral": nothing, "account_data": nothing}
        answer = await self._ask(
            client.sync(timeout=0, sync_filter={"room": room_filter, "presence": nothing, "account_data": nothing})
        )
        if isinstance(answer, ErrorResponse):
            raise refusal_of("look at the room", answer)
        if room_id not in client.rooms:
            raise ChatError(f"we are not in the room {room_id}", permanent=True)
        return client.rooms[room_id]

    async def _ask(self, request: Any) -> Any:
        """Await a request of the library's, with its errors turned into ours. None of them sends a message."""
        return await asked(request)


async def asked(request: Any, seconds: float = SECONDS * 2) -> Any:
    """Await a request of the library's, with its errors turned into ours."""
    from aiohttp import ClientError
    from nio.exceptions import LocalProtocolError

    try:
        with anyio.fail_after(seconds):
            return await request
    except (ClientError, TimeoutError, OSError, LocalProtocolError) as error:
        raise ChatError(f"the homeserver could not be asked: {error or type(error).__name__}") from None
