"""Schedules: their times, and jobs that are started once each, whatever happens to the process or the clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from jobs_kit import run_due
from storekit import T0

from missive_host import commands as c
from missive_host.core.jobs import JobRequest
from missive_host.core.timing import moment, next_time, stored
from missive_host.errors import ValidationError
from missive_host.gateway.schedules import Schedules, start_due
from missive_host.ids import now
from missive_host.store import ScheduleRow, Store

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def schedule(name: str = "s", kind: str = "every", expression: str = "1h", due: str = T0, **values: Any) -> ScheduleRow:
    request = JobRequest.of(c.Send(agent="echo", message=name), c.JobOptions(max_attempts=3), None)
    made = {
        "schedule_id": name, "kind": kind, "expression": expression, "request": request.stored(), "command": "send",
        "next_run_at": due, "created_at": T0, "updated_at": T0, **values,
    }  # fmt: skip
    return ScheduleRow(**made)


def put(store: Store, *rows: ScheduleRow) -> None:
    for row in rows:
        store.write(lambda t, row=row: t.schedules.put(row))  # type: ignore[misc]


def get(store: Store, name: str = "s") -> ScheduleRow:
    row = store.read(lambda t: t.schedules.get(name))
    assert row is not None
    return row


def jobs(store: Store) -> list[str]:
    """What the jobs that were started are to send."""
    return [row.request["command"]["message"] for row in store.read(lambda t: t.work.list())]


def end_all(store: Store) -> None:
    for row in store.read(lambda t: t.work.list()):
        store.write(lambda t, row=row: t.work.cancel(row.work_id, at=T0))  # type: ignore[misc]


def at(text: str) -> str:
    """``01T12:00`` in January 2026."""
    return f"2026-01-{text}:00.000000Z"


@pytest.fixture
def store(home: Home) -> Any:
    with home.store() as opened:
        yield opened


# --- times


@pytest.mark.parametrize(
    ("kind", "expression", "zone", "after", "expected"),
    [
        ("every", "1h", None, "2026-01-01T00:30Z", "2026-01-01T01:00Z"),
        ("every", "1h", None, "2026-01-01T01:00Z", "2026-01-01T02:00Z"),
        ("every", "90s", None, "2026-01-01T00:01:00Z", "2026-01-01T00:01:30Z"),
        ("every", "1h", None, "2025-12-31T12:20Z", "2025-12-31T13:00Z"),
        ("cron", "0 7 * * MON-FRI", None, "2026-01-02T07:00Z", "2026-01-05T07:00Z"),
        ("cron", "*/15 * * * *", None, "2026-01-02T07:00:01Z", "2026-01-02T07:15Z"),
        ("cron", "0 7 * * *", "America/New_York", "2026-01-02T00:00Z", "2026-01-02T12:00Z"),
        ("cron", "0 7 * * *", "America/New_York", "2026-07-02T00:00Z", "2026-07-02T11:00Z"),
        # Berlin: at 02:00 on 29 March 2026 clocks go to 03:00, at 03:00 on 25 October back to 02:00
        ("cron", "0 1 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T00:00Z"),
        ("cron", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T01:00Z"),
        ("cron", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T00:30Z"),
        ("cron", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        ("cron", "0 0 29 2 *", None, "2026-01-01T00:00Z", "2028-02-29T00:00Z"),
    ],
)
def test_the_next_time(kind: str, expression: str, zone: str | None, after: str, expected: str) -> None:
    found = next_time(kind, expression, zone, after=datetime.fromisoformat(after), anchor=moment(T0))
    assert found == stored(datetime.fromisoformat(expected))


def test_a_day_of_every_hour_has_as_many_hours_as_it_has() -> None:
    """An hour that comes twice counts twice, one that does not come is left out."""
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)):
        berlin = ZoneInfo("Europe/Berlin")
        begin = datetime.fromisoformat(day).replace(tzinfo=berlin)
        end = (begin + timedelta(days=1)).astimezone(UTC)
        times = []
        last = begin.astimezone(UTC) - timedelta(seconds=1)
        while (found := next_time("cron", "0 * * * *", "Europe/Berlin", after=last, anchor=last)) is not None:
            last = moment(found)
            if last >= end:
                break
            times.append(last)
        assert len(times) == len(set(times)) == hours


def test_a_time_that_never_comes() -> None:
    with pytest.raises(ValidationError):
        next_time("every", "1ms", None, after=moment(T0), anchor=moment(T0))
    assert next_time("every", "999999999999h", None, after=moment(T0), anchor=moment(T0)) is None


# --- starting


def test_a_job_is_started_when_its_time_has_come(store: Store) -> None:
    put(store, schedule("due"), schedule("later", due=at("01T00:10")), schedule("off", enabled=False))
    started = store.write(lambda t: start_due(t, at("01T00:00")))
    assert jobs(store) == ["due"]
    (work,) = store.read(lambda t: t.work.list())
    assert started.jobs == (work.work_id,)
    assert started.next_due == at("01T00:10")
    row = get(store, "due")
    assert (row.next_run_at, row.last_run_at, row.last_work_id) == (at("01T01:00"), T0, work.work_id)
    assert (work.kind, work.max_attempts, work.run_at) == ("job", 3, T0)
    assert work.request["schedule_id"] == "due"
    (event,) = store.read(lambda t: t.events.list(types=("missive.job.enqueued",)))
    assert event.payload["schedule_id"] == "due"
    assert store.write(lambda t: start_due(t, at("01T00:00"))).jobs == ()


def test_missed_times_are_made_up_for_by_one_job(store: Store) -> None:
    put(store, schedule("hourly"), schedule("daily", "cron", "0 4 * * *", due=at("01T04:00")))
    store.write(lambda t: start_due(t, at("09T12:30")))
    assert sorted(jobs(store)) == ["daily", "hourly"]
    assert get(store, "hourly").next_run_at == at("09T13:00"), "in step with where it began"
    assert get(store, "daily").next_run_at == at("10T04:00")


def test_a_job_that_goes_on_is_not_overtaken(store: Store) -> None:
    put(store, schedule())
    store.write(lambda t: start_due(t, at("01T00:00")))
    assert store.write(lambda t: start_due(t, at("01T01:00"))).jobs == ()
    (event,) = store.read(lambda t: t.events.list(types=("missive.job.schedule.skipped",)))
    assert event.payload == {"schedule_id": "s", "job_id": get(store).last_work_id, "due": at("01T01:00")}
    assert get(store).next_run_at == at("01T02:00")
    end_all(store)
    assert len(store.write(lambda t: start_due(t, at("01T02:00"))).jobs) == 1


def test_a_clock_that_was_set_back(store: Store) -> None:
    put(
        store,
        schedule("hourly", due=f"2031{T0[4:]}", last_run_at="2030-12-31T23:00:00.000000Z"),
        schedule("new", "cron", "0 4 * * *", due="2031-01-01T04:00:00.000000Z", created_at=f"2031{T0[4:]}"),
    )  # fmt: skip
    assert store.write(lambda t: start_due(t, at("01T12:30"))).jobs == ()
    assert get(store, "hourly").next_run_at == at("01T13:30")
    assert get(store, "new").next_run_at == at("02T04:00")


def test_a_clock_that_goes_back_a_little_starts_nothing_twice(store: Store) -> None:
    put(store, schedule("s", "cron", "0 4 * * *", due=at("02T04:00"), last_run_at="2026-01-01T04:00:00.000500Z"))
    assert store.write(lambda t: start_due(t, "2026-01-01T03:59:59.000000Z")).jobs == ()
    assert store.write(lambda t: start_due(t, "2026-01-01T04:00:00.000000Z")).jobs == ()
    assert get(store).next_run_at == at("02T04:00")


def test_a_schedule_that_cannot_be_read_any_more_stops_no_other(store: Store) -> None:
    put(store, schedule("odd", "cron", "0 4 * * *", time_zone="Nowhere/At_All"), schedule("good"))
    store.write(lambda t: start_due(t, at("01T00:00")))
    assert sorted(jobs(store)) == ["good", "odd"]
    assert (get(store, "odd").enabled, get(store, "odd").next_run_at) == (False, None)
    assert get(store, "good").enabled


RACER = """
import sys
from pathlib import Path
from missive_host.gateway.schedules import start_due
from missive_host.store import Store
with Store.open(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    while (at := store.read(lambda t: t.schedules.next_due())) < "2026-01-01T01:00":

        def turn(t):
            for row in t.work.list(states=("ready",)):
                t.work.cancel(row.work_id, at=at)  # it has ended, so that the next may start
            return start_due(t, at)

        store.write(turn)
"""


def test_several_processes_start_each_job_once(store: Store) -> None:
    put(store, schedule("s", expression="1m"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(store.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENV,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    times = [row.accepted_at for row in store.read(lambda t: t.work.list())]
    assert times == [stored(moment(T0) + timedelta(minutes=minute)) for minute in range(60)]
    assert get(store).next_run_at == at("01T01:00")


KILLED = """
import sys, time
from pathlib import Path
from missive_host.gateway.schedules import start_due
from missive_host.store import Store
from missive_host.core.timing import moment, stored
from datetime import timedelta
with Store.open(Path(sys.argv[1])) as store:
    step = store.read(lambda t: len(t.work.list()))
    while True:
        at = stored(moment("2026-01-01T00:00:00.000000Z") + timedelta(minutes=step))

        def turn(t):
            for row in t.work.list(states=("ready",)):
                t.work.cancel(row.work_id, at=at)
            return start_due(t, at)

        store.write(turn)
        step += 1
        print(step, flush=True)
"""


def test_killed_at_any_time_no_job_is_lost_or_doubled(store: Store) -> None:
    put(store, schedule("s", expression="1m"))
    for lines in (1, 7, 23):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(store.path)], stdout=subprocess.PIPE, text=True, env=ENV
        ) as process:
            assert process.stdout is not None
            for _ in range(lines):
                assert process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        count = len(store.read(lambda t: t.work.list()))
        assert count >= lines
        times = [row.accepted_at for row in store.read(lambda t: t.work.list())]
        assert times == [stored(moment(T0) + timedelta(minutes=minute)) for minute in range(count)]
        assert get(store).next_run_at == stored(moment(T0) + timedelta(minutes=count))


# --- running


async def test_a_running_gateway_starts_jobs(home: Home, agent: AgentProcess) -> None:
    rung = anyio.Event()
    async with home.core() as core:
        core.add("echo", agent)
        core.core.on_new_work = rung.set
        schedules = Schedules(core.core)
        async with anyio.create_task_group() as group:
            group.start_soon(schedules.run)
            await anyio.wait_all_tasks_blocked()
            made = await core.one(c.JobStartSend(agent="echo", message="echo tick", options=c.JobOptions(every="1s")))
            assert (made.kind, made.schedule.kind, made.schedule.expression) == ("job_schedule", "every", "1s")
            schedules.wake()
            with anyio.fail_after(30):
                while not core.read(lambda t: t.work.list()):
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        assert rung.is_set()
        (work,) = await run_due(core.core)
        assert work.state == "done"
        job = core.local(c.JobShow(job_id=work.work_id)).job
        assert job.metadata == {"schedule_id": made.schedule.schedule_id}


async def test_it_goes_on_when_the_store_cannot_be_written(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.verified = False
    from missive_host.errors import StorageError

    tries = 0
    async with home.core() as core:
        put(core.core.store, schedule(due=now()))
        really = core.core.store.commit

        async def commit(*given: Any, **named: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise StorageError("no space left")
            return await really(*given, **named)

        monkeypatch.setattr(core.core.store, "commit", commit)
        schedules = Schedules(core.core)
        assert await schedules._turn() == 3.0
        assert await schedules._turn() == 30.0
        assert jobs(core.core.store) == ["s"]


async def test_a_pause_leaves_the_next_time_where_it_was(home: Home) -> None:
    async with home.core() as core:
        core.add("echo", "http://127.0.0.1:9")
        made = (await core.one(c.JobStartSend(agent="echo", message="x", options=c.JobOptions(every="1h")))).schedule
        core.local(c.JobSchedulePause(schedule_id=made.schedule_id))
        assert core.local(c.JobScheduleResume(schedule_id=made.schedule_id)).schedule.next_run_at == made.next_run_at
        # Paused while the clock was wrong, by years:
        core.core.store.write(lambda t: t.schedules.move(made.schedule_id, f"2099{T0[4:]}", at=T0, enabled=False))
        due = core.local(c.JobScheduleResume(schedule_id=made.schedule_id)).schedule.next_run_at
        assert due <= stored(datetime.now(UTC) + timedelta(hours=1))


async def test_the_life_of_a_schedule(home: Home) -> None:
    async with home.core() as core:
        core.add("echo", "http://127.0.0.1:9")
        options = c.JobOptions(cron="0 7 * * MON-FRI", time_zone="Europe/Berlin", max_attempts=2)
        made = (await core.one(c.JobStartSend(agent="echo", message="x" * 100, options=options))).schedule
        assert (made.kind, made.time_zone, made.enabled, made.max_attempts) == ("cron", "Europe/Berlin", True, 2)
        assert made.agent == "echo"
        (listed,) = core.local(c.JobScheduleList()).schedules
        assert listed.request["message"] == "x" * 79 + "…"
        assert core.local(c.JobScheduleShow(schedule_id=made.schedule_id)).schedule == made
        name = made.schedule_id
        paused = core.local(c.JobSchedulePause(schedule_id=name)).schedule
        assert (paused.enabled, "next_run_at" in core_json(paused)) == (False, False)
        core.core.store.write(lambda t: t.schedules.move(name, T0, at=T0, enabled=False))
        resumed = core.local(c.JobScheduleResume(schedule_id=name)).schedule
        assert (resumed.enabled, resumed.next_run_at) == (True, made.next_run_at), "what it has missed is not made up"
        assert core.local(c.JobScheduleDelete(schedule_id=name)).schedule.schedule_id == name
        assert core.local(c.JobScheduleList()).count == 0
        for command in (
            c.JobScheduleShow(schedule_id=name), c.JobScheduleDelete(schedule_id=name),
            c.JobSchedulePause(schedule_id=name), c.JobScheduleResume(schedule_id=name),
        ):  # fmt: skip
            with pytest.raises(ValidationError, match="there is no schedule"):
                core.local(command)
        kinds = [row.event_type for row in core.read(lambda t: t.events.list())]
        assert [kind.rpartition(".")[2] for kind in kinds if ".schedule." in kind] == [
            "create", "pause", "resume", "delete",
        ]  # fmt: skip


def core_json(view: Any) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(view)
    return found
