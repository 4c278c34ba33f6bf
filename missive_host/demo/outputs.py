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


class DemoResult(Data, frozen=True, kw_only=True):
    """What ``missive demo`` did."""

    kind = "demo"
    agents: tuple[DemoAgent, ...]
    adapter: str
    """The command that the frames were piped through."""
    steps: tuple[DemoStep, ...]
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
    message: str
