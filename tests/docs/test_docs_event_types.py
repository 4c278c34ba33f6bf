"""The reference of events is true: of the code that writes them, and of a journal in which much has happened."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import anyio
from cli_kit import build
from docs_kit import DOCS, ROOT
from support.gateways import GatewayProcess

from missive_host import commands as c
from missive_host.core.event_types import EVENT_TYPES, EventType
from missive_host.errors import MissiveError
from missive_host.gateway.control import ask
from missive_host.outputs import EventView

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

HERE = "add it to missive_host/core/event_types.py, and run: python -m missive_host.cli.reference docs/event-types.md"
DECLARED = {name: each for types in EVENT_TYPES.values() for each in types for name in each.names()}
WRITERS = frozenset(("journal_event", "_event", "_journal", "_cancel_event", "_schedule_event", "store_event"))
"""Functions that write an event, or make one, whose type is among their arguments."""


# --- the code


def written_in(source: str) -> Iterator[str]:
    """The types that a module writes, with `*` where a variable stands."""
    for node in ast.walk(ast.parse(source)):
        name = node.func if isinstance(node, ast.Call) else None
        called = name.id if isinstance(name, ast.Name) else name.attr if isinstance(name, ast.Attribute) else None
        if called not in WRITERS:
            continue
        assert isinstance(node, ast.Call)
        for argument in node.args:
            pieces = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            text = "".join(str(piece.value) if isinstance(piece, ast.Constant) else "*" for piece in pieces)
            if re.match(r"(missive|a2a)\.", text):
                yield text


WRITTEN = {text for file in (ROOT / "missive_host").rglob("*.py") for text in written_in(file.read_text("utf-8"))}


def may_be(one: str, other: str) -> bool:
    """True if two patterns can mean the same type."""
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def test_what_the_code_writes_is_declared() -> None:
    assert len(WRITTEN) > 30
    wrong = [text for text in sorted(WRITTEN) if not any(may_be(text, name) for name in DECLARED)]
    assert not wrong, HERE


def test_what_is_declared_is_written() -> None:
    assert [name for name in DECLARED if not any(may_be(text, name) for text in WRITTEN)] == []


def test_every_field_of_an_event_is_on_the_page() -> None:
    table = (DOCS / "event-types.md").read_text("utf-8").split("| Field | |", 1)[1].split("\n\n", 1)[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    assert sorted(named) == sorted(EventView.__struct_fields__)


def test_no_type_is_declared_twice() -> None:
    names = [name for types in EVENT_TYPES.values() for each in types for name in each.names()]
    assert len(names) == len(set(names))


# --- a journal


def faults(event_type: str, payload: dict[str, object]) -> list[str]:
    found = [each for name, each in DECLARED.items() if fnmatchcase(event_type, name)]
    if len(found) != 1:
        return [f"{event_type} is declared {len(found)} times: {HERE}"]
    missing = sorted(set(found[0].holds) - set(payload))
    unknown = sorted(set(payload) - {*found[0].holds, *found[0].may_hold})
    return [f"{event_type}: without {missing}, with {unknown}: {HERE}"] if missing or unknown else []


BY_HAND = (
    "agent add echo URL", "agent add worker URL", "agent add asker URL", "agent update asker --tag questions",
    "agent add old http://127.0.0.1:9", "agent rename old older",
    "group create crew", "group create other", "group rename other others",
    "group add crew echo --rank 1", "group add crew worker --rank 2", "group add crew asker --rank 3",
    "group add others echo --rank 1", "group remove others echo", "group delete others",
    "context create --name trip --agent echo", "send echo hello --context trip", "context close trip",
    "send older hello --timeout 5s", "agent remove older",
    "token create shop --expires 1h", "token revoke shop",
    "send worker task", "stream worker 'stream 1'", "stream worker crash", "stream echo hello", "send worker 'fail'",
    "send --group crew hello --policy fallback",
    "allreduce crew 'choose tea coffee' --strategy vote",
    "scatter crew --part a --part b --part 'ask c'", "bcast crew fail",
    "job start send echo hello", "job start send worker crash", "job start send echo hello --at +1h",
    "job start send echo hello --every 1h",
)  # fmt: skip
"""What is typed before the gateway runs. Some of it fails, which makes events, too."""
NOT_HERE = (
    "a2a.push.*", "a2a.subscription.*", "missive.session.*", "missive.intake.*", "missive.config.seeded",
    "missive.gateway.dead_letter",
    "missive.gateway.retrying",
    "missive.gateway.subscription.*", "missive.job.schedule.skipped", "missive.reduce.failed", "missive.store.prune",
)  # fmt: skip
"""What this does not bring about: it needs a crash, an agent that pushes, or time."""


async def test_what_a_journal_has_is_declared_with_its_fields(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        for line in BY_HAND:
            with suppress(MissiveError):
                await core.all(build(*shlex.split(line.replace("URL", agent.url))))
        sent = await core.one(build("send", "worker", "sleep 0.1", "--async"))
        await core.all(build("task", "wait", sent.response.task_id))
        (data,) = await core.data(c.JobScheduleList())
        for verb in ("pause", "resume", "delete"):
            core.local(build("job", "schedule", verb, data.schedules[0].schedule_id))
        later = max((await core.one(c.JobList())).jobs, key=lambda job: job.next_run_at or "")
        await core.all(build("job", "cancel", later.job_id))
    with GatewayProcess(home).ready() as gateway:
        ask(home.settings().paths, {"command": "reload"})
        async with home.core() as core:
            with anyio.fail_after(60):
                while {job.state for job in (await core.one(c.JobList())).jobs} & {"queued", "running", "retrying"}:
                    await anyio.sleep(0.05)
        assert gateway.stop() == 0
    async with home.core() as core:
        events = core.read(lambda tables: tables.events.list())
    assert [fault for event in events for fault in faults(event.event_type, event.payload)] == []
    unseen = {name for name in DECLARED if not any(fnmatchcase(event.event_type, name) for event in events)}
    assert sorted(name for name in unseen if not any(fnmatchcase(name, each) for each in NOT_HERE)) == []


# --- that it would be seen


def test_an_event_that_is_not_as_declared_is_found() -> None:
    assert faults("missive.context.closed", {}) == faults("missive.context.closed", {"name": "x"}) == []
    assert "with ['nmae']" in faults("missive.context.closed", {"nmae": "x"})[0]
    assert "without ['url']" in faults("a2a.push.create", {"config_id": "x"})[0]
    assert "declared 0 times" in faults("missive.nothing", {})[0]


def test_types_are_found_in_source() -> None:
    source = (
        'journal_event(f"missive.x.{name}", payload={})\n_event("a2a.y", 1)\nother("missive.z")\nself._journal("a")'
    )
    assert sorted(written_in(source)) == ["a2a.y", "missive.x.*"]
    assert EventType("a.{b,c}.d.{e,f}", "").names() == ["a.b.d.e", "a.b.d.f", "a.c.d.e", "a.c.d.f"]
