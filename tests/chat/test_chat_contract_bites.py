"""Each rule of the contract can be broken, and is noticed: one platform for each way to do it wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from missive_chat.platform import (
    Attachment,
    Button,
    ChatError,
    ChatLoginError,
    Check,
    Inbound,
    Outgoing,
    Place,
    Reaction,
    Receive,
)
from missive_chat.testing import PlatformContract, Rig
from support.chat.line_platform import FullLine, FullRig
from support.chat.line_server import LineServer
from support.secret_scan import OUTPUT


class TestFull(PlatformContract):
    """A platform with everything: no test is left out, and all hold."""

    @pytest.fixture
    async def rig(self) -> AsyncIterator[Rig]:
        async with LineServer() as server:
            yield FullRig(server)


class Impatient(PlatformContract):
    patience = 0.6


RULES = sorted(name for name in dir(PlatformContract) if name.startswith("test_"))
BROKEN: dict[type[FullLine], str] = {}


def breaks(rule: str) -> Callable[[type[FullLine]], type[FullLine]]:
    def mark(made: type[FullLine]) -> type[FullLine]:
        BROKEN[made] = rule
        return made

    return mark


# --- what it declares


@breaks("test_the_capabilities_agree_with_each_other")
class NoButtonsButZeroSeconds(FullLine):
    capabilities = replace(FullLine.capabilities, typing_ttl=0.0)


@breaks("test_the_capabilities_agree_with_each_other")
class StreamsWithoutEdits(FullLine):
    capabilities = replace(FullLine.capabilities, edits=False, native_stream=True)


@breaks("test_what_is_lacking_is_not_declared")
class DeclaresTooLittle(FullLine):
    capabilities = replace(FullLine.capabilities, buttons=False)


# --- logging in, and going away


@breaks("test_wrong_credentials_are_told_at_once")
class LogsInLater(FullLine):
    async def open(self) -> None: ...


@breaks("test_wrong_credentials_are_told_at_once")
class SaysItInItsOwnWords(FullLine):
    async def open(self) -> None:
        try:
            await super().open()
        except ChatLoginError:
            raise ChatLoginError("login failed") from None


@breaks("test_wrong_credentials_are_told_at_once")
class TellsTheToken(FullLine):
    async def open(self) -> None:
        try:
            await super().open()
        except ChatLoginError as error:
            raise ChatLoginError(f"{error} (as {self.context.options['token'].reveal()})") from None


@breaks("test_wrong_credentials_are_told_at_once")
class TellsTheTokenInACause(FullLine):
    async def open(self) -> None:
        try:
            await super().open()
        except ChatLoginError as error:
            cause = ValueError(f"http://x/{self.context.options['token'].reveal()}")
            raise ChatLoginError(str(error)) from cause


@breaks("test_wrong_credentials_are_told_at_once")
class TriesForEver(FullLine):
    async def open(self) -> None:
        while True:
            try:
                return await super().open()
            except ChatLoginError:
                await asyncio.sleep(0.05)


@breaks("test_a_platform_that_is_not_there")
class GivesUpForGood(FullLine):
    async def open(self) -> None:
        try:
            await super().open()
        except ChatError as error:
            raise ChatError(str(error), permanent=True) from None


@breaks("test_closing_leaves_nothing_behind")
class LeavesATask(FullLine):
    async def open(self) -> None:
        await super().open()
        self.pinger = asyncio.create_task(asyncio.sleep(60))


@breaks("test_closing_leaves_nothing_behind")
class CannotBeCancelled(FullLine):
    async def listen(self, receive: Receive) -> None:
        listening = asyncio.ensure_future(asyncio.sleep(4))
        while not listening.done():
            try:
                await asyncio.shield(listening)
            except asyncio.CancelledError:
                continue


@breaks("test_the_check_is_content")
class LooksAtNothing(FullLine):
    async def check(self) -> tuple[Check, ...]:
        return ()


@breaks("test_the_check_is_content")
class WarnsWithoutAdvice(FullLine):
    async def check(self) -> tuple[Check, ...]:
        return (Check("clock", "warn", "the clock is wrong"),)


# --- what people write


class Altered(FullLine):
    """An event that is not told as it was."""

    def alter(self, event: Inbound) -> Inbound:
        return event

    def inbound(self, event: dict[str, Any]) -> Inbound:
        return self.alter(super().inbound(event))


@breaks("test_a_message_comes_in")
class LeavesTheMention(FullLine):
    def inbound(self, event: dict[str, Any]) -> Inbound:
        return replace(super().inbound(event), text=event.get("text", ""))


@breaks("test_a_message_comes_in")
class TakesEverybodyForABot(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, sender=replace(event.sender, is_bot=True))


@breaks("test_a_message_comes_in")
class TellsMilliseconds(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, sent_at=1234.5)


@breaks("test_a_message_comes_in")
class NeverAlive(FullLine):
    def __init__(self, context: Any) -> None:
        super().__init__(replace(context, alive=lambda: None))


@breaks("test_a_message_comes_in")
class LogsTheToken(FullLine):
    async def call(self, do: str, **more: Any) -> dict[str, Any]:
        logging.getLogger("some.library").debug("POST /%s/%s", self.context.options["token"].reveal(), do)
        return await super().call(do, **more)


@breaks("test_messages_come_in_order")
class HandsOverAllAtOnce(FullLine):
    async def take(self, event: dict[str, Any], receive: Receive) -> None:
        self.tasks: list[asyncio.Task[bool]] = [*getattr(self, "tasks", ())]
        self.tasks.append(asyncio.create_task(receive(self.inbound(event))))  # type: ignore[arg-type]


@breaks("test_messages_come_in_order")
class GivesEachPersonAnotherId(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, sender=replace(event.sender, id=event.sender.id + event.event_id))


@breaks("test_who_is_meant_in_a_channel")
class AlwaysFeelsMeant(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, mentions_me=True)


@breaks("test_who_is_meant_in_a_channel")
class NeverFeelsMeant(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, mentions_me=False)


@breaks("test_a_direct_message")
class KnowsNoPrivacy(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, place=replace(event.place, is_direct=False))


@breaks("test_what_was_written_meanwhile_comes_afterwards")
class MovesTheCursorFirst(FullLine):
    async def take(self, event: dict[str, Any], receive: Receive) -> None:
        await self.context.cursor.set("n", str(event["n"]))
        await receive(self.inbound(event))


@breaks("test_an_event_that_comes_again_is_the_same")
class MakesItsOwnEventIds(FullLine):
    counted = 0

    def event_id(self, event: dict[str, Any]) -> str:
        type(self).counted += 1
        return str(self.counted)


@breaks("test_after_a_cut_it_hears_again")
class StaysDeaf(FullLine):
    async def listen(self, receive: Receive) -> None:
        try:
            await super().listen(receive)
        except ChatError:
            await asyncio.sleep(3600)


@breaks("test_its_own_messages_are_known")
class DoesNotKnowItself(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, sender=replace(event.sender, is_me=False))


@breaks("test_a_changed_message")
class TakesAChangeForAMessage(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, kind="message")


@breaks("test_a_file_comes_in")
class TakesEverythingIn(FullLine):
    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        return await super().download(attachment, path, limit=10**9)


@breaks("test_a_file_comes_in")
class LeavesHalfAFile(FullLine):
    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        path.write_bytes(b"half")
        return await super().download(attachment, path, limit=limit)


# --- what it sends


@breaks("test_a_message_is_sent")
class ReturnsItsKey(FullLine):
    async def send(self, message: Outgoing) -> str:
        await super().send(message)
        return message.key


@breaks("test_a_message_is_sent")
class PretendsToSend(FullLine):
    async def send(self, message: Outgoing) -> str:
        return "1"


@breaks("test_several_messages_at_once")
class HasOneOutbox(FullLine):
    async def send(self, message: Outgoing) -> str:
        self.text = message.text
        await asyncio.sleep(0.02)
        return await super().send(replace(message, text=self.text))


@breaks("test_what_just_fits_is_sent_whole")
class CutsWhatIsLong(FullLine):
    async def send(self, message: Outgoing) -> str:
        return await super().send(replace(message, text=message.text[:300]))


@breaks("test_what_just_fits_is_sent_whole")
class ClaimsTooMuch(FullLine):
    capabilities = replace(FullLine.capabilities, max_text=500)


@breaks("test_what_is_too_long_is_refused")
class CutsWhatIsTooLong(FullLine):
    async def send(self, message: Outgoing) -> str:
        return await super().send(replace(message, text=message.text[:400]))


@breaks("test_what_is_too_long_is_refused")
class WouldTryLongTextsAgain(FullLine):
    async def send(self, message: Outgoing) -> str:
        try:
            return await super().send(message)
        except ChatError as error:
            raise ChatError(str(error)) from None


@breaks("test_nobody_is_pinged")
class PingsEverybody(FullLine):
    def render(self, text: str) -> str:
        return text


@breaks("test_nobody_is_pinged")
class PingsByEdits(FullLine):
    async def edit(self, place: Place, message_id: str, text: str, **more: Any) -> None:
        await self.call("change", id=message_id, text=text)


@breaks("test_a_limit_is_told")
class ForgetsHowLong(FullLine):
    async def send(self, message: Outgoing) -> str:
        try:
            return await super().send(message)
        except ChatError as error:
            raise ChatError(str(error), permanent=error.permanent) from None


@breaks("test_a_limit_is_told")
class TriesByItself(FullLine):
    async def send(self, message: Outgoing) -> str:
        try:
            return await super().send(message)
        except ChatError:
            return await super().send(message)


@breaks("test_nobody_knows_whether_it_was_sent")
class IsSureThatItWasNotSent(FullLine):
    async def send(self, message: Outgoing) -> str:
        try:
            return await super().send(message)
        except ChatError as error:
            raise ChatError(str(error), permanent=error.permanent, retry_after=error.retry_after) from None


@breaks("test_the_same_key_is_sent_once")
class SendsNoKey(FullLine):
    async def send(self, message: Outgoing) -> str:
        return await super().send(replace(message, key=""))


@breaks("test_what_was_sent_is_found")
class FindsNothing(FullLine):
    async def find(self, message: Outgoing) -> str | None:
        return None


@breaks("test_what_was_sent_is_found")
class FindsAnything(FullLine):
    async def find(self, message: Outgoing) -> str | None:
        return "1"


@breaks("test_an_answer_stays_in_its_thread")
class AnswersOutside(FullLine):
    async def send(self, message: Outgoing) -> str:
        return await super().send(replace(message, place=replace(message.place, thread=None)))


@breaks("test_an_answer_stays_in_its_thread")
class SeesNoThreads(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, place=replace(event.place, thread=None))


@breaks("test_a_message_is_changed")
class MindsThatNothingChanged(FullLine):
    async def edit(self, place: Place, message_id: str, text: str, **more: Any) -> None:
        await self.call("change", id=message_id, text=text)


@breaks("test_a_message_is_changed")
class SendsInsteadOfEditing(FullLine):
    async def edit(self, place: Place, message_id: str, text: str, **more: Any) -> None:
        await self.call("say", room=place.chat, key="", text=text)


@breaks("test_buttons")
class LosesButtonsByEdits(FullLine):
    async def edit(
        self, place: Place, message_id: str, text: str, *, buttons: tuple[Button, ...] = (), final: bool = False
    ) -> None:
        await super().edit(place, message_id, text, final=final)


@breaks("test_buttons")
class KeepsButtonsForEver(FullLine):
    async def edit(
        self, place: Place, message_id: str, text: str, *, buttons: tuple[Button, ...] = (), final: bool = False
    ) -> None:
        kept = (Button(label="Yes", value="a:7Q2K:yes"), Button(label="No", value="a:7Q2K:no"))
        await super().edit(place, message_id, text, buttons=kept, final=final)


@breaks("test_buttons")
class DoesNotSayWhichButton(Altered):
    def alter(self, event: Inbound) -> Inbound:
        return replace(event, press=event.press and replace(event.press, message_id=None))


@breaks("test_a_reaction_takes_the_place_of_another")
class PilesUpReactions(FullLine):
    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        await self.call("react", id=message_id, reactions=sorted({reaction, instead_of or reaction}))


@breaks("test_it_is_seen_that_it_writes")
class WritesInSecret(FullLine):
    async def typing(self, place: Place) -> None: ...


@breaks("test_a_file_is_sent")
class ForgetsTheFile(FullLine):
    async def send(self, message: Outgoing) -> str:
        return await super().send(replace(message, file=None))


@pytest.mark.secrets_in(OUTPUT)  # one of them logs it
@pytest.mark.parametrize("made", BROKEN, ids=lambda made: made.__name__)
async def test_a_broken_platform_is_noticed(made: type[FullLine], tmp_path: Path) -> None:
    async with LineServer() as server:
        with pytest.raises((AssertionError, ChatError)):
            await getattr(Impatient(), BROKEN[made])(FullRig(server, made), tmp_path)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if "sleep" in repr(task.get_coro()):
                task.cancel()


def test_each_rule_is_broken_once() -> None:
    assert set(BROKEN.values()) == set(RULES)


# --- leaving tests out


def test_what_is_lacking_is_left_out() -> None:
    class Plain(PlatformContract):
        lacks = frozenset({"buttons", "threads"})

    assert not callable(getattr(Plain, "test_buttons"))  # noqa: B009
    assert callable(Plain.test_a_message_is_sent)
    assert callable(PlatformContract.test_buttons)


def test_a_feature_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="button'"):
        type("Wrong", (PlatformContract,), {"lacks": frozenset({"button"})})


async def test_a_rig_that_cannot_do_it_says_what_to_do(tmp_path: Path) -> None:
    class Lazy(FullRig):
        async def press(self, message_id: str, value: str) -> None:
            await Rig.press(self, message_id, value)

    async with LineServer() as server:
        with pytest.raises(NotImplementedError, match="put 'buttons' into `lacks`"):
            await Impatient().test_buttons(Lazy(server), tmp_path)
