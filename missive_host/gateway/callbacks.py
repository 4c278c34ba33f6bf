"""Push configs that the gateway makes by itself, so that an agent that does not stream tells it what is new."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from missive_host.core.handlers.push import create, delete, digest, forget
from missive_host.errors import MissiveError
from missive_host.gateway.push import PATH
from missive_host.ids import now
from missive_host.security.secrets import Secret
from missive_host.store.rows import PushConfigRow

if TYPE_CHECKING:
    from missive_host.core.core import Core

log = logging.getLogger("missive.gateway.callbacks")


class Callbacks:
    """Makes and takes back push configs of source ``gateway``, each with a path and a token of its own."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def _base(self) -> str | None:
        base = self._core.settings.config.gateway.public_base_url  # as it is now: the config may be read again
        return base.rstrip("/") + PATH + "/" if base else None

    @property
    def possible(self) -> bool:
        """Whether it is known where agents can call us."""
        return self._base is not None

    def has(self, agent: str, task_id: str) -> bool:
        """Whether there is a config for a task, perhaps from before a restart, at the URL that is ours now."""
        return any(row.url.startswith(self._base or "-") for row in self._rows(agent, task_id))

    async def make(self, agent: str, task_id: str) -> bool:
        """Have an agent call us about a task; return False if it does not want to."""
        if self.has(agent, task_id):
            return True
        assert self._base is not None
        config_id, token = secrets.token_urlsafe(24), Secret(secrets.token_urlsafe(32))
        self._core.redactor.add(token)
        row = PushConfigRow(
            agent_alias=agent,
            task_id=task_id,
            config_id=config_id,
            url=self._base + config_id,
            token_sha256=digest(token.reveal()),
            source="gateway",
            created_at=now(),
        )
        try:
            await create(self._core, row, token=token)
        except MissiveError as error:
            log.info("agent '%s' does not send notifications about task %s: %s", agent, task_id, error)
            return False
        return True

    async def take_back(self, agent: str, task_id: str) -> None:
        """Want no more calls about a task. If the agent cannot be told, what it sends is refused."""
        for row in self._rows(agent, task_id):
            try:
                await delete(self._core, agent, task_id, row.config_id)
            except MissiveError as error:
                log.info("agent '%s' could not be told to drop a push config: %s", agent, error)
                await self._forget(row)

    async def _forget(self, row: PushConfigRow) -> None:
        await self._core.store.commit(lambda tables: forget(tables, row.agent_alias, row.task_id, row.config_id))

    def _rows(self, agent: str, task_id: str) -> tuple[PushConfigRow, ...]:
        return self._core.store.read(lambda tables: tables.push.list(agent=agent, task=task_id, source="gateway"))
