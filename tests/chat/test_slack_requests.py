"""Slack calls us: who cannot sign is not heard, and 200 means that it is on the disk."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import httpx
import pytest
from missive_chat.platforms.slack.requests import MAX_BODY
from missive_chat.testing import Hidden
from missive_chat.testing.rig import MemoryCursor
from missive_chat.testing.running import Running
from support.chat.fake_slack import BOT_USER, SIGNING_SECRET, FakeSlack, signed
from support.chat.slack_rig import SlackRig

from missive_host.errors import ConfigError
from missive_host.gateway.listener import HttpListener

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(ack_timeout=1) as slack:
        yield slack
        assert slack.faults == []


@pytest.fixture
async def running(slack: FakeSlack, tmp_path: Path) -> AsyncIterator[Running]:
    listener = HttpListener("127.0.0.1:0")
    rig = SlackRig(slack, mode="events", signing_secret=Hidden(SIGNING_SECRET), app_token=None)
    rig.listener = listener
    async with anyio.create_task_group() as group:
        await group.start(listener.serve)
        async with Running(rig, tmp_path) as running:
            slack.request_url = f"{listener.url}/chat/contract"
            async with httpx.AsyncClient() as client:
                while (await client.get(slack.request_url)).status_code == 404:
                    await anyio.sleep(0.01)
            yield running
        group.cancel_scope.cancel()


async def post(slack: FakeSlack, body: str, headers: dict[str, str]) -> httpx.Response:
    assert slack.request_url is not None
    async with httpx.AsyncClient() as client:
        return await client.post(slack.request_url, content=body.encode(), headers=headers)


async def test_the_address_is_verified(slack: FakeSlack, running: Running) -> None:
    body = json.dumps({"token": "x", "challenge": "3eZbrw1aB", "type": "url_verification"})
    answer = await post(slack, body, signed(body) | JSON)
    assert answer.status_code == 200
    assert answer.json() == {"challenge": "3eZbrw1aB"}


async def test_everything_that_is_signed_comes_in(slack: FakeSlack, running: Running) -> None:
    ts = await slack.say(f"<@{BOT_USER}> hello <& ü")
    found = await running.message("hello <& ü")
    assert found.message_id == ts
    await slack.slash("/missive", "agent weather & co")
    await running.message("!agent weather & co")
    from missive_chat.platform import Button, Outgoing

    question = Outgoing(key="0" * 24, place=found.place, text="?", buttons=(Button(label="Yes", value="a:1:yes"),))
    await slack.press("C1", await running.platform.send(question), "a:1:yes", user="U2")
    press = await running.event("the press", lambda event: event.kind == "press")
    assert press.press is not None
    assert (press.press.value, press.sender.id) == ("a:1:yes", "U2")
    assert all(done for *_, done in slack.deliveries)
    assert running.rig.heard >= 3


BODY = '{"type":"event_callback"}'


@pytest.mark.parametrize(
    "headers",
    [
        dict,
        lambda: {"X-Slack-Signature": "v0=00", "X-Slack-Request-Timestamp": "now"},
        lambda: {"X-Slack-Signature": "v0=ü", "X-Slack-Request-Timestamp": str(int(time.time()))},
        lambda: signed("something else"),
        lambda: signed(BODY, secret="another"),
        lambda: signed(BODY, at=time.time() - 302),
        lambda: signed(BODY, at=time.time() + 310),
    ],
    ids=["none", "no time", "no ascii", "other body", "other secret", "old", "future"],
)
async def test_who_cannot_sign_is_not_heard(
    slack: FakeSlack, running: Running, headers: Callable[[], dict[str, str]]
) -> None:
    raw = {name.encode(): value.encode("latin-1") for name, value in headers().items()}
    assert slack.request_url is not None
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            slack.request_url,
            content=BODY.encode(),
            headers={**raw, b"Content-Type": b"application/json"},
        )
    assert answer.status_code == 401
    assert running.events == []


async def test_a_signature_of_five_minutes_less_is_taken(slack: FakeSlack, running: Running) -> None:
    body = json.dumps(slack.event(slack.spoken("late")))
    assert (await post(slack, body, signed(body, at=time.time() - 290) | JSON)).status_code == 200
    await running.message("late")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("[1, 2]", JSON, 400),
        ("{", JSON, 400),
        ("payload=%7B", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ("payload=1", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ("a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ("ssl_check=1&token=x", {"Content-Type": "application/x-www-form-urlencoded"}, 200),
        ("x" * (MAX_BODY + 1), JSON, 413),
    ],
)
async def test_what_is_no_request_of_slack(
    slack: FakeSlack, running: Running, body: str, headers: dict[str, str], status: int
) -> None:
    assert (await post(slack, body, signed(body) | headers)).status_code == status
    assert running.events == []


async def test_200_comes_after_the_event_is_taken(slack: FakeSlack, running: Running) -> None:
    running.takes = False
    assert not await slack.attempt("events_api", slack.event(slack.spoken("the disk is full")))
    assert len(running.events) == 1


async def test_without_a_listener_or_a_secret_it_says_what_is_missing(slack: FakeSlack, tmp_path: Path) -> None:
    rig = SlackRig(slack, mode="events", signing_secret=None)
    with pytest.raises(ConfigError, match="needs signing_secret"):
        rig.platform(rig.context(tmp_path, MemoryCursor()))
    rig = SlackRig(slack, app_token=None)
    with pytest.raises(ConfigError, match="needs app_token"):
        rig.platform(rig.context(tmp_path, MemoryCursor()))
    rig = SlackRig(slack, mode="events", signing_secret=Hidden(SIGNING_SECRET))
    platform = rig.platform(rig.context(tmp_path, MemoryCursor()))
    await platform.open()
    with pytest.raises(ConfigError, match="listener"):
        await platform.listen(running_receive)
    await platform.close()


async def running_receive(_: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://slack.example/api/", "https"), ("slack.example", "not an address"), ("ftp://x/", "not an")],
)
async def test_an_address_that_would_give_the_token_away_is_refused(
    slack: FakeSlack, tmp_path: Path, url: str, said: str
) -> None:
    rig = SlackRig(slack, api_url=url)
    with pytest.raises(ConfigError, match=said):
        rig.platform(rig.context(tmp_path, MemoryCursor()))
