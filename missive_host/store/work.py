"""Work that was taken in: deliveries and jobs, as a queue with lanes and leases.

::

    put ─► queued ─► ready ─► running ─► done | failed | cancelled | dead
             behind another     │  ▲
             in its lane        └──┘ retry_later, release, reclaim

Who ends work or gives it back names the ``owner`` and the ``begun`` under which it was taken: that is refused if
somebody else has taken the work up meanwhile. What is to be cancelled is never given back: it ends ``cancelled``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.store.rows import Json, WorkOutputRow, WorkRow
from missive_host.store.values import Where, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from sqlite3 import Connection

_SELECT = """
    SELECT work_id, kind, adapter, idempotency_key, command, agent_alias, group_name, lane, state, request_json,
           reply_to_json, attempts, max_attempts, run_at, owner, cancel, context_id, task_id, error_json, outputs,
           accepted_at, updated_at, finished_at, delivered_at, ordinal, request_sha256, begun
    FROM work
"""
_INSERT = """
    INSERT INTO work (work_id, kind, adapter, idempotency_key, command, agent_alias, group_name, lane, state,
                      request_json, request_sha256, reply_to_json, attempts, max_attempts, run_at, cancel, outputs,
                      accepted_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, 0, 0, ?, ?)
"""
_CLAIM = """
    UPDATE work SET state = 'running', owner = ?, attempts = attempts + 1, begun = begun + 1, updated_at = ?
    WHERE ordinal = ?
"""
_DUE = "state = 'ready' AND run_at <= ?"
_DUE_ONCE = "state = 'ready' AND updated_at > ? AND run_at > ? AND (kind = 'delivery' OR run_at <= updated_at)"
"""The clock has been set back since it was written down. It was never told to wait; or it is a delivery, which only
waits before it is tried again, and not for an hour."""
_IS_DUE = f"""
    SELECT EXISTS(SELECT 1 FROM work INDEXED BY work_ready WHERE {_DUE})
        OR EXISTS(SELECT 1 FROM work INDEXED BY work_ready_since WHERE {_DUE_ONCE})
"""  # noqa: S608
_FINISH = """
    UPDATE work SET state = ?, error_json = ?, finished_at = ?, updated_at = ?, owner = NULL
    WHERE work_id = ? AND owner = ? AND begun = ? AND state = 'running'
"""
_GIVE_BACK = """
    UPDATE work SET state = 'ready', run_at = ?, attempts = ?, error_json = ?, owner = NULL, updated_at = ?
    WHERE work_id = ? AND owner = ? AND begun = ? AND state = 'running'
"""
_CANCEL = "UPDATE work SET state = 'cancelled', error_json = ?, finished_at = ?, updated_at = ? WHERE ordinal = ?"
_DELIVERED = "UPDATE work SET delivered_at = ? WHERE work_id = ? AND finished_at IS NOT NULL"
_ADD_OUTPUT = """
    INSERT INTO work_outputs (work_id, position, kind, sequence, data_json, created_at)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_COUNT_OPEN = """
    SELECT adapter, state, COUNT(*) FROM work
    WHERE state IN ('queued', 'ready', 'running') AND kind = COALESCE(?, kind) GROUP BY adapter, state
"""
_PRUNE = """
    DELETE FROM work
    WHERE ordinal IN (
        SELECT ordinal FROM work
        WHERE finished_at < ? AND (state <> 'dead' OR kind = 'job')
            AND (delivered_at IS NOT NULL OR kind <> 'delivery' OR reply_to_json IS NULL)
        LIMIT ?
    )
"""
_PROMOTE = """
    UPDATE work SET state = 'ready'
    WHERE ordinal = (SELECT MIN(ordinal) FROM work WHERE lane = :lane AND state IN ('queued', 'ready', 'running'))
        AND state = 'queued'
        AND NOT EXISTS (SELECT 1 FROM work WHERE lane = :lane AND state IN ('ready', 'running'))
"""
_NEXT_ADAPTER = """
    SELECT adapter FROM work INDEXED BY work_by_key WHERE idempotency_key IS NOT NULL AND adapter > ?
    ORDER BY adapter LIMIT 1
"""
_BY_KEY = f"""
    {_SELECT} INDEXED BY work_by_key
    WHERE adapter = ? AND idempotency_key >= ? AND idempotency_key < ? AND kind = 'delivery'
    ORDER BY ordinal DESC LIMIT 5
"""

# The index is named, since SQLite does not see that these are among its rows, and would read all that has ever ended.
_ORPHANED = _SELECT + " INDEXED BY work_open WHERE state IN ('queued', 'ready', 'running') AND state = 'running'"
_ORPHANED += " AND owner NOT IN (SELECT owner FROM workers) ORDER BY ordinal"
_OLDEST_WAITING = """
    SELECT MIN(since) FROM (
        SELECT accepted_at AS since FROM work WHERE ordinal = (
            SELECT MIN(ordinal) FROM work INDEXED BY work_open
            WHERE state IN ('queued', 'ready', 'running') AND state <> 'running' AND adapter <> 'job'
        )
        UNION ALL SELECT MIN(run_at) FROM work INDEXED BY work_ready WHERE state = 'ready' AND run_at <= ?
    )
"""
"""Of deliveries since they came; of jobs since they are due: one that is to begin tomorrow does not wait."""

JOB_CRASHES = 10
"""How often a job is begun, at the least, if it is the process that runs it that ends: that is not the job's fault."""


def request_digest(request: Json) -> str:
    """Return the digest by which a repeated request is told from another one under the same idempotency key."""
    return hashlib.sha256(to_json(request).encode()).hexdigest()


class Work:
    """Work by id."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    # --- in

    def put(self, work: WorkRow) -> WorkRow:
        """Take work in. If its adapter knows its idempotency key, nothing is written and the known row returned."""
        if work.idempotency_key is not None:
            known = self._one("WHERE adapter = ? AND idempotency_key = ?", work.adapter, work.idempotency_key)
            if known is not None:
                return known
        state = "queued" if work.lane is not None and self._lane_is_busy(work.lane) else "ready"
        digest = work.request_sha256 or request_digest(work.request)
        ordinal = self._execute(
            _INSERT,
            (
                work.work_id, work.kind, work.adapter, work.idempotency_key, work.command, work.agent_alias,
                work.group, work.lane, state, to_json(work.request), digest,
                None if work.reply_to is None else to_json(work.reply_to), work.max_attempts, work.run_at,
                work.accepted_at, work.accepted_at,
            ),
        ).lastrowid  # fmt: skip
        return msgspec.structs.replace(
            work, state=state, request_sha256=digest, updated_at=work.accepted_at, ordinal=ordinal or 0
        )

    def _lane_is_busy(self, lane: str) -> bool:
        query = "SELECT 1 FROM work WHERE lane = ? AND state IN ('queued', 'ready', 'running') LIMIT 1"
        return self._execute(query, (lane,)).fetchone() is not None

    # --- running

    def claim(
        self,
        owner: str,
        *,
        at: str,
        limit: int,
        kind: str | None = None,
        without_agents: Sequence[str] = (),
        without_adapters: Sequence[str] = (),
        take: Callable[[WorkRow], bool] = lambda _: True,
    ) -> tuple[WorkRow, ...]:
        """Take up to `limit` of the work that is due, oldest first; of what it is shown, `take` may leave some."""
        rows: list[tuple[Any, ...]] = []
        for index, due, times in (("work_ready", _DUE, (at,)), ("work_ready_since", _DUE_ONCE, (at, at))):
            where = Where().add(due, *times).given("kind = ?", kind)
            if without_agents:
                marks = ", ".join("?" * len(without_agents))
                where.add(f"(agent_alias IS NULL OR agent_alias NOT IN ({marks}))", *without_agents)
            if without_adapters:
                where.add(f"adapter NOT IN ({', '.join('?' * len(without_adapters))})", *without_adapters)
            query = where.sql(f"{_SELECT} INDEXED BY {index}", "ORDER BY run_at, ordinal LIMIT ?")
            rows += self._execute(query, (*where.values, 2 * limit - len(rows)))
        taken: list[WorkRow] = []
        for row in map(_work, rows):
            if len(taken) == limit:
                break
            if take(row):
                self._execute(_CLAIM, (owner, at, row.ordinal))
                taken.append(row.taken(owner))
        return tuple(taken)

    def is_due(self, *, at: str) -> bool:
        """Tell whether there is work to be claimed."""
        return bool(self._execute(_IS_DUE, (at, at, at)).fetchone()[0])

    def clear_outputs(self, work_id: str) -> None:
        """Forget the results of an earlier attempt, which is made again from the beginning."""
        self._execute("DELETE FROM work_outputs WHERE work_id = ?", (work_id,))
        self._execute("UPDATE work SET outputs = 0 WHERE work_id = ?", (work_id,))

    def note(
        self, work_id: str, *, agent: str | None = None, context_id: str | None = None, task_id: str | None = None
    ) -> None:
        """Write down what is known of running work: the agent that has it, the context it is in, the agent's task."""
        self._execute(
            "UPDATE work SET agent_alias = COALESCE(agent_alias, ?), context_id = COALESCE(?, context_id),"
            " task_id = COALESCE(?, task_id) WHERE work_id = ?",
            (agent, context_id, task_id, work_id),
        )

    def add_output(self, output: WorkOutputRow) -> None:
        """Write one result down; one that has been written at this position before stays as it is."""
        added = self._execute(
            _ADD_OUTPUT,
            (
                output.work_id, output.position, output.kind, output.sequence, to_json(output.data, sort=False),
                output.created_at,
            ),
        )  # fmt: skip
        if added.rowcount:
            self._execute(
                "UPDATE work SET outputs = max(outputs, ?) WHERE work_id = ?", (output.position + 1, output.work_id)
            )

    def outputs(self, work_id: str, *, after: int = 0, limit: int = -1) -> tuple[WorkOutputRow, ...]:
        """Return results in order, without the first `after`."""
        rows = self._execute(
            "SELECT work_id, position, kind, sequence, data_json, created_at FROM work_outputs"
            " WHERE work_id = ? AND position >= ? ORDER BY position LIMIT ?",
            (work_id, after, limit),
        ).fetchall()
        return tuple(
            WorkOutputRow(
                work_id=row[0], position=row[1], kind=row[2], sequence=row[3], data=from_json(row[4]), created_at=row[5]
            )
            for row in rows
        )

    # --- out

    def finish(self, work: WorkRow, state: str, *, at: str, error: Json | None = None) -> bool:
        """End running work as ``done``, ``failed``, ``cancelled`` or ``dead``. Return False if it is no longer ours."""
        changed = self._execute(
            _FINISH,
            (state, None if error is None else to_json(error), at, at, work.work_id, work.owner, work.begun),
        ).rowcount
        if changed:
            self._promote(work.lane)
        return bool(changed)

    def retry_later(
        self, work: WorkRow, run_at: str, *, at: str, error: Json | None = None, counted: bool = True
    ) -> bool:
        """Give running work back, to be tried again from `run_at` on. Not `counted`: as if it had not been tried.

        If it has been tried often enough it is ``dead`` instead, and ``cancelled`` if somebody has asked for that.
        Return False if it is not ours any more.
        """
        if self._is_to_be_cancelled(work):
            return self.finish(work, "cancelled", at=at, error=error)
        attempts = work.attempts if counted else work.attempts - 1
        if attempts >= work.max_attempts:
            return self.finish(work, "dead", at=at, error=error)
        return self._give_back(work, run_at, attempts, at=at, error=error)

    def _give_back(self, work: WorkRow, run_at: str, attempts: int, *, at: str, error: Json | None) -> bool:
        error_json = None if error is None else to_json(error)
        values = (run_at, attempts, error_json, at, work.work_id, work.owner, work.begun)
        return bool(self._execute(_GIVE_BACK, values).rowcount)

    def _is_to_be_cancelled(self, work: WorkRow) -> bool:
        query = "SELECT cancel FROM work WHERE work_id = ? AND state = 'running'"
        row = self._execute(query, (work.work_id,)).fetchone()
        return bool(row and row[0])

    def into_lane(self, work: WorkRow, lane: str, request: Json, *, at: str) -> bool:
        """Give running work back as if it had not been begun, to wait in a lane. False if it is not ours any more."""
        state = "queued" if self._lane_is_busy(lane) else "ready"
        return bool(
            self._execute(
                "UPDATE work SET state = ?, lane = ?, request_json = ?, attempts = attempts - 1, owner = NULL,"
                " updated_at = ? WHERE work_id = ? AND owner = ? AND begun = ? AND state = 'running'",
                (state, lane, to_json(request), at, work.work_id, work.owner, work.begun),
            ).rowcount
        )

    def set_delivered(self, work_ids: Iterable[str], *, at: str) -> None:
        """Write down that the answers have been delivered."""
        for work_id in work_ids:
            self._execute(_DELIVERED, (at, work_id))

    def cancel(self, work_id: str, *, at: str, error: Json | None = None) -> str:
        """Cancel work. Return ``cancelled``, ``running`` (its owner finds it in `to_cancel`) or the state it ended in.

        Raises `KeyError` if there is no such work.
        """
        work = self.get(work_id)
        if work is None:
            raise KeyError(work_id)
        if work.state in ("queued", "ready"):
            self._execute(
                _CANCEL,
                (None if error is None else to_json(error), at, at, work.ordinal),
            )
            self._promote(work.lane)
            return "cancelled"
        if work.state == "running":
            self._execute("UPDATE work SET cancel = 1, updated_at = ? WHERE ordinal = ?", (at, work.ordinal))
        return work.state

    def to_cancel(self, owner: str) -> tuple[str, ...]:
        """Return the ids of the running work of an owner that is to be cancelled."""
        rows = self._execute("SELECT work_id FROM work WHERE state = 'running' AND cancel = 1 AND owner = ?", (owner,))
        return tuple(row[0] for row in rows)

    def _promote(self, lane: str | None) -> None:
        if lane is not None:
            self._execute(_PROMOTE, {"lane": lane})

    # --- owners

    def renew(self, owner: str, *, until: str, at: str) -> None:
        """Say that a process lives, and is to be believed so until then."""
        self._execute(
            "INSERT INTO workers (owner, until, started_at) VALUES (?, ?, ?)"
            " ON CONFLICT (owner) DO UPDATE SET until = excluded.until",
            (owner, until, at),
        )

    def owners(self) -> tuple[str, ...]:
        """Return the processes that have a lease, run out or not."""
        return tuple(row[0] for row in self._execute("SELECT owner FROM workers"))

    def leases(self, *, at: str) -> dict[str, str]:
        """Return the processes that live and run work, each with the time until which that is believed."""
        return dict(self._execute("SELECT owner, until FROM workers WHERE until >= ?", (at,)).fetchall())

    def leave(self, owner: str) -> None:
        """Say that a process has given all its work back."""
        self._execute("DELETE FROM workers WHERE owner = ?", (owner,))

    def reclaim(self, *, at: str, gone: Sequence[str] = (), error: Json | None = None) -> tuple[WorkRow, ...]:
        """Give back what belongs to processes whose lease has run out, or that are `gone`; return it, dead or ready."""
        for owner in gone:
            self.leave(owner)
        self._execute("DELETE FROM workers WHERE until < ?", (at,))
        rows = self._execute(_ORPHANED).fetchall()
        found = []
        for work in map(_work, rows):
            if work.kind == "job" and work.attempts < JOB_CRASHES and not work.cancel:
                self._give_back(work, at, work.attempts, at=at, error=error)
            else:
                self.retry_later(work, at, at=at, error=error)
            found.append(self.get(work.work_id) or work)
        return tuple(found)

    # --- looking

    def get(self, work_id: str) -> WorkRow | None:
        return self._one("WHERE work_id = ?", work_id)

    def by_key(self, beginning: str) -> tuple[WorkRow, ...]:
        """Return the newest deliveries, at most 5, whose idempotency key begins like this."""
        found: list[tuple[Any, ...]] = []
        adapter = self._execute(_NEXT_ADAPTER, ("",)).fetchone()
        while adapter is not None:  # the index begins with the adapter
            found += self._execute(_BY_KEY, (*adapter, beginning, beginning + chr(0x10FFFF)))
            adapter = self._execute(_NEXT_ADAPTER, adapter).fetchone()
        return tuple(sorted(map(_work, found), key=lambda row: row.ordinal, reverse=True)[:5])

    def list(
        self,
        *,
        kind: str | None = None,
        adapter: str | None = None,
        states: Sequence[str] = (),
        command: str | None = None,
        agent: str | None = None,
        context: str | None = None,
        lane: str | None = None,
        tried: bool | None = None,
        limit: int | None = None,
    ) -> tuple[WorkRow, ...]:
        """Return work in the order in which it came; with `limit` the newest of it.

        `tried` says whether it has been begun at least once.
        """
        where = Where().given("kind = ?", kind).given("adapter = ?", adapter).given("command = ?", command)
        where.given("agent_alias = ?", agent).given("context_id = ?", context).given("lane = ?", lane)
        if tried is not None:
            where.add("attempts > 0" if tried else "attempts = 0")
        if states:
            where.add(f"state IN ({', '.join('?' * len(states))})", *states)
        rows = self._execute(
            where.sql(_SELECT, "ORDER BY ordinal DESC LIMIT ?"), (*where.values, -1 if limit is None else limit)
        ).fetchall()
        rows.reverse()
        return tuple(map(_work, rows))

    def undelivered(self, adapter: str) -> tuple[WorkRow, ...]:
        """Return the deliveries of a door that have not been answered, ended or not, in order."""
        rows = self._execute(
            f"{_SELECT} WHERE kind = 'delivery' AND adapter = ? AND delivered_at IS NULL ORDER BY ordinal", (adapter,)
        )
        return tuple(map(_work, rows.fetchall()))

    def open_counts(self, kind: str | None = None) -> dict[str, dict[str, int]]:
        """Return how much has not ended: adapter -> state -> count."""
        rows = self._execute(_COUNT_OPEN, (kind,))
        counts: dict[str, dict[str, int]] = {}
        for adapter, state, count in rows:
            counts.setdefault(adapter, {})[state] = count
        return counts

    def open_places(self) -> tuple[tuple[str, str, str | None], ...]:
        """Return id, adapter and lane of each delivery that has not ended."""
        return tuple(
            self._execute(
                "SELECT work_id, adapter, lane FROM work INDEXED BY work_open"
                " WHERE state IN ('queued', 'ready', 'running') AND kind = 'delivery'"
            ).fetchall()
        )

    def oldest_waiting(self, *, at: str) -> str | None:
        """Return since when the work waits that waits for the longest, or None."""
        since: str | None = self._execute(_OLDEST_WAITING, (at,)).fetchone()[0]
        return since

    def count_dead(self) -> int:
        """Return how many dead letters there are: deliveries. A job that has ended so has failed, and that is all."""
        (count,) = self._execute("SELECT COUNT(*) FROM work WHERE state = 'dead' AND kind = 'delivery'").fetchone()
        return int(count)

    # --- dead letters, and what is too old

    def retry(self, work_id: str, *, at: str) -> bool:
        """Run work that ended ``dead`` (or a job that failed) again, with its attempts counted anew.

        Its `reply_to` then says ``retried``: the first answer has been delivered, and this is another one.
        """
        work = self.get(work_id)
        if work is None or work.state not in ("dead", "failed", "cancelled"):
            return False
        state = "queued" if work.lane is not None and self._lane_is_busy(work.lane) else "ready"
        begun = work.begun if work.state == "dead" else 0  # an agent may have it already
        reply_to = None if work.reply_to is None else to_json({**work.reply_to, "retried": True})
        self._execute("DELETE FROM work_outputs WHERE work_id = ?", (work_id,))
        self._execute(
            "UPDATE work SET state = ?, attempts = 0, begun = ?, cancel = 0, run_at = ?, outputs = 0,"
            " reply_to_json = ?, error_json = NULL, finished_at = NULL, delivered_at = NULL, updated_at = ?"
            " WHERE ordinal = ?",
            (state, begun, at, reply_to, at, work.ordinal),
        )
        return True

    def drop(self, work_id: str) -> bool:
        """Forget work that has ended."""
        return bool(
            self._execute(
                "DELETE FROM work WHERE work_id = ? AND state IN ('done', 'failed', 'dead', 'cancelled')", (work_id,)
            ).rowcount
        )

    def prune(self, before: str, *, limit: int = 1000) -> int:
        """Forget what ended before a time; return how much that was, at most `limit`.

        Dead letters stay, and answers that have not been delivered and may still be.
        """
        return self._execute(_PRUNE, (before, limit)).rowcount

    def _one(self, condition: str, *values: Any) -> WorkRow | None:
        row = self._execute(f"{_SELECT} {condition}", values).fetchone()
        return _work(row) if row else None


def _work(row: tuple[Any, ...]) -> WorkRow:
    return WorkRow(
        work_id=row[0], kind=row[1], adapter=row[2], idempotency_key=row[3], command=row[4], agent_alias=row[5],
        group=row[6], lane=row[7], state=row[8], request=from_json(row[9]),
        reply_to=None if row[10] is None else from_json(row[10]), attempts=row[11], max_attempts=row[12],
        run_at=row[13], owner=row[14], cancel=bool(row[15]), context_id=row[16], task_id=row[17],
        error=None if row[18] is None else from_json(row[18]), outputs=row[19], accepted_at=row[20],
        updated_at=row[21], finished_at=row[22], delivered_at=row[23], ordinal=row[24], request_sha256=row[25],
        begun=row[26],
    )  # fmt: skip
