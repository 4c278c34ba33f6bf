"""Backup and restore, killed at any step of theirs, and on a disk that is full."""

from __future__ import annotations

import json
import resource
import signal
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from storekit import message

from missive_host.store import Store
from missive_host.store.connection import connect

if TYPE_CHECKING:
    from missive_host.store import Tables

TESTS = Path(__file__).parents[1]
OLD, NEW = 300, 200


def made(path: Path, count: int) -> Path:
    """Make a store of so many messages, which is one file."""

    def write(tables: Tables) -> None:
        for number in range(count):
            tables.messages.add_request(message("echo", f"m-{number}", content={"parts": [{"text": "x" * 1000}]}))

    with Store.open(path) as store:
        store.write(write)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    made(folder / "store", OLD)
    made(folder / "other", NEW)
    return folder


def killed(folder: Path, what: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "support.killed", str(folder), what],
        cwd=TESTS, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tries = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["status"] for each in tries] == [*[-signal.SIGKILL] * (len(tries) - 1), 0]
    assert len(tries) > 15
    return tries


def test_a_backup_that_is_killed_leaves_the_store_and_no_half_copy(stores: Path) -> None:
    tries = killed(stores, "backup")
    for each in tries:
        assert each["store"] == OLD, each
        assert each["saved"] in (None, OLD), each
    assert tries[-1] == {**tries[-1], "saved": OLD, "partial": 0}
    assert any(each["partial"] and each["saved"] is None for each in tries)


def test_a_restore_that_is_killed_leaves_the_one_store_or_the_other(stores: Path) -> None:
    tries = killed(stores, "restore")
    for each in tries:
        assert each["store"] in (OLD, NEW), each
        assert each["kept"] in (None, OLD), each
        assert each["kept"] == OLD or each["store"] == OLD, each  # nothing is written over before it is kept
        assert each["other"] == NEW, each
    assert tries[-1] == {**tries[-1], "store": NEW, "kept": OLD, "partial": 0}
    assert {each["store"] for each in tries[:-1]} == {OLD, NEW}


# --- a full disk


def limited(folder: Path, size: int, what: str) -> subprocess.CompletedProcess[str]:
    """Run a backup or a restore that can write no file beyond this size."""
    program = (
        "import sys; from pathlib import Path; from missive_host.errors import StorageError\n"
        "from missive_host.store import backup, restore; one, two, three = map(Path, sys.argv[2:])\n"
        "try:\n    backup.backup(one, two) if sys.argv[1] == 'backup' else restore.restore(one, two, three)\n"
        "except StorageError as error:\n    sys.exit(f'{error.message}\\n{error.help}')\n"
    )
    files = (folder / "store", folder / "saved", folder) if what == "backup" else (
        folder / "other", folder / "store", folder / "kept"
    )  # fmt: skip

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    return subprocess.run(
        [sys.executable, "-B", "-c", program, what, *map(str, files)],
        capture_output=True, text=True, timeout=60, preexec_fn=limit,
    )  # fmt: skip


def count(file: Path) -> int:
    with Store.open(file) as store:
        return len(store.read(lambda tables: tables.messages.list()))


@pytest.mark.parametrize("size", [4096, 100_000])
def test_a_backup_for_which_there_is_no_room_says_so(tmp_path: Path, size: int) -> None:
    made(tmp_path / "store", OLD)
    done = limited(tmp_path, size, "backup")
    assert done.returncode == 1
    assert f"the backup {tmp_path / 'saved'}" in done.stderr
    assert "space" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    assert count(tmp_path / "store") == OLD


@pytest.mark.parametrize("size", [4096, 100_000])
def test_a_restore_for_which_there_is_no_room_says_so_and_changes_nothing(tmp_path: Path, size: int) -> None:
    made(tmp_path / "store", OLD)
    made(tmp_path / "other", NEW)
    before = stat.S_IMODE((tmp_path / "store").stat().st_mode)
    done = limited(tmp_path, size, "restore")
    assert done.returncode == 1
    assert "space" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"store", "other"}
    assert count(tmp_path / "store") == OLD
    assert count(tmp_path / "other") == NEW
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == before
