"""``missive adapter file-drop`` by itself: what is run, what is answered, and where everything goes."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from contract_kit import RESULT_FILE, faults
from filedrop_kit import Drop
from support.secrets import planted


def start_task(drop: Drop) -> str:
    """Let the agent begin a task that takes long, and return its id."""
    drop.put(
        "0.json", {"id": "0", "command": "send", "agent": "echo", "message": "sleep 60", "return_immediately": True}
    )
    drop.summary()
    (frame,) = drop.answer("0.result.json")["outputs"]
    task: str = frame["data"]["data"]["response"]["task_id"]
    return task


SECRET = planted("outside")


def test_what_succeeds_what_fails_and_what_is_refused(echo: Drop) -> None:
    task = start_task(echo)
    echo.send("a.json", "echo hello")
    echo.put("b.json", {"id": "b", "command": "task_wait", "task_id": task, "timeout": "50ms"})
    echo.put("c.json", b'{"id":"c","command":"send","agent":"echo","mesage":"x"}')
    echo.put("d.json", {"id": "d", "command": "stream", "agent": "echo", "message": "stream 2"})
    data = echo.summary()
    counts = ("scanned_ready_files", "processed_files", "succeeded", "failed")
    assert [data[name] for name in counts] == [4, 4, 2, 2]
    (echo.outbox / "0.result.json").unlink()
    (echo.inbox / "processed" / "0.json").unlink()
    assert echo.names() == ["a.result.json", "b.error.json", "c.error.json", "d.result.json"]
    assert (echo.names("in/processed"), echo.names("in/error")) == (["a.json", "d.json"], ["b.json", "c.json"])
    assert echo.clean()
    for name in echo.names():
        assert faults(RESULT_FILE, echo.answer(name)) == ()
    one, failed, refused, stream = map(echo.answer, echo.names())
    assert one["outputs"][0]["data"]["data"]["response"]["text"] == "hello"
    assert (failed["error"]["exit_code"], [each["ok"] for each in failed["outputs"]]) == (82, [True])
    assert (refused["id"], refused["error"]["exit_code"]) == ("c", 64)
    assert "did you mean 'message'" in refused["error"]["message"]
    kinds = [frame["data"]["kind"] for frame in stream["outputs"]]
    assert kinds == ["stream_event"] * (len(kinds) - 1) + ["stream_result"]
    assert [frame["sequence"] for frame in stream["outputs"]] == list(range(len(kinds)))
    listed = {each["input_file"]: each for each in data["files"]}
    assert listed["b.json"] == {
        "input_file": "b.json",
        "ok": False,
        "output_file": str(echo.outbox / "b.error.json"),
        "output_kind": "file_drop_error",
        "output_count": 1,
        "archived_file": "b.json",
        "error_code": "missive::orchestration",
    }


def test_people_see_a_line_for_each_file_and_one_at_the_end(drop: Drop) -> None:
    drop.put("a.json")
    drop.put("b.json", b"{")
    done = drop.once()
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["2 files done: 1 succeeded, 1 failed"]
    assert sorted(done.stderr.splitlines()) == [
        "a.json: ok, a.result.json",
        "b.json: failed: validation error: the frame is not valid JSON, b.error.json",
    ]
    assert (drop.once("--quiet").stdout, drop.once("--quiet").stderr) == ("", "")


BAD = {
    "empty": (b"", "the file is empty"),
    "not-utf-8": (b'{"id":"a","command":"\xff"}', "the frame is not valid UTF-8 at byte 21"),
    "array": (b"[1]", "the frame is an array, not a JSON object"),
    "version": (
        b'{"schema_version":"missive.stdio.v1","id":"a","command":"task_list"}',
        'field `schema_version`: this door reads missive.file_drop.v1, not "missive.stdio.v1"',
    ),
    "deep": (b"[" * 2000, "the frame is nested too deeply"),
    "two": (b'{"id":"a","command":"task_list"}{}', "the frame is not valid JSON"),
    "long": (b'{"id":"a","x_":"' + b"x" * 5000 + b'"}', "the file is longer than 4096 bytes"),
    "key": (
        b'{"id":"a","command":"task_list","idempotency_key":"k"}',
        "field `idempotency_key`: this process keeps no answers, so it cannot tell what was asked before",
    ),
}


def test_nothing_bad_is_lost_or_ends_the_others(drop: Drop) -> None:
    for name, (data, _) in BAD.items():
        drop.put(f"{name}.json", data)
    drop.put("zz.json")
    assert drop.summary("--max-file-size", "4KiB")["failed"] == len(BAD)
    for name, (text, message) in BAD.items():
        assert drop.answer(f"{name}.error.json")["error"]["message"] == f"validation error: {message}"
        assert (drop.inbox / "error" / f"{name}.json").read_bytes() == text
    assert drop.answer("zz.result.json")["ok"] is True


def test_a_file_that_may_not_be_read(drop: Drop, tmp_path: Path) -> None:
    path = drop.put("a.json")
    path.chmod(0)
    if os.geteuid() == 0:  # who reads everything: let it be something that nobody can read as a file
        path.unlink()
        os.mkfifo(path)
        done = drop.once()
        assert "left alone: a.json is a link or no file" in done.stderr
        return
    drop.summary()
    assert "while reading the file: Permission denied" in drop.answer("a.error.json")["error"]["message"]


@pytest.mark.secrets_in("secret.json")
def test_what_is_no_request_is_left_alone(drop: Drop) -> None:
    secret = drop.folder / "secret.json"
    secret.write_text(json.dumps({"id": "s", "command": "task_list", "x_": SECRET}))
    names = [".hidden.json", "a.json~", "a.json.tmp", "a.JSON", "notes.txt", "a.jsonl", "json"]
    for name in names:
        (drop.inbox / name).write_bytes(b'{"id":"a","command":"task_list"}')
    (drop.inbox / "folder.json").mkdir()
    (drop.inbox / "sub").mkdir()
    (drop.inbox / "sub" / "below.json").write_text("{}")
    (drop.inbox / "link.json").symlink_to(secret)
    (drop.inbox / "dangling.json").symlink_to("nowhere")
    os.mkfifo(drop.inbox / "pipe.json")
    not_text = os.fsencode(drop.inbox) + b"/\xff.json"
    Path(os.fsdecode(not_text)).write_bytes(b"{}")
    done = drop.once("--json")
    assert json.loads(done.stdout)["data"]["scanned_ready_files"] == 0
    for text in ("link.json is a link or no file", "pipe.json is a link", r"'\xff.json' is no name in UTF-8"):
        assert text in done.stderr
    kept = {os.fsencode(path.name) for path in drop.inbox.iterdir()}
    assert kept >= {os.fsencode(name) for name in names} | {b"\xff.json", b"link.json", b"pipe.json", b"dangling.json"}
    assert secret.exists()
    assert drop.names() == []


def test_names_that_are_hard(drop: Drop) -> None:
    names = ["a b.json", "ä\u2028ü.json", "$(x);'\".json", "-rf.json", "x\x1b[31m\n.json", "a.result.json"]
    long = "ö" * 120 + ".json"
    for name in [*names, long]:
        drop.put(name, {"id": "x", "command": "task_list"})
    done = drop.once()
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    cut = "ö" * 77 + ".json"
    assert drop.names("in/processed") == sorted([*names, cut])
    assert drop.names() == sorted(f"{name.removesuffix('.json')}.result.json" for name in [*names, cut])
    assert drop.clean()


def test_nothing_is_overwritten(drop: Drop) -> None:
    for number in range(3):
        drop.put("a.json", {"id": f"run-{number}", "command": "task_list"})
        drop.summary()
    assert drop.names("in/processed") == ["a-1.json", "a-2.json", "a.json"]
    answers = ["a.result.json", "a-1.result.json", "a-2.result.json"]
    assert sorted(drop.names()) == sorted(answers)
    for number, name in enumerate(answers):
        found = drop.answer(name)
        assert (found["id"], found["input_file"], found["archived_file"]) == (
            f"run-{number}",
            "a.json",
            f"a-{number}.json" if number else "a.json",
        )


def test_files_are_run_in_the_order_of_their_names(drop: Drop, logged: object) -> None:
    assert callable(logged)
    for name in ("c", "a", "b", "10", "9"):
        drop.send(f"{name}.json", f"echo {name}")
    drop.summary("--concurrency", "8")
    assert logged() == [f"echo {name}" for name in ("10", "9", "a", "b", "c")]


def test_any_order_lets_them_run_side_by_side(echo: Drop) -> None:
    echo.send("a.json", "slow 2")
    echo.send("b.json", "echo b")
    data = echo.summary("--any-order")
    assert [each["input_file"] for each in data["files"]] == ["b.json", "a.json"]


def test_folders_as_sessions(echo: Drop) -> None:
    echo.put("a.json", folder="team-a")
    echo.put("b.json", {"id": "b", "command": "task_list", "source": {"resume_name": "team-b"}}, folder="team-a")
    echo.put("c.json", folder="Team")
    echo.put("d.json", folder="processed")
    echo.put("e.json")
    (echo.inbox / "link").symlink_to(echo.folder)
    done = echo.once("--session-folders", "--json")
    data = json.loads(done.stdout)["data"]
    assert (data["succeeded"], data["failed"]) == (2, 1)
    assert "the folder Team is no session" in done.stderr
    assert "this folder is the session 'team-a', not 'team-b'" in echo.answer("b.error.json")["error"]["message"]
    assert echo.names("in/team-a") == []
    assert echo.names("in/Team") == ["c.json"]
    assert echo.names("in/processed") == ["a.json", "d.json", "e.json"]


def test_max_files(drop: Drop) -> None:
    for number in range(5):
        drop.put(f"{number}.json")
    assert drop.summary("--max-files", "2")["processed_files"] == 2
    assert drop.names("in") == ["2.json", "3.json", "4.json"]


def test_other_folders_and_who_may_see_them(drop: Drop) -> None:
    drop.put("a.json")
    drop.put("b.json", b"{")
    deep = drop.folder / "x" / "y"
    drop.summary("--processed", str(deep / "done"), "--error-dir", str(deep / "bad"))
    assert [drop.names("x/y/done"), drop.names("x/y/bad")] == [["a.json"], ["b.json"]]
    for made in (drop.outbox, deep, deep.parent, deep / "done"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_an_inbox_that_is_a_link_is_as_good(drop: Drop) -> None:
    real = drop.folder / "real"
    drop.inbox.rename(real)
    drop.inbox.symlink_to(real)
    drop.put("a.json")
    assert drop.summary()["succeeded"] == 1
    assert (real / "processed" / "a.json").exists()


@pytest.mark.parametrize("option", ["--outbox", "--processed", "--error-dir"])
def test_answers_may_not_become_requests(drop: Drop, option: str) -> None:
    drop.put("a.json")
    done = drop.once(option, str(drop.inbox / "processed" / ".."))
    assert done.returncode == 64
    assert "are the same folder: what is written there would be a request again" in done.stderr
    assert drop.names("in") == ["a.json"]


def test_folders_that_cannot_be(drop: Drop) -> None:
    (drop.folder / "file").write_text("")
    done = drop.once("--processed", str(drop.folder / "file" / "below"))
    assert done.returncode == 74
    assert "while making the folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_archive_on_another_file_system(drop: Drop) -> None:
    other = Path("/dev/shm") if Path("/dev/shm").is_dir() else drop.folder
    place = other / f"missive-test-{os.getpid()}"
    place.mkdir()
    try:
        for _ in range(2):
            path = drop.put("a.json")
            path.chmod(0o640)
            drop.summary("--processed", str(place))
        assert sorted(path.name for path in place.iterdir()) == ["a-1.json", "a.json"]
        assert stat.S_IMODE((place / "a-1.json").stat().st_mode) == 0o640
        assert drop.clean()
    finally:
        for left in place.iterdir():
            left.unlink()
        place.rmdir()
