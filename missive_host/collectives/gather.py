"""``gather``: the answers of all members together, from the store; with `refresh` the agents are asked first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import msgspec
from msgspec import UNSET

from missive_host.collectives.answers import Answer, Content, answer_of, content_of, view_of
from missive_host.collectives.asking import ask
from missive_host.collectives.operations import Operation
from missive_host.errors import ErrorReport, MissiveError, TransportError
from missive_host.outputs_collectives import AnswerView, GatherResult

if TYPE_CHECKING:
    from missive_host.a2a.shapes import Json
    from missive_host.collectives.members import Crew, Member
    from missive_host.core.core import Core
    from missive_host.store import Tables

ASK_SECONDS = 30.0
"""How long one agent may take, if there is no deadline."""
EVENTS = {"gathered": "gathered", "missing_task": "missing", "empty_output": "empty"}
"""Status to the event of the journal; other statuses are called as they are."""


class Gathering:
    """The answers of a crew."""

    def __init__(self, core: Core, crew: Crew) -> None:
        self.operation = Operation(core, "gather", crew.group, crew.context_id)
        self.crew = crew
        self._core = core
        self._answers: list[tuple[Member, Answer, Content]] = []
        self._errors: dict[str, ErrorReport] = {}
        self._refreshed = False
        self._result: GatherResult | None = None

    async def refresh(self, seconds: float | None = None) -> None:
        """Ask every agent how it stands, once. What goes wrong is told with the member; `seconds` are for all."""
        self._refreshed = True
        limit = anyio.CapacityLimiter(self._core.settings.config.qos.concurrency)
        deadline = None if seconds is None else time.monotonic() + seconds
        within = ASK_SECONDS if seconds is None else seconds

        async def refresh_one(member: Member, answer: Answer) -> None:
            async with limit:
                left = ASK_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    with anyio.fail_after(left):
                        await ask(self._core, self.crew.context_id, member, answer, by="gather")
                except TimeoutError:
                    error: MissiveError = TransportError(f"agent '{member.agent}' gave no answer within {within:g} s")
                except MissiveError as failure:
                    error = failure
                else:
                    return
                self._errors[member.agent] = self._core.report(error)

        known = self._core.store.read(
            lambda tables: [(member, answer_of(tables, self.crew, member)) for member in self.crew.members]
        )
        with self._core.sharing():
            async with anyio.create_task_group() as group:
                for member, answer in known:
                    if answer.message is None:  # a Message is all there is to it
                        group.start_soon(refresh_one, member, answer)

    def collect(self) -> None:
        """Read the answers from the store."""

        def read(tables: Tables) -> list[tuple[Member, Answer, Content]]:
            found = []
            for member in self.crew.members:
                answer = answer_of(tables, self.crew, member)
                found.append((member, answer, content_of(tables, answer)))
            return found

        self._answers = self._core.store.read(read)

    def artifacts(self) -> list[tuple[Member, list[Json]]]:
        """Return what each member made, as A2A artifacts; a Message or a status that says all counts as one."""
        return [(member, _artifacts(answer, content)) for member, answer, content in self._answers]

    async def end(self, interrupted: bool = False, **files: object) -> GatherResult:
        """Write down what was gathered, and return the result. `files` are the fields about written files."""
        result = self.result(interrupted)
        if files:
            result = msgspec.structs.replace(result, **files)
        self._result = result

        def write(tables: Tables) -> None:
            rows = [
                self.operation.member_row(
                    member.agent,
                    member.rank,
                    view.status,
                    task_id=answer.task.task_id if answer.task is not None else None,
                    response_message_id=answer.message.message_id if answer.message is not None else None,
                    remote_context_id=answer.remote_context_id,
                    state=answer.task.state if answer.task is not None else None,
                    shape=answer.shape,
                )
                for (member, answer, _), view in zip(self._answers, result.members, strict=True)
            ]
            self.operation.store_begin(tables, rows)
            for row in rows:
                name = EVENTS.get(row.status, row.status)
                self.operation.store_event(tables, f"member.{name}", {"rank": row.rank, "state": row.state}, row)

        await self.operation.end(result, also=write)
        return result

    @property
    def views(self) -> tuple[AnswerView, ...]:
        return tuple(
            view_of(index, member, answer, content, self._errors.get(member.agent))
            for index, (member, answer, content) in enumerate(self._answers)
        )

    def result(self, interrupted: bool = False) -> GatherResult:
        """Return the document."""
        views = self.views
        statuses = [view.status for view in views]
        gathered, empty = statuses.count("gathered"), statuses.count("empty_output")
        count = len(self.crew.members)
        status = "succeeded" if gathered == count else "partial" if gathered else "missing"
        broadcast = self.crew.broadcast
        return GatherResult(
            profile=self._core.profile,
            operation_id=self.operation.operation_id,
            group=self.crew.group,
            context_id=self.crew.context_id,
            status="interrupted" if interrupted else status,
            refreshed=self._refreshed,
            broadcast=UNSET if broadcast is None else broadcast.operation_id,
            member_count=count,
            gathered_count=gathered,
            missing_count=count - gathered - empty,
            empty_count=empty,
            members=views,
            message=f"answers of {gathered} of {count} members of '{self.crew.group}'",
        )


def _artifacts(answer: Answer, content: Content) -> list[Json]:
    if content.artifacts:
        return [row.content for row in content.artifacts]
    parts: list[Json] = []
    if answer.message is not None:
        parts = answer.message.content.get("parts") or []
    elif answer.task is not None:
        parts = (answer.task.task.get("status", {}).get("message") or {}).get("parts") or []
    return [{"artifactId": "answer", "name": "answer", "parts": parts}] if parts else []
