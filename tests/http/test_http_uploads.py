"""Files as parts of a form: on the disk before the request is taken in, with the message, and gone after it."""

from __future__ import annotations

import base64
import io
import json
import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from http_kit import MESSAGES, Door, checked, serving
from missive_http.adapter import HttpAdapter
from missive_http.uploads import File, Uploads, safe_name

from missive_host.envelopes import HTTP, parse_envelope
from missive_host.errors import ErrorReport
from missive_host.protocols import Done, Retry

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

ECHO = {"id": "u", "command": "send", "agent": "echo", "message": "echo-parts"}


async def post(door: Door, frame: Any, *files: tuple[str, Any], **headers: str) -> httpx.Response:
    parts: list[tuple[str, Any]] = [*files]
    if frame is not None:
        text = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        parts.insert(0, ("frame", ("frame.json", text, "application/json")))
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return checked(await door.client.post(MESSAGES, files=parts, headers=names))


def left(door: Door) -> list[str]:
    folder = door.context.data_dir / "uploads"
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


async def test_files_go_with_the_message_and_are_gone_after_it(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answer = await post(
            door,
            {**ECHO, "json_parts": [{"n": 1}]},
            ("file", ("report.pdf", b"%PDF \x00\xff", "application/pdf")),
            ("file", ("report.pdf", b"the other", "text/plain; charset=utf-8")),
        )
        assert answer.status_code == 200, answer.text
        parts = answer.json()["outputs"][0]["data"]["response"]["raw"]["parts"]
        assert [(part.get("filename"), part.get("mediaType")) for part in parts if "raw" in part] == [
            ("report.pdf", "application/pdf"),
            ("report-1.pdf", "text/plain"),
        ]
        assert base64.b64decode(parts[1]["raw"]) == b"%PDF \x00\xff"
        with anyio.fail_after(5):
            while left(door):
                await anyio.sleep(0.01)


async def test_files_are_on_the_disk_while_it_waits(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answer = await post(
            door, {**ECHO, "message": "slow 1"}, ("f", ("a.txt", b"abc", "text/plain")), Prefer="wait=0"
        )
        assert answer.status_code == 202
        (folder,) = left(door)
        file = door.context.data_dir / "uploads" / folder / "a.txt"
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"abc", 0o600)
        (kept,) = door.intake.kept.values()
        assert kept.reply_to["uploads"] == folder
        done = await door.get(answer.json()["location"], Prefer="wait=20")
        assert done.status_code == 200


async def test_the_same_form_under_the_same_key_is_the_same_request(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        file, other = ("f", ("a.txt", b"abc", "text/plain")), ("f", ("a.txt", b"abd", "text/plain"))
        first = await post(door, ECHO, file, Idempotency_Key="k")
        second = await post(door, ECHO, file, Idempotency_Key="k")
        assert (first.status_code, second.status_code) == (200, 200)
        assert second.headers["idempotency-replayed"] == "true"
        assert (await post(door, ECHO, other, Idempotency_Key="k")).status_code == 422
        assert door.intake.runs == 1
        with anyio.fail_after(5):
            while left(door):
                await anyio.sleep(0.01)


async def test_who_is_refused_takes_no_files_from_others(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, limit=1) as door:
        file = ("f", ("a.txt", b"abc", "text/plain"))
        slow = {**ECHO, "message": "slow 1"}
        await post(door, slow, file, Idempotency_Key="k", Prefer="wait=0")
        before = left(door)
        assert (await post(door, ECHO, file)).status_code == 503
        assert left(door) == before


@pytest.mark.parametrize(
    ("frame", "files", "said"),
    [
        (None, [("f", ("a", b"x", "text/plain"))], "there is no part `frame`"),
        (ECHO, [("frame", ("b", b"{}", "application/json"))], "more than one part `frame`"),
        (ECHO, [("note", (None, b"x"))], "part `note` is no file"),
        (b"{", [("f", ("a", b"x", "text/plain"))], "not valid JSON"),
        ({"command": "task_list"}, [("f", ("a", b"x", "text/plain"))], "carries no files"),
        ({**ECHO, "file_bytes": ["/etc/hostname"]}, [], "parts of multipart/form-data"),
        ({**ECHO, "files": ["x"]}, [], "parts of multipart/form-data"),
    ],
)
async def test_forms_that_are_refused(
    home: Home, agent: AgentProcess, frame: Any, files: list[tuple[str, Any]], said: str
) -> None:
    async with serving(home, agent) as door:
        answer = await post(door, frame, *files)
        assert (answer.status_code, said in answer.json()["detail"]) == (400, True), answer.text
        assert left(door) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        ("multipart/form-data; boundary=b", b""),
    ],
)
async def test_what_is_no_form(home: Home, kind: str, body: bytes) -> None:
    async with serving(home) as door:
        assert (await door.post(body, Content_Type=kind)).status_code == 400


async def test_a_json_body_names_no_files_of_this_machine(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent) as door:
        answer = await door.post({**ECHO, "file_bytes": ["../../secret"]})
        assert (answer.status_code, answer.json()["id"]) == (400, "u")


async def test_a_form_that_is_too_long(home: Home, agent: AgentProcess) -> None:
    async with serving(home, agent, max_upload="4KiB") as door:
        assert (await post(door, ECHO, ("f", ("a", b"x" * 5000, "text/plain")))).status_code == 413

        async def chunks() -> Any:
            yield b"--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n"
            for _ in range(100):
                yield b"x" * 100

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        assert (await door.client.post(MESSAGES, content=chunks(), headers=headers)).status_code == 413
        assert left(door) == []


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\a.txt", "a.txt"),
        ("..", "file"),
        (".bashrc", "bashrc"),
        ("a\x00\nb.txt", "a__b.txt"),
        ("", "file"),
        ("ü" * 300 + ".csv", "ü" * 20 + ".csv"),
    ],
)
def test_names_of_files(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_the_disk_is_full(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(28, "No space left on device")

    uploads = Uploads(tmp_path)
    with pytest.raises(OSError, match="No space"):
        uploads.keep([File("a", "text/plain", Full())], None)
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_after_a_restart_files_are_kept_until_the_end(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    async with serving(home, agent) as door:
        uploads = Uploads(door.context.data_dir)
        folder, paths = uploads.keep([File("a.txt", "text/plain", io.BytesIO(b"abc"))], None)
        orphan = door.context.data_dir / "uploads" / "orphan"
        orphan.mkdir()
        for entry in (folder, "orphan"):
            os.utime(door.context.data_dir / "uploads" / entry, (0, 0))
        again = HttpAdapter(door.context)
        frame = json.dumps({**ECHO, "file_bytes": paths}).encode()
        delivery = again.restore(parse_envelope(frame, HTTP, default_source="http"), {"id": "u", "uploads": folder})
        again._uploads.sweep()
        assert left(door) == [folder]
        await delivery.settle(Retry(ErrorReport("", "", "", 70)))
        assert left(door) == [folder]
        await delivery.settle(Done())
        assert left(door) == []
