"""``docs/stdio.md`` tells the truth: its tables name every field, its examples do what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stdio_kit import frames, run

from missive_host import errors
from missive_host.commands import DOOR_COMMANDS, Command, tag_of
from missive_host.envelopes import STDIO, Envelope, ResponseFrame, Source, door_fields, parse_envelope
from missive_host.errors import ErrorReport, MissiveError
from missive_host.outputs import Output, all_kinds
from missive_host.protocols import Delivery

TEXT = (Path(__file__).parents[2] / "docs" / "stdio.md").read_text()
EXAMPLES = re.findall(r"```json request\n(.*?)\n```\n+```json response\n(.*?)\n```", TEXT, re.DOTALL)


def table(first_header: str, *, section: str) -> list[list[str]]:
    """The rows of the first table below a heading that begins with this header, as texts of cells."""
    body = TEXT.split(f" {section}\n", 1)[1]
    lines = body[body.index(f"| {first_header} |") :].splitlines()
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def names(cell: str) -> list[str]:
    return re.findall(r"`([a-z0-9_]+)`", cell)


@pytest.mark.parametrize("cls", DOOR_COMMANDS, ids=tag_of)
def test_every_command_with_its_fields(cls: type[Command]) -> None:
    fields = {row[0]: row[1] for row in table("Command", section="Commands and their fields")}[f"`{tag_of(cls)}`"]
    assert sorted(names(fields)) == sorted(door_fields(cls))
    required = [field.name for field in msgspec.structs.fields(cls) if field.required]
    assert re.findall(r"\*\*`([a-z_]+)`\*\*", fields) == required


def test_no_command_too_many() -> None:
    rows = table("Command", section="Commands and their fields")
    assert sorted(row[0].strip("`") for row in rows) == sorted(tag_of(cls) for cls in DOOR_COMMANDS)


def test_every_field_is_explained() -> None:
    body = TEXT.split("### Commands and their fields", 1)[1].split("\n## ", 1)[0]
    explained = {name for row in re.findall(r"^\| (`.*?) \|", body, re.MULTILINE) for name in names(row)}
    used = {name for cls in DOOR_COMMANDS for name in door_fields(cls)} - {"metadata"}  # explained with the frame
    assert used <= explained
    assert explained <= used | {tag_of(cls) for cls in DOOR_COMMANDS}


def test_the_frame_and_its_source() -> None:
    rows = table("Field", section="Request frames")
    assert [row[0].strip("`") for row in rows] == [
        "schema_version",
        "id",
        "command",
        "source",
        "metadata",
        "idempotency_key",
        "traceparent",
        "x_…",
    ]
    body = TEXT.split("\n`source`:\n", 1)[1].split("###", 1)[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", body, re.MULTILINE)) == set(Source.__struct_fields__)


def test_the_response() -> None:
    rows = table("Field", section="Response frames")
    assert [row[0].strip("`") for row in rows] == list(ResponseFrame.__struct_fields__)
    assert sorted(names(rows[-1][-1])) == sorted(ErrorReport.__struct_fields__)


def test_every_error() -> None:
    found = {(row[0].strip("`"), int(row[1])) for row in table("Category", section="Errors")}
    kinds = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, MissiveError)]
    assert found == {(cls.category, cls.exit_code) for cls in kinds}


@pytest.mark.parametrize("row", table("Input", section="Frames that are refused"), ids=lambda row: str(row[0]))
async def test_each_refused_line(row: list[str]) -> None:
    line, message = row
    _, found = await run(line.strip("`").encode())
    assert [frame["error"]["message"] for frame in found] == [f"validation error: {message}"]


@pytest.mark.parametrize(("request_text", "response_text"), EXAMPLES)
async def test_each_example(request_text: str, response_text: str) -> None:
    """What is refused is refused with this very frame; what is accepted carries a document of the kind it says."""
    expected: dict[str, Any] = json.loads(response_text)

    async def handler(delivery: Delivery) -> None:
        document = expected["data"]
        data = msgspec.convert(document["data"], all_kinds()[document["kind"]])
        await delivery.send(Output(data, document["sequence"]))

    _, found = await run(request_text.encode(), handler)
    assert found == [expected]


def test_there_are_examples_of_both() -> None:
    answers = [json.loads(response) for _, response in EXAMPLES]
    assert {answer["ok"] for answer in answers} == {True, False}
    accepted = [parse_envelope(asked.encode(), STDIO, default_source="stdio") for asked, _ in EXAMPLES[:2]]
    assert all(isinstance(envelope, Envelope) for envelope in accepted)
    assert frames(b"".join(response.encode() for _, response in EXAMPLES)) == answers


def test_the_first_example_of_a_command_line(tmp_path: Path) -> None:
    """The command line at the top, as it stands, gives the first answer that is shown below it."""
    (line,) = re.findall(r"```sh\n(printf .*)\n```", TEXT)
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "MISSIVE_HOME": str(tmp_path), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert frames(done.stdout) == [json.loads(EXAMPLES[0][1])]
