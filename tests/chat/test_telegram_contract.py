"""Telegram holds what every platform must hold, against a strict Bot API on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from missive_chat.testing import PlatformContract, Rig
from support.chat.fake_telegram import FakeTelegram
from support.chat.telegram_rig import TelegramRig


class TestTelegram(PlatformContract):
    lacks = frozenset({"threads", "idempotent-send", "find", "mass-mentions"})

    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        with FakeTelegram() as telegram:
            yield TelegramRig(telegram)
