"""Push configs: where agents send notifications about tasks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec import UNSET

from missive_host import commands as c, outputs_push as p
from missive_host.core.recorder import journal_event
from missive_host.core.views import given
from missive_host.errors import MissiveError
from missive_host.ids import new_id, now
from missive_host.outputs import Output
from missive_host.security.secrets import Secret, from_env
from missive_host.store.rows import PushConfigRow

if TYPE_CHECKING:
    from missive_host.a2a.shapes import Json
    from missive_host.core.core import Core, Emit
    from missive_host.outputs import SelectedInterface
    from missive_host.store import Tables


def digest(text: str) -> str:
    """Return what the store keeps of a secret."""
    return hashlib.sha256(text.encode()).hexdigest()


async def push_create(core: Core, command: c.PushCreate, emit: Emit) -> None:
    token = _secret(core, command.token_env, "--token-env")
    credentials = _secret(core, command.auth_credentials_env, "--auth-credentials-env")
    row = PushConfigRow(
        agent_alias=command.agent,
        task_id=command.task_id,
        config_id=command.config_id or new_id(),
        url=command.url,
        token_sha256=digest(token.reveal()) if token else None,
        auth_scheme=command.auth_scheme,
        auth_sha256=digest(credentials.reveal()) if credentials else None,
        metadata=command.metadata,
        created_at=now(),
    )
    config, interface = await create(core, row, token=token, credentials=credentials)
    view = _view(config, command.agent, row)
    message = f"agent '{command.agent}' sends notifications about task {command.task_id} to {command.url}"
    await emit(
        Output(p.PushCreateResult(profile=core.profile, config=view, selected_interface=interface, message=message))
    )


async def create(
    core: Core, row: PushConfigRow, *, token: Secret | None, credentials: Secret | None = None
) -> tuple[Json, SelectedInterface]:
    """Give an agent a push config; return it as the agent has it. Raises `MissiveError`.

    It is written down first, because the first notification may come before the agent's answer.
    """
    request: Json = {"taskId": row.task_id, "id": row.config_id, "url": row.url}
    if token is not None:
        request["token"] = token.reveal()
    if row.auth_scheme is not None:
        request["authentication"] = {"scheme": row.auth_scheme}
        if credentials is not None:
            request["authentication"]["credentials"] = credentials.reveal()
    core.agents.row(row.agent_alias)
    ids = row.agent_alias, row.task_id, row.config_id

    def write(tables: Tables) -> PushConfigRow | None:
        known = tables.push.list(agent=row.agent_alias, task=row.task_id, config_id=row.config_id)
        tables.push.put(row)
        journal(tables, "request", *ids, row)
        return known[0] if known else None

    before = await core.commit(write)
    try:
        config, client = await core.agents.calling(row.agent_alias, lambda client: client.push("create", request))
    except MissiveError:
        await core.commit(lambda tables: _take_back(tables, row, before))
        raise
    await core.commit(lambda tables: journal(tables, "create", *ids, row))
    return config, client.interface


def _take_back(tables: Tables, row: PushConfigRow, before: PushConfigRow | None) -> None:
    if before is not None:
        tables.push.put(before)
    else:
        tables.push.delete(row.agent_alias, row.task_id, row.config_id, at=now())
    journal(tables, "withdrawn", row.agent_alias, row.task_id, row.config_id, before)


async def push_get(core: Core, command: c.PushGet, emit: Emit) -> None:
    request = {"taskId": command.task_id, "id": command.config_id}
    config, client = await core.agents.calling(command.agent, lambda client: client.push("get", request))
    known = _known(core, command.agent, command.task_id)
    view = _view(
        {"id": command.config_id, "taskId": command.task_id, **config}, command.agent, known.get(command.config_id)
    )
    await emit(
        Output(
            p.PushGetResult(
                profile=core.profile,
                config=view,
                selected_interface=client.interface,
                message=f"push config {view.config_id} of task {command.task_id}: {view.url}",
            )
        )
    )


async def push_list(core: Core, command: c.PushList, emit: Emit) -> None:
    request: Json = {"taskId": command.task_id}
    if command.page_size is not None:
        request["pageSize"] = command.page_size
    if command.page_token is not None:
        request["pageToken"] = command.page_token
    answer, client = await core.agents.calling(command.agent, lambda client: client.push("list", request))
    known = _known(core, command.agent, command.task_id)
    views = tuple(
        _view({"taskId": command.task_id, **config}, command.agent, known.get(config.get("id", "")))
        for config in answer.get("configs", ())
    )
    await emit(
        Output(
            p.PushListResult(
                profile=core.profile,
                agent=command.agent,
                task_id=command.task_id,
                count=len(views),
                configs=views,
                next_page_token=given(answer.get("nextPageToken") or None),
                selected_interface=client.interface,
                message=f"{len(views)} push config{'s' if len(views) != 1 else ''} of task {command.task_id}",
            )
        )
    )


async def push_delete(core: Core, command: c.PushDelete, emit: Emit) -> None:
    interface = await delete(core, command.agent, command.task_id, command.config_id)
    await emit(
        Output(
            p.PushDeleteResult(
                profile=core.profile,
                agent=command.agent,
                task_id=command.task_id,
                config_id=command.config_id,
                selected_interface=interface,
                message=f"agent '{command.agent}' sends nothing more for push config {command.config_id}",
            )
        )
    )


async def delete(core: Core, agent: str, task_id: str, config_id: str) -> SelectedInterface:
    """Take a push config back from an agent. Raises `MissiveError`."""
    request = {"taskId": task_id, "id": config_id}
    _, client = await core.agents.calling(agent, lambda client: client.push("delete", request))

    await core.commit(lambda tables: forget(tables, agent, task_id, config_id))
    return client.interface


def forget(tables: Tables, agent: str, task_id: str, config_id: str) -> None:
    """Refuse what comes for a push config from now on."""
    tables.push.delete(agent, task_id, config_id, at=now())
    journal(tables, "delete", agent, task_id, config_id)


def _secret(core: Core, variable: str | None, what: str) -> Secret | None:
    if variable is None:
        return None
    secret = from_env(variable, core.settings.environ, what)
    core.redactor.add(secret)
    return secret


def _known(core: Core, agent: str, task_id: str) -> dict[str, PushConfigRow]:
    rows = core.store.read(lambda tables: tables.push.list(agent=agent, task=task_id))
    return {row.config_id: row for row in rows}


def _view(config: Json, agent: str, row: PushConfigRow | None) -> p.PushConfigView:
    scheme = config.get("authentication", {}).get("scheme") or (row.auth_scheme if row else None)
    return p.PushConfigView(
        agent=agent,
        task_id=config.get("taskId") or (row.task_id if row else ""),
        config_id=config.get("id") or (row.config_id if row else ""),
        url=config["url"],
        # An agent may well keep what it was given to itself.
        has_token=bool(config.get("token")) or (row is not None and row.token_sha256 is not None),
        auth_scheme=given(scheme),
        known_here=row is not None,
        source=row.source if row else UNSET,
        metadata=row.metadata if row else UNSET,
        created_at=row.created_at if row else UNSET,
    )


def journal(
    tables: Tables, what: str, agent: str, task_id: str, config_id: str, row: PushConfigRow | None = None
) -> None:
    """Write down what became of a push config; `row` is what is in force from now on."""
    task = tables.tasks.find(agent, task_id)
    payload, kept = {"config_id": config_id}, None
    if row is not None:
        payload["url"] = row.url
        kept = {"row": {"url": row.url, "auth_scheme": row.auth_scheme, "source": row.source, "metadata": row.metadata}}
    tables.events.append(
        journal_event(
            f"a2a.push.{what}",
            source="core",
            agent_alias=agent,
            context_id=task.context_id if task else None,
            task_id=task_id,
            payload=payload,
            metadata=kept,
        )
    )
