"""Every open task is followed to its end, whoever began it, and again after a restart.

An agent that streams is subscribed to. One that does not, and sends push notifications, is told to send them to us, if
it is known where it can reach us. When all places for streams are taken, and for all other agents, the task is asked
for: at first often, then ever more seldom. A task that is being streamed by a command of this
process is left to that, so that no chunk of an artifact is written down twice.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio

from missive_host.a2a.shapes import SETTLED, state
from missive_host.core.recorder import Exchange, Road, journal_event
from missive_host.errors import MissiveError, StorageError, TransportError
from missive_host.gateway.callbacks import Callbacks
from missive_host.gateway.pacing import LONGEST_PAUSE, STREAMS_OF_AGENT, AgentPace, TaskPace
from missive_host.ids import after
from missive_host.telemetry import about

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anyio.abc import TaskGroup

    from missive_host.a2a.client import AgentClient
    from missive_host.a2a.shapes import Json
    from missive_host.core.core import Core
    from missive_host.store import Tables, TaskRow

    Key = tuple[str, str]

log = logging.getLogger("missive.gateway.following")

SUBSCRIPTION = Road("subscription", "gateway:subscriptions", "stream_event")
STREAMS = 512
"""How many tasks are subscribed to at the same time."""
CALLS = 32
"""How many tasks are asked for at the same time."""
SUBSCRIPTION_SECONDS = 300.0
"""A subscription is made anew after this time: it begins with the task as it is, whatever became of the connection."""
NET_SECONDS = 60.0
"""How often a task is asked for whose agent sends push notifications: one that is lost is not sent again."""
SCAN_SECONDS = 5.0
"""How often is looked for tasks that other processes have begun."""
QUIET_SECONDS = 10.0
"""Such a task is left to the process that began it until nothing has changed for this long."""
LOOK_SECONDS = 2.0
"""How often someone who waits looks into the store: another process may have written there."""


class _Waiter:
    """Someone who waits for a task."""

    def __init__(self) -> None:
        self.changed = anyio.Event()
        self.error: MissiveError | None = None


class _Reading:
    """What is learnt of a task, written down as it comes."""

    def __init__(self, core: Core, key: Key, agent: AgentPace, tell: Callable[[], None]) -> None:
        self._core = core
        self._alias, self._task_id = key
        self._agent = agent
        self._tell = tell
        known = core.store.read(lambda tables: tables.tasks.find(*key))
        self._exchange = Exchange(
            agent=self._alias,
            message_id="",
            context_id=known.context_id if known else None,
            remote_context_id=known.remote_context_id if known else None,
            task_id=self._task_id,
        )
        self.news = False
        self.settled = False

    async def ask(self) -> None:
        task, client = await self._core.agents.calling(
            self._alias, lambda client: client.get_task(self._task_id), counted=True
        )
        await self._take({"task": task}, client)
        self.settled = state(task.get("status")) in SETTLED

    async def subscribe(self) -> None:
        async def call(client: AgentClient) -> None:
            await client.subscribe(self._task_id, lambda event: self._take(event, client), background=True)

        await self._core.agents.calling(self._alias, call, counted=True)

    async def _take(self, event: Json, client: AgentClient) -> None:
        self._agent.answered()
        version = client.interface.protocol_version
        sequence = await self._core.store.commit(
            lambda tables: self._core.recorder.store_received(
                tables, self._exchange, event, SUBSCRIPTION, version=version
            )
        )
        if sequence is not None:
            self.news = True
            self._tell()


class TaskFollowers:
    """Follows the open tasks of a store. `run` is the service; the rest may be called from anywhere on its loop."""

    def __init__(self, core: Core, *, streams: int = STREAMS, streams_of_agent: int = STREAMS_OF_AGENT) -> None:
        self._core = core
        self._streams_of_agent = streams_of_agent
        self._agents: dict[str, AgentPace] = {}
        self._tasks: dict[Key, TaskPace] = {}
        self._wanted: set[Key] = set()
        """Told of, and not begun yet."""
        self._waiters: dict[Key, set[_Waiter]] = {}
        self._told = anyio.Event()
        self._streams = anyio.CapacityLimiter(streams)
        self._calls = anyio.CapacityLimiter(CALLS)
        self._callbacks = Callbacks(core)

    @property
    def count(self) -> int:
        """How many tasks are followed."""
        return len(self._tasks) + len(self._wanted)

    async def run(self) -> None:
        """Follow all that is open, until cancelled."""
        with self._core.connections.streams.watched(self._streamed):
            async with anyio.create_task_group() as group:
                untouched_since: str | None = None
                while True:
                    self._begin(group, await self._open(untouched_since))
                    with anyio.move_on_after(SCAN_SECONDS):
                        while True:
                            await self._told.wait()
                            self._told = anyio.Event()
                            self._begin(group, ())
                    untouched_since = after(-QUIET_SECONDS)

    def follow(self, agent: str, task_id: str) -> None:
        """See to it that a task is followed, and look at it soon."""
        key = (agent, task_id)
        if (task := self._tasks.get(key)) is not None:
            task.pace.reset()
            task.due = 0.0
            task.wake()
        else:
            self._wanted.add(key)
            self._told.set()

    async def wait(self, agent: str, task_id: str) -> TaskRow:
        """Return the task when it has ended or waits for us; see to it that it is followed.

        Raises `MissiveError` when nothing can be learnt of it: the agent does not know it (any more), or refuses us,
        or is not registered. That it cannot be reached is no reason to stop waiting.
        """
        key = (agent, task_id)
        with self._waiting(key) as waiter:
            self.follow(agent, task_id)
            while True:
                row = self._core.store.read(lambda tables: tables.tasks.find(agent, task_id))
                if row is not None and row.state in SETTLED:
                    return row
                if waiter.error is not None:
                    raise waiter.error
                if key not in self._tasks:
                    self.follow(agent, task_id)
                with anyio.move_on_after(LOOK_SECONDS):
                    await waiter.changed.wait()
                waiter.changed = anyio.Event()

    def is_subscribed(self, agent: str, task_id: str) -> bool:
        """Whether the events of a task's stream are being written down by us."""
        task = self._tasks.get((agent, task_id))
        return task is not None and task.scope is not None

    def notice(self, agent: str, task_id: str) -> None:
        """Somebody else has written down something about a task: wake whoever waits for it."""
        key = (agent, task_id)
        self._tell(key)
        if (task := self._tasks.get(key)) is not None:
            task.wake()

    # ---

    @contextmanager
    def _waiting(self, key: Key) -> Iterator[_Waiter]:
        waiters = self._waiters.setdefault(key, set())
        waiter = _Waiter()
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(key, None)

    def _tell(self, key: Key, error: MissiveError | None = None) -> None:
        for waiter in self._waiters.get(key, ()):
            waiter.error = error or waiter.error
            waiter.changed.set()

    async def _open(self, untouched_since: str | None) -> tuple[Key, ...]:
        try:
            return await anyio.to_thread.run_sync(
                self._core.store.read, lambda tables: tables.tasks.open(untouched_since=untouched_since)
            )
        except MissiveError as error:
            log.warning("the open tasks could not be read: %s", error)
            return ()

    def _begin(self, group: TaskGroup, found: tuple[Key, ...]) -> None:
        wanted = tuple(self._wanted)
        self._wanted.clear()
        for key in (*wanted, *found):
            if key not in self._tasks:
                self._tasks[key] = TaskPace()
                group.start_soon(self._follow, key, self._tasks[key])

    def _streamed(self, alias: str, task_id: str, begins: bool) -> None:
        if (task := self._tasks.get((alias, task_id))) is not None:
            if begins:
                task.give_way()
            task.wake()
        elif not begins:
            self.follow(alias, task_id)
        self._tell((alias, task_id))

    # --- one task

    async def _follow(self, key: Key, task: TaskPace) -> None:
        with about(agent=key[0], task_id=key[1]):
            await self._follow_one(key, task)

    async def _follow_one(self, key: Key, task: TaskPace) -> None:
        agent = self._agents.setdefault(key[0], AgentPace(self._streams_of_agent))
        try:
            while self._goes_on(key):
                if key in self._core.connections.streams:
                    await task.pause(LONGEST_PAUSE)
                elif agent.rest:
                    await anyio.sleep(agent.rest)
                elif task.pushed and task.due > time.monotonic():
                    await task.pause(task.due - time.monotonic())
                else:
                    pause = await self._try(key, task, agent)
                    task.due = time.monotonic() + pause
                    await task.pause(pause)
            await self._ended(key, task, agent)
        except Exception:  # one task must not end the service; the next scan finds it again
            log.exception("task %s of agent '%s' cannot be followed", key[1], key[0])
        finally:
            del self._tasks[key]

    def _goes_on(self, key: Key) -> bool:
        """Whether there is more to learn. A task that is only heard of is asked for."""
        alias, task_id = key
        now, stamp = self._core.store.read(
            lambda tables: (tables.tasks.state(alias, task_id), tables.agents.stamp(alias))
        )
        if stamp is None:
            try:
                self._core.agents.row(alias)
            except MissiveError as error:
                self._tell(key, error)
            return False
        if now is None:
            return self._tasks[key].problem is None
        return now not in SETTLED

    async def _try(self, key: Key, task: TaskPace, agent: AgentPace) -> float:
        """Learn what is new, for as long as that takes; return for how many seconds to pause."""
        try:
            news = await self._learn(key, task, agent)
        except (TransportError, StorageError) as error:
            # A full disk is no fault of the agent's, but to ask it more often would be of no use either.
            pause = agent.failed(task.asked_at)
            await self._troubled(key, task, error, pause)
            return pause
        except MissiveError as error:
            pause = task.trouble.step()
            await self._troubled(key, task, error, pause)
            self._tell(key, error)
            return pause
        task.problem = None
        task.trouble.reset()
        if news:
            task.pace.reset()
        return NET_SECONDS * random.uniform(0.8, 1.0) if task.pushed else task.pace.step()  # noqa: S311

    async def _learn(self, key: Key, task: TaskPace, agent: AgentPace) -> bool:
        """Read a task's stream to its end, or ask for the task; return whether there was something new."""
        reading = _Reading(self._core, key, agent, partial(self._tell, key))
        streaming = False
        try:
            # First a client, for few tasks at a time: the card may have to be fetched for it.
            async with agent.calls, self._calls, nullcontext() if agent.trusted else agent.probing:
                if agent.rest:
                    return False
                task.asked_at = time.monotonic()
                client = await self._core.agents.client(key[0])
                streaming = client.streaming and not task.polled_next and self._take_place(agent, key)
                task.polled_next = False
                if not client.streaming and client.pushes and self._callbacks.possible and not task.pushed:
                    # Before the task is asked for, so that nothing falls between the two.
                    task.pushed = await self._callbacks.make(*key)
                await self._started(key, task, "subscription" if streaming else "push" if task.pushed else "poll")
                if not streaming or not agent.trusted:
                    await reading.ask()
            if not streaming or reading.settled:
                return reading.news
            with anyio.move_on_after(SUBSCRIPTION_SECONDS * random.uniform(0.8, 1.0)) as task.scope:  # noqa: S311
                if key not in self._core.connections.streams:
                    await reading.subscribe()
            lasted = task.scope.cancelled_caught
            # An agent may say that it streams, and yet not let us subscribe.
            task.polled_next = not reading.news and not lasted
            return reading.news or lasted
        finally:
            task.scope = None
            if streaming:
                agent.streams.release_on_behalf_of(key)
                self._streams.release_on_behalf_of(key)

    def _take_place(self, agent: AgentPace, key: Key) -> bool:
        """Take a place for a stream, if there is one."""
        try:
            agent.streams.acquire_on_behalf_of_nowait(key)
        except anyio.WouldBlock:
            return False
        try:
            self._streams.acquire_on_behalf_of_nowait(key)
        except anyio.WouldBlock:
            agent.streams.release_on_behalf_of(key)
            return False
        return True

    # --- the journal

    async def _started(self, key: Key, task: TaskPace, road: str) -> None:
        if not task.started:
            await self._note(key, "started", {"road": road})
            task.started = True

    async def _troubled(self, key: Key, task: TaskPace, error: MissiveError, pause: float) -> None:
        """Write trouble down, once for as long as it stays the same."""
        report = self._core.report(error)
        if report.message == task.problem:
            return
        task.problem = report.message
        try:
            await self._note(key, "retrying", {"reason": report.message, "after_ms": int(pause * 1000)})
        except MissiveError as failed:
            log.warning("task %s of agent '%s': %s; %s", key[1], key[0], report.message, failed)

    async def _ended(self, key: Key, task: TaskPace, agent: AgentPace) -> None:
        if self._callbacks.has(*key):
            with suppress(MissiveError):  # notifications may have been lost, and with them parts of artifacts
                await _Reading(self._core, key, agent, partial(self._tell, key)).ask()
            await self._callbacks.take_back(*key)
        if task.started:
            now = self._core.store.read(lambda tables: tables.tasks.state(*key))
            await self._note(key, "ended", {"state": now})

    async def _note(self, key: Key, what: str, payload: Json) -> None:
        alias, task_id = key

        def write(tables: Tables) -> None:
            row = tables.tasks.find(alias, task_id)
            tables.events.append(
                journal_event(
                    f"missive.gateway.subscription.{what}",
                    source=SUBSCRIPTION.source,
                    agent_alias=alias,
                    context_id=row.context_id if row else None,
                    task_id=task_id,
                    payload=payload,
                )
            )

        await self._core.store.commit(write)
