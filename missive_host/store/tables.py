"""All repositories, bound to one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.store.agents import Agents
from missive_host.store.artifacts import Artifacts
from missive_host.store.contexts import Contexts
from missive_host.store.events import Events
from missive_host.store.messages import Messages
from missive_host.store.tasks import Tasks

if TYPE_CHECKING:
    from sqlite3 import Connection

    from missive_host.store.groups import Groups
    from missive_host.store.operations import Operations
    from missive_host.store.routing import Breakers, Routing
    from missive_host.store.schedules import Schedules
    from missive_host.store.sessions import Sessions
    from missive_host.store.tokens import Tokens
    from missive_host.store.work import Work


class Tables:
    """What a function that is given to `Store.read`, `Store.write` or `Store.commit` works with.

    It is valid only while that function runs. What most commands do not need is imported when it is used.
    """

    __slots__ = (
        "_breakers", "_connection", "_groups", "_operations", "_routing", "_schedules", "_sessions", "_tokens", "_work",
        "agents", "artifacts", "contexts", "events", "messages", "tasks",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._groups: Groups | None = None
        self._routing: Routing | None = None
        self._breakers: Breakers | None = None
        self._operations: Operations | None = None
        self._sessions: Sessions | None = None
        self._tokens: Tokens | None = None
        self._work: Work | None = None
        self._schedules: Schedules | None = None
        self.agents = Agents(connection)
        self.contexts = Contexts(connection)
        self.tasks = Tasks(connection)
        self.messages = Messages(connection)
        self.artifacts = Artifacts(connection)
        self.events = Events(connection)

    @property
    def groups(self) -> Groups:
        if self._groups is None:
            from missive_host.store.groups import Groups

            self._groups = Groups(self._connection)
        return self._groups

    @property
    def routing(self) -> Routing:
        if self._routing is None:
            from missive_host.store.routing import Routing

            self._routing = Routing(self._connection)
        return self._routing

    @property
    def breakers(self) -> Breakers:
        if self._breakers is None:
            from missive_host.store.routing import Breakers

            self._breakers = Breakers(self._connection)
        return self._breakers

    @property
    def operations(self) -> Operations:
        if self._operations is None:
            from missive_host.store.operations import Operations

            self._operations = Operations(self._connection)
        return self._operations

    @property
    def sessions(self) -> Sessions:
        if self._sessions is None:
            from missive_host.store.sessions import Sessions

            self._sessions = Sessions(self._connection)
        return self._sessions

    @property
    def tokens(self) -> Tokens:
        if self._tokens is None:
            from missive_host.store.tokens import Tokens

            self._tokens = Tokens(self._connection)
        return self._tokens

    @property
    def work(self) -> Work:
        if self._work is None:
            from missive_host.store.work import Work

            self._work = Work(self._connection)
        return self._work

    @property
    def schedules(self) -> Schedules:
        if self._schedules is None:
            from missive_host.store.schedules import Schedules

            self._schedules = Schedules(self._connection)
        return self._schedules
