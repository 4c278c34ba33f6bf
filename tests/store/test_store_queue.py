"""Work as a queue: lanes, leases, fences, retries, cancelling; and two processes that claim at once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from storekit import T0, T1, T2

from missive_host.errors import StorageError
from missive_host.store import Store, Tables, WorkOutputRow, WorkRow
from missive_host.store.work import JOB_CRASHES

LATER = "2026-01-01T00:01:00.000000Z"
ERROR = {"code": "missive::transport", "category": "transport", "message": "-", "exit_code": 69}
ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def work(work_id: str, **values: Any) -> WorkRow:
    made = {
        "work_id": work_id, "kind": "delivery", "adapter": "http", "command": "send", "agent_alias": "echo",
        "request": {"command": {"command": "send"}}, "max_attempts": 3, "run_at": T0, "accepted_at": T0, **values,
    }  # fmt: skip
    return WorkRow(**made)


def put(store: Store, *ids: str, **values: Any) -> None:
    for work_id in ids:
        store.write(lambda t, work_id=work_id: t.work.put(work(work_id, **values)))  # type: ignore[misc]


def get(store: Store, work_id: str) -> WorkRow:
    found = store.read(lambda t: t.work.get(work_id))
    assert found is not None
    return found


def states(store: Store) -> dict[str, str]:
    return {row.work_id: row.state for row in store.read(lambda t: t.work.list())}


def claim(store: Store, owner: str = "a", *, at: str = T1, limit: int = 10, **more: Any) -> list[WorkRow]:
    store.write(lambda t: t.work.renew(owner, until=LATER, at=at))
    return list(store.write(lambda t: t.work.claim(owner, at=at, limit=limit, **more)))


def output(work_id: str, position: int, data: Any = None) -> WorkOutputRow:
    return WorkOutputRow(
        work_id=work_id, position=position, kind="k", sequence=position, data=data or {}, created_at=T1
    )


# --- in


def test_work_comes_back_as_it_was_put(store: Store) -> None:
    given = work("w", idempotency_key="k", group="team", lane="l", reply_to={"to": [1]}, request={"b": 1, "a": "é"})
    returned = store.write(lambda t: t.work.put(given))
    found = get(store, "w")
    assert returned == found
    assert (found.state, found.attempts, found.outputs, found.owner, found.cancel) == ("ready", 0, 0, None, False)
    assert (found.request, found.reply_to, found.group, found.lane) == ({"a": "é", "b": 1}, {"to": [1]}, "team", "l")
    assert (found.accepted_at, found.updated_at, found.finished_at, found.delivered_at) == (T0, T0, None, None)
    assert store.read(lambda t: t.work.get("other")) is None


def test_a_known_idempotency_key_gives_the_work_that_has_it(store: Store) -> None:
    first = store.write(lambda t: t.work.put(work("1", idempotency_key="k")))
    assert store.write(lambda t: t.work.put(work("2", idempotency_key="k", request={"other": 1}))) == first
    put(store, "3", idempotency_key="k", adapter="filedrop")
    put(store, "4", "5")
    assert list(states(store)) == ["1", "3", "4", "5"], "a key is that of one adapter; without a key nothing is known"
    assert first.request_sha256 == get(store, "3").request_sha256


def test_an_id_is_used_once(store: Store) -> None:
    put(store, "1")
    with pytest.raises(StorageError, match="does not fit"):
        put(store, "1")
    assert list(states(store)) == ["1"]


# --- claiming


def test_what_is_due_is_claimed_oldest_first(store: Store) -> None:
    put(store, "late", run_at=T2)
    put(store, "1", "2", "3")
    assert store.read(lambda t: t.work.is_due(at=T1))
    taken = claim(store, limit=2)
    assert [(row.work_id, row.state, row.owner, row.attempts) for row in taken] == [
        ("1", "running", "a", 1), ("2", "running", "a", 1),
    ]  # fmt: skip
    assert [get(store, row.work_id).state for row in taken] == ["running", "running"]
    assert [row.work_id for row in claim(store, "b")] == ["3"]
    assert claim(store, "b") == []
    assert not store.read(lambda t: t.work.is_due(at=T1))
    assert store.read(lambda t: t.work.is_due(at=T2))
    assert [row.work_id for row in claim(store, at=T2)] == ["late"]
    assert not store.read(lambda t: t.work.is_due(at=T2))


def test_a_clock_that_is_set_back_keeps_nobody_waiting(store: Store) -> None:
    put(store, "new", "again", accepted_at=T2, run_at=T2)
    put(store, "scheduled", kind="job", accepted_at=T2, run_at=LATER)
    put(store, "at once", kind="job", accepted_at=T2, run_at=T2)
    assert store.read(lambda t: t.work.is_due(at=T0))
    assert [row.work_id for row in claim(store, at=T0)] == ["new", "again", "at once"]
    assert not store.read(lambda t: t.work.is_due(at=T0))
    again = get(store, "again")
    store.write(lambda t: t.work.retry_later(again, LATER, at=T2))
    assert claim(store, at=T2) == [], "it waits"
    assert [row.work_id for row in claim(store, at=T1)] == ["again"], "it does not wait for the clock to catch up"


def test_whoever_claims_may_leave_some(store: Store) -> None:
    put(store, "1", agent_alias="busy")
    put(store, "2")
    taken = claim(store, limit=2, take=lambda row: row.agent_alias != "busy")
    assert [row.work_id for row in taken] == ["2"]
    assert states(store) == {"1": "ready", "2": "running"}


CLAIMER = """
import sys, json
from pathlib import Path
from missive_host.store import Store
T1, LATER = "2026-01-01T00:00:01.000000Z", "2026-01-01T00:01:00.000000Z"
name, mine = sys.argv[2], []
with Store.open(Path(sys.argv[1])) as store:
    store.write(lambda t: t.work.renew(name, until=LATER, at=T1))
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        taken = store.write(lambda t: t.work.claim(name, at=T1, limit=3))
        if not taken and not store.read(lambda t: t.work.open_counts()):
            break
        for row in taken:
            mine.append(row.work_id)
            assert store.write(lambda t: t.work.finish(row, "done", at=T1))
print(json.dumps(mine))
"""


def test_processes_that_claim_at_once_never_get_the_same(store: Store, path: Path) -> None:
    for number in range(120):
        put(store, f"{number:03}", lane=f"l{number % 7}")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=ENV,
        )
        for name in ("a", "b", "c")
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    claimed = [json.loads(process.communicate("go\n", timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(work_id for mine in claimed for work_id in mine) == [f"{number:03}" for number in range(120)]
    assert set(states(store).values()) == {"done"}
    for mine in claimed:  # within a lane the order is kept, so also of what one process got
        for lane in range(7):
            of_lane = [work_id for work_id in mine if int(work_id) % 7 == lane]
            assert of_lane == sorted(of_lane)


# --- lanes


def test_a_lane_is_worked_off_in_order(store: Store) -> None:
    put(store, "1", "2", "3", lane="l")
    put(store, "other", lane="m")
    assert states(store) == {"1": "ready", "2": "queued", "3": "queued", "other": "ready"}
    first, _ = claim(store)
    assert claim(store) == []
    store.write(lambda t: t.work.finish(first, "failed", at=T1, error=ERROR))
    assert states(store) == {"1": "failed", "2": "ready", "3": "queued", "other": "running"}
    (second,) = claim(store)
    assert store.write(lambda t: t.work.retry_later(second, T2, at=T1)) is True
    assert states(store)["3"] == "queued", "what is tried again later keeps its place"
    assert claim(store) == []
    assert [row.work_id for row in claim(store, at=T2)] == ["2"]


def test_a_lane_goes_on_past_what_is_cancelled(store: Store) -> None:
    put(store, "1", "2", "3", lane="l")
    assert store.write(lambda t: t.work.cancel("2", at=T1)) == "cancelled"
    assert states(store) == {"1": "ready", "2": "cancelled", "3": "queued"}
    assert store.write(lambda t: t.work.cancel("1", at=T1)) == "cancelled"
    assert states(store)["3"] == "ready"


def test_what_is_retried_waits_for_what_runs_in_its_lane(store: Store) -> None:
    """And nothing that happens to those behind it makes two of a lane run at once."""
    put(store, "1", "2", "3", lane="l")
    (first,) = claim(store)
    store.write(lambda t: t.work.finish(first, "failed", at=T1, error=ERROR))
    (second,) = claim(store)
    assert store.write(lambda t: t.work.retry("1", at=T1)) is True
    assert states(store) == {"1": "queued", "2": "running", "3": "queued"}
    store.write(lambda t: t.work.cancel("3", at=T1))
    assert states(store) == {"1": "queued", "2": "running", "3": "cancelled"}
    store.write(lambda t: t.work.finish(second, "done", at=T1))
    assert states(store)["1"] == "ready"


# --- ending, and the fence


def test_ended_work_is_not_ended_again(store: Store) -> None:
    put(store, "1")
    (row,) = claim(store)
    assert store.write(lambda t: t.work.finish(row, "failed", at=T1, error=ERROR)) is True
    found = get(store, "1")
    assert (found.state, found.error, found.finished_at, found.owner, found.ended) == ("failed", ERROR, T1, None, True)
    assert store.write(lambda t: t.work.finish(row, "done", at=T2)) is False
    assert store.write(lambda t: t.work.retry_later(row, T2, at=T2)) is False
    assert get(store, "1") == found


def test_who_has_lost_its_work_cannot_end_it(store: Store) -> None:
    put(store, "1")
    (old,) = claim(store, "a")
    store.write(lambda t: t.work.renew("b", until=LATER, at=T1))
    (given_back,) = store.write(lambda t: t.work.reclaim(at=T2, gone=["a"]))
    assert (given_back.state, given_back.owner, given_back.attempts) == ("ready", None, 1)
    (new,) = claim(store, "b", at=T2)
    assert new.attempts == 2
    assert store.write(lambda t: t.work.finish(old, "done", at=T2)) is False
    assert store.write(lambda t: t.work.retry_later(old, T2, at=T2)) is False
    assert store.write(lambda t: t.work.finish(new, "done", at=T2)) is True


def test_the_fence_holds_when_an_attempt_was_not_counted(store: Store) -> None:
    """Then two owners have the same number of attempts."""
    put(store, "1")
    (old,) = claim(store, "a")
    store.write(lambda t: t.work.renew("b", until=LATER, at=T1))
    store.write(lambda t: t.work.reclaim(at=T2, gone=["a"]))
    (second,) = claim(store, "b", at=T2)
    assert store.write(lambda t: t.work.retry_later(second, T2, at=T2, counted=False)) is True
    assert get(store, "1").attempts == 1
    (third,) = claim(store, "b", at=T2)
    assert third.attempts == second.attempts == 2
    assert (second.begun, third.begun) == (2, 3), "what an earlier attempt has left is looked for all the same"
    assert store.write(lambda t: t.work.retry_later(third, T2, at=T2, counted=False)) is True
    (fourth,) = claim(store, "c", at=T2)
    assert fourth.attempts == 2
    assert store.write(lambda t: t.work.finish(third, "done", at=T2)) is False
    assert store.write(lambda t: t.work.finish(old, "done", at=T2)) is False


def test_after_too_many_tries_it_is_dead(store: Store) -> None:
    put(store, "1", "2", lane="l", max_attempts=2)
    (row,) = claim(store)
    assert store.write(lambda t: t.work.retry_later(row, T1, at=T1, error=ERROR)) is True
    assert (get(store, "1").state, get(store, "1").error) == ("ready", ERROR)
    (row,) = claim(store)
    assert store.write(lambda t: t.work.retry_later(row, T1, at=T1, error=ERROR)) is True
    assert states(store) == {"1": "dead", "2": "ready"}, "the lane goes on"
    assert store.read(lambda t: t.work.count_dead()) == 1
    assert store.write(lambda t: t.work.retry("1", at=T2)) is True
    again = get(store, "1")
    assert (again.state, again.attempts, again.error, again.run_at, again.finished_at) == ("queued", 0, None, T2, None)
    assert again.begun == 2, "an agent may have it already"


# --- leases


def test_the_work_of_a_process_that_is_gone_is_given_back(store: Store) -> None:
    put(store, "1", "2", "3")
    store.write(lambda t: t.work.renew("short", until=T1, at=T0))
    store.write(lambda t: t.work.claim("short", at=T0, limit=1))
    claim(store, "long", limit=1)
    assert store.write(lambda t: t.work.reclaim(at=T1)) == (), "until then it is believed to live"
    (given_back,) = store.write(lambda t: t.work.reclaim(at=T2, error=ERROR))
    assert (given_back.work_id, given_back.state, given_back.error) == ("1", "ready", ERROR)
    assert states(store) == {"1": "ready", "2": "running", "3": "ready"}
    assert store.read(lambda t: t.work.leases(at=T2)) == {"long": LATER}
    store.write(lambda t: t.work.leave("long"))
    assert store.read(lambda t: t.work.leases(at=T2)) == {}


def test_a_lease_is_renewed(store: Store) -> None:
    put(store, "1")
    store.write(lambda t: t.work.renew("a", until=T1, at=T0))
    store.write(lambda t: t.work.claim("a", at=T0, limit=1))
    store.write(lambda t: t.work.renew("a", until=LATER, at=T1))
    assert store.write(lambda t: t.work.reclaim(at=T2)) == ()
    assert store.read(lambda t: t.work.leases(at=T2)) == {"a": LATER}


@pytest.mark.parametrize(("kind", "begun"), [("delivery", 2), ("job", JOB_CRASHES)])
def test_what_kills_its_process_again_and_again_is_dead(store: Store, kind: str, begun: int) -> None:
    """A job's own limit is for failures: that the gateway was killed is not one of them. But there is an end to it."""
    put(store, "1", kind=kind, max_attempts=2 if kind == "delivery" else 1)
    for number in range(1, begun + 1):
        (row,) = claim(store, at=T2)
        assert row.attempts == number
        store.write(lambda t: t.work.reclaim(at=T2, gone=["a"], error=ERROR))
    assert states(store) == {"1": "dead"}
    assert get(store, "1").error == ERROR


# --- cancelling


def test_what_runs_is_marked_for_its_owner(store: Store) -> None:
    put(store, "1", "2")
    (marked,) = claim(store, limit=1)
    claim(store, "b")
    assert store.write(lambda t: t.work.cancel("1", at=T2)) == "running"
    assert store.read(lambda t: t.work.to_cancel("a")) == ("1",)
    assert store.read(lambda t: t.work.to_cancel("b")) == ()
    with pytest.raises(KeyError):
        store.write(lambda t: t.work.cancel("none", at=T2))
    store.write(lambda t: t.work.finish(marked, "cancelled", at=T2))
    assert store.read(lambda t: t.work.to_cancel("a")) == ()
    assert store.write(lambda t: t.work.cancel("1", at=T2)) == "cancelled"


@pytest.mark.parametrize("how", ["given back", "its process is gone"])
def test_what_is_to_be_cancelled_is_not_tried_again(store: Store, how: str) -> None:
    put(store, "1", "2", lane="l", kind="job")
    (row,) = claim(store)
    store.write(lambda t: t.work.cancel("1", at=T1))
    if how == "given back":
        assert store.write(lambda t: t.work.retry_later(row, T2, at=T1, counted=False)) is True
    else:
        (left,) = store.write(lambda t: t.work.reclaim(at=T1, gone=["a"]))
        assert left.state == "cancelled"
    assert states(store) == {"1": "cancelled", "2": "ready"}


# --- results


def test_results_are_kept_in_order_and_once(store: Store) -> None:
    put(store, "1")
    for position in (0, 1, 2):
        store.write(lambda t, position=position: t.work.add_output(output("1", position, {"n": position})))  # type: ignore[misc]
    store.write(lambda t: t.work.add_output(output("1", 1, {"n": "again"})))
    rows = store.read(lambda t: t.work.outputs("1"))
    assert [(row.position, row.data) for row in rows] == [(0, {"n": 0}), (1, {"n": 1}), (2, {"n": 2})]
    assert get(store, "1").outputs == 3
    assert [row.position for row in store.read(lambda t: t.work.outputs("1", after=1, limit=1))] == [1]
    with pytest.raises(StorageError):
        store.write(lambda t: t.work.add_output(output("none", 0)))


def test_context_and_task_are_noted(store: Store) -> None:
    put(store, "1", kind="job")
    store.write(lambda t: t.work.note("1", context_id="c"))
    store.write(lambda t: t.work.note("1", task_id="t"))
    found = get(store, "1")
    assert (found.context_id, found.task_id) == ("c", "t")
    assert store.read(lambda t: t.work.list(context="c")) == (found,)


# --- answers


def test_answers_are_delivered_once_they_are_there(store: Store) -> None:
    put(store, "1", "2")
    put(store, "job", kind="job")
    (row, *_) = claim(store)
    store.write(lambda t: t.work.finish(row, "done", at=T1))
    assert [each.work_id for each in store.read(lambda t: t.work.undelivered("http"))] == ["1", "2"]
    store.write(lambda t: t.work.set_delivered(["1", "2"], at=T2))
    assert [each.work_id for each in store.read(lambda t: t.work.undelivered("http"))] == ["2"], "that one goes on"
    assert get(store, "1").delivered_at == T2
    assert store.read(lambda t: t.work.undelivered("other")) == ()


# --- looking, forgetting


def test_lists_and_counts(store: Store) -> None:
    put(store, "1", lane="l")
    put(store, "2", lane="l", command="stream", agent_alias="b")
    put(store, "3", kind="job", adapter="job")
    claim(store, limit=1)

    def ids(**filters: Any) -> list[str]:
        return [row.work_id for row in store.read(lambda t: t.work.list(**filters))]

    assert ids() == ["1", "2", "3"]
    assert ids(limit=2) == ["2", "3"], "the newest"
    assert ids(kind="job") == ids(adapter="job") == ["3"]
    assert ids(states=("queued", "running")) == ids(lane="l") == ["1", "2"]
    assert ids(command="stream") == ids(agent="b") == ["2"]
    assert ids(tried=True) == ["1"]
    assert ids(tried=False) == ["2", "3"]
    assert store.read(lambda t: t.work.open_counts()) == {"http": {"queued": 1, "running": 1}, "job": {"ready": 1}}
    assert store.read(lambda t: t.work.oldest_waiting(at=T1)) == T0


def test_a_job_that_is_to_begin_later_does_not_wait(store: Store) -> None:
    put(store, "job", kind="job", adapter="job", run_at=T1)
    assert store.read(lambda t: t.work.oldest_waiting(at=T0)) is None
    assert store.read(lambda t: t.work.oldest_waiting(at=T2)) == T1, "not since it was asked for"
    put(store, "tried again later", run_at=T2)
    assert store.read(lambda t: t.work.oldest_waiting(at=T0)) == T0, "a delivery has waited all the time"


def test_what_has_ended_slows_nothing_down(tmp_path: Path) -> None:
    """Counted in instructions of SQLite, beside few rows that have ended and beside many."""
    looks = {
        "claim": lambda t: t.work.claim("b", at=T1, limit=1),
        "is_due": lambda t: t.work.is_due(at=T0),
        "to_cancel": lambda t: t.work.to_cancel("a"),
        "reclaim": lambda t: t.work.reclaim(at=T0),
        "oldest_waiting": lambda t: t.work.oldest_waiting(at=T1),
        "open_counts": lambda t: t.work.open_counts(),
        "open_places": lambda t: t.work.open_places(),
        "count_dead": lambda t: t.work.count_dead(),
        "undelivered": lambda t: t.work.undelivered("http"),
    }

    def instructions(ended: int) -> dict[str, int]:
        def fill(t: Tables) -> None:
            t.work.renew("a", until=LATER, at=T0)
            for number in range(ended):
                t.work.put(work(f"ended-{number}"))
            for row in t.work.claim("a", at=T1, limit=ended):
                t.work.finish(row, "done", at=T1)
                t.work.set_delivered([row.work_id], at=T1)
            for number in range(3):
                t.work.put(work(f"open-{number}", lane="l"))

        with Store.open(tmp_path / f"{ended}.sqlite3") as store:
            store.write(fill)
            return {name: store.write(lambda t, look=look: steps_of(t, look)) for name, look in looks.items()}  # type: ignore[misc]

    few, many = instructions(10), instructions(1000)
    assert {name: (few[name], many[name]) for name in looks if many[name] > 2 * few[name] + 100} == {}


def test_what_is_scheduled_slows_nothing_down(tmp_path: Path) -> None:
    def instructions(scheduled: int) -> list[int]:
        def fill(t: Tables) -> None:
            for number in range(scheduled):
                t.work.put(work(f"scheduled-{number}", kind="job", run_at=LATER))
            t.work.put(work("open"))

        with Store.open(tmp_path / f"{scheduled}.sqlite3") as store:
            store.write(fill)
            return [
                store.write(lambda t: steps_of(t, lambda t: t.work.is_due(at=T1))),
                store.write(lambda t: steps_of(t, lambda t: t.work.claim("b", at=T1, limit=5))),
                store.write(lambda t: steps_of(t, lambda t: t.work.is_due(at=T1))),
            ]

    few, many = instructions(3), instructions(1000)
    assert [many[i] < 2 * few[i] + 100 for i in range(3)] == [True] * 3, (few, many)


def steps_of(tables: Tables, look: Callable[[Tables], object]) -> int:
    """Return how many instructions SQLite needs for it."""
    connection: sqlite3.Connection = getattr(tables.work._execute, "__self__")  # noqa: B009 - not in its type
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(step, 1)
    try:
        look(tables)
    finally:
        connection.set_progress_handler(None, 1)
    return steps


def test_what_has_ended_is_forgotten_but_for_dead_letters(store: Store) -> None:
    put(store, "1", "2", "3", "4", max_attempts=1)
    rows = claim(store, limit=3)
    store.write(lambda t: t.work.add_output(output("1", 0)))
    store.write(lambda t: t.work.finish(rows[0], "done", at=T1))
    store.write(lambda t: t.work.retry_later(rows[1], T1, at=T1))
    store.write(lambda t: t.work.finish(rows[2], "failed", at=T2))
    assert store.write(lambda t: t.work.prune(T2)) == 1
    assert states(store) == {"2": "dead", "3": "failed", "4": "ready"}
    assert store.read(lambda t: t.work.outputs("1")) == ()
    assert store.write(lambda t: t.work.drop("4")) is False, "it has not ended"
    assert store.write(lambda t: t.work.drop("2")) is True
    assert store.write(lambda t: t.work.retry("4", at=T2)) is False
    assert states(store) == {"3": "failed", "4": "ready"}


def test_a_job_is_no_dead_letter(store: Store) -> None:
    put(store, "job", kind="job", adapter="job", max_attempts=1)
    (row,) = claim(store)
    store.write(lambda t: t.work.finish(row, "dead", at=T1))
    assert store.read(lambda t: t.work.count_dead()) == 0, "nobody could drop it, or have it tried again"
    assert store.write(lambda t: t.work.prune(T2)) == 1


def test_an_answer_is_not_forgotten_before_it_is_delivered(store: Store) -> None:
    put(store, "1", "2", reply_to={})
    put(store, "nobody can have it")
    for row in claim(store):
        store.write(lambda t, row=row: t.work.finish(row, "done", at=T1))  # type: ignore[misc]
    store.write(lambda t: t.work.set_delivered(["1"], at=T1))
    assert store.write(lambda t: t.work.prune(T2)) == 2
    assert states(store) == {"2": "done"}


# --- waiting for something new


def test_a_commit_anywhere_changes_the_version(store: Store, path: Path) -> None:
    before = store.version()
    assert store.version() == before
    put(store, "1")
    own = store.version()
    assert own != before
    with Store.open(path) as other:
        put(other, "2")
    assert store.version() != own
