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


class Tables:
    """What a function that is given to `Store.read`, `Store.write` or `Store.commit` works with.

    It is valid only while that function runs.
    """

    __slots__ = ("agents", "artifacts", "contexts", "events", "messages", "tasks")

    def __init__(self, connection: Connection) -> None:
        self.agents = Agents(connection)
        self.contexts = Contexts(connection)
        self.tasks = Tasks(connection)
        self.messages = Messages(connection)
        self.artifacts = Artifacts(connection)
        self.events = Events(connection)
