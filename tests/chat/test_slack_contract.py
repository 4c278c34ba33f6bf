"""Slack holds what every chat platform must: with streams of its own, and with edits alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from missive_chat.testing import PlatformContract
from support.chat.fake_slack import FakeSlack
from support.chat.slack_rig import SlackRig


class TestSlack(PlatformContract):
    lacks = frozenset({"idempotent-send"})

    @pytest.fixture(params=[True, False], ids=["streams", "edits"])
    async def rig(self, request: pytest.FixtureRequest) -> AsyncIterator[SlackRig]:
        async with FakeSlack(ack_timeout=0.5) as slack:
            yield SlackRig(slack, native_streams=request.param)
            assert slack.faults == []
