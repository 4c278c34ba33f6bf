"""How often agents are asked: places for calls and streams, rests after failures, pauses between two questions."""

from __future__ import annotations

import random
import time

import anyio

STREAMS_OF_AGENT = 64
CALLS_OF_AGENT = 8
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
LONGEST_PAUSE_OF_TASK = 3600.0
"""Seconds between two tries when the agent is there, and yet nothing can be learnt of the task."""


class Pace:
    """Pauses that double, with jitter."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._next = FIRST_PAUSE

    def reset(self) -> None:
        self._next = FIRST_PAUSE

    def step(self) -> float:
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(0.75, 1.0)  # noqa: S311 - jitter


class AgentPace:
    """What all tasks of one agent have in common: their places, and the rest that it gets while it is down."""

    def __init__(self, streams: int) -> None:
        self.streams = anyio.CapacityLimiter(streams)
        self.calls = anyio.CapacityLimiter(CALLS_OF_AGENT)
        self.probing = anyio.Lock()
        self.trusted = False
        """It answered last time. As long as it has not, one task at a time tries."""
        self._pace = Pace(LONGEST_PAUSE)
        self._rests_until = 0.0

    @property
    def rest(self) -> float:
        """For how many seconds it is to be left in peace."""
        return max(0.0, self._rests_until - time.monotonic())

    def answered(self) -> None:
        self.trusted = True
        self._pace.reset()
        self._rests_until = 0.0

    def failed(self, asked_at: float) -> float:
        """Let it rest, once for all the calls that failed together; return for how long."""
        self.trusted = False
        if asked_at >= self._rests_until:
            self._rests_until = time.monotonic() + self._pace.step()
        return self.rest


class TaskPace:
    """One task that is followed."""

    def __init__(self) -> None:
        self.pace = Pace(LONGEST_PAUSE)
        self.trouble = Pace(LONGEST_PAUSE_OF_TASK)
        self.started = False
        self.problem: str | None = None
        """What was last in the way."""
        self.asked_at = 0.0
        self.polled_next = False
        self.pushed = False
        """The agent tells us what is new."""
        self.due = 0.0
        """When it is to be asked for, if the agent does not tell us before."""
        self.scope: anyio.CancelScope | None = None
        """Of its subscription, while it has one."""
        self._woken = anyio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def pause(self, seconds: float) -> None:
        """Wait, or until it is woken."""
        with anyio.move_on_after(seconds):
            await self._woken.wait()
        self._woken = anyio.Event()

    def give_way(self) -> None:
        if self.scope is not None:
            self.scope.cancel()
