"""The journal as adapters read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from support.gateways import GatewayProcess

from missive_host import commands as c, outputs_jobs as j
from missive_host.core.recorder import journal_event
from missive_host.gateway import feed
from missive_host.gateway.feed import JournalFeed
from missive_host.ids import now

if TYPE_CHECKING:
    import pytest
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.protocols import JournalEvent

JOBS = ("missive.job.*",)


def append(core: Commands, *types: str) -> None:
    for each in types:
        event = journal_event(each, source="test", agent_alias="echo", task_id="t", payload={"of": each}, at=now())
        core.core.store.write(lambda tables: tables.events.append(event))  # noqa: B023


async def test_what_matches_is_handed_over_once_and_in_order(home: Home) -> None:
    home.verified = False
    async with home.core() as core:
        found = JournalFeed(core.core.store, core.core.redactor)
        begin = found.position()
        append(
            core, "missive.job.enqueued", "a2a.send.request", "missive.job.failed", "missive.jobs", "x.missive.job.y"
        )
        events, reached = await found.after(begin, JOBS)
        assert [(each.type, dict(each.payload)) for each in events] == [
            ("missive.job.enqueued", {"of": "missive.job.enqueued"}),
            ("missive.job.failed", {"of": "missive.job.failed"}),
        ]
        assert [each.position for each in events] == [begin + 1, begin + 3]
        assert (events[0].agent, events[0].task, events[0].context) == ("echo", "t", None)
        assert reached == begin + 5 == found.position()
        append(core, "a2a.stream.status_update")
        events, _ = await found.after(begin, ("a2a.*.status_update", "missive.job.failed"))
        assert [each.type for each in events] == ["missive.job.failed", "a2a.stream.status_update"]


async def test_it_waits_for_what_is_yet_to_come(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.01)
    async with home.core() as core:
        found = JournalFeed(core.core.store, core.core.redactor)
        begin = found.position()
        seen: list[str] = []

        async def read() -> None:
            events, _ = await found.after(begin, JOBS)
            seen.extend(each.type for each in events)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            append(core, "other")
            await anyio.sleep(0.05)
            assert seen == []
            append(core, "missive.job.completed")
        assert seen == ["missive.job.completed"]


async def test_much_is_read_in_pieces_and_much_else_is_passed_over(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "AT_ONCE", 3)
    monkeypatch.setattr(feed, "PASSED_OVER", 5)
    async with home.core() as core:
        found = JournalFeed(core.core.store, core.core.redactor)
        position = found.position()
        append(core, *[f"missive.job.{number}" for number in range(7)], *["other"] * 5)
        seen: list[str] = []
        pages: list[int] = []
        while len(pages) < 4:
            events, position = await found.after(position, JOBS)
            pages.append(len(events))
            seen += [each.type for each in events]
            if position == found.position():
                break
        assert pages[:2] == [3, 3]
        assert seen == [f"missive.job.{number}" for number in range(7)]
        append(core, *["other"] * 5)
        assert await found.after(position, JOBS) == ((), position + 5)


async def test_the_end_of_a_job_is_in_the_journal(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        found = JournalFeed(core.core.store, core.core.redactor)
        begin = found.position()
        good: j.JobStartResult = await core.one(c.JobStartSend(agent="echo", message="task fine"))
        bad: j.JobStartResult = await core.one(c.JobStartSend(agent="echo", message="crash now"))
        with GatewayProcess(home).ready():
            ended: dict[str, JournalEvent] = {}
            with anyio.fail_after(60):
                while len(ended) < 2:
                    events, begin = await found.after(begin, ("missive.job.completed", "missive.job.failed"))
                    ended |= {str(each.payload["job_id"]): each for each in events}
    done, failed = ended[good.job.job_id], ended[bad.job.job_id]
    assert (done.type, done.agent, "error" in done.payload) == ("missive.job.completed", "echo", False)
    assert done.task is not None
    assert (failed.type, failed.payload["command"]) == ("missive.job.failed", "send")
    assert "InternalError" in failed.payload["error"]["message"]
