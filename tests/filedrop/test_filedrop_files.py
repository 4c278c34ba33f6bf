"""Files that a request names: beside it, carried along, put away; and none from elsewhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from filedrop_kit import Drop
from missive_filedrop.attachments import put_away
from missive_filedrop.folders import Folders
from support.secrets import planted

SECRET = planted("outside")


def send(drop: Drop, *names: str, field: str = "file_bytes", folder: str = "", flags: tuple[str, ...] = ()) -> Any:
    """Drop a request that names these files, run it, and return the answer."""
    drop.put(
        "r.json",
        {"id": "r", "command": "send", "agent": "echo", "message": "echo-parts", field: list(names)},
        folder=folder,
    )
    drop.summary(*flags)
    (name,) = drop.names()
    return drop.answer(name)


def parts(answer: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer["outputs"][0]["data"]["data"]["response"]["raw"]["parts"]
    return found


def test_files_beside_the_request_are_sent_and_put_away(echo: Drop) -> None:
    (echo.inbox / "more").mkdir()
    (echo.inbox / "note.txt").write_text("hello")
    (echo.inbox / "more" / "data.json").write_text("[1]")
    (echo.inbox / "other.txt").write_text("not named")
    answer = send(echo, "note.txt", "more/data.json")
    assert answer["ok"], answer
    sent = [(part.get("filename"), base64.b64decode(part["raw"])) for part in parts(answer) if "raw" in part]
    assert sent == [("note.txt", b"hello"), ("data.json", b"[1]")]
    assert echo.names("in/processed") == ["data.json", "note.txt", "r.json"]
    assert echo.names("in") == ["other.txt"]
    assert [part["source"] for part in answer["outputs"][0]["data"]["data"]["request"]["parts"]][1] == "note.txt"


def test_by_reference_they_stay(echo: Drop) -> None:
    """The agent has their URL, and may read them when it likes."""
    (echo.inbox / "note.txt").write_text("hello")
    answer = send(echo, "note.txt", field="files")
    assert parts(answer)[-1]["url"] == (echo.inbox / "note.txt").as_uri()
    assert echo.names("in") == ["note.txt"]


def test_they_stay_when_it_did_not_succeed(echo: Drop) -> None:
    (echo.inbox / "note.txt").write_text("hello")
    answer = send(echo, "note.txt", "missing.txt")
    assert (answer["ok"], answer["error"]["exit_code"]) == (False, 74)
    assert "while looking for missing.txt: No such file" in answer["error"]["message"]
    assert echo.names("in") == ["note.txt"]


def test_a_name_that_is_taken_in_the_archive(echo: Drop) -> None:
    (echo.inbox / "processed").mkdir()
    (echo.inbox / "processed" / "note.txt").write_text("older")
    (echo.inbox / "note.txt").write_text("hello")
    assert send(echo, "note.txt")["ok"]
    assert (echo.inbox / "processed" / "note.txt").read_text() == "older"
    assert (echo.inbox / "processed" / "note-1.txt").read_text() == "hello"


def test_those_of_a_session_lie_in_its_folder(echo: Drop) -> None:
    (echo.inbox / "team").mkdir()
    (echo.inbox / "team" / "note.txt").write_text("of the team")
    (echo.inbox / "note.txt").write_text("of nobody")
    answer = send(echo, "note.txt", folder="team", flags=("--session-folders",))
    assert base64.b64decode(parts(answer)[-1]["raw"]) == b"of the team"
    assert echo.names("in") == ["note.txt"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret.txt", "is not a file beside the request"),
        ("more/../../secret.txt", "is not a file beside the request"),
        ("{folder}/secret.txt", "is not a file beside the request"),
        (".hidden", "is not a file beside the request"),
        ("more/.hidden", "is not a file beside the request"),
        ("more//x", "is not a file beside the request"),
        ("a\0b", "is not a file beside the request"),
        ("link.txt", "leads through a link"),
        ("linked/secret.txt", "leads through a link"),
        ("processed/old.json", "lies in a folder of missive's own"),
        ("error/old.json", "lies in a folder of missive's own"),
        ("waiting.json", "would itself be a request"),
        ("more", "is not a regular file"),
        ("pipe", "is not a regular file"),
        ("x" * 300, "File name too long"),
    ],
)
@pytest.mark.parametrize("field", ["files", "file_bytes"])
@pytest.mark.secrets_in("secret.txt", "in/*old.json", "in/*.hidden")
def test_files_from_elsewhere_are_refused(echo: Drop, name: str, message: str, field: str) -> None:
    (echo.folder / "secret.txt").write_text(SECRET)
    for folder in ("more", "processed", "error"):
        (echo.inbox / folder).mkdir()
        (echo.inbox / folder / "old.json").write_text(SECRET)
        (echo.inbox / folder / ".hidden").write_text(SECRET)
    (echo.inbox / ".hidden").write_text(SECRET)
    (echo.inbox / "link.txt").symlink_to(echo.folder / "secret.txt")
    (echo.inbox / "linked").symlink_to(echo.folder)
    (echo.inbox / "waiting.json").write_text("{")
    os.mkfifo(echo.inbox / "pipe")
    echo.put("r.json", {"id": "r", "command": "send", "agent": "echo", field: [name.format(folder=echo.folder)]})
    echo.summary()
    answer = echo.answer("r.error.json")
    assert message in answer["error"]["message"]
    assert answer["id"] == "r"
    assert all(SECRET not in path.read_text() for path in echo.outbox.iterdir())


@pytest.mark.secrets_in("outside/passwd")
def test_a_folder_that_becomes_a_link_is_not_followed(drop: Drop) -> None:
    """After the request was read, and before its files are put away."""
    outside = drop.folder / "outside"
    outside.mkdir()
    (outside / "passwd").write_text(SECRET)
    (drop.inbox / "sub").symlink_to(outside)
    options = {"inbox": str(drop.inbox), "outbox": str(drop.outbox), "processed": None, "error": None}
    folders = Folders.of(options)
    folders.prepare()
    put_away("sub/passwd", folders)
    put_away("gone.txt", folders)
    assert (outside / "passwd").read_text() == SECRET
    assert list(folders.processed.iterdir()) == []


def test_there_is_no_other_root(drop: Drop) -> None:
    done = drop.once("--file-root", str(Path("/")))
    assert done.returncode == 2
    assert "--file-root" in done.stderr
