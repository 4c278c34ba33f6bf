"""Invitations: which are followed, and that none is forgotten because the server could not be asked just then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from missive_chat.platform import ChatError
from missive_chat.platforms.matrix.connection import V3

if TYPE_CHECKING:
    from nio import SyncResponse

    from missive_chat.platform import PlatformContext
    from missive_chat.platforms.matrix.connection import Connection

OPEN = "invitations"
MOST_TRIES = 20
JOIN_SECONDS = 120
"""Joining a room of another server takes its time."""


class Invitations:
    """Those that are to be followed and were not yet are kept beside the position: a sync tells of each once."""

    def __init__(self, context: PlatformContext, connection: Connection) -> None:
        self._log = context.log
        self._options = context.options
        self._cursor = context.cursor
        self._connection = connection
        self._open: dict[str, int] = json.loads(context.cursor.get(OPEN) or "{}")
        """Rooms, and how often it was tried to join them."""

    async def take(self, answer: SyncResponse) -> None:
        """Follow what there is; return when the rest is written down."""
        before = dict(self._open)
        for room_id, news in answer.rooms.invite.items():
            inviter, direct = self._inviter(news.invite_state)
            if inviter is None or room_id in self._open:
                continue
            if self._welcome(room_id, inviter, direct=direct):
                self._open[room_id] = 0
            else:
                self._log.warning("the invitation of %s to %s is left open", inviter, room_id)
        for room_id in list(self._open):
            if await self._join(room_id) or self._open[room_id] == MOST_TRIES:
                del self._open[room_id]
            else:
                self._open[room_id] += 1
        if self._open != before:
            await self._cursor.set(OPEN, json.dumps(self._open))

    def _inviter(self, state: list[Any]) -> tuple[str | None, bool]:
        """Return who invites us, and whether it is to a direct room."""
        from nio import InviteMemberEvent

        for event in state:
            ours = isinstance(event, InviteMemberEvent) and event.state_key == self._connection.user_id
            if ours and event.membership == "invite":
                return str(event.sender), event.content.get("is_direct") is True
        return None, False

    def _welcome(self, room_id: str, inviter: str, *, direct: bool) -> bool:
        """Tell whether it is followed: by whom we listen to, or to a room that we are set to be in."""
        options = self._options
        if not options.get("auto_join", True):
            return False
        known = {name for key in ("users", "admins", "approvers") for name in options.get(key) or ()}
        stranger = direct and options.get("dm_policy") in ("open", "pairing")
        return inviter in known or room_id in (options.get("channels") or ()) or stranger

    async def _join(self, room_id: str) -> bool:
        """Return whether that is over: we are in, or never will be."""
        path = f"{V3}/join/{quote(room_id, safe='')}"
        try:
            await self._connection.call("POST", path, {}, doing=f"join {room_id}", seconds=JOIN_SECONDS)
        except ChatError as error:
            self._log.warning("%s", error)
            return error.permanent
        self._log.info("joined %s", room_id)
        return True
