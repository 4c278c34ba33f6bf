"""Matrix, through matrix-nio: rooms, threads, edits, and end-to-end encryption where it is asked for.

======================  ============================================================================
`platform`              what the bridge calls
`connection`            the account: login, the device that stays the same, requests and their errors
`session`               what of the login is kept
`keys`                  end-to-end encryption: one owner of the keys, sharing them, encrypting
`sync`                  what happens in the rooms, from the position that was written down
`invitations`           which are followed
`sealed`                messages whose key has not come yet
`events`                an event becomes an `Inbound`
`contents`, `html`      a message becomes the content of an event
`media`                 files, encrypted ones, too
`doctor`                what must be right
======================  ============================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missive_host.protocols import Adapter, AdapterContext


def adapter(context: AdapterContext) -> Adapter:
    import nio  # noqa: F401 - if it is missing, that is said now, with the extra to install

    from missive_chat.adapter import ChatAdapter
    from missive_chat.platforms.matrix.platform import Matrix

    return ChatAdapter(context, Matrix)
