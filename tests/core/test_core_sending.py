"""`send` and `stream` on real agents: documents, rows and journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.cores import BINDINGS, assert_journal_agrees

from missive_host.commands import Send, Stream

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

@pytest.mark.parametrize("binding", BINDINGS)
async def test_try(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core:
        core.add("a", agent)
        for text in ("echo hi", "task", "ask", "auth", "fail", "reject"):
            out = await core.one(Send(agent="a", message=text, binding=binding))
            print(out)
        for text in ("echo hi", "task", "ask", "auth", "fail", "reject", "break 0.1", "cut 0.1", "unicode", "big 5"):
            outs = await core.all(Stream(agent="a", message=text, binding=binding))
            print(text, outs[-1].data)
        core.read(assert_journal_agrees)
