"""The result documents of ``missive demo``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data, Json


class DemoAgent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent that was started."""

    agent: str
    """Its alias."""
    url: str
    """Its base URL."""
    bindings: tuple[str, ...]
    """A2A's names, in the order of its card."""
    pid: int
    """Its process."""


class DemoStep(msgspec.Struct, frozen=True, kw_only=True):
    """One frame that went in, and what came out."""

    title: str
    request: Json
    """The frame as it was written to the adapter."""
    responses: tuple[Json, ...]
    """The frames that came back, in order."""
    seconds: tuple[float, ...]
    """When each of them arrived, in seconds after the request."""
    outcome: str | UnsetType = UNSET
    """What came of it, in words."""
    problem: str | UnsetType = UNSET
    """What was not as expected; the demo ends with the first."""


class DemoMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the group, and what it answered."""

    rank: str
    agent: str
    state: str
    """The state of its task at the end."""
    text: str
    """Its answer."""
    duration_ms: int


class DemoGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the allreduce."""

    group: str
    strategy: str
    members: tuple[DemoMember, ...]
    """In the order of their ranks."""
    reduced_text: str
    """What was made of their answers."""
    elapsed_ms: int


class DemoResult(Data, frozen=True, kw_only=True):
    """What ``missive demo`` did."""

    kind = "demo"
    agents: tuple[DemoAgent, ...]
    adapter: str
    """The command that the frames were piped through."""
    steps: tuple[DemoStep, ...]
    group: DemoGroup | UnsetType = UNSET
    """What came of the second act, if it got that far."""
    passed: bool
    """Everything came out as expected."""
    seconds: float
    next_commands: tuple[str, ...]
    message: str


class DemoServeResult(Data, frozen=True, kw_only=True):
    """The agents of ``missive demo serve`` are ready."""

    kind = "demo_serve"
    agents: tuple[DemoAgent, ...]
    next_commands: tuple[str, ...]
    """How to register them."""
    group_commands: tuple[str, ...]
    """How to make a group of them then, and to ask it."""
    message: str


class DemoChatResult(Data, frozen=True, kw_only=True):
    """The chat of ``missive demo chat`` is ready."""

    kind = "demo_chat"
    agents: tuple[DemoAgent, ...]
    chat: str
    """The kind of its adapter: irc, or terminal."""
    answers: str
    """The agent, or the group, that answers."""
    server: str | UnsetType = UNSET
    """Host and port of the server, if there is one."""
    nick: str | UnsetType = UNSET
    """What missive is called there."""
    room: str | UnsetType = UNSET
    """The channel that it is in."""
    connect_commands: tuple[str, ...] | UnsetType = UNSET
    """How to get there, with one program or another."""
    message: str
