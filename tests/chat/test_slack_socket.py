"""Socket Mode: acknowledged when it is on the disk, in order, and back again after whatever happens to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from missive_chat.platform import ChatError, ChatLoginError, Inbound
from missive_chat.testing.rig import MemoryCursor
from missive_chat.testing.running import Running
from support.chat.fake_slack import BOT_USER, FakeSlack
from support.chat.slack_rig import SlackRig

pytestmark = pytest.mark.anyio


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(ack_timeout=0.5) as slack:
        yield slack
        assert slack.faults == []


async def until(condition: object) -> None:
    with anyio.fail_after(10):
        while not condition():  # type: ignore[operator]
            await anyio.sleep(0.01)


async def test_an_event_is_acknowledged_once_it_was_taken(slack: FakeSlack, tmp_path: Path) -> None:
    rig = SlackRig(slack)
    platform = rig.platform(rig.context(tmp_path, MemoryCursor()))
    came, on_disk = anyio.Event(), anyio.Event()

    async def receive(_: Inbound) -> bool:
        came.set()
        await on_disk.wait()
        return True

    await platform.open()
    async with anyio.create_task_group() as group:
        group.start_soon(platform.listen, receive)
        group.start_soon(slack.deliver, "events_api", slack.event(slack.spoken("hello")))
        await came.wait()
        assert slack.acks == {}
        on_disk.set()
        await until(lambda: slack.acks)
        group.cancel_scope.cancel()
    await platform.close()


async def test_what_is_not_taken_in_time_comes_again_under_the_same_id(slack: FakeSlack, tmp_path: Path) -> None:
    rig = SlackRig(slack)
    platform = rig.platform(rig.context(tmp_path, MemoryCursor()))
    ids: list[str] = []
    slack.ack_timeout = 0.1

    async def receive(event: Inbound) -> bool:
        ids.append(event.event_id)
        if len(ids) == 1:
            await anyio.sleep(0.3)
        return len(ids) == 1

    await platform.open()
    async with anyio.create_task_group() as group:
        group.start_soon(platform.listen, receive)
        assert await slack.deliver("events_api", slack.event(slack.spoken("hello")), attempts=10)
        group.cancel_scope.cancel()
    await platform.close()
    assert len(ids) > 1
    assert len(set(ids)) == 1


async def test_a_mention_that_comes_twice_is_one_event(slack: FakeSlack, tmp_path: Path) -> None:
    async with Running(SlackRig(slack), tmp_path) as running:
        await slack.say(f"<@{BOT_USER}> hello")
        assert len(running.events) == 2
        assert len({event.event_id for event in running.events}) == 1
        assert [event.text for event in running.events] == ["hello", "hello"]


async def test_what_is_nothing_for_us_is_acknowledged(slack: FakeSlack, tmp_path: Path) -> None:
    async with Running(SlackRig(slack), tmp_path) as running:
        assert await slack.attempt("events_api", slack.event({"type": "app_home_opened", "user": "U1"}))
        assert await slack.attempt("something_new", {"a": 1})
        assert await slack.attempt("interactive", {"type": "view_submission"})
        assert running.events == []


@pytest.mark.parametrize(
    "event",
    [
        "text",
        ["message"],
        {"type": "message", "ts": {}, "channel": "C1", "user": ["U1"], "text": 1, "files": "x"},
        {"type": "message", "ts": "1.1", "channel": "C1", "user": "U1", "files": [1]},
        {"type": "message", "subtype": "message_changed", "message": "x", "channel": "C1"},
    ],
)
async def test_what_cannot_be_read_holds_up_nothing(slack: FakeSlack, tmp_path: Path, event: object) -> None:
    async with Running(SlackRig(slack), tmp_path) as running:
        assert await slack.attempt("events_api", slack.event(event))  # type: ignore[arg-type]
        await slack.sockets[0].send_str("[1, 2]")
        await slack.sockets[0].send_str("{")
        await slack.say("hello")
        await running.message("hello")


async def test_two_hundred_at_once_come_in_order(slack: FakeSlack, tmp_path: Path) -> None:
    async with Running(SlackRig(slack), tmp_path) as running:
        await until(lambda: slack.sockets)
        slack.ack_timeout = 20
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(slack.deliver, "events_api", slack.event(slack.spoken(f"number {number}")))
        assert [event.text for event in running.events] == [f"number {number}" for number in range(200)]


async def test_slash_commands_are_echoed_into_the_channel(slack: FakeSlack, tmp_path: Path) -> None:
    async with Running(SlackRig(slack), tmp_path) as running:
        await slack.slash("/missive", "status")
        await running.message("!status")
        assert [ack["payload"] for ack in slack.acks.values()] == [{"response_type": "in_channel"}]


async def test_a_refresh_makes_a_new_socket_before_the_old_one_ends(slack: FakeSlack, tmp_path: Path) -> None:
    async with Running(SlackRig(slack), tmp_path) as running:
        await slack.say("before")
        (old,) = slack.sockets
        await slack.disconnect("warning")
        await until(lambda: len(slack.sockets) == 2)
        assert not old.closed
        await slack.say("on the old one")  # the first socket is still read
        await running.message("on the old one")
        await old.close()
        await slack.say("on the new one")
        await running.message("on the new one")
        assert slack.opened == 2
    await until(lambda: not slack.sockets)


async def test_a_socket_that_breaks_is_made_anew(slack: FakeSlack, tmp_path: Path) -> None:
    async with Running(SlackRig(slack), tmp_path) as running:
        for number in range(3):
            await slack.say(f"number {number}")
            await running.message(f"number {number}")
            slack.cut()
        await slack.deliver("events_api", slack.event(slack.spoken("and again")), attempts=20)
        await running.message("and again")
    await until(lambda: not slack.sockets)


async def test_a_peer_that_freezes_is_left(slack: FakeSlack, tmp_path: Path) -> None:
    rig = SlackRig(slack, ping_interval=0.2)
    async with Running(rig, tmp_path) as running:
        await slack.say("before")
        heard = rig.heard
        await until(lambda: rig.heard > heard)  # the answers to pings are signs of life
        slack.frozen = True
        await until(lambda: slack.opened >= 2)
        slack.frozen = False
        await slack.deliver("events_api", slack.event(slack.spoken("after")), attempts=20)
        await running.message("after")


async def test_a_closed_platform_holds_no_socket_and_no_task(slack: FakeSlack, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    for _ in range(12):  # Slack lets ten in
        async with Running(SlackRig(slack), tmp_path) as running:
            await slack.say("hello")
            await running.message("hello")
    await until(lambda: not slack.sockets)
    await until(lambda: not asyncio.all_tasks() - before)
    assert slack.opened == 12


@pytest.mark.parametrize(("reason", "kind"), [("link_disabled", ChatLoginError), ("too_many_websockets", ChatError)])
async def test_slack_does_not_want_us(slack: FakeSlack, tmp_path: Path, reason: str, kind: type[Exception]) -> None:
    rig = SlackRig(slack)
    platform = rig.platform(rig.context(tmp_path, MemoryCursor()))
    await platform.open()

    async def receive(_: Inbound) -> bool:
        return True

    async def refuse() -> None:
        await until(lambda: slack.sockets)
        await slack.disconnect(reason)

    async with anyio.create_task_group() as group:
        group.start_soon(refuse)
        with pytest.raises(kind, match=reason), anyio.fail_after(10):
            await platform.listen(receive)
    await platform.close()
    await until(lambda: not slack.sockets)


async def test_a_token_that_is_revoked_while_connected_ends_it(slack: FakeSlack, tmp_path: Path) -> None:
    rig = SlackRig(slack)
    platform = rig.platform(rig.context(tmp_path, MemoryCursor()))
    await platform.open()

    async def receive(_: Inbound) -> bool:
        return True

    async def revoke() -> None:
        await until(lambda: slack.sockets)
        slack.fail("apps.connections.open", "token_revoked")
        slack.cut()

    async with anyio.create_task_group() as group:
        group.start_soon(revoke)
        with pytest.raises(ChatLoginError, match="token_revoked"), anyio.fail_after(10):
            await platform.listen(receive)
    await platform.close()


async def test_a_failing_disk_is_told_and_nothing_acknowledged(slack: FakeSlack, tmp_path: Path) -> None:
    from missive_host.errors import StorageError

    rig = SlackRig(slack)
    platform = rig.platform(rig.context(tmp_path, MemoryCursor()))
    await platform.open()

    async def receive(_: Inbound) -> bool:
        raise StorageError("the disk is full")

    async with anyio.create_task_group() as group:
        group.start_soon(slack.attempt, "events_api", slack.event(slack.spoken("hello")))
        with pytest.raises(StorageError, match="the disk is full"), anyio.fail_after(10):
            await platform.listen(receive)
    await platform.close()
    assert slack.acks == {}
