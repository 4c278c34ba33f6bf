"""Which tasks are being streamed in this process, so that no two readers write down the same events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Watcher = Callable[[str, str, bool], None]
"""Gets an agent's alias, a task id, and True when the first stream of the task begins, False when the last one ends."""


class OpenStreams:
    """The open streams of a process, by agent and task."""

    def __init__(self) -> None:
        self._open: Counter[tuple[str, str]] = Counter()
        self._watchers: list[Watcher] = []

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._open

    def enter(self, alias: str, task_id: str) -> None:
        self._open[alias, task_id] += 1
        if self._open[alias, task_id] == 1:
            self._tell(alias, task_id, begins=True)

    def leave(self, alias: str, task_id: str) -> None:
        self._open[alias, task_id] -= 1
        if not self._open[alias, task_id]:
            del self._open[alias, task_id]
            self._tell(alias, task_id, begins=False)

    @contextmanager
    def watched(self, watcher: Watcher) -> Iterator[None]:
        """Tell `watcher` of streams that begin and end, for as long as the context is open."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def _tell(self, alias: str, task_id: str, *, begins: bool) -> None:
        for watcher in tuple(self._watchers):
            watcher(alias, task_id, begins)
