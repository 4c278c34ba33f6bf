"""``missive logs`` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def log_file(missive: Any) -> Path:
    return Path(missive.env["MISSIVE_HOME"]) / "state" / "profiles" / "default" / "logs" / "gateway.log"


def write(missive: Any, *records: dict[str, Any] | bytes) -> None:
    path = log_file(missive)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for record in records:
            file.write((record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n")


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "timestamp": f"2026-01-01T00:00:{number:02d}.000Z",
        "level": "info",
        "target": "missive.x",
        "message": f"n{number}",
        **fields,
    }


def configure(missive: Any, text: str) -> None:
    path = missive.home / "missive.toml"
    path.write_text(text)
    missive.env["MISSIVE_CONFIG"] = str(path)


@contextmanager
def gateway(missive: Any, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = missive.start("gateway", "run", "--port", "0", "--ndjson", *words)
    with process:
        try:
            assert json.loads(process.stdout.readline())["kind"] == "gateway_started", process.stderr.read()
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=60)


def test_before_anything_was_logged(missive) -> None:  # type: ignore[no-untyped-def]
    done = missive.run("logs")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing has been logged yet" in done.stderr
    assert "missive gateway run" in done.stderr
    data = missive.json("logs")
    assert (data["count"], data["records"], data["path"]) == (0, [], str(log_file(missive)))


def test_a_gateway_writes_it_by_itself(missive) -> None:  # type: ignore[no-untyped-def]
    with gateway(missive):
        assert "the gateway of the profile 'default' runs on http://127.0.0.1:" in missive.ok("logs")
    assert log_file(missive).stat().st_mode & 0o777 == 0o600
    lines = missive.ok("logs", "-n", "2").splitlines()
    assert [line[24:] for line in lines] == [
        "info  missive.gateway: stopping: signal",
        "info  missive.gateway: the gateway has stopped; given back: 0",
    ]


def test_for_people_and_for_programs(missive) -> None:  # type: ignore[no-untyped-def]
    write(
        missive,
        record(1, adapter="web", work_id="w-1", agent="echo", frame_id="f"),
        record(2, level="error", exception="Traceback\n  x\nValueError: \x1b[31mred", extra={"a": 1}),
        b"not a record \xff",
        b'{"timestamp": "2026-01-',
    )
    assert missive.ok("logs") == (
        "2026-01-01 00:00:01.000 info  missive.x: n1  adapter=web work=w-1 agent=echo\n"
        "2026-01-01 00:00:02.000 error missive.x: n2\n"
        "  Traceback\n"
        "    x\n"
        "  ValueError: red\n"
        "not a record \ufffd\n"
        '{"timestamp": "2026-01-\n'
    )
    lines = [json.loads(line) for line in missive.ok("logs", "--ndjson").splitlines()]
    assert [(line["kind"], line["sequence"]) for line in lines] == [("log_record", number) for number in range(4)]
    assert lines[0]["data"]["fields"] == {"adapter": "web", "work_id": "w-1", "agent": "echo", "frame_id": "f"}
    assert lines[1]["data"]["extra"] == {"a": 1}
    data = missive.json("logs", "--level", "warning", "--target", "missive")
    assert data["filters"] == {"level": "warning", "target": ["missive"]}
    assert [each["message"] for each in data["records"]] == ["n2"]
    assert missive.ok("logs", "--quiet") == ""


def test_what_is_selected(missive) -> None:  # type: ignore[no-untyped-def]
    write(missive, *(record(number, work_id=f"w-{number % 3}") for number in range(50)))

    def said(*words: str) -> list[str]:
        return [each["message"] for each in missive.json("logs", *words)["records"]]

    every = [f"n{number}" for number in range(50)]
    assert said("-n", "3") == every[-3:]
    assert said("--tail", "all") == every
    assert said("--tail", "0") == []
    assert said("--since", "2026-01-01T00:00:40Z") == every[40:]
    assert said("--since", "2026-01-01 01:00:40+01:00", "--until", "2026-01-01T00:00:42Z") == every[40:43]
    assert said("--since", "2026-01-01T00:00:40Z", "-n", "2") == every[-2:]
    assert said("--since", "10m") == []
    assert said("--id", "w-1", "-n", "2") == ["n46", "n49"]
    assert said("--receipt", "w-1", "--grep", "^n4[0-5]") == ["n40", "n43"]
    assert missive.run("logs", "--id", "w-9").stderr == "no records\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--since", "yesterday"), "--since: 'yesterday' is not a time"),
        (("-n", "-1"), "--tail: expected a whole number or `all`, not '-1'"),
        (("--grep", "("), "--grep: not a regular expression"),
        (("--follow", "--until", "1m"), "--follow and --until exclude each other"),
        (("--follow",), "what is followed is not one document"),
    ],
)
def test_what_cannot_be(missive, words: tuple[str, ...], message: str) -> None:  # type: ignore[no-untyped-def]
    error = missive.error("logs", *words)
    assert message in error["message"]
    assert error["help"]
    assert error["exit_code"] == 64


def test_where_the_log_goes_to_stderr(missive) -> None:  # type: ignore[no-untyped-def]
    configure(missive, '[logging]\ndestination = "stderr"\n')
    error = missive.error("logs")
    assert error["exit_code"] == 78
    assert "goes to stderr" in error["message"]
    assert "where the gateway was started" in error["help"]
    with gateway(missive) as process:
        pass
    assert not log_file(missive).exists()
    assert process.returncode == 0
    missive.ok("gateway", "install", "--dry-run")
    unit = missive.home / ".config" / "systemd" / "user" / "missive-gateway.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    help_text = missive.error("logs")["help"]
    if sys.platform == "linux":
        assert help_text.startswith("journalctl --user -u missive-gateway.service, ")
    write(missive, record(1))
    done = missive.run("logs")
    assert "n1" in done.stdout
    assert "the log goes to stderr now" in done.stderr


def test_a_file_that_may_not_be_read(missive) -> None:  # type: ignore[no-untyped-def]
    write(missive, record(1))
    log_file(missive).chmod(0)
    if os.access(log_file(missive), os.R_OK):  # root may read everything
        assert "n1" in missive.ok("logs")
    else:
        assert missive.error("logs")["exit_code"] == 74


def test_following_over_restarts_and_full_files_until_ctrl_c(missive) -> None:  # type: ignore[no-untyped-def]
    configure(missive, '[logging]\nmax_size = 300\nkeep = 3\nfile = "other/x.log"\n')
    follower = missive.start("logs", "--follow", "--ndjson", "-n", "0")
    with follower:
        assert b"nothing has been logged yet" in follower.stderr.readline()  # from now on it looks
        for _ in range(2):
            with gateway(missive):
                pass
        said = [json.loads(follower.stdout.readline())["data"]["message"] for _ in range(6)]
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=60)
    once = ["the gateway of the profile", "stopping: signal", "the gateway has stopped; given back: 0"]
    assert [text.partition(" 'default'")[0] for text in said] == once * 2
    assert (out, follower.returncode) == (b"", 130)
    assert b"interrupted" in err
    names = sorted(path.name for path in (log_file(missive).parents[1] / "other").iterdir())
    assert names == ["x.log", "x.log.1", "x.log.2"]


def test_following_ends_with_a_timeout_and_with_its_reader(missive) -> None:  # type: ignore[no-untyped-def]
    write(missive, record(1))
    done = missive.run("logs", "-f", "--timeout", "300ms")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    with missive.start("logs", "-f", "--ndjson") as process:
        process.stdout.readline()
        process.stdout.close()  # it need not be written to
        assert (process.stderr.read(), process.wait(60)) == (b"", 141)


def test_a_reload_changes_levels_and_opens_the_file_anew(missive) -> None:  # type: ignore[no-untyped-def]
    configure(missive, '[logging]\nlevel = "warning"\n')
    with gateway(missive) as process:
        assert not log_file(missive).exists()
        configure(missive, '[logging]\nlevel = "info"\n')
        assert "logging" in missive.json("gateway", "reload")["changed"]
        assert "the configuration has been read again: logging" in missive.ok("logs")
        log_file(missive).rename(log_file(missive).with_name("gateway.log.1"))
        configure(missive, "nonsense")
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while (
            not log_file(missive).exists() or "the configuration stays as it was" not in log_file(missive).read_text()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        configure(missive, "")
    assert "the configuration stays as it was" in missive.ok("logs", "--level", "warn")


def test_flags_and_environment_have_the_last_word(missive) -> None:  # type: ignore[no-untyped-def]
    configure(missive, '[logging]\nlevel = "error"\nformat = "json"\n')
    plain = dict(missive.env)
    for more, as_json in (({}, True), ({"MISSIVE_LOG_FORMAT": "text"}, False), ({"MISSIVE_LOG_JSON": "1"}, True)):
        missive.env = {**plain, **more}
        process = missive.start("gateway", "run", "--port", "0", "--ndjson", "-v")
        process.stdout.readline()
        process.terminate()
        _, err = process.communicate(timeout=60)
        lines = err.splitlines()
        assert lines
        if as_json:
            assert [json.loads(line)["level"] for line in lines] == ["info"] * len(lines)
        else:
            assert [line.split()[1] for line in lines] == [b"info"] * len(lines)
    assert "the gateway has stopped" in missive.ok("logs")


def test_the_doctor_looks_at_it(missive) -> None:  # type: ignore[no-untyped-def]
    def found() -> dict[str, Any]:
        done = missive.run("doctor", "--json")
        checks = json.loads(done.stdout)["data"]["checks"]
        check: dict[str, Any] = next(each for each in checks if each["id"] == "state.paths")
        return check

    missive.ok("agent", "list")
    write(missive, record(1))
    log_file(missive).parent.chmod(0o700)
    log_file(missive).chmod(0o644)
    assert found()["status"] == "warning"
    log_file(missive).chmod(0o600)
    assert found()["status"] == "pass"
    log_file(missive).unlink()
    log_file(missive).parent.rmdir()
    log_file(missive).parent.write_text("in the way")
    assert found()["status"] == "fail"
    assert found()["hints"][0].startswith("mv ")


def test_it_has_why_a_gateway_could_not_start(missive) -> None:  # type: ignore[no-untyped-def]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        failed = missive.run("gateway", "run", "--port", port, "--json")
        assert json.loads(failed.stderr)["kind"] == "error"  # and nothing else is there
    (line,) = missive.ok("logs", "--level", "error").splitlines()
    assert f"error missive.gateway: the gateway ends: cannot listen on 127.0.0.1:{port}" in line
    with gateway(missive):
        assert missive.run("gateway", "run", "--port", "0").returncode == 75  # it leaves no trace in the log of another
    assert len(missive.ok("logs", "--level", "error").splitlines()) == 1


def test_it_has_that_the_gateway_before_was_killed(missive) -> None:  # type: ignore[no-untyped-def]
    configure(missive, '[adapters.web]\nkind = "http"\n')
    with socket.create_server(("127.0.0.1", 0)) as silent:  # an agent that takes the connection, and says nothing
        missive.ok("agent", "add", "mute", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with gateway(missive) as process:
            job = missive.json("job", "start", "send", "mute", "hi")["job"]["job_id"]
            deadline = time.monotonic() + 30
            while missive.json("job", "show", job)["job"]["state"] != "running":
                assert time.monotonic() < deadline
            process.kill()
            process.wait()
        with gateway(missive):
            said = missive.ok("logs")
    assert "the gateway before this one was ended in the middle of work; taken up again: 1" in said


def test_other_commands_write_no_file(missive) -> None:  # type: ignore[no-untyped-def]
    missive.run("send", "nobody", "hi", "-vvv")
    missive.run("agent", "list", "-vvv")
    assert not log_file(missive).exists()
