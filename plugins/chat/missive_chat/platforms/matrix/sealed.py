"""Messages that cannot be read yet: keys come by another road than messages, and may come later."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from logging import Logger

    from nio import AsyncClient, MegolmEvent

KEEP_SECONDS = 600.0
MOST = 200


class Sealed:
    """Keeps them for a while, in memory. Each is logged; one whose key does not come is never answered."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._kept: deque[tuple[float, MegolmEvent]] = deque(maxlen=MOST)

    def keep(self, event: MegolmEvent, *, can_open: bool) -> None:
        why = "we have no key for it" if can_open else "`encryption` is not on"
        self._log.warning(
            "the event %s of %s in %s cannot be read: %s", event.event_id, event.sender, event.room_id, why
        )
        if can_open:
            self._kept.append((time.monotonic() + KEEP_SECONDS, event))

    async def open(self, client: AsyncClient, hand_over: Callable[[Any], Awaitable[None]]) -> None:
        """Hand over those whose key has come."""
        from nio.exceptions import EncryptionError

        kept = [self._kept.popleft() for _ in range(len(self._kept))]
        for until, event in kept:
            assert client.olm is not None
            if client.olm.inbound_group_store.get(event.room_id, event.sender_key, event.session_id) is None:
                if time.monotonic() < until:
                    self._kept.append((until, event))
                continue
            try:
                opened = client.decrypt_event(event)
            except EncryptionError as error:
                self._log.warning("the event %s cannot be read: %s", event.event_id, error)
                continue
            await hand_over(opened)
