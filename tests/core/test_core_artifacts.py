"""Artifacts: chunks that become whole, and files that stay where they belong."""

from __future__ import annotations

import base64
import json
import os
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from support.cores import BINDINGS

from missive_host import commands as c
from missive_host.core.saving import safe_name
from missive_host.demo.behaviours import big_bytes
from missive_host.errors import IoError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cores import Commands, Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def raw(data: bytes, **members: str) -> dict[str, str]:
    return {"raw": base64.b64encode(data).decode(), **members}


async def given_artifacts(core: Commands, misbehaving: Start, *artifacts: dict[str, Any]) -> None:
    """Have a task ``t`` of agent ``maker`` with these artifacts."""
    task = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}, "artifacts": list(artifacts)}
    server = misbehaving(lambda exchange: exchange.result({"task": task}))
    core.add("maker", server.url)
    await core.one(c.Send(agent="maker", message="make"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("binding", BINDINGS)
async def test_list_show_save_and_export(home: Home, agent: AgentProcess, binding: str, folder: Path) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        task_id = (await core.one(c.Send(agent="worker", message="task", binding=binding))).response.task_id
        listed = core.local(c.ArtifactList(task_id=task_id))
        assert (listed.agent, listed.count) == ("worker", 3)
        assert [(view.artifact_id, view.kind, view.part_count) for view in listed.artifacts] == [
            ("summary", "text", 1), ("result", "json", 1), ("report", "bytes", 1),
        ]  # fmt: skip
        assert listed.artifacts[0].text_preview == "Worked for 0 s."
        shown = core.local(c.ArtifactShow(task_id=task_id, artifact_id="report"))
        assert base64.b64decode(shown.raw["parts"][0]["raw"]) == b"step,seconds\r\nwork,0.0\r\n"
        saved = core.local(c.ArtifactSave(task_id=task_id, artifact_id="report", output=str(folder / "my.csv")))
        assert tree(folder) == {"my.csv": b"step,seconds\r\nwork,0.0\r\n"}
        assert (saved.bytes_written, saved.files[0].kind, saved.files[0].media_type) == (24, "bytes", "text/csv")
        exported = core.local(c.ArtifactExport(task_id=task_id, output_dir=str(folder / "all" / "of it")))
        files = tree(folder / "all" / "of it")
        assert set(files) == {"summary.txt", "result.json", "report.csv"}
        assert files["summary.txt"] == b"Worked for 0 s."
        assert json.loads(files["result.json"]) == {"ok": True, "seconds": 0, "steps": ["work"]}
        assert exported.artifact_count == 3
        assert exported.bytes_written == sum(map(len, files.values()))
        assert {Path(file.path).name for file in exported.files} == set(files)
        error = await core.fails(c.ArtifactShow(task_id=task_id, artifact_id="sumary"), ValidationError)
        assert "'summary'" in error.message


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_big_file_arrives_byte_for_byte(home: Home, agent: AgentProcess, binding: str, folder: Path) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        task_id = (await core.one(c.Send(agent="worker", message="big 5", binding=binding))).response.task_id
        progress: list[tuple[int, int]] = []
        core.core.on_bytes = lambda done, total: progress.append((done, total))
        core.local(c.ArtifactExport(task_id=task_id, output_dir=str(folder)))
        assert tree(folder) == {"big.bin": big_bytes(5)}
        assert progress[-1] == (5 << 20, 5 << 20)
        assert progress == sorted(progress)
        assert len(progress) >= 5
        # The journal keeps what the file was, not its bytes.
        (event,) = core.events(types=("a2a.send.response",))
        part = event.payload["task"]["artifacts"][0]["parts"][0]
        assert part["raw"] == ""
        assert part["metadata"]["missive.raw"]["base64_length"] == len(base64.b64encode(big_bytes(5)))


async def test_no_part_is_left_out(home: Home, misbehaving: Start, folder: Path) -> None:
    artifact = {
        "artifactId": "mixed",
        "name": "mixed",
        "parts": [
            {"text": "one "},
            raw(b"AA", filename="a.bin"),
            {"data": {"n": 1}},
            {"text": "two"},
            raw(b"BB", filename="b.dat", mediaType="image/png"),
            {"url": "https://example.com/x", "filename": "x", "mediaType": "text/html"},
            {"data": [2]},
            raw(b"CC", filename="a.bin"),
            {"text": "named", "filename": "readme.md", "mediaType": "text/markdown"},
        ],
    }
    async with home.core() as core:
        await given_artifacts(core, misbehaving, artifact)
        core.local(c.ArtifactExport(task_id="t", output_dir=str(folder)))
        files = tree(folder)
        assert files["mixed.txt"] == b"one two"
        assert files["a.bin"] == b"AACC"
        assert files["b.dat"] == b"BB"
        assert json.loads(files["mixed.json"]) == [{"n": 1}, [2]]
        assert files["readme.md"] == b"named"
        (manifest,) = set(files) - {"mixed.txt", "a.bin", "b.dat", "mixed.json", "readme.md"}
        assert json.loads(files[manifest])["files"] == [
            {"url": "https://example.com/x", "filename": "x", "mediaType": "text/html"}
        ]
        # Saving it takes as many files, the first under the name that was given.
        target = folder / "save" / "it.txt"
        saved = core.local(c.ArtifactSave(task_id="t", artifact_id="mixed", output=str(target)))
        assert Path(saved.files[0].path).name == "it.txt"
        assert sorted(tree(folder / "save").values()) == sorted(files.values())


NAMES = ["../../escape.txt", "/etc/passwd", "..\\..\\evil.bat", "....//....//x", "..", ".", "", "a\x00b", ".bashrc",
         "CON", "nul.txt", "x" * 400, "\u202etxt.exe", "~/x", "a b\nc", "-rf", "*"]  # fmt: skip


async def test_names_cannot_lead_out_of_the_folder(home: Home, misbehaving: Start, folder: Path) -> None:
    artifacts = [
        {"artifactId": f"a{number}", "name": name, "parts": [raw(b"%d" % number, filename=name)]}
        for number, name in enumerate(NAMES)
    ]
    async with home.core() as core:
        await given_artifacts(core, misbehaving, *artifacts)
        folder.mkdir()
        before = {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}
        exported = core.local(c.ArtifactExport(task_id="t", output_dir=str(folder)))
        after = {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}
        assert {path for path in after - before if "home" not in path.parts} == set()
        assert all(path.parent == folder for path in folder.rglob("*"))
        assert sorted(tree(folder).values()) == sorted(b"%d" % number for number in range(len(NAMES)))
        assert len(exported.files) == len(NAMES)


@given(st.text(max_size=300), st.sampled_from([None, "text/plain", "image/png; q=1", "x/y", "/"]), st.booleans())
def test_a_safe_name_is_one_leaf_of_plain_characters(name: str, type_: str | None, mixed: bool) -> None:
    safe = safe_name(name, type_, ".bin", mixed=mixed)
    assert set(safe) <= set(string.ascii_letters + string.digits + "._-")
    assert Path(safe).name == safe
    assert safe not in {"", ".", ".."}
    assert len(safe) <= 200
    assert not safe.startswith(".")


async def test_names_that_collide_are_numbered(home: Home, misbehaving: Start, folder: Path) -> None:
    artifacts = [{"artifactId": str(n), "name": name, "parts": [{"text": name}]}
                 for n, name in enumerate(["same.txt", "Same.TXT", "same.txt", "same-2.txt"])]  # fmt: skip
    async with home.core() as core:
        await given_artifacts(core, misbehaving, *artifacts)
        core.local(c.ArtifactExport(task_id="t", output_dir=str(folder)))
        files = tree(folder)
        assert len({name.lower() for name in files}) == 4, "also where case is not told apart"
        assert sorted(files.values()) == [b"Same.TXT", b"same-2.txt", b"same.txt", b"same.txt"]


async def test_nothing_is_written_over_without_force(home: Home, misbehaving: Start, folder: Path) -> None:
    artifacts = [{"artifactId": name, "name": name, "parts": [{"text": "new"}]} for name in ("a.txt", "b.txt")]
    async with home.core() as core:
        await given_artifacts(core, misbehaving, *artifacts)
        folder.mkdir()
        (folder / "b.txt").write_text("old")
        export = c.ArtifactExport(task_id="t", output_dir=str(folder))
        save = c.ArtifactSave(task_id="t", artifact_id="a.txt", output=str(folder / "b.txt"))
        for command in (export, save):
            error = await core.fails(command, ValidationError)
            assert "b.txt exists" in error.message
            assert "--force" in (error.help or "")
        assert tree(folder) == {"b.txt": b"old"}, "all or nothing"
        core.local(c.ArtifactExport(task_id="t", output_dir=str(folder), force=True))
        assert tree(folder) == {"a.txt": b"new", "b.txt": b"new"}


@pytest.mark.parametrize("dangling", [False, True])
async def test_links_are_not_followed(home: Home, misbehaving: Start, folder: Path, dangling: bool) -> None:
    async with home.core() as core:
        await given_artifacts(core, misbehaving, {"artifactId": "a", "name": "a.txt", "parts": [{"text": "new"}]})
        folder.mkdir()
        precious = folder.parent / "precious"
        if not dangling:
            precious.write_text("old")
        (folder / "a.txt").symlink_to(precious)
        await core.fails(c.ArtifactExport(task_id="t", output_dir=str(folder)), ValidationError)
        core.local(c.ArtifactExport(task_id="t", output_dir=str(folder), force=True))
        assert not (folder / "a.txt").is_symlink()
        assert (folder / "a.txt").read_text() == "new"
        assert precious.exists() != dangling
        if not dangling:
            assert precious.read_text() == "old"


async def test_places_that_cannot_be_written(home: Home, misbehaving: Start, folder: Path) -> None:
    async with home.core() as core:
        await given_artifacts(core, misbehaving, {"artifactId": "a", "name": "a.txt", "parts": [{"text": "new"}]})
        folder.mkdir()
        (folder / "file").write_text("")
        (folder / "a.txt").mkdir()
        await core.fails(c.ArtifactExport(task_id="t", output_dir=str(folder / "file" / "x")), IoError)
        await core.fails(c.ArtifactExport(task_id="t", output_dir=str(folder), force=True), IoError)
        await core.fails(c.ArtifactSave(task_id="t", artifact_id="a", output=str(folder)), ValidationError)
        assert [path.name for path in folder.iterdir() if path.name.startswith(".missive")] == []


async def test_an_artifact_with_nothing_in_it(home: Home, misbehaving: Start, folder: Path) -> None:
    async with home.core() as core:
        await given_artifacts(core, misbehaving, {"artifactId": "a", "name": "a.txt", "parts": []})
        error = await core.fails(
            c.ArtifactSave(task_id="t", artifact_id="a", output=str(folder / "x")), ValidationError
        )
        assert "nothing" in error.message
        assert core.local(c.ArtifactExport(task_id="t", output_dir=str(folder))).files == ()


def _chunks(*updates: dict[str, Any]) -> Any:
    def handle(exchange: Any) -> None:
        exchange.start_stream()
        for event in (
            {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}},
            *({"artifactUpdate": {"taskId": "t", "contextId": "c", **update}} for update in updates),
            {"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}},
        ):
            exchange.event({"jsonrpc": "2.0", "id": "x", "result": event})
        exchange.end_stream()

    return handle


def _texts(artifact: dict[str, Any]) -> Iterator[str]:
    for part in artifact["parts"]:
        yield part["text"]


async def test_chunks_are_joined_and_replaced(home: Home, misbehaving: Start) -> None:
    def update(artifact_id: str, text: str, **members: Any) -> dict[str, Any]:
        return {"artifact": {"artifactId": artifact_id, "parts": [{"text": text}]}, **members}

    server = misbehaving(
        _chunks(
            update("a", "1"),
            update("b", "x", append=True),  # of one that nobody has seen yet
            update("a", "2", append=True),
            update("a", "3", append=True, lastChunk=True),
            update("c", "old"),
            update("c", "new", append=False, lastChunk=True),
        )
    )
    async with home.core() as core:
        core.add("maker", server.url)
        await core.all(c.Stream(agent="maker", message="make"))
        rows = {
            row.artifact_id: row for row in core.read(lambda tables: tables.artifacts.list(agent="maker", task="t"))
        }
        assert {key: "".join(_texts(row.content)) for key, row in rows.items()} == {"a": "123", "b": "x", "c": "new"}
        assert rows["a"].complete
        assert rows["a"].version == 3


async def test_files_are_readable_by_others_as_the_umask_says(home: Home, misbehaving: Start, folder: Path) -> None:
    async with home.core() as core:
        await given_artifacts(core, misbehaving, {"artifactId": "a", "name": "a.txt", "parts": [{"text": "new"}]})
        before = os.umask(0o077)
        try:
            core.local(c.ArtifactExport(task_id="t", output_dir=str(folder)))
        finally:
            os.umask(before)
        assert (folder / "a.txt").stat().st_mode & 0o777 == 0o600
