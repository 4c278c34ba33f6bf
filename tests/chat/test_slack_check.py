"""What ``missive chat doctor`` says of Slack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from missive_chat.platform import Check
from missive_chat.testing import Hidden
from missive_chat.testing.running import Running
from support.chat.fake_slack import SIGNING_SECRET, FakeSlack
from support.chat.fake_slack_api import APP_TOKEN
from support.chat.slack_rig import SlackRig
from support.secrets import planted

pytestmark = pytest.mark.anyio


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as slack:
        yield slack


async def looked_at(slack: FakeSlack, tmp_path: Path, **options: object) -> dict[str, Check]:
    async with Running(SlackRig(slack, **options), tmp_path, listens=False) as running:
        return {check.id: check for check in await running.platform.check()}


async def test_all_is_well(slack: FakeSlack, tmp_path: Path) -> None:
    checks = await looked_at(slack, tmp_path)
    assert {check.status for check in checks.values()} == {"ok"}
    assert list(checks) == ["token", "scopes", "clock", "app_token", "socket"]
    assert "missive in Team" in checks["token"].message
    assert slack.sockets == []


async def test_scopes_that_are_missing_are_named(slack: FakeSlack, tmp_path: Path) -> None:
    slack.scopes -= {"files:read"}
    checks = await looked_at(slack, tmp_path)
    assert checks["scopes"].status == "warn"
    assert "files:read (to take files in)" in checks["scopes"].message
    slack.scopes -= {"im:history", "chat:write"}
    checks = await looked_at(slack, tmp_path)
    assert checks["scopes"].status == "fail"
    assert "chat:write" in checks["scopes"].message
    assert "im:history" in checks["scopes"].message
    assert "OAuth & Permissions" in str(checks["scopes"].fix)


async def test_the_clock_is_compared(slack: FakeSlack, tmp_path: Path) -> None:
    slack.clock_skew = 400
    checks = await looked_at(slack, tmp_path)
    assert checks["clock"].status == "warn"
    signed = {"mode": "events", "signing_secret": Hidden(SIGNING_SECRET), "app_token": None}
    checks = await looked_at(slack, tmp_path, **signed)
    assert checks["clock"].status == "fail"
    assert "seconds off" in checks["clock"].message
    assert checks["signing_secret"].status == "ok"
    assert "socket" not in checks


async def test_what_is_wrong_with_the_app_token_and_the_socket(slack: FakeSlack, tmp_path: Path) -> None:
    async with Running(SlackRig(slack), tmp_path, listens=False) as running:
        slack.app_token = "xapp-" + planted("another")
        checks = {check.id: check for check in await running.platform.check()}
        assert checks["app_token"].status == "fail"
        assert "invalid_auth" in checks["app_token"].message
        assert "socket" not in checks
        slack.app_token = APP_TOKEN
        slack.max_sockets = 0
        checks = {check.id: check for check in await running.platform.check()}
        assert checks["socket"].status == "fail"
        assert "too_many_websockets" in checks["socket"].message
        slack.fail("auth.test", "token_revoked")
        (only,) = await running.platform.check()
        assert (only.id, only.status) == ("token", "fail")
        assert "token_revoked" in only.message
