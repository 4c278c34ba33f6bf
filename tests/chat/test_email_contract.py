"""Mail holds what every platform must hold, with a real IMAP and a real SMTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from missive_chat.testing import PlatformContract, Rig
from support.chat.email_rig import EmailRig
from support.chat.mail import SERVERS, ImapServer
from support.chat.smtp import SmtpServer
from support.cutting import CuttingProxy


@pytest.fixture(scope="module")
def imap() -> Iterator[ImapServer]:
    with SERVERS[0]() as server:
        yield server


class TestEmail(PlatformContract):
    lacks = frozenset(
        {
            "edits", "buttons", "reactions", "typing", "idempotent-send", "channels", "mass-mentions", "rate-limit",
            "edit-events",
        }
    )  # fmt: skip

    @pytest.fixture
    async def rig(self, imap: ImapServer) -> AsyncIterator[Rig]:
        with SmtpServer() as smtp:
            async with CuttingProxy(f"127.0.0.1:{imap.port}") as proxy:
                yield EmailRig(imap, smtp, proxy)
