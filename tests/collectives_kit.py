"""Groups of real agents for the tests of collectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.cores import checked

from missive_host import commands as c
from missive_host.errors import MissiveError

if TYPE_CHECKING:
    from pathlib import Path

    from support.cores import Commands

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output

PLUGIN = '''
"""Reducers for tests."""
from dataclasses import dataclass, field
from missive_host.errors import ValidationError
from missive_host.hookspecs import hookimpl
from missive_host.specs import Reduced, ReducerSpec

MISSIVE_API = 1


class Tally:
    """Says who gave what, in the order in which it was handed over, and what it was told."""

    def start(self, context):
        unknown = set(context.settings) - {"template", "mark"}
        if unknown:
            raise ValidationError(f"unknown setting {sorted(unknown)}")
        return Counting(context)


class Counting:
    def __init__(self, context):
        self.context = context
        self.taken = []

    def add(self, result):
        self.taken.append(result)

    def close(self, missing):
        mark = self.context.settings.get("mark", "=")
        good = [r for r in self.taken if r.status == "gathered"]
        text = "; ".join(f"{r.rank}/{r.agent}{mark}{r.text}" for r in good)
        data = {
            "expected": list(self.context.expected),
            "statuses": {r.agent: r.status for r in self.taken},
            "weights": {r.agent: r.weight for r in self.taken},
            "data": [list(r.data) for r in good],
            "files": [list(r.files) for r in good],
        }
        return Reduced(text, data, used=tuple(r.agent for r in good), notes=tuple(f"without {a}" for a in missing))


class Early:
    def start(self, context):
        return Hasty()


class Hasty:
    def add(self, result):
        return Reduced(result.text or "", used=(result.agent,))

    def close(self, missing):
        raise AssertionError("it had answered")


class Faulty:
    def start(self, context):
        return Failing()


class Failing:
    def add(self, result):
        raise KeyError("nothing")

    def close(self, missing):
        return None


class Wrong(Faulty):
    def start(self, context):
        return Mistaken()


class Mistaken:
    def add(self, result):
        return None

    def close(self, missing):
        return "a text"


@hookimpl
def missive_reducers():
    for name, cls in (("tally", Tally), ("early", Early), ("faulty", Faulty), ("wrong", Wrong)):
        yield ReducerSpec(name, f"{__name__}:{cls.__name__}", f"The reducer {name}.")
'''


def write_plugin(folder: Path) -> Path:
    """Write a one-file plugin with the reducers `tally`, `early`, `faulty` and `wrong`."""
    file = folder / "test_reducers.py"
    file.write_text(PLUGIN)
    return file


def enlist(commands: Commands, group: str, *members: tuple[str, AgentProcess | str, str] | str) -> None:
    """Make a group. A member is (alias, agent, binding), or the alias of an agent that is registered. Ranks: 1, 2 …"""
    commands.local(c.GroupCreate(group=group))
    for rank, member in enumerate(members, 1):
        if not isinstance(member, str):
            alias, agent, binding = member
            commands.add(alias, agent, *([binding] if binding else []))
        alias = member if isinstance(member, str) else member[0]
        commands.local(c.GroupAdd(group=group, agent=alias, rank=str(rank)))


def mixed(agent: AgentProcess, agent_03: AgentProcess, count: int) -> list[tuple[str, AgentProcess, str]]:
    """Return `count` members that take turns in binding and protocol: JSON-RPC, HTTP+JSON, gRPC, and 0.3."""
    kinds = ((agent, "json-rpc"), (agent, "http+json"), (agent, "grpc"), (agent_03, "json-rpc"))
    return [(f"m{i}", *kinds[i % len(kinds)]) for i in range(count)]


def statuses(result: Any) -> dict[str, str]:
    """Return agent to status, in the order of the document."""
    return {member.agent: member.status for member in result.members}


async def outcome(core: Commands, command: c.Command) -> tuple[Any, Any]:
    """Run a command and return the data of its one result, and the error with which it ended or None."""
    seen: list[Any] = []

    async def emit(output: Output) -> None:
        seen.append(checked(output).data)

    failure = None
    try:
        await core.core.run(command, emit)
    except MissiveError as error:
        failure = error
    (data,) = seen
    return data, failure
