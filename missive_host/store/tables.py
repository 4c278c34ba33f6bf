"""All repositories, bound to one connection."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from missive_host.store.agents import Agents
from missive_host.store.artifacts import Artifacts
from missive_host.store.contexts import Contexts
from missive_host.store.events import Events
from missive_host.store.messages import Messages
from missive_host.store.tasks import Tasks

if TYPE_CHECKING:
    from sqlite3 import Connection

    from missive_host.store.comparing import Comparing
    from missive_host.store.groups import Groups
    from missive_host.store.operations import Operations
    from missive_host.store.pruning import Pruning
    from missive_host.store.push import Push
    from missive_host.store.routing import Breakers, Routing
    from missive_host.store.schedules import Schedules
    from missive_host.store.sessions import Sessions
    from missive_host.store.tokens import Tokens
    from missive_host.store.work import Work


class Tables:
    """What a function that is given to `Store.read`, `Store.write` or `Store.commit` works with.

    It is valid only while that function runs. What most commands do not need is imported when it is used.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.agents = Agents(connection)
        self.contexts = Contexts(connection)
        self.tasks = Tasks(connection)
        self.messages = Messages(connection)
        self.artifacts = Artifacts(connection)
        self.events = Events(connection)

    @cached_property
    def groups(self) -> Groups:
        from missive_host.store.groups import Groups

        return Groups(self._connection)

    @cached_property
    def routing(self) -> Routing:
        from missive_host.store.routing import Routing

        return Routing(self._connection)

    @cached_property
    def breakers(self) -> Breakers:
        from missive_host.store.routing import Breakers

        return Breakers(self._connection)

    @cached_property
    def operations(self) -> Operations:
        from missive_host.store.operations import Operations

        return Operations(self._connection)

    @cached_property
    def work(self) -> Work:
        from missive_host.store.work import Work

        return Work(self._connection)

    @cached_property
    def sessions(self) -> Sessions:
        from missive_host.store.sessions import Sessions

        return Sessions(self._connection)

    @cached_property
    def schedules(self) -> Schedules:
        from missive_host.store.schedules import Schedules

        return Schedules(self._connection)

    @cached_property
    def tokens(self) -> Tokens:
        from missive_host.store.tokens import Tokens

        return Tokens(self._connection)

    @cached_property
    def push(self) -> Push:
        from missive_host.store.push import Push

        return Push(self._connection)

    @cached_property
    def pruning(self) -> Pruning:
        from missive_host.store.pruning import Pruning

        return Pruning(self._connection)

    @cached_property
    def comparing(self) -> Comparing:
        from missive_host.store.comparing import Comparing

        return Comparing(self._connection)
