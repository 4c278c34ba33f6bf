"""For whoever writes a platform: what each must hold, as tests of pytest.

::

    class TestLine(PlatformContract):
        lacks = frozenset({"buttons", "threads"})

        @pytest.fixture
        async def rig(self):
            async with Server() as server:
                yield LineRig(server)

`Rig` says what to bring. The tests are async functions for anyio's plugin of pytest. It needs pytest and anyio.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in ("contract", "incoming", "kit", "outgoing")))

from missive_chat.testing.contract import PlatformContract  # noqa: E402
from missive_chat.testing.rig import FEATURES, Hidden, Rig, Shown  # noqa: E402

__all__ = ["FEATURES", "Hidden", "PlatformContract", "Rig", "Shown"]
