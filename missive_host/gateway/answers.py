"""The answers of work on their way to whoever waits for them.

A result is committed before it is sent on. Each viewer reads at its own speed: what has just come is in memory, what
is older is read from the store, so that a slow reader holds up nobody, and one that comes later misses nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_host.core.jobs import Results
from missive_host.errors import ErrorReport
from missive_host.ids import now
from missive_host.outputs import Output
from missive_host.protocols import Done, Outcome, Receipt, Reject, UnknownReceiptError, Viewer
from missive_host.telemetry import about
from missive_host.telemetry.spans import CLIENT, entering, messaging

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from missive_host.core.core import Core
    from missive_host.store.rows import WorkOutputRow, WorkRow
    from missive_host.telemetry import TraceContext

log = logging.getLogger("missive.gateway")

SETTLE_SECONDS = 10.0
"""How long an adapter may take to deliver the end of an answer, before that counts as failed."""
SETTLE_PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds before an answer that could not be delivered is delivered again; after that, at the next start."""
MARK_PAUSE = 2.0
"""Seconds before it is written down again what was delivered, if that could not be done."""
IN_MEMORY = 32
"""How many of the newest results of work that runs are kept in memory."""
PAGE = 100


class Live:
    """Work that runs in this process, or has just ended in it."""

    __slots__ = ("changed", "newest", "outcome", "total", "trace")

    def __init__(self, total: int, trace: TraceContext | None = None) -> None:
        self.trace = trace
        self.total = total
        """How many results there are, those in the store included."""
        self.newest: deque[Output] = deque(maxlen=IN_MEMORY)
        self.outcome: Outcome | None = None
        self.changed = anyio.Event()

    def tell(self) -> None:
        changed, self.changed = self.changed, anyio.Event()
        changed.set()


class Answers:
    """Who waits for what."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._results = Results()
        self._group: TaskGroup | None = None
        self._live: dict[str, Live] = {}
        self._attached: dict[str, list[tuple[Viewer, int]]] = {}
        """Viewers of work that has not given any result yet: they cost nothing but this entry."""
        self._begun: dict[str, anyio.Event] = {}
        self._delivered: list[str] = []
        self._to_mark = anyio.Event()
        self._pumps: dict[str, int] = {}
        self._all_served = anyio.Event()

    async def run(self, group: TaskGroup) -> None:
        """Write down what has been delivered, until cancelled; viewers are served in `group`."""
        self._group = group
        while True:
            await self._to_mark.wait()
            self._to_mark = anyio.Event()
            if not await self.mark():
                await anyio.sleep(MARK_PAUSE)
                self._to_mark.set()

    async def mark(self) -> bool:
        """Write down which answers have been delivered. Return False if that is still to be done."""
        from missive_host.errors import StorageError

        ids, self._delivered = self._delivered, []
        if not ids:
            return True
        try:
            with anyio.CancelScope(shield=True):
                await self._core.store.commit(lambda tables: tables.work.set_delivered(ids, at=now()))
        except StorageError as error:  # at worst they are delivered again at the next start, which does no harm
            self._delivered[:0] = ids
            log.warning("could not write down that %d answers were delivered: %s", len(ids), error.message)
            return False
        return True

    async def all_served(self) -> None:
        """Wait until nobody is being served."""
        while self._pumps:
            self._all_served = anyio.Event()
            await self._all_served.wait()

    # --- the work's side

    def begin(self, work_id: str, total: int, trace: TraceContext | None = None) -> Live:
        live = self._live[work_id] = Live(total, trace)
        event = self._begun.pop(work_id, None)
        if event is not None:
            event.set()
        return live

    def publish(self, work_id: str, output: Output) -> None:
        """Hand on a result that has been committed."""
        live = self._live[work_id]
        live.total += 1
        live.newest.append(output)
        self._start(work_id)
        live.tell()

    def end(self, work_id: str, outcome: Outcome | None) -> None:
        """Hand on the outcome, which has been committed. None: the work goes on later, here or in another process."""
        live = self._live.pop(work_id)
        live.outcome = outcome
        if outcome is not None:
            self._start(work_id, live)
        live.tell()

    def notice(self, work_id: str) -> None:
        """Somebody else has ended work that was waiting."""
        if work_id not in self._live:
            self._start(work_id)
            event = self._begun.pop(work_id, None)
            if event is not None:
                event.set()

    # --- the viewers' side

    def attach(self, work_id: str, viewer: Viewer, *, after: int = 0) -> None:
        """Let a viewer have the answer when it comes; that it was delivered is written down."""
        self._attached.setdefault(work_id, []).append((viewer, after))
        live = self._live.get(work_id)
        if live is not None and live.newest:
            self._start(work_id)

    def attach_ended(self, work_id: str, viewer: Viewer) -> None:
        """As `attach`, for work that has given results or has ended already."""
        self._attached.setdefault(work_id, []).append((viewer, 0))
        self._start(work_id)

    def detach(self, work_id: str) -> None:
        """Forget the viewers of work that was not taken in."""
        self._attached.pop(work_id, None)

    def is_awaited(self, work_id: str) -> bool:
        return work_id in self._attached or work_id in self._pumps

    async def follow(self, work_id: str, viewer: Viewer, after: int) -> None:
        """Serve a viewer in the caller's task; what is delivered so is not written down."""
        await self._pump(work_id, viewer, after, self._live.get(work_id))

    def _start(self, work_id: str, live: Live | None = None) -> None:
        live = live or self._live.get(work_id)
        for viewer, after in self._attached.pop(work_id, ()):
            assert self._group is not None  # before it is there, nobody has been taken in
            self._pumps[work_id] = self._pumps.get(work_id, 0) + 1
            self._group.start_soon(self._serve, work_id, viewer, after, live)

    async def _serve(self, work_id: str, viewer: Viewer, after: int, live: Live | None) -> None:
        try:
            with about(work_id=work_id):
                await self._pump(work_id, viewer, after, live)
                log.debug("the answer is delivered")
        except Exception as error:  # noqa: BLE001 - a door that fails must not end the others
            with about(work_id=work_id):
                log.warning("the answer of %s could not be delivered: %s", work_id, type(error).__name__)
        else:
            self._delivered.append(work_id)
            self._to_mark.set()
        finally:
            left = self._pumps[work_id] - 1
            if left:
                self._pumps[work_id] = left
            else:
                del self._pumps[work_id]
                self._all_served.set()

    async def _pump(self, work_id: str, viewer: Viewer, position: int, live: Live | None) -> None:
        """Send the results from a position on, as they come, then settle. Raises what the viewer raises."""
        while True:
            live = live or self._live.get(work_id)
            if live is None:
                work, outputs = self._stored(work_id, position)
                for output in outputs:
                    await viewer.send(output)
                position += len(outputs)
                if len(outputs) == PAGE or (outputs and not work.ended):
                    continue  # while they were sent, it may have begun, and ended
                if work.ended:
                    await self._settle(work_id, viewer, outcome_of(work), work.trace)
                    return
                await self._begun.setdefault(work_id, anyio.Event()).wait()
                continue
            changed, outcome = live.changed, live.outcome
            first = live.total - len(live.newest)
            if position < first:
                for output in self._stored(work_id, position)[1][: first - position]:
                    await viewer.send(output)
                    position += 1
                continue
            for output in tuple(live.newest)[position - first :]:
                await viewer.send(output)
                position += 1
            if position < live.total:
                continue
            if outcome is not None:
                await self._settle(work_id, viewer, outcome, live.trace)
                return
            if live.outcome is None and self._live.get(work_id) is not live:
                live = None  # it was given back
                continue
            if changed is live.changed:
                await changed.wait()

    async def _settle(self, work_id: str, viewer: Viewer, outcome: Outcome, trace: TraceContext | None) -> None:
        with entering("settle", CLIENT, trace, messaging("settle", None, work_id)) as settling:
            settling.note("missive.outcome", type(outcome).__name__.lower())
            await self._deliver(work_id, viewer, outcome)

    async def _deliver(self, work_id: str, viewer: Viewer, outcome: Outcome) -> None:
        for pause in (*SETTLE_PAUSES, None):
            try:
                with anyio.fail_after(SETTLE_SECONDS, shield=True):
                    await viewer.settle(outcome)
            except Exception as error:
                if pause is None:
                    raise
                log.warning(
                    "the answer of %s could not be delivered, next try in %g s: %s",
                    work_id, pause, getattr(error, "message", type(error).__name__),
                )  # fmt: skip
                await anyio.sleep(pause)
            else:
                return

    def _stored(self, work_id: str, position: int) -> tuple[WorkRow, list[Output]]:
        def read(tables: Any) -> tuple[WorkRow | None, tuple[WorkOutputRow, ...]]:
            return tables.work.get(work_id), tables.work.outputs(work_id, after=position, limit=PAGE)

        work, rows = self._core.store.read(read)
        if work is None:
            raise unknown_receipt(work_id)
        return work, [self._results.restored(row) for row in rows]


def unknown_receipt(work_id: str) -> UnknownReceiptError:
    return UnknownReceiptError(
        f"there is no receipt '{work_id[:64]}'",
        help="answers are kept as long as `keep_answers` of [gateway] says",
    )


def outcome_of(work: WorkRow) -> Outcome:
    """Return the outcome of work that has ended."""
    if work.state == "done":
        return Done()
    return Reject(msgspec.convert(work.error, ErrorReport), dead=work.state == "dead")


def receipt_of(work: WorkRow, *, duplicate: bool = False) -> Receipt:
    return Receipt(
        work.work_id,
        adapter=work.adapter,
        state=work.state,
        accepted_at=work.accepted_at,
        duplicate=duplicate,
        outputs=work.outputs,
        reply_to=work.reply_to,
        finished_at=work.finished_at,
    )
