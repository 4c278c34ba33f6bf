"""One piece of work: running its command, and committing what comes of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import msgspec

from missive_host.core import jobs, sessions
from missive_host.core.core import WorkContext
from missive_host.core.recorder import journal_event
from missive_host.envelopes import from_stored
from missive_host.errors import ErrorReport, MissiveError, StorageError, TransportError
from missive_host.gateway import busy
from missive_host.gateway.retrying import pause, retryable
from missive_host.ids import after, now
from missive_host.protocols import Done, Outcome, Reject
from missive_host.store.rows import WorkOutputRow, WorkRow

if TYPE_CHECKING:
    from missive_host.a2a.parts import FileAccess
    from missive_host.core.core import Core, Emit
    from missive_host.envelopes import Envelope
    from missive_host.gateway.answers import Answers
    from missive_host.gateway.dispatcher import Dispatcher
    from missive_host.outputs import Output
    from missive_host.store import Tables

log = logging.getLogger("missive.gateway")

STEERED, LANE = "steered", "lane"
"""Keys of a stored request that goes to a task that runs: to which one, and where it belongs if that cannot be."""


class Observer(Protocol):
    """Is told how work goes, for metrics."""

    def delivered(self, adapter: str, outcome: str, seconds: float) -> None: ...
    def agent_error(self, agent: str, category: str) -> None: ...


class Run:
    """A piece of work that runs."""

    def __init__(self, work: WorkRow) -> None:
        self.work = work
        self.context = WorkContext(work.work_id, attempt=work.begun, outputs=work.outputs)
        self.scope = anyio.CancelScope()
        self.since = anyio.current_time()
        self.reason: MissiveError | None = None
        """Why it was interrupted; None: it was not, or the gateway stops."""
        self.held: Output | None = None
        """A result that is committed together with the end."""
        self.envelope: Envelope | None = None
        self.unsteered: str | None = None
        """Why the agent did not take it to the task that runs: it has to wait for its turn, or to interrupt."""
        self.over = anyio.Event()

    @property
    def starts_over(self) -> bool:
        """Whether an earlier attempt has given results that this one gives anew. Of a stream it gives the others."""
        work = self.work
        return work.begun > 1 and work.outputs > 0 and work.command not in ("stream", "task_subscribe")


class Runner:
    """Runs the commands of work that the dispatcher has claimed."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        files: Callable[[str], FileAccess | None],
        observer: Observer | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._files = files
        self._observer = observer

    @property
    def _core(self) -> Core:
        return self._dispatcher.core

    @property
    def _answers(self) -> Answers:
        return self._dispatcher.answers

    async def execute(self, run: Run) -> BaseException | None:
        """Run the command; return what went wrong."""
        work = run.work

        async def emit(output: Output) -> None:
            if work.kind == "delivery":
                output = await self._dispatcher.filters(work.adapter).output(output)
            await self._flush(run)
            if output.kind.endswith("_event"):
                await self._keep(run, output)
            else:
                run.held = output

        try:
            if run.starts_over:
                run.context.outputs = 0
                await self._dispatcher.persist(lambda tables: tables.work.clear_outputs(work.work_id))
            if work.kind == "job":
                job = jobs.request_of(work.request)
                await self._core.for_work(run.context, files=job.access).run(job.command, emit)
            else:
                await self._deliver(run, emit)
        except Exception as error:
            if not isinstance(error, MissiveError):
                log.warning("unexpected %s", type(error).__name__, exc_info=log.isEnabledFor(logging.DEBUG))
            return error
        return None

    async def _deliver(self, run: Run, emit: Emit) -> None:
        """Run the command of a delivery: in the context of its session, or steered to a task that runs."""
        work = run.work
        run.envelope = envelope = from_stored(work.request)
        core = self._core.for_work(run.context, files=self._files(work.adapter))
        steered = work.request.get(STEERED)
        if steered is not None:
            running = msgspec.convert(steered, busy.RunningView)
            run.unsteered = await busy.steer(core.run, envelope.command, running, emit)
            return
        command: Any = envelope.command
        if envelope.session is not None and sessions.target_of(command) is not None:
            rules = sessions.rules_for(self._core.settings.config, work.adapter)

            def write(tables: Tables) -> str | None:
                context = work.context_id or sessions.resolve(tables, envelope, work.adapter, rules, work.accepted_at)
                tables.work.note(work.work_id, context_id=context)
                return context

            command = msgspec.structs.replace(command, context=await self._dispatcher.persist(write))
        await core.run(command, emit)

    async def _flush(self, run: Run) -> None:
        held, run.held = run.held, None
        if held is not None:
            await self._keep(run, held)

    async def _keep(self, run: Run, output: Output) -> None:
        row = self._row(run, output)
        await self._dispatcher.persist(lambda tables: tables.work.add_output(row))
        self._answers.publish(run.work.work_id, output)

    def _row(self, run: Run, output: Output) -> WorkOutputRow:
        position, run.context.outputs = run.context.outputs, run.context.outputs + 1
        return WorkOutputRow(
            work_id=run.work.work_id,
            position=position,
            kind=output.kind,
            sequence=output.sequence,
            data=msgspec.to_builtins(output.data),
            created_at=now(),
        )

    async def end(self, run: Run, error: BaseException | None, *, ended: bool) -> Outcome | None:
        """Commit how it ended, and return the outcome; None: it goes on later."""
        work = run.work
        if not ended and run.reason is None:
            await self._dispatcher.persist(lambda tables: tables.work.retry_later(work, now(), at=now(), counted=False))
            return None
        if run.unsteered is not None:
            await self._back_into_lane(run, run.unsteered)
            return None
        if not ended:
            error = run.reason
        report = None if error is None else self._core.report(error)
        if report is not None and work.kind == "delivery":
            report = await self._dispatcher.filters(work.adapter).report(report)
        if error is not None and ended and self._goes_on(run, error):
            seconds = pause(work.attempts, error, jitter=random.random)
            at, counted = after(seconds), not isinstance(error, StorageError)
            await self._dispatcher.persist(partial(_put_off, work=work, until=at, report=report, counted=counted))
            log.info("%s %s is tried again in %.1f s: %s", work.kind, work.work_id, seconds, report and report.message)
            return None
        state = "done" if report is None else "cancelled" if not ended else "dead" if _unexpected(error) else "failed"
        held, run.held = run.held, None
        row = None if held is None else self._row(run, held)

        def write(tables: Tables) -> bool:
            if row is not None:
                tables.work.add_output(row)
            if run.envelope is not None:
                sessions.touch(tables, run.envelope, work.adapter, now())
            finished = tables.work.finish(
                work, state, at=now(), error=None if report is None else msgspec.to_builtins(report)
            )
            if finished and (event := jobs.ended_event(tables, work, state, report)) is not None:
                tables.events.append(event)
            return finished

        if not await self._dispatcher.persist(write):
            log.warning("%s %s was taken up by another process", work.kind, work.work_id)
            return None
        _log_end(run, state, report)
        if held is not None:
            self._answers.publish(work.work_id, held)
        if state == "dead":
            await self._dispatcher.note_dead(work)
        self._observe(work, state, report)
        return Done() if report is None else Reject(report, dead=state == "dead")

    async def _back_into_lane(self, run: Run, refused: str) -> None:
        """What could not be steered waits for its turn after all, or interrupts what runs."""
        work = run.work
        lane = str(work.request[LANE])
        assert run.envelope is not None
        command = run.envelope.command
        rules = busy.rules_for(self._core.settings.config, work.adapter)
        running = self._dispatcher.running_in(lane)
        disposition = busy.decide(rules, command, running, 0, refused=refused)
        request = {key: value for key, value in work.request.items() if key not in (STEERED, LANE)}
        event = busy.journal(disposition, running, work_id=work.work_id, adapter=work.adapter, lane=lane)

        def write(tables: Tables) -> None:
            tables.work.into_lane(work, lane, request, at=now())
            if event is not None:
                tables.events.append(event)

        await self._dispatcher.persist(write)
        await busy.apply(disposition, running, self._dispatcher)

    def _goes_on(self, run: Run, error: BaseException) -> bool:
        """Whether the work is to be tried again: what is unexpected, what is safe, and what an agent has accepted."""
        work = run.work
        if isinstance(error, StorageError):
            return True
        if work.attempts >= work.max_attempts:
            return False
        if _unexpected(error):
            return True
        if run.context.accepted and isinstance(error, TransportError):
            return True
        return work.kind == "job" and retryable(error)

    def _observe(self, work: WorkRow, state: str, report: ErrorReport | None) -> None:
        if self._observer is None:
            return
        accepted = datetime.fromisoformat(work.accepted_at)
        self._observer.delivered(work.adapter, state, (datetime.now(UTC) - accepted).total_seconds())
        # Who sends may name agents that there are not: each would be a series for ever.
        # What we cut off is no fault of the agent.
        at_fault = state == "failed" and report is not None and report.category != "validation"
        if at_fault and report is not None and work.agent_alias is not None:
            self._observer.agent_error(work.agent_alias, report.category)


def _put_off(tables: Tables, *, work: WorkRow, until: str, report: ErrorReport | None, counted: bool) -> None:
    """Write down that work is tried again later, and why."""
    at = now()
    tables.work.retry_later(work, until, at=at, error=msgspec.to_builtins(report), counted=counted)
    row = tables.work.get(work.work_id)
    if row is None or row.state != "ready":
        return  # it was to be cancelled, or somebody else has it
    why = {} if report is None else {"error": {"code": report.code, "message": report.message}}
    event = journal_event(
        "missive.gateway.retrying",
        source="gateway:intake",
        agent_alias=work.agent_alias,
        context_id=row.context_id,
        task_id=row.task_id,
        work_id=work.work_id,
        payload={"work_id": work.work_id, "attempts": work.attempts, "run_at": until, **why},
        at=at,
    )
    tables.events.append(event)


def _log_end(run: Run, state: str, report: ErrorReport | None) -> None:
    seconds = anyio.current_time() - run.since
    if report is None:
        log.info("%s is done after %.3f s", run.work.command, seconds)
        return
    level = logging.INFO if state == "cancelled" else logging.WARNING
    log.log(level, "%s: %s after %.3f s: %s", run.work.command, state, seconds, report.message)


def _unexpected(error: BaseException | None) -> bool:
    """A fault of missive or of this machine, not an answer to what was asked."""
    return error is not None and (isinstance(error, StorageError) or not isinstance(error, MissiveError))
