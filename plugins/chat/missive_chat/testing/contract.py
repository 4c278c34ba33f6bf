"""What every platform must hold, one test each. The docstring of a test is the rule."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio

from missive_chat.platform import (
    ChatCapabilities,
    ChatError,
    ChatLoginError,
    Inbound,
)
from missive_chat.testing.incoming import Incoming
from missive_chat.testing.kit import needs
from missive_chat.testing.outgoing import Sending
from missive_chat.testing.rig import DECLARED, FEATURES, MemoryCursor, Rig, declared
from missive_chat.testing.running import assert_silent


class PlatformContract(Incoming, Sending):
    """Subclass it as ``Test…`` with a fixture ``rig``; name in `lacks` what the platform does not have.

    The tests of what it lacks are not collected; `test_what_is_lacking_is_not_declared` sees that nothing is
    left out that the platform claims to have.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unknown = cls.lacks - set(FEATURES)
        if unknown:
            raise TypeError(f"{cls.__name__}.lacks: {sorted(unknown)}; there are {sorted(FEATURES)}")
        for name in dir(PlatformContract):
            if getattr(getattr(PlatformContract, name), "needs", frozenset()) & cls.lacks:
                setattr(cls, name, None)

    # --- what it declares

    async def test_the_capabilities_agree_with_each_other(self, rig: Rig, tmp_path: Path) -> None:
        """The capabilities are whole, and stay what they are."""
        async with self.at_work(rig, tmp_path, listens=False) as bridge:
            can = bridge.platform.capabilities
            assert isinstance(can, ChatCapabilities)
            assert can.max_text >= 100, "nobody can say anything in less"
            if can.max_edit is not None:
                assert can.edits, "max_edit without edits"
                assert 0 < can.max_edit <= can.max_text
            assert can.edits or not can.native_stream, "a native stream is made of edits"
            assert can.edit_interval >= 0
            assert can.send_interval >= 0
            assert can.burst >= 1
            assert can.command_prefix.strip()
            assert can.dialect
            numbers = (can.typing_ttl, can.attachments_in, can.attachments_out, can.ack_deadline)
            assert all(number is None or number > 0 for number in numbers), "None says that there is none, not 0"
            assert bridge.platform.capabilities == can
            assert bridge.platform.identity.strip(), "who it is connected as"

    async def test_what_is_lacking_is_not_declared(self, rig: Rig, tmp_path: Path) -> None:
        """`lacks` names exactly what the capabilities do not have, so that nothing claimed goes untested."""
        async with self.at_work(rig, tmp_path, listens=False) as bridge:
            claimed = declared(bridge.platform.capabilities)
        assert not claimed & self.lacks, "it is declared, so it must be tested"
        assert claimed | self.lacks >= set(DECLARED), "it is not declared, so it belongs into `lacks`"

    # --- logging in, and going away

    @needs("login")
    async def test_wrong_credentials_are_told_at_once(self, rig: Rig, tmp_path: Path) -> None:
        """`open` raises `ChatLoginError` with the platform's own words, without a secret, and tries no second time."""
        platform = rig.platform(rig.context(tmp_path, MemoryCursor(), rig.wrong_options))
        try:
            error = await self.fails(rig, "wrong credentials were taken", platform.open(), ChatLoginError)
        finally:
            await platform.close()
        assert rig.refusal.lower() in str(error).lower(), "the platform's own words are missing"

    async def test_a_platform_that_is_not_there(self, rig: Rig, tmp_path: Path) -> None:
        """`open` raises `ChatError`, which is not permanent: the network comes back."""
        platform = rig.platform(rig.context(tmp_path, MemoryCursor(), rig.unreachable_options))
        try:
            error = await self.fails(rig, "it was opened, and nobody is there", platform.open(), ChatError)
        finally:
            await platform.close()
        assert not error.permanent, "it may be there tomorrow"

    async def test_closing_leaves_nothing_behind(self, rig: Rig, tmp_path: Path) -> None:
        """`listen` ends when it is cancelled, and `close` leaves no task; it may come twice, and before `open`."""
        never_opened = rig.platform(rig.context(tmp_path / "never", MemoryCursor()))
        await never_opened.close()
        before = asyncio.all_tasks()
        platform = rig.platform(rig.context(tmp_path / "opened", MemoryCursor()))

        async def take(event: Inbound) -> bool:  # noqa: ARG001
            return True

        await platform.open()
        listening = asyncio.create_task(platform.listen(take))
        await asyncio.sleep(0.1)
        listening.cancel()
        _, stubborn = await asyncio.wait({listening}, timeout=self.patience)
        assert not stubborn, "`listen` does not end when it is cancelled"
        assert listening.cancelled() or not listening.exception(), listening
        await platform.close()
        await platform.close()
        with anyio.move_on_after(min(2.0, self.patience)):  # a server in this process sees its connections end
            while asyncio.all_tasks() - before:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        left = asyncio.all_tasks() - before
        assert not left, f"still running: {left}"

    async def test_the_check_is_content(self, rig: Rig, tmp_path: Path) -> None:
        """`check` finds nothing wrong where nothing is wrong; whatever it warns of, it says what mends it."""
        async with self.at_work(rig, tmp_path, listens=False) as bridge:
            checks = await bridge.platform.check()
        assert checks, "nothing was looked at"
        assert len({check.id for check in checks}) == len(checks)
        for check in checks:
            assert check.status != "fail", check.message
            assert check.status == "ok" or check.fix, check.message
            assert_silent(rig, "a check", f"{check.message} {check.fix}")
