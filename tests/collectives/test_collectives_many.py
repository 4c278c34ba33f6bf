"""Groups of 3, 16 and 64 agents, each a process of its own; some of them are killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from missive_host import commands as c

if TYPE_CHECKING:
    from support.cores import Home


class Crowd:
    """So many agents, in processes of their own."""

    def __init__(self, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.forked", str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        assert self._process.stdout is not None
        self.agents: list[dict[str, Any]] = [json.loads(self._process.stdout.readline()) for _ in range(count)]

    def kill(self, name: str) -> None:
        (pid,) = [agent["pid"] for agent in self.agents if agent["name"] == name]
        os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture(params=[3, 16, 64])
def crowd(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    crowd = Crowd(request.param)
    try:
        yield crowd
    finally:
        crowd.close()


async def test_all_answer_and_the_answers_become_one(home: Home, crowd: Crowd) -> None:
    count = len(crowd.agents)
    assert len({agent["pid"] for agent in crowd.agents}) == count
    async with home.core() as core:
        _group(core, crowd)
        result = await core.one(c.Allreduce(group="crew", message="echo yes", strategy="vote", timeout="60s"))
    assert result.status == "succeeded"
    assert result.reduced_text.splitlines()[0] == f'Vote result: "yes" received {count} of {count} vote(s).'
    assert len({member.agent for member in result.bcast.members}) == count
    assert result.reduce.input_count == count


async def test_those_that_vanish_in_the_middle_are_told_and_the_others_count(home: Home, crowd: Crowd) -> None:
    gone = {agent["name"] for agent in crowd.agents[::8]}
    left = len(crowd.agents) - len(gone)
    async with home.core() as core:
        _group(core, crowd)
        sent = await core.one(c.Bcast(group="crew", message="sleep 1.5", return_immediately=True))
        assert sent.success_count == len(crowd.agents)
        for name in gone:
            crowd.kill(name)
        context = sent.request.context_id
        waited = await core.one(
            c.Barrier(group="crew", context=context, required=left, failure_policy="continue", timeout="30s")
        )
        assert (waited.status, waited.reached_count) == ("succeeded", left)
        assert {member.agent for member in waited.members if member.status == "satisfied"} & gone == set()
        gathered = await core.one(c.Gather(group="crew", context=context))
        assert {member.agent for member in gathered.members if member.status == "gathered"}.isdisjoint(gone)


def _group(core: Any, crowd: Crowd) -> None:
    core.local(c.GroupCreate(group="crew"))
    for number, agent in enumerate(crowd.agents):
        core.add(agent["name"], agent["url"])
        core.local(c.GroupAdd(group="crew", agent=agent["name"], rank=str(number)))
