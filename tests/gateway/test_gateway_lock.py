"""One daemon a home and profile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from missive_host.config.paths import Paths, profile_paths
from missive_host.errors import StorageError
from missive_host.gateway.lock import DaemonLock, last_holder, lock_path

HOLDER = """
import sys, time, os
from missive_host.config.paths import profile_paths
from missive_host.gateway.lock import DaemonLock
lock = DaemonLock(profile_paths("default", os.environ))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return profile_paths("default", {"MISSIVE_HOME": str(tmp_path)})


def test_a_second_one_is_refused_and_told_who_the_first_is(paths: Paths) -> None:
    first = DaemonLock(paths)
    with first:
        with pytest.raises(StorageError, match=f"process {os.getpid()}, since 20") as caught:
            DaemonLock(paths).acquire()
        assert caught.value.exit_code == 75
        assert "missive gateway stop" in str(caught.value.help)
    first.release()
    assert last_holder(paths) is None
    with DaemonLock(paths) as again:
        assert again.held


def test_other_profiles_have_their_own(tmp_path: Path, paths: Paths) -> None:
    with DaemonLock(paths), DaemonLock(profile_paths("work", {"MISSIVE_HOME": str(tmp_path)})) as other:
        assert other.held


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, paths: Paths) -> None:
    env = {**os.environ, "MISSIVE_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", HOLDER], env=env, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"process {holder.pid},"):
            DaemonLock(paths).acquire()
        holder.kill()
        holder.wait()
    stale = last_holder(paths)
    assert stale is not None
    assert stale.pid == holder.pid
    with DaemonLock(paths):
        mine = last_holder(paths)
        assert mine is not None
        assert mine.pid == os.getpid()


def test_the_lock_is_for_its_owner_and_is_not_taken_through_a_link(tmp_path: Path, paths: Paths) -> None:
    with DaemonLock(paths):
        assert lock_path(paths).stat().st_mode & 0o777 == 0o600
        assert lock_path(paths).parent.stat().st_mode & 0o777 == 0o700
    lock_path(paths).unlink()
    other = tmp_path / "precious"
    other.write_text("keep me")
    lock_path(paths).symlink_to(other)
    with pytest.raises(StorageError, match="cannot be taken"):
        DaemonLock(paths).acquire()
    assert other.read_text() == "keep me"


def test_a_folder_that_cannot_be_made_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StorageError, match="cannot be made") as caught:
        DaemonLock(profile_paths("default", {"MISSIVE_HOME": str(tmp_path)})).acquire()
    assert "MISSIVE_HOME" in str(caught.value.help)
