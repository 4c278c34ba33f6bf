"""What happens in the rooms, in order, from the position that was written down.

The position (``next_batch``) moves on after everything before it was received. What a sync leaves out because there was
much of it is fetched. On the first start, and in a room that is new, what was said before is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio

from missive_chat.platform import ChatError
from missive_chat.platforms.matrix.connection import TOKEN_ERRORS, V3, refusal_of
from missive_chat.platforms.matrix.events import Room, read, table
from missive_chat.platforms.matrix.invitations import Invitations
from missive_chat.platforms.matrix.keys import asked
from missive_chat.platforms.matrix.sealed import Sealed

if TYPE_CHECKING:
    from nio import MatrixRoom, RoomInfo, SyncResponse

    from missive_chat.platform import Inbound, PlatformContext, Receive
    from missive_chat.platforms.matrix.connection import Connection
    from missive_chat.platforms.matrix.keys import Keys

POSITION = "next_batch"
POLL_SECONDS = 30
FULL_SECONDS = 180
"""How long the first sync may take: a server gathers the state of all rooms for it."""
PAGE = 100
MOST_PAGES = 20
"""Up to so many pages of what was missed in one room are fetched; older ones are left out, and that is logged."""
NO_SUCH_POSITION = "Invalid stream token"
LONGEST_WAIT = 30.0
MOST_FAILURES = 12
"""After so many in a row the connection is made anew."""
NOTHING: dict[str, Any] = {"types": []}


class Sync:
    def __init__(self, context: PlatformContext, connection: Connection, keys: Keys) -> None:
        self._context = context
        self._log = context.log
        self._connection = connection
        self._keys = keys
        self._sealed = Sealed(context.log)
        self._invitations = Invitations(context, connection)

    async def run(self, receive: Receive) -> None:
        """Receive until cancelled; a connection that drops is had again."""
        since = self._context.cursor.get(POSITION)
        state_is_known = False
        failures = 0
        while True:
            try:
                answer = await self._ask(since, full=not state_is_known)
            except ChatError as error:
                failures += 1
                if failures > MOST_FAILURES or any(code in error.message for code in TOKEN_ERRORS):
                    raise
                if since is not None and NO_SUCH_POSITION in error.message:
                    self._log.warning("%s: going on from now", error)
                    since = None
                    continue
                wait = error.retry_after if error.retry_after is not None else min(2.0 ** (failures - 1), LONGEST_WAIT)
                self._log.warning("%s; again in %g s", error, wait)
                await anyio.sleep(wait)
                continue
            failures = 0
            self._context.alive()
            if since is not None:
                await self._take(answer, since, receive)
            await self._sealed.open(self._connection.nio, lambda event: self._hand_over(event, receive))
            await self._invitations.take(answer)
            if answer.next_batch != since:
                since = answer.next_batch
                await self._context.cursor.set(POSITION, since)
            state_is_known = True
            try:
                await self._keys.upkeep()
            except ChatError as error:
                self._log.warning("%s; again after the next sync", error)

    async def _ask(self, since: str | None, *, full: bool) -> SyncResponse:
        from nio import SyncResponse

        client = self._connection.nio
        client.next_batch = ""  # else the library passes over an answer that brings it no further
        room_filter = {
            "timeline": {"limit": PAGE if since is not None else 1}, "state": {"lazy_load_members": True},
            "ephemeral": NOTHING, "account_data": NOTHING,
        }  # fmt: skip
        answer = await asked(
            client.sync(
                timeout=0 if full else POLL_SECONDS * 1000, since=since, full_state=full,
                sync_filter={"room": room_filter, "presence": NOTHING, "account_data": NOTHING},
            ),
            FULL_SECONDS if full else POLL_SECONDS * 2,
        )  # fmt: skip
        if not isinstance(answer, SyncResponse):
            raise refusal_of("sync", answer)
        return answer

    # --- what was said

    async def _take(self, answer: SyncResponse, since: str, receive: Receive) -> None:
        for room_id, news in answer.rooms.join.items():
            try:
                for event in await self._events(room_id, news, since):
                    event.room_id = room_id
                    await self._hand_over(event, receive)
            except ChatError as error:
                if not error.permanent:
                    raise
                self._log.warning("%s: %s is left out", error, room_id)  # we are not in the room any more

    async def _events(self, room_id: str, news: RoomInfo, since: str) -> list[Any]:
        """Return what is new in a room."""
        room = self._connection.nio.rooms[room_id]
        await self._count(room)
        events = list(news.timeline.events)
        if news.timeline.limited and news.timeline.prev_batch:
            events = await self._missed(room_id, news.timeline.prev_batch, since) + events
        return self._since_we_came(events, is_direct(room))

    async def _count(self, room: MatrixRoom) -> None:
        """See to it that it is known how many are in a room: the server tells only when it changes."""
        from nio.responses import RoomSummary

        summary = room.summary
        if summary is not None and None not in (summary.joined_member_count, summary.invited_member_count):
            return
        path = f"{V3}/rooms/{quote(room.room_id, safe='')}/members?not_membership=leave"
        answer = await self._connection.call("GET", path, doing="ask who is in the room")
        members = [table(event.get("content")).get("membership") for event in answer.get("chunk", [])]
        room.update_summary(RoomSummary(members.count("invite"), members.count("join"), None))

    async def _missed(self, room_id: str, before: str, since: str) -> list[Any]:
        """Return what happened between two syncs and is in neither, oldest first."""
        from nio import MessageDirection, RoomMessagesResponse

        found: list[Any] = []
        for _ in range(MOST_PAGES):
            page = await asked(
                self._connection.nio.room_messages(
                    room_id, before, end=since, direction=MessageDirection.back, limit=PAGE
                )
            )
            if not isinstance(page, RoomMessagesResponse):
                raise refusal_of("fetch what was missed", page)
            found += page.chunk
            if not page.chunk or not page.end or any(self._is_our_coming(event, "join") for event in page.chunk):
                return found[::-1]
            before = page.end
        self._log.warning("more than %d events were missed in %s: older ones are left out", len(found), room_id)
        return found[::-1]

    def _since_we_came(self, events: list[Any], direct: bool) -> list[Any]:
        """Return the events after we came into the room, if that is among them.

        Who writes to us directly does so at once, while we are invited: there it counts from the invitation.
        """
        start = 0
        for index, event in enumerate(events):
            if self._is_our_coming(event, "join"):
                start = index + 1
        if start and direct:
            invited = [index for index, event in enumerate(events[:start]) if self._is_our_coming(event, "invite")]
            start = invited[-1] + 1 if invited else start
        return events[start:]

    def _is_our_coming(self, event: Any, membership: str) -> bool:
        source = event.source
        if source.get("type") != "m.room.member" or source.get("state_key") != self._connection.user_id:
            return False
        before = ((source.get("unsigned") or {}).get("prev_content") or {}).get("membership")
        return source["content"].get("membership") == membership and before != membership

    async def _hand_over(self, event: Any, receive: Receive) -> None:
        """Have an event received, if there is something in it; one that cannot be read is kept for a while."""
        from nio import MegolmEvent

        if isinstance(event, MegolmEvent):
            if event.sender != self._connection.user_id:
                self._sealed.keep(event, can_open=self._connection.nio.olm is not None)
        elif (inbound := await self._read(event, self._connection.nio.rooms[event.room_id])) is not None:
            await receive(inbound)

    async def _read(self, event: Any, room: MatrixRoom) -> Inbound | None:
        me, sender = self._connection.user_id, event.source.get("sender")
        inbound = read(
            event.source,
            Room(
                id=room.room_id, is_direct=is_direct(room), encrypted=room.encrypted, me=me,
                my_name=room.users[me].display_name or "" if me in room.users else "",
                sender_name=(room.user_name(sender) or "") if isinstance(sender, str) else "",
            ),
            decrypted=bool(getattr(event, "decrypted", False)),
        )  # fmt: skip
        if inbound is not None and inbound.kind == "edit" and not await self._is_by(inbound):
            self._log.warning("%s changes what somebody else has written: left alone", inbound.event_id)
            return None
        return inbound

    async def _is_by(self, inbound: Inbound) -> bool:
        """Tell whether the message that is changed is by the same sender: servers pass others on, too."""
        path = f"{V3}/rooms/{quote(inbound.place.chat, safe='')}/event/{quote(inbound.message_id, safe='')}"
        try:
            original = await self._connection.call("GET", path, doing="look at the message that is changed")
        except ChatError as error:
            if not error.permanent:
                raise
            return False
        return original.get("sender") == inbound.sender.id


def is_direct(room: MatrixRoom) -> bool:
    """Tell whether nobody else reads along: a room can be marked as direct, and have others in it."""
    return int(room.member_count) <= 2
