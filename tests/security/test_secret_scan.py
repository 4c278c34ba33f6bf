"""The search of a test run for planted secrets finds them, wherever and however they lie, and then the run fails."""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from support.secret_scan import OUTPUT
from support.secret_search import Search
from support.secrets import planted

SECRET = planted("scan")
TESTS = Path(__file__).parents[1]
OWN = re.compile(
    r"""^[A-Z_]*(?:SECRET|TOKEN|PASSWORD|CREDENTIAL|API_KEY)[A-Z_]* = [bf]?["'](?!.*planted\().*""", re.MULTILINE
)
RUN = """
import logging, subprocess, sys
from pathlib import Path
import pytest
from support.secrets import planted

SECRET = planted("inner")
SAY = "import os, sys; os.write({}, os.environ['SAID'].encode())"


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    yield folder
    (folder / "late").write_text(SECRET)


def test_in_a_file(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "missive.log").write_text(f"token={SECRET}")


@pytest.mark.secrets_in("allowed")
def test_beside_the_place_where_it_may_be(tmp_path):
    (tmp_path / "allowed").write_text(SECRET)
    (tmp_path / "besides").write_text(SECRET)


@pytest.mark.secrets_in("allowed")
def test_where_it_may_be(tmp_path):
    (tmp_path / "allowed").write_text(SECRET)


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("stream", [1, 2])
def test_said_by_a_process_to_its_end(text, stream):
    subprocess.run(
        [sys.executable, "-c", SAY.format(stream)], env={"SAID": SECRET}, text=text, capture_output=True, check=True
    )


def test_said_by_a_process_that_is_read():
    with subprocess.Popen([sys.executable, "-c", SAY.format(1)], env={"SAID": SECRET}, stdout=subprocess.PIPE) as one:
        assert one.stdout.read(5) + one.stdout.readline() == SECRET.encode()


async def test_said_by_a_process_on_the_loop():
    import anyio

    await anyio.run_process([sys.executable, "-c", SAY.format(1)], env={"SAID": SECRET})


def test_logged():
    logging.getLogger("x").warning("with %s", SECRET)


def test_nothing(shared, tmp_path):
    (tmp_path / "fine").write_text("fine")
"""


def found_in(folder: Path) -> list[str]:
    return Search().folder(folder)


@pytest.mark.parametrize("before", ["", "x", "xy", "Bearer "])
@pytest.mark.parametrize(
    "how",
    [
        str,
        str.upper,
        json.dumps,
        lambda text: quote(text, safe=""),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(f"{text}?>é".encode()).decode(),
        lambda text: text.encode().hex(),
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
        lambda text: text[::-1],
        lambda text: text.encode("utf-16-le").decode("latin-1"),
    ],
)
@pytest.mark.secrets_in("file")
def test_every_form_is_found(tmp_path: Path, before: str, how) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_bytes(b"\0" * 5000 + how(f"{before}{SECRET} and more").encode("latin-1", "ignore"))
    (found,) = found_in(tmp_path)
    assert str(tmp_path / "file") in found
    assert SECRET not in found


@pytest.mark.secrets_in("*.db*")
def test_pages_of_databases_are_searched(tmp_path: Path) -> None:
    """What is in the log alone, and what was deleted and has not been written over."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as logged:
        logged.execute("PRAGMA journal_mode = WAL")
        logged.execute("PRAGMA secure_delete = OFF")
        logged.execute("CREATE TABLE t (x)")
        logged.execute("INSERT INTO t VALUES (?)", ("x" * 9000 + SECRET,))
        assert [line.partition(",")[0] for line in found_in(tmp_path)] == [str(tmp_path / "a.db-wal")]
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as emptied:
        emptied.execute("PRAGMA secure_delete = OFF")
        emptied.execute("DELETE FROM t")
        emptied.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert [line.partition(",")[0] for line in found_in(tmp_path)] == [str(tmp_path / "a.db")]


@pytest.mark.secrets_in(f"*{SECRET}*")
def test_names_are_searched_and_environments_of_python_are_not(tmp_path: Path) -> None:
    (tmp_path / f"of-{SECRET}").touch()
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (found,) = found_in(tmp_path)
    assert found.startswith(f"the name of {tmp_path}")


def test_no_test_makes_a_secret_of_its_own() -> None:
    """What is not planted is not searched for."""
    files = [file for file in TESTS.rglob("*.py") if "node_modules" not in file.parts]
    own = [f"{file.name}: {found}" for file in files for found in OWN.findall(file.read_text("utf-8"))]
    assert len(files) > 100
    assert own == []


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.secrets_in("base/*", OUTPUT)  # of a test that failed pytest shows what was logged
def test_a_run_that_leaves_a_secret_behind_fails(tmp_path: Path, processes: int) -> None:
    (tmp_path / "test_inner.py").write_text(RUN)
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "support.secret_scan"]
    done = subprocess.run(
        [*command, "-n", str(processes), f"--basetemp={tmp_path / 'base'}", "test_inner.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    failed = set(re.findall(r"^ERROR test_inner.py::(\w+)", done.stdout, re.MULTILINE))
    assert failed >= {
        "test_in_a_file", "test_beside_the_place_where_it_may_be", "test_said_by_a_process_to_its_end",
        "test_said_by_a_process_that_is_read", "test_said_by_a_process_on_the_loop", "test_logged",
    }  # fmt: skip
    assert "test_where_it_may_be" not in failed
    assert re.search(r"shared0?/late, in clear", done.stdout)
    assert "besides, in clear" in done.stdout
    assert "allowed, in clear" not in done.stdout
    summary = re.search(r"searched (\d+) files and the outputs of (\d+) tests, .* MB; (\d+) tests say", done.stdout)
    assert summary is not None, done.stdout
    files, outputs, let_off = map(int, summary.groups())
    assert (files, let_off) == (4, 2)
    assert outputs >= 7
