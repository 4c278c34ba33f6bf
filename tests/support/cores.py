"""A home of its own and a `Core` on it, for tests of commands.

::

    async def test_echo(home, agent):
        async with home.core() as core:
            core.add("echo", agent)
            answer = await core.one(Send(agent="echo", message="hi"))

Every document that comes out is checked: it is JSON, and reads back as the same value.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest
from support.secret_scan import heard

from missive_host import commands as c
from missive_host.config import load
from missive_host.core import Core
from missive_host.core.verifying import Verification
from missive_host.errors import MissiveError
from missive_host.outputs import Data, Output
from missive_host.security.options import CallOptions, call_options
from missive_host.store import Store
from missive_host.store.comparing import scratch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from missive_host.a2a.parts import FileAccess
    from missive_host.config import Settings
    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import ArtifactRow, EventRow, MessageRow, Tables, TaskRow

T = TypeVar("T")
D = TypeVar("D", bound=Data)
E = TypeVar("E", bound=MissiveError)

BINDINGS = ("json-rpc", "http+json", "grpc")
VERIFIED = frozenset(("core", "collectives", "routing", "gateway"))
"""The folders of tests in which journal and tables are compared whenever a core is closed."""
QUICK = '[qos]\nretry_backoff = "10ms"\n'
"""A config in which retries do not make tests slow."""


class Commands:
    """A `Core` and short ways to use it."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def add(self, alias: str, agent: AgentProcess | str, *preference: str, **fields: Any) -> None:
        """Register an agent, by its process or its URL, with a preference of bindings."""
        url = agent if isinstance(agent, str) else agent.url
        self.core.run_local(c.AgentAdd(agent=alias, url=url, binding_preference=preference, **fields))

    async def all(self, command: c.Command) -> list[Output]:
        """Run a command and return its results, each checked."""
        outputs: list[Output] = []

        async def emit(output: Output) -> None:
            outputs.append(checked(output))

        await self.core.run(command, emit)
        return outputs

    async def data(self, command: c.Command) -> list[Any]:
        """Run a command and return the data of each of its results."""
        return [output.data for output in await self.all(command)]

    async def one(self, command: c.Command) -> Any:
        """Run a command that has one result, and return its data."""
        (output,) = await self.all(command)
        return output.data

    async def fails(self, command: c.Command, error: type[E], *outputs: str) -> E:
        """Run a command that must fail this way, after results of these kinds."""
        seen: list[Output] = []

        async def emit(output: Output) -> None:
            seen.append(checked(output))

        with pytest.raises(error) as caught:
            await self.core.run(command, emit)
        assert [output.kind for output in seen] == list(outputs)
        assert type(caught.value) is error
        json.dumps(msgspec.to_builtins(self.core.report(caught.value)))
        return caught.value

    def local(self, command: c.Command) -> Any:
        """Run a command that needs the store alone, and return its data."""
        return checked(self.core.run_local(command)).data

    def read(self, fn: Callable[[Tables], T]) -> T:
        return self.core.store.read(fn)

    def task(self, task_id: str, agent: str | None = None) -> TaskRow:
        return self.read(lambda tables: tables.tasks.get(task_id, agent))

    def artifacts(self, **filters: Any) -> tuple[ArtifactRow, ...]:
        return self.read(lambda tables: tables.artifacts.list(**filters))

    def messages(self, **filters: Any) -> tuple[MessageRow, ...]:
        return self.read(lambda tables: tables.messages.list(**filters))

    def requests(self) -> list[MessageRow]:
        return [row for row in self.messages() if row.direction == "request"]

    def events(self, **filters: Any) -> list[EventRow]:
        """The journal of what was said to agents and by them."""
        rows = self.read(lambda tables: tables.events.list(**filters))
        return [row for row in rows if row.event_type.startswith("a2a.")]


class Home:
    """A folder with config and state. Several cores, at once or one after another, may have it."""

    def __init__(self, folder: Path, *, verified: bool = False) -> None:
        self.verified = verified
        """Journal and tables must say the same whenever a core is closed. Not where a test writes tables by itself."""
        self.folder = folder
        self.config = folder / "missive.toml"
        self.configure(QUICK)
        self.environ = {"MISSIVE_HOME": str(folder / "home"), "HOME": str(folder)}

    def configure(self, text: str) -> None:
        self.config.write_text('schema_version = "missive.config.v1"\n' + text)

    def settings(self) -> Settings:
        return load(config_path=str(self.config), env=self.environ)

    @asynccontextmanager
    async def core(self, *, files: FileAccess | None = None, **flags: Any) -> AsyncIterator[Commands]:
        """Open a core. `flags` are those of `call_options`."""
        settings = self.settings()
        options: CallOptions = call_options(protocol=settings.config.protocol, environ=self.environ, **flags)
        core = Core(settings, options, files=files)
        try:
            yield Commands(core)
        finally:
            await core.aclose()
        if self.verified and settings.paths.database.exists():
            with self.store() as store:
                assert journal_differences(store) == []

    def store(self) -> Store:
        return Store.open(self.settings().paths.database)


@pytest.fixture
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Home:
    return Home(tmp_path, verified=request.path.parent.name in VERIFIED)


def journal_differences(store: Store) -> list[Any]:
    """Return what ``missive events replay --verify`` would tell."""

    def read(tables: Tables) -> list[Any]:
        with scratch() as rebuilt:
            verification = Verification(rebuilt, tables)
            verification.take(tables.events.list())
            return list(verification.differences())

    return store.read(read)


def checked(output: Output) -> Output:
    """Return a result whose document was found to be JSON that reads back as the same value."""
    text = json.dumps(output.document(sequence=True))
    heard(text)
    document = json.loads(text)
    assert document["schema_version"] == "missive.output.v1"
    assert document["ok"] is True
    assert document["kind"] == output.kind == type(output.data).kind
    assert msgspec.convert(document["data"], type(output.data)) == output.data
    return output


def assert_journal_agrees(tables: Tables) -> None:
    """Each request row has its request event, and what became of it is written in both; nothing else is there."""
    events = tables.events.list()
    by_message: dict[str, list[str]] = {}
    for event in events:
        if event.message_id and event.event_type.startswith("a2a."):
            by_message.setdefault(event.message_id, []).append(event.event_type)
    requests = {row.message_id: row for row in tables.messages.list() if row.direction == "request"}
    assert set(by_message) <= set(requests) | {""}
    for message_id, row in requests.items():
        first, *rest = by_message[message_id]
        assert first in {"a2a.send.request", "a2a.stream.request"}, (message_id, row.status)
        kind = first.split(".")[1]
        event = next(item for item in events if item.message_id == message_id)
        assert event.payload["message"]["messageId"] == message_id
        if row.status == "pending":
            assert rest == []
        elif row.status == "sent":
            assert rest
            assert (
                set(rest) <= {"a2a.send.response"}
                if kind == "send"
                else all(item.startswith("a2a.stream.") for item in rest)
            )
        else:
            assert rest == [f"a2a.{kind}.failed"], (message_id, row.status)
            failed = next(item for item in events if item.message_id == message_id and item.event_type == rest[0])
            assert failed.payload["status"] == row.status
