"""``--mode watch``, several processes on one inbox, and processes that are killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import Any

import pytest
from filedrop_kit import Drop, until
from missive_filedrop.watching import Watch

Logged = Callable[[], list[str]]


def at_least(logged: Logged, count: int) -> bool:
    return len(logged()) >= count


@pytest.mark.parametrize("flags", [("--poll-interval", "1h"), ("--polling", "--poll-interval", "20ms")])
def test_it_sees_what_comes(drop: Drop, flags: tuple[str, ...]) -> None:
    """With events alone: the next look would be in an hour. And without any."""
    drop.put("before.json")
    with drop.watch(*flags) as door:
        until(lambda: "before.result.json" in drop.names())
        for name in ("a", "b"):
            drop.put(f"{name}.json")
            until(partial(drop.has, f"{name}.result.json"))
        other = drop.folder / "c.json"
        other.write_text('{"id":"c","command":"task_list"}')
        os.link(other, drop.inbox / "c.json")
        until(lambda: "c.result.json" in drop.names())
        assert door.stop() == 0
        data = door.ended()
    assert (data["mode"], data["succeeded"], data["failed"]) == ("watch", 4, 0)
    assert drop.clean()


async def test_an_event_waits_for_no_other(tmp_path: Path) -> None:
    """watchdog would hold back what comes after a file that was put away, for half a second."""
    async with Watch(tmp_path, recursive=False, polling=False, interval=3600, log=getLogger("test")) as watch:
        observer: Any = watch._observer
        groupers = [getattr(emitter._inotify, "_move_event_grouper", None) for emitter in observer.emitters]
    assert [grouper._queue.delay for grouper in groupers if grouper is not None] == [0.0] * (sys.platform == "linux")


def test_new_session_folders_are_watched(drop: Drop) -> None:
    with drop.watch("--session-folders", "--poll-interval", "200ms") as door:
        until((drop.inbox / "error").exists)
        drop.put("a.json", folder="team")
        until(lambda: drop.names() == ["a.result.json"])
        assert door.stop(signal.SIGINT) == 0


def test_folders_that_are_removed_are_made_again(drop: Drop) -> None:
    drop.put("a.json")
    with drop.watch("--session-folders", "--poll-interval", "50ms"):
        until(lambda: drop.names() == ["a.result.json"])
        shutil.rmtree(drop.outbox)
        shutil.rmtree(drop.inbox / "processed")
        drop.put("b.json", folder="team")
        until(lambda: drop.names() == ["b.result.json"])
        assert drop.names("in/processed") == ["b.json"]


def test_max_files_end_a_watch(drop: Drop) -> None:
    with drop.watch("--max-files", "2") as door:
        for name in "abc":
            drop.put(f"{name}.json")
        assert door.ended()["processed_files"] == 2
        assert door.process.wait() == 0
    assert len(drop.names("in")) == 1


def test_an_inbox_that_goes_away_and_comes_back(drop: Drop) -> None:
    drop.put("first.json")
    with drop.watch("--poll-interval", "20ms") as door:
        until(lambda: "first.result.json" in drop.names())
        drop.inbox.rename(drop.folder / "away")
        until(lambda: any("it is tried again" in line for line in door.lines))
        (drop.folder / "away").rename(drop.inbox)
        drop.put("a.json")
        until(lambda: "a.result.json" in drop.names())
        assert door.process.poll() is None
        assert len([line for line in door.lines if "it is tried again" in line]) == 1


def test_a_signal_lets_what_runs_finish(drop: Drop, logged: Logged) -> None:
    drop.send("a.json", "slow 1")
    for number in range(20):
        drop.send(f"b{number:02}.json", "echo later")
    with drop.watch("--concurrency", "1") as door:
        until(logged)
        assert door.stop() == 0
        assert door.ended()["succeeded"] == 1
    assert drop.answer("a.result.json")["ok"] is True
    assert len(drop.names("in")) == 20


def test_what_is_cut_off_can_be_found_again(drop: Drop, logged: Logged) -> None:
    drop.send("a.json", "slow 60")
    drop.send("b.json", "echo waits behind it")
    with drop.watch() as door:
        until(logged)
        door.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert door.stop() == 128 + signal.SIGTERM
        assert door.ended()["processed_files"] == 0
    assert drop.names("in") == ["a.json", "b.json"]
    assert drop.names() == []


def test_what_a_killed_process_had_is_taken_up(drop: Drop, logged: Logged) -> None:
    drop.send("a.json", "slow 60")
    drop.put("b.json")
    with drop.watch("--any-order") as door:
        until(logged)
        until(lambda: "b.result.json" in drop.names())
        (claim,) = [name for name in drop.names("in") if ".claim-" in name]
        other = drop.once()  # it lives: hands off
        assert other.returncode == 0
        assert claim in drop.names("in")
        door.stop(signal.SIGKILL)
    assert claim in drop.names("in")
    with drop.watch("--any-order") as door:
        until(lambda: len(logged()) == 2)
        (taken,) = [name for name in drop.names("in") if ".claim-" in name]
        assert taken != claim
        assert taken[-22:] == claim[-22:], "it keeps its id"
        door.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        door.stop()
    assert drop.names("in") == ["a.json"]


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_run_each_file_once(drop: Drop, logged: Logged, processes: int) -> None:
    count = 300
    texts = [f"echo {number:03}" for number in range(count)]
    with ExitStack() as stack:
        doors = [stack.enter_context(drop.watch("--any-order", "--concurrency", "8")) for _ in range(processes)]
        for number, text in enumerate(texts):
            drop.send(f"{number:03}.json", text)
        until(lambda: len([name for name in drop.names() if name.endswith(".result.json")]) == count)
        assert [door.stop() for door in doors] == [0] * processes
        done = [door.ended()["succeeded"] for door in doors]
    assert sum(done) == count
    assert Counter(logged()) == Counter(texts)
    assert len(drop.names("in/processed")) == count
    assert drop.clean()


def test_killed_again_and_again_nothing_is_lost(drop: Drop, logged: Logged) -> None:
    """Each file has one answer in the end; only what was under way may have been sent twice."""
    count, kills = 120, 6
    for number in range(count):
        drop.send(f"{number:03}.json", f"echo {number:03}")
    for kill in range(kills):
        with drop.watch("--any-order") as door:
            until(partial(at_least, logged, (kill + 1) * 10))
            door.stop(signal.SIGKILL)
    drop.summary("--any-order")
    assert drop.names() == [f"{number:03}.result.json" for number in range(count)]
    assert drop.names("in/processed") == [f"{number:03}.json" for number in range(count)]
    assert drop.clean()
    sent = Counter(logged())
    assert set(sent) == {f"echo {number:03}" for number in range(count)}
    assert sum(sent.values()) <= count + kills * 4
