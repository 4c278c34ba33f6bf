"""A platform at work, as the bridge has it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from missive_chat.platform import ChatError, Cursor, Inbound, Platform
from missive_chat.testing.rig import MemoryCursor, Rig

if TYPE_CHECKING:
    from typing import Self

    from anyio.abc import TaskGroup


class Ears(logging.Handler):
    """Everything that is logged by anybody, at the lowest level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._level)


def assert_silent(rig: Rig, what: str, text: str) -> None:
    """No secret is in a text. The secret is not in the message of the assertion either."""
    for number, secret in enumerate(rig.secrets):
        assert secret not in text, f"secret number {number} is in {what}"


def told(error: BaseException) -> str:
    """Return all that an error may show, with the errors it came from."""
    notes = [str(error), repr(error), str(getattr(error, "help", "")), str(getattr(error, "sources", ""))]
    return "\n".join([*notes, *traceback.format_exception(error)])


class Running:
    """A platform that is open and, if wanted, listens. After a `ChatError` of `listen` a new one is made."""

    def __init__(
        self, rig: Rig, folder: Path, *, cursor: Cursor | None = None, listens: bool = True, patience: float = 10
    ) -> None:
        self.rig = rig
        self.events: list[Inbound] = []
        self.takes = True
        """False: the disk is full, and `receive` never returns."""
        self.at_once = 0
        """How many calls of `receive` were under way at the same time, at most."""
        self._folder = folder
        self.cursor = cursor or MemoryCursor()
        self._listens = listens
        self._patience = patience
        self._under_way = 0
        self._changed = anyio.Event()
        self._group: TaskGroup | None = None
        self._failure: Exception | None = None
        self._ears = Ears()
        self.platform = self._make()

    def _make(self) -> Platform:
        return self.rig.platform(self.rig.context(self._folder, self.cursor))

    async def __aenter__(self) -> Self:
        self._ears.__enter__()
        try:
            await self.platform.open()
            if self._listens:
                self._group = await anyio.create_task_group().__aenter__()
                self._group.start_soon(self._listen)
        except BaseException:
            await self.platform.close()
            self._ears.__exit__()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._group is not None:
                self._group.cancel_scope.cancel()
                await self._group.__aexit__(None, None, None)
        finally:
            with anyio.fail_after(self._patience, shield=True):
                await self.platform.close()
            self._ears.__exit__()
        if error is None and self._failure is not None:
            raise self._failure
        assert_silent(self.rig, "the log", "\n".join(self._ears.lines))
        assert_silent(self.rig, "the platform's repr", repr(self.platform))

    async def _listen(self) -> None:
        try:
            while True:
                await self._listen_once()
        except Exception as error:  # noqa: BLE001 - whoever waits for an event raises it
            self._failure = error
            self._wake()

    async def _listen_once(self) -> None:
        try:
            await self.platform.listen(self._receive)
        except ChatError as error:
            assert_silent(self.rig, "an error of `listen`", told(error))
            await self.platform.close()
            self.platform = self._make()
            await self.platform.open()
        else:
            assert self.platform.capabilities.ends, "`listen` returned; it ends only when cancelled, or by a ChatError"
            await anyio.sleep_forever()

    async def _receive(self, event: Inbound) -> bool:
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            if not self.takes:
                self._note(event)
                await anyio.sleep_forever()
            await anyio.sleep(0.01)  # the disk; whoever does not wait for it overtakes himself
            known = any(event.event_id == each.event_id for each in self.events)
            self._note(event)
            return not known
        finally:
            self._under_way -= 1

    def _note(self, event: Inbound) -> None:
        self.events.append(event)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def event(self, what: str, wanted: Callable[[Inbound], bool], *, number: int = 1) -> Inbound:
        """Wait for an event, or for the number-th such event."""
        with anyio.move_on_after(self._patience):
            while True:
                if self._failure is not None:
                    raise self._failure
                found = [event for event in self.events if wanted(event)]
                if len(found) >= number:
                    return found[number - 1]
                await self._changed.wait()
        raise AssertionError(f"{what} did not arrive; there was {self.events}")

    async def message(self, text: str, *, number: int = 1) -> Inbound:
        """Wait for a message of a person with this text in it."""
        return await self.event(
            f"the message {text!r}",
            lambda event: event.kind == "message" and text in event.text and not event.sender.is_me,
            number=number,
        )
