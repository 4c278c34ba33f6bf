"""Mail: IMAP in, SMTP out.

One connection to the mailbox, in a thread of its own, waits by IDLE (`imap`, `mailbox`). What it brings becomes an
`Inbound` (`inbound`): who wrote it and whether that is sure (`authors`), whether a person wrote it (`automatic`), what
it says (`bodies`, `quotes`, `html_text`) and its files (`files`). Answers are composed in `outbound`, sent by `smtp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missive_chat.adapter import ChatAdapter
    from missive_host.protocols import AdapterContext


def adapter(context: AdapterContext) -> ChatAdapter:
    """Return the adapter of the kind ``email``."""
    from missive_chat.adapter import ChatAdapter
    from missive_chat.platforms.email.platform import EmailPlatform

    return ChatAdapter(context, EmailPlatform)
