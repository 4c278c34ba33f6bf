"""The file of the log: whose it is, how large it becomes, and what happens when it cannot be written."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from missive_host.config.model import Logging
from missive_host.logs import files
from missive_host.logs.setup import install

if TYPE_CHECKING:
    from pathlib import Path

    from logs_kit import Log

log_of_missive = logging.getLogger("missive.x")


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it look for the file with each record, and try again at once."""
    monkeypatch.setattr(files, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.0)


def everything(log: Log) -> list[str]:
    """What is in all files, the oldest first."""
    paths = sorted(log.path.parent.glob("gateway.log.*"), key=lambda path: -int(path.suffix[1:]))
    # An empty line is nothing: who opens the file while another writes may take a line for one that was cut off.
    lines = [line for path in (*paths, log.path) for line in path.read_text().splitlines() if line]
    return [json.loads(line)["message"] for line in lines]


def test_it_is_for_its_owner_alone(log: Log) -> None:
    old = os.umask(0)
    try:
        log.open()
        assert not log.path.parent.exists()  # who logs nothing makes nothing
        log_of_missive.info("one")
    finally:
        os.umask(old)
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.path.parent.stat().st_mode & 0o777 == 0o700


def test_levels(log: Log) -> None:
    log.open(level="info", levels={"missive.loud": "debug", "missive.loud.quiet": "error", "library": "info"})
    for name in ("missive.x", "missive.loud", "missive.loud.quiet.x", "library.x", "other", "missive_host.x"):
        for level in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger(name), level)("%s %s", name, level)
    assert log.messages() == [
        *(f"missive.x {level}" for level in ("info", "warning", "error")),
        *(f"missive.loud {level}" for level in ("debug", "info", "warning", "error")),
        "missive.loud.quiet.x error",
        *(f"library.x {level}" for level in ("info", "warning", "error")),
        *(f"other {level}" for level in ("warning", "error")),
        *(f"missive_host.x {level}" for level in ("info", "warning", "error")),
    ]
    shown = [line.split(": ")[1].rpartition(" ")[2] for line in log.stderr().splitlines()]
    assert set(shown) == {"warning", "error"}
    log.open(level="error")  # as a reload does
    assert not log_of_missive.isEnabledFor(logging.WARNING)
    assert not logging.getLogger("missive.loud").isEnabledFor(logging.INFO)
    assert not logging.getLogger("library.x").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize(
    ("verbosity", "own", "library"), [(0, ("error",), ("error",)), (1, ("info", "error"), ("error",)), (3, None, None)]
)
def test_flags_add_to_what_the_config_says(
    log: Log, verbosity: int, own: tuple[str, ...] | None, library: tuple[str, ...] | None
) -> None:
    log.open(verbosity, level="error")
    for name in ("missive.x", "library"):
        for level in ("debug", "info", "error"):
            getattr(logging.getLogger(name), level)("%s %s", name, level)
    every = ("debug", "info", "error")
    wanted = [f"missive.x {level}" for level in own or every] + [f"library {level}" for level in library or every]
    assert log.messages() == wanted


@pytest.mark.parametrize(
    ("destination", "file", "stderr"),
    [("file", ["info", "warning"], ["warning"]), ("both", ["info", "warning"], ["info", "warning"])],
)
def test_destinations(log: Log, destination: str, file: list[str], stderr: list[str]) -> None:
    log.open(destination=destination)
    log_of_missive.info("info")
    log_of_missive.warning("warning")
    assert log.messages() == file
    assert [line.rpartition(" ")[2] for line in log.stderr().splitlines()] == stderr


def test_without_a_file(log: Log) -> None:
    log.open(destination="stderr")
    log_of_missive.info("info")
    assert log.stderr().endswith("info missive.x: info\n")
    assert not log.path.exists()


def test_a_logger_that_has_a_level_of_its_own_is_heard(log: Log) -> None:
    """As an event sink does, which is configured to be seen without -v."""
    sink = logging.getLogger("missive.sinks.audit")
    log.open()
    sink.setLevel(logging.INFO)
    try:
        sink.info("seen")
        sink.debug("not seen")
    finally:
        sink.setLevel(logging.NOTSET)
    assert log.messages() == ["seen"]
    assert "seen" in log.stderr()


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_it_is_put_aside_when_it_is_full(log: Log, keep: int) -> None:
    log.open(max_size=1000, keep=keep)
    for number in range(100):
        log_of_missive.info("number %03d", number)
    names = sorted(path.name for path in log.path.parent.iterdir())
    assert names == ["gateway.log", *(f"gateway.log.{number}" for number in range(1, keep + 1))]
    assert all(
        path.stat().st_size <= 1000 and path.stat().st_mode & 0o777 == 0o600 for path in log.path.parent.iterdir()
    )
    said = everything(log)
    assert said == [f"number {number:03d}" for number in range(100 - len(said), 100)]


def test_a_record_that_is_larger_than_the_file_may_be_is_kept(log: Log) -> None:
    log.open(max_size=100, keep=2)
    log_of_missive.info("x" * 500)
    log_of_missive.info("y" * 500)
    assert [len(text) for text in everything(log)] == [500, 500]


WRITER = """
import logging, sys
from pathlib import Path
from missive_host.config.model import Logging
from missive_host.logs.setup import install
install(0, as_json=False, block=Logging(max_size=20000, keep=1000), path=Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(600):
    logging.getLogger("missive.x").info("%s-%d", sys.argv[2], number)
"""


def test_several_processes_write_one_file(log: Log) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", WRITER, str(log.path), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    said = everything(log)
    assert len(said) == 1800
    assert set(said) == {f"{name}-{number}" for name in range(3) for number in range(600)}


@pytest.mark.parametrize("how", ["moved", "removed", "folder", "cut"])
def test_logrotate_and_others_may_take_it_away(log: Log, how: str) -> None:
    log.open()
    log_of_missive.info("one")
    if how == "moved":
        log.path.rename(log.path.with_name("gateway.log-20260101"))
    elif how == "removed":
        log.path.unlink()
    elif how == "cut":
        os.truncate(log.path, 0)
    else:
        log.path.parent.rename(log.path.parent.with_name("elsewhere"))
    log_of_missive.info("two")
    assert log.messages() == ["two"]
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.stderr() == ""


def test_what_was_cut_off_within_a_line_does_not_spoil_the_next(log: Log) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(b'{"timestamp":"2026-01-01T00:00:00Z","lev')
    log.open()
    log_of_missive.info("next")
    broken, whole = log.path.read_bytes().splitlines()
    assert broken.endswith(b"lev")
    assert json.loads(whole)["message"] == "next"


def test_a_disk_without_room_is_told_once(log: Log) -> None:
    """The system lets the file grow to the middle of a line, and no further."""
    log.open()
    log_of_missive.info("one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 30, hard))
    try:
        for _ in range(5):
            log_of_missive.info("lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log_of_missive.info("again")
    log_of_missive.info("and on")
    said = log.stderr().splitlines()
    assert len(said) == 2
    assert "the log cannot be written to" in said[0]
    assert "file too large" in said[0]
    assert "the log is written again; 5 lines are missing" in said[1]
    one, torn, *rest = log.path.read_bytes().splitlines()
    assert json.loads(one)["message"] == "one"
    assert len(torn) == 30
    assert [json.loads(line)["message"] for line in rest] == [
        "again", said[1].partition("missive.logs: ")[2], "and on"
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a link", "below a file"])
def test_what_is_no_file_stops_nobody(log: Log, what: str, tmp_path: Path) -> None:
    path = log.path
    if what == "a folder":
        path.mkdir(parents=True)
    elif what == "a pipe":
        path.parent.mkdir()
        os.mkfifo(path)
    elif what == "a link":
        path.parent.mkdir()
        path.symlink_to(tmp_path / "target")
    else:
        path.parent.write_text("in the way")
    log.open()
    log_of_missive.info("one")
    log_of_missive.warning("two")
    said = log.stderr().splitlines()
    assert len(said) == 2
    assert "the log cannot be written" in said[0]
    assert said[1].endswith("two")
    assert not (tmp_path / "target").exists()


def test_where_it_cannot_be_put_aside_it_goes_on(log: Log) -> None:
    log.open(max_size=200, keep=1)
    log_of_missive.info("one")
    log.path.with_name("gateway.log.1").mkdir()
    for number in range(10):
        log_of_missive.info("number %d", number)
    assert len(log.messages()) == 11
    said = log.stderr().splitlines()
    assert len(said) == 1
    assert "cannot be put aside" in said[0]


def test_threads_that_log_during_a_reload_lose_nothing(log: Log) -> None:
    stop = threading.Event()
    said = [0] * 3

    def talk(number: int) -> None:
        while not stop.is_set():
            log_of_missive.info("%d-%d", number, said[number])
            said[number] += 1

    log.open(max_size=50_000, keep=1000)
    threads = [threading.Thread(target=talk, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        log.open(max_size=50_000, keep=1000)
        time.sleep(0.005)
    stop.set()
    for thread in threads:
        thread.join()
    found = everything(log)
    assert len(found) == sum(said)
    assert set(found) == {f"{number}-{count}" for number in range(3) for count in range(said[number])}


def test_a_closed_stderr_is_survived(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, _text: str) -> int:
            raise OSError(32, "Broken pipe")

        def flush(self) -> None:
            raise OSError(32, "Broken pipe")

    closed: Any = Closed()
    monkeypatch.setattr(sys, "stderr", closed)
    install(0, as_json=False, block=Logging(), path=log.path)
    log_of_missive.warning("said")
    assert log.messages() == ["said"]
