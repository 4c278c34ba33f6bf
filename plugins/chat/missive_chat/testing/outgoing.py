"""What every platform must hold of what is sent. The docstring of a test is the rule."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from missive_chat.platform import (
    Outgoing,
    OutgoingFile,
)
from missive_chat.testing.kit import BUTTONS, KEYS, Kit, length, needs
from missive_chat.testing.rig import Rig


class Sending(Kit):
    """What is sent."""

    async def test_a_message_is_sent(self, rig: Rig, tmp_path: Path) -> None:
        """`send` returns the id under which people see it, as a text; `open` alone is enough for that."""
        async with self.at_work(rig, tmp_path / "first") as bridge:
            place = await self.place(bridge)
        async with self.at_work(rig, tmp_path / "second", listens=False) as bridge:
            message_id = await bridge.platform.send(Outgoing(key=KEYS[0], place=place, text="good morning"))
            (shown,) = await self.seen(rig, "good morning")
        assert isinstance(message_id, str)
        assert shown.id == message_id

    async def test_several_messages_at_once(self, rig: Rig, tmp_path: Path) -> None:
        """Several tasks may send at the same time; each message is sent once."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            async with anyio.create_task_group() as group:
                for number in range(3):
                    message = Outgoing(key=KEYS[number], place=place, text=f"part {number}.")
                    group.start_soon(bridge.platform.send, message)
            for number in range(3):
                await self.seen(rig, f"part {number}.")

    async def test_what_just_fits_is_sent_whole(self, rig: Rig, tmp_path: Path) -> None:
        """`max_text` and `unit` tell the truth, with signs that are long in some units."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            can = bridge.platform.capabilities
            room = min(can.max_text, 100_000)
            for number, sign in enumerate(("x", "😀")):
                text = sign * (room // length(sign, can.unit))
                assert length(bridge.platform.render(text), can.unit) <= room, "plain text grows by `render`"
                await bridge.platform.send(Outgoing(key=KEYS[number], place=place, text=text))
                await self.seen(rig, text)

    async def test_what_is_too_long_is_refused(self, rig: Rig, tmp_path: Path) -> None:
        """One sign too many: refused for good, and nothing of it is seen."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            text = "x" * (bridge.platform.capabilities.max_text + 1)
            error = await self.refused(rig, bridge, Outgoing(key=KEYS[0], place=place, text=text))
            assert error.permanent, "it will be as long tomorrow"
            assert not error.maybe_sent
            assert not [message for message in await rig.shown() if "xxxxx" in message.text]

    @needs("mass-mentions")
    async def test_nobody_is_pinged(self, rig: Rig, tmp_path: Path) -> None:
        """What would ping everybody is harmless, in messages and in edits; it can still be read."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            assert rig.mass_mentions, "the rig names none"
            for number, text in enumerate(rig.mass_mentions):
                sent = await bridge.platform.send(Outgoing(key=KEYS[number], place=place, text=f"{text} all of you"))
                await self.seen(rig, "all of you", count=number + 1)
                if bridge.platform.capabilities.edits:
                    await bridge.platform.edit(place, sent, f"once more, {text} all of you", final=True)
            assert await rig.pinged() == []

    @needs("rate-limit")
    async def test_a_limit_is_told(self, rig: Rig, tmp_path: Path) -> None:
        """Refused for a time: `retry_after` says for how long, nothing was sent, and it is not tried again here."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            await rig.limit(7)
            message = Outgoing(key=KEYS[0], place=place, text="too much")
            error = await self.refused(rig, bridge, message)
            assert error.retry_after == pytest.approx(7, abs=0.5)
            assert not error.permanent
            assert not error.maybe_sent
            assert not [each for each in await rig.shown() if "too much" in each.text]
            await bridge.platform.send(message)
            await self.seen(rig, "too much")

    @needs("lost-answer")
    async def test_nobody_knows_whether_it_was_sent(self, rig: Rig, tmp_path: Path) -> None:
        """The connection breaks before the answer: `maybe_sent`, not permanent, and not tried again here."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            await rig.lose_answer()
            message = Outgoing(key=KEYS[0], place=place, text="into the dark")
            error = await self.refused(rig, bridge, message)
            assert error.maybe_sent
            assert not error.permanent
            await self.seen(rig, "into the dark")
            if bridge.platform.capabilities.idempotent_send:
                await bridge.platform.send(message)
                await self.seen(rig, "into the dark")
            if bridge.platform.capabilities.can_find:
                (shown,) = await self.seen(rig, "into the dark")
                assert await bridge.platform.find(message) == shown.id

    @needs("idempotent-send")
    async def test_the_same_key_is_sent_once(self, rig: Rig, tmp_path: Path) -> None:
        """The platform takes a key once: the same id comes back; another key is another message."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            message = Outgoing(key=KEYS[0], place=place, text="once and for all")
            assert await bridge.platform.send(message) == await bridge.platform.send(message)
            await self.seen(rig, "once and for all")
            await bridge.platform.send(Outgoing(key=KEYS[1], place=place, text="once and for all"))
            await self.seen(rig, "once and for all", count=2)

    @needs("find")
    async def test_what_was_sent_is_found(self, rig: Rig, tmp_path: Path) -> None:
        """`find` knows the id of what was sent, and nothing of what was not."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            message = Outgoing(key=KEYS[0], place=place, text="lost and found")
            assert await bridge.platform.find(message) is None
            assert await bridge.platform.send(message) == await bridge.platform.find(message)

    @needs("threads")
    async def test_an_answer_stays_in_its_thread(self, rig: Rig, tmp_path: Path) -> None:
        """What is written in a thread says so, and the answer is seen in it."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge, thread=True)
            assert place.thread, "no thread is told"
            await bridge.platform.send(Outgoing(key=KEYS[0], place=place, text="in the thread"))
            (shown,) = await self.seen(rig, "in the thread")
        assert shown.thread == place.thread

    @needs("edits")
    async def test_a_message_is_changed(self, rig: Rig, tmp_path: Path) -> None:
        """An edit gives it another text; the same text once more is no error; it stays one message."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            sent = await bridge.platform.send(Outgoing(key=KEYS[0], place=place, text="it grows", progress=True))
            for text in ("it grows and grows", "it grows and grows", "it grows and grows, to the end"):
                await bridge.platform.edit(place, sent, text, final=text.endswith("end"))
            (shown,) = await self.seen(rig, "it grows and grows, to the end")
            assert len([message for message in await rig.shown() if "it grows" in message.text]) == 1
        assert shown.id == sent

    @needs("buttons")
    async def test_buttons(self, rig: Rig, tmp_path: Path) -> None:
        """A press says who, which and where; an edit leaves exactly the buttons that it names."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            message = Outgoing(key=KEYS[0], place=place, text="may I?", buttons=BUTTONS)
            sent = await bridge.platform.send(message)
            (shown,) = await self.seen(rig, "may I?")
            assert shown.buttons == tuple(button.value for button in BUTTONS)
            await rig.press(sent, BUTTONS[1].value)
            event = await bridge.event("the press", lambda event: event.kind == "press")
            assert event.press is not None
            assert event.press.value == BUTTONS[1].value
            assert event.press.message_id == sent
            assert event.place.chat == place.chat
            assert event.sender.id == (await bridge.message("is there anybody?")).sender.id
            if "edits" not in self.lacks:
                await bridge.platform.edit(place, sent, "may I, please?", buttons=BUTTONS)
                (shown,) = await self.seen(rig, "may I, please?")
                assert shown.buttons == tuple(button.value for button in BUTTONS)
                await bridge.platform.edit(place, sent, "you said no", final=True)
                (shown,) = await self.seen(rig, "you said no")
                assert shown.buttons == ()

    @needs("reactions")
    async def test_a_reaction_takes_the_place_of_another(self, rig: Rig, tmp_path: Path) -> None:
        """One reaction is seen at a time, and it is another when it is done. Twice the same is no error."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            sent = await bridge.platform.send(Outgoing(key=KEYS[0], place=place, text="how do you like it?"))

            async def reactions() -> tuple[str, ...]:
                (shown,) = await self.seen(rig, "how do you like it?")
                return shown.reactions

            await bridge.platform.react(place, sent, "seen", instead_of=None)
            await bridge.platform.react(place, sent, "seen", instead_of=None)
            first = await reactions()
            await bridge.platform.react(place, sent, "done", instead_of="seen")
            second = await reactions()
        assert len(first) == 1
        assert len(second) == 1
        assert first != second

    @needs("typing")
    async def test_it_is_seen_that_it_writes(self, rig: Rig, tmp_path: Path) -> None:
        """A typing notice arrives at the people in the place."""
        async with self.at_work(rig, tmp_path) as bridge:
            place = await self.place(bridge)
            await bridge.platform.typing(place)
            assert await rig.is_typing(), "nobody has seen it"

    @needs("files-out")
    async def test_a_file_is_sent(self, rig: Rig, tmp_path: Path) -> None:
        """A file arrives as it is, with its text."""
        content = bytes(range(256)) * 40
        (tmp_path / "random.name").write_bytes(content)
        file = OutgoingFile(path=tmp_path / "random.name", name="table.bin", media_type="application/octet-stream")
        async with self.at_work(rig, tmp_path / "data") as bridge:
            place = await self.place(bridge)
            await bridge.platform.send(Outgoing(key=KEYS[0], place=place, text="the table", file=file))
            (shown,) = await self.seen(rig, "the table")
        assert shown.files == (content,)
