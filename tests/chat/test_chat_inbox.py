"""Events that wait for their turn: changed, taken back, and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from missive_chat import inbox
from missive_chat.inbox import Entry, Inbox
from missive_chat.platform import ChatCapabilities, Inbound, Place, Sender
from missive_chat.state import State

from missive_host.telemetry import about, current_trace, new_trace

pytestmark = pytest.mark.anyio
ANN = Sender(id="ann")


class Desk:
    """An inbox whose events are handled one by one, when the test lets them."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder)
        self.handled: list[tuple[str, str]] = []
        self.open = anyio.Event()
        logger = logging.getLogger("missive.test")
        can = ChatCapabilities(max_text=100, ack_deadline=0.2)
        self.inbox = Inbox(self.state, self._handle, can, time.time, logger, lambda event: event.text == "!stop")

    async def _handle(self, entry: Entry) -> str:
        if entry.event.text != "!stop":
            await self.open.wait()
        self.handled.append((entry.event.kind, entry.event.text))
        return "done"

    async def put(self, event_id: str, text: str = "", *, sender: Sender = ANN, **more: Any) -> None:
        fields = {"message_id": event_id, **more}
        with anyio.fail_after(5):
            event = Inbound(event_id=event_id, sender=sender, text=text, **{"place": Place(chat="c"), **fields})
            assert await self.inbox.receive(event)

    async def all_handled(self) -> None:
        self.open.set()
        with anyio.fail_after(5):
            while self.state.value("SELECT count(*) FROM inbox WHERE state = 'waiting'"):
                await anyio.sleep(0.01)


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(inbox, "CAPACITY", 4)
    made = Desk(tmp_path)
    async with anyio.create_task_group() as group:
        made.inbox.open(group)
        await made.put("1", "being handled")
        await made.put("2", "waits")
        yield made
        await made.all_handled()
    made.state.close()


async def test_edits_in_time_change_the_message_and_take_no_room(desk: Desk) -> None:
    for number in range(10):
        await desk.put(f"edit {number}", f"version {number}", kind="edit", message_id="2")
    await desk.all_handled()
    assert desk.handled == [("message", "being handled"), ("message", "version 9")]


async def test_an_edit_that_comes_too_late_is_an_event_of_its_own(desk: Desk) -> None:
    await desk.put("edit", "too late", kind="edit", message_id="1")
    await desk.all_handled()
    assert sorted(desk.handled) == [("edit", "too late"), ("message", "being handled"), ("message", "waits")]


async def test_nobody_else_can_change_it(desk: Desk) -> None:
    await desk.put("edit", "I am Ann", kind="edit", message_id="2", sender=Sender(id="bob"))
    await desk.all_handled()
    assert ("message", "waits") in desk.handled


@pytest.mark.parametrize("by", ["ann", "a moderator", ""])
async def test_what_is_deleted_in_time_is_not_acted_on_and_makes_room(desk: Desk, by: str) -> None:
    await desk.put("delete", kind="delete", message_id="2", sender=Sender(id=by))
    await desk.put("3", "three")
    await desk.put("4", "four")
    await desk.all_handled()
    assert [text for kind, text in desk.handled if kind == "message"] == ["being handled", "three", "four"]


async def test_everybody_who_waits_for_room_gets_it(desk: Desk) -> None:
    await desk.put("3")
    await desk.put("4")
    async with anyio.create_task_group() as group:
        for number in range(5, 8):
            group.start_soon(desk.put, f"{number}")
        await anyio.wait_all_tasks_blocked()
        desk.open.set()
    await desk.all_handled()
    assert len(desk.handled) == 7


async def test_an_acknowledgement_that_comes_too_late_is_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.put("3")
    await desk.put("4")
    assert "expected again" not in caplog.text
    async with anyio.create_task_group() as group:
        group.start_soon(desk.put, "5")
        await anyio.sleep(0.4)
        desk.open.set()
    assert "expected again after 0.2 s" in caplog.text


async def test_an_event_is_not_handled_in_the_context_of_another_ones_request(desk: Desk) -> None:
    """A webhook's request has a trace, which is not that of the events after it in the conversation."""
    await desk.all_handled()
    seen = []
    handle = desk.inbox._handle

    async def look(entry: Entry) -> str:
        seen.append(current_trace())
        return await handle(entry)

    desk.inbox._handle = look
    with about(new_trace()):
        await desk.put("3", "three", message_id="3")
    await desk.all_handled()
    assert seen == [None]


async def test_half_a_character_is_no_reason_to_lose_a_message(desk: Desk) -> None:
    await desk.put("\ud83d", "half a smile: \ud83d", sender=Sender(id="ann", name="A\udc80n"))
    await desk.all_handled()
    assert ("message", "half a smile: ?") in desk.handled


async def test_a_message_that_is_there_again_before_it_is_done_with_is_handled_again(desk: Desk) -> None:
    """The agent may have refused it before the host's receipt is written down here."""
    again = msgspec.json.encode(Inbound(event_id="1", place=Place(chat="c"), message_id="1", sender=ANN, text="again"))
    await desk.state.change(lambda db: db.execute("UPDATE inbox SET event = ? WHERE event_id = '1'", (again.decode(),)))
    desk.inbox.wake("channel:c:1")
    await desk.all_handled()
    assert [text for _, text in desk.handled if text != "waits"] == ["being handled", "again"]


async def test_what_is_put_back_after_the_end_waits_for_the_next_inbox(desk: Desk) -> None:
    await desk.all_handled()
    desk.inbox.close()
    change = "UPDATE inbox SET state = 'waiting', event = ? WHERE event_id = '1'"
    again = msgspec.json.encode(Inbound(event_id="1", place=Place(chat="c"), message_id="1", sender=ANN, text="again"))
    await desk.state.change(lambda db: db.execute(change, (again.decode(),)))
    desk.inbox.wake("channel:c")
    await anyio.wait_all_tasks_blocked()
    assert ("message", "again") not in desk.handled
    async with anyio.create_task_group() as group:
        desk.inbox.open(group)
    assert ("message", "again") in desk.handled


async def test_what_hurries_waits_for_no_message_that_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "PATIENCE", 0.05)
    await desk.put("stop", "!stop", place=Place(chat="c", thread="1"))
    await desk.put("stop here", "!stop", place=Place(chat="c"), message_id="1")
    with anyio.fail_after(5):
        while len(desk.handled) < 2:
            await anyio.sleep(0.01)
    await desk.all_handled()
    assert [text for _, text in desk.handled] == ["!stop", "!stop", "being handled", "waits"]


async def test_what_hurries_comes_after_what_was_said_before_it_if_that_is_quick(desk: Desk) -> None:
    await desk.put("stop", "!stop", message_id="1")
    await desk.all_handled()
    assert sorted(desk.handled) == [("message", "!stop"), ("message", "being handled"), ("message", "waits")]
    await anyio.sleep(inbox.PATIENCE + 0.1)
    assert len(desk.handled) == 3
