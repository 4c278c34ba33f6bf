"""``missive doctor`` where folders, the disk or the store are broken."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from doctor_kit import Home, harm_of

from missive_host.config.paths import profile_paths
from missive_host.doctor.machine import disk, folders

if TYPE_CHECKING:
    from cli.conftest import Missive


@pytest.fixture
def home(missive: Missive) -> Home:
    return Home(missive)


# --- folders and disk


def test_a_state_folder_that_others_can_change(home: Home) -> None:
    home.used()
    home.state.chmod(0o777)
    home.fails("state.paths", code=75, says="other users can change", mends=f"chmod 700 {home.state}")


def test_a_store_that_others_can_read(home: Home) -> None:
    home.used()
    home.store.chmod(0o644)
    found = home.look(code=0)["state.paths"]
    assert found["status"] == "warning"
    assert found["hints"] == [f"chmod 600 {home.store}"]


def test_a_file_in_the_place_of_a_folder(home: Home) -> None:
    home.state.parent.mkdir(parents=True)
    home.state.write_text("in the way")
    home.fails("state.paths", code=75, says="is in the way", mends=f"mv {home.state}")


def test_a_disk_that_takes_nothing(home: Home) -> None:
    home.used()

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    home.missive.env["PYTHONDONTWRITEBYTECODE"] = "1"  # Python would leave a part of a module, and use that ever after
    home.fails("disk.space", code=75, says="nothing can be written", mends="df -h", preexec_fn=limit)


@pytest.mark.parametrize(
    ("mebibytes", "status"), [(1, "fail"), (31, "fail"), (33, "warning"), (500, "warning"), (513, "pass")]
)
def test_a_disk_that_is_getting_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mebibytes: int, status: str
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=mebibytes * 1024 * 1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check = disk(profile_paths("default", {"MISSIVE_HOME": str(tmp_path), "HOME": str(tmp_path)}))
    assert check.status == status
    assert f"{mebibytes} MiB free" in check.message
    assert bool(check.hints) == (status != "pass")
    assert not any(map(harm_of, check.hints))


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_this_user_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    """Root can write everywhere, so here nobody can write in this one."""
    paths = profile_paths("default", {"MISSIVE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)})
    if exists:
        paths.state.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _: path not in (tmp_path, paths.state))
    check = next(iter(folders(paths)))
    assert (check.status, check.exit_code) == ("fail", 75)
    assert f"cannot write in {paths.state if exists else tmp_path}" in check.message
    assert check.hints[0] == f"chmod u+rwx {paths.state if exists else tmp_path}"
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    check = next(iter(folders(paths)))
    own = f"sudo chown $(id -u) {paths.state}" if exists else f"sudo install -d -m 700 -o $(id -u) {paths.state}"
    assert check.hints[0] == own
    assert not any(map(harm_of, check.hints))


def test_a_store_in_a_folder_of_many(home: Home) -> None:
    """No hint changes who may use a folder that is not missive's own."""
    many = home.missive.home / "many"
    many.mkdir()
    home.config(f'[storage]\ndatabase_path = "{many}/missive.sqlite3"\n')
    many.chmod(0o1777)
    assert home.look(code=0)["state.paths"]["status"] == "pass"
    many.chmod(0o777)
    home.fails("state.paths", code=75, says="other users can change what is in", mends="`database_path`")


# --- the store


def test_what_the_store_takes_is_told(home: Home) -> None:
    home.missive.ok("agent", "add", "one", "http://127.0.0.1:9")
    found = home.look(code=69)["store.size"]
    assert found["status"] == "pass"
    assert found["data"]["bytes"] == home.store.stat().st_size
    assert found["data"]["rows"]["agents"] == 1
    assert found["data"]["rows"]["events"] >= 1
    assert found["data"]["oldest_event"] <= found["data"]["newest_event"]
    assert "MiB, " in found["message"]
    assert "1 in agents" in found["message"]
    assert f"the journal since {found['data']['oldest_event'][:10]}" in found["message"]


def test_a_damaged_store(home: Home) -> None:
    home.used()
    with home.store.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    found = home.look(code=75)
    broken = [check for check in found.values() if check["category"] == "store" and check["status"] == "fail"]
    assert "is damaged" in broken[0]["message"]
    assert any(".recover" in hint for hint in broken[0]["hints"])


def test_a_store_that_is_no_database(home: Home) -> None:
    home.state.mkdir(parents=True, mode=0o700)
    home.store.write_bytes(b"no database" * 1000)
    home.store.chmod(0o600)
    home.fails("store.sqlite_migrations", code=75, says="is not a SQLite database", mends=f"mv {home.store}")


def test_a_newer_schema(home: Home) -> None:
    home.used()
    with sqlite3.connect(home.store) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    home.fails(
        "store.sqlite_migrations", code=75, says="schema version 999", mends="pip install --upgrade missive-host"
    )


def test_a_locked_store(home: Home) -> None:
    home.used()
    connection = sqlite3.connect(home.store, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        home.fails("store.writable", code=75, says="is locked", mends=f"fuser -v {home.store}")
    finally:
        connection.close()


def test_a_store_whose_last_write_was_cut_off(home: Home) -> None:
    """As by a restore that was killed; nothing is wrong with it, and nothing is written by the look."""
    home.used()
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None).execute\n"
        "for each in ('PRAGMA journal_mode = DELETE', 'PRAGMA cache_size = 1', 'BEGIN', 'CREATE TABLE t (x)',\n"
        "    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 999) INSERT INTO t'\n"
        "    ' SELECT randomblob(999) FROM n'):\n"
        "    c(each)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(home.store)])
    assert home.store.with_name(f"{home.store.name}-journal").exists()
    found = home.look(code=0)["store.integrity"]
    assert found["status"] == "warning"
    assert found["hints"] == ["missive store check"]
    home.missive.ok("store", "check")
    assert home.look(code=0)["store.integrity"]["status"] == "pass"
