"""Our own message ids. They carry what would else have to be remembered.

``<KEY.THREAD.N@domain>``: the key of the message, so that each attempt has the same id; the thread it is in, so that
an answer to it is known even if the writer's program names nothing else; and which answer of ours it is there,
so that two machines that answer each other come to an end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

MOST = 9999


@dataclass(frozen=True, slots=True)
class OwnId:
    key: str
    thread: str
    number: int

    def text(self, domain: str) -> str:
        return f"<{self.key}.{self.thread}.{min(self.number, MOST)}@{domain}>"


def own_id(message_id: str, domain: str) -> OwnId | None:
    """Return what a message id of ours says; None if it is somebody else's."""
    found = re.fullmatch(rf"<([0-9a-f]{{24}})\.([0-9a-f]{{16}})\.(\d{{1,4}})@{re.escape(domain)}>", message_id)
    return None if found is None else OwnId(found[1], found[2], int(found[3]))


def thread_id(root: str) -> str:
    """Return the id of the thread that begins with a message."""
    return sha256(root.encode("utf-8", "replace")).hexdigest()[:16]


def thread_of(message_id: str, earlier: Sequence[str], domain: str) -> tuple[str, int]:
    """Return the thread of a message and how many answers of ours it has had, as far as its headers tell."""
    ours = [own for own in (own_id(each, domain) for each in earlier) if own is not None]
    if ours:
        return ours[-1].thread, max(own.number for own in ours)
    return thread_id(earlier[0] if earlier else message_id), 0
