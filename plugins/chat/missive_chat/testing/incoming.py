"""What every platform must hold of what people write. The docstring of a test is the rule."""

from __future__ import annotations

from pathlib import Path

from missive_chat.platform import (
    ChatError,
    Outgoing,
)
from missive_chat.testing.kit import KEYS, Kit, needs, stored
from missive_chat.testing.rig import MemoryCursor, Rig


class Incoming(Kit):
    """What people write."""

    async def test_a_message_comes_in(self, rig: Rig, tmp_path: Path) -> None:
        """Who, where, what and when are there, as texts that survive a restart; and it shows that it is alive."""
        async with self.at_work(rig, tmp_path) as bridge:
            await self.place(bridge)
            event = await bridge.message("is there anybody?")
            assert bridge.rig.heard > 0, "`alive` was never called"
        ids = (event.event_id, event.message_id, event.place.chat, event.sender.id)
        assert all(isinstance(each, str) and each for each in ids), ids
        assert not event.sender.is_me
        assert not event.sender.is_bot
        assert event.text.strip() == "is there anybody?", "the mention of the bot is not a part of the text"
        assert event.unauthentic is None
        assert event.automatic is None
        assert event.sent_at is None or event.sent_at > 1_500_000_000, "seconds since 1970"

    async def test_messages_come_in_order(self, rig: Rig, tmp_path: Path) -> None:
        """Ten messages: in order, one after another, each with ids of its own, and of the same person and place."""
        async with self.at_work(rig, tmp_path) as bridge:
            await self.place(bridge)
            channel = "channels" not in self.lacks
            for number in range(10):
                await rig.say(f"number {number},", direct=not channel, mention=channel)
            await bridge.message("number 9,")
            events = [event for event in bridge.events if "number " in event.text and not event.sender.is_me]
            assert bridge.at_once == 1, "the next event was handed over before the last one was taken"
        assert [event.text.split()[1] for event in events] == [f"{number}," for number in range(10)]
        assert len({event.event_id for event in events}) == 10
        assert len({event.message_id for event in events}) == 10
        assert len({event.sender.id for event in events}) == 1
        assert len({event.place.chat for event in events}) == 1

    @needs("channels")
    async def test_who_is_meant_in_a_channel(self, rig: Rig, tmp_path: Path) -> None:
        """A mention is told, and taken out; without one it is not (or the platform keeps the message from us)."""
        async with self.at_work(rig, tmp_path) as bridge:
            await rig.say("just among us")
            await rig.say("what is the time?", mention=True)
            meant = await bridge.message("what is the time?")
            others = [event for event in bridge.events if "just among us" in event.text]
        assert meant.mentions_me
        assert not meant.place.is_direct
        assert meant.text.strip() == "what is the time?"
        assert not [event for event in others if event.mentions_me]

    @needs("direct")
    async def test_a_direct_message(self, rig: Rig, tmp_path: Path) -> None:
        """`Place.is_direct` says so, and the answer goes there."""
        async with self.at_work(rig, tmp_path) as bridge:
            await rig.say("in private", direct=True)
            event = await bridge.message("in private")
            assert event.place.is_direct
            await bridge.platform.send(Outgoing(key=KEYS[0], place=stored(event.place), text="also in private"))
            await self.seen(rig, "also in private")

    @needs("replay")
    async def test_what_was_written_meanwhile_comes_afterwards(self, rig: Rig, tmp_path: Path) -> None:
        """Neither what came while nobody was there is lost, nor what was not on the disk when the process died."""
        cursor = MemoryCursor()
        channel = "channels" not in self.lacks
        async with self.at_work(rig, tmp_path, cursor=cursor) as bridge:
            await self.place(bridge)
            bridge.takes = False
            await rig.say("it was not written down", direct=not channel, mention=channel)
            await bridge.message("it was not written down")
        await rig.say("nobody was there", direct=not channel, mention=channel)
        async with self.at_work(rig, tmp_path, cursor=cursor) as bridge:
            first = await bridge.message("it was not written down")
            second = await bridge.message("nobody was there")
            assert bridge.events.index(first) < bridge.events.index(second)

    @needs("redelivery")
    async def test_an_event_that_comes_again_is_the_same(self, rig: Rig, tmp_path: Path) -> None:
        """Delivered twice, an event has the same `event_id`; or it is not handed over again."""
        async with self.at_work(rig, tmp_path) as bridge:
            await self.place(bridge)
            await rig.redeliver()
            channel = "channels" not in self.lacks
            await rig.say("and now?", direct=not channel, mention=channel)
            await bridge.message("and now?")
            again = [event for event in bridge.events if "is there anybody?" in event.text]
        assert len({event.event_id for event in again}) == 1
        assert len({event.message_id for event in again}) == 1

    @needs("drop")
    async def test_after_a_cut_it_hears_again(self, rig: Rig, tmp_path: Path) -> None:
        """When the connection is cut, it comes back by itself, or `listen` raises `ChatError`."""
        async with self.at_work(rig, tmp_path) as bridge:
            await self.place(bridge)
            await rig.drop()
            channel = "channels" not in self.lacks
            await rig.say("are you back?", direct=not channel, mention=channel)
            await bridge.message("are you back?")

    async def test_its_own_messages_are_known(self, rig: Rig, tmp_path: Path) -> None:
        """What the bot itself has sent is not handed over, or has `is_me`."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            await bridge.platform.send(Outgoing(key=KEYS[0], place=place, text="my own words"))
            await self.seen(rig, "my own words")
            channel = "channels" not in self.lacks
            await rig.say("and afterwards?", direct=not channel, mention=channel)
            await bridge.message("and afterwards?")
            mine = [event for event in bridge.events if event.kind == "message" and "my own words" in event.text]
        assert all(event.sender.is_me for event in mine), "it would answer itself"

    @needs("edit-events")
    async def test_a_changed_message(self, rig: Rig, tmp_path: Path) -> None:
        """A change is an event of kind ``edit``: the id of the message, an event id of its own, the new text."""
        async with self.at_work(rig, tmp_path) as bridge:
            await self.place(bridge)
            message = await bridge.message("is there anybody?")
            await rig.change(message.message_id, "is there somebody?")
            edit = await bridge.event("the change", lambda event: event.kind == "edit")
        assert edit.message_id == message.message_id
        assert edit.event_id != message.event_id
        assert "is there somebody?" in edit.text

    @needs("files-in")
    async def test_a_file_comes_in(self, rig: Rig, tmp_path: Path) -> None:
        """Its name is there, and `download` writes what it holds; over the limit it refuses, and leaves no file."""
        content = b"of one's own\n" * 700
        channel = "channels" not in self.lacks
        async with self.at_work(rig, tmp_path) as bridge:
            await self.place(bridge)
            await rig.say("look", direct=not channel, mention=channel, file=("own.txt", content))
            (attachment,) = (await bridge.message("look")).attachments
            assert attachment.name == "own.txt"
            assert attachment.size in (None, len(content))
            size = await bridge.platform.download(attachment, tmp_path / "whole", limit=len(content))
            assert size == len(content)
            assert (tmp_path / "whole").read_bytes() == content
            again = bridge.platform.download(attachment, tmp_path / "part", limit=len(content) - 1)
            error = await self.fails(rig, "a file over the limit was taken", again, ChatError)
            assert error.permanent, "it will be as large tomorrow"
            assert not (tmp_path / "part").exists(), "half a file was left"
