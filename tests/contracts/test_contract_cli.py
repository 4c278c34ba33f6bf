"""``missive contract list|show|validate`` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from contract_kit import KNOWN, ROOT, SCHEMAS, faults
from support.secrets import planted

from missive_host.contracts import load_schema

Run = Callable[..., subprocess.CompletedProcess[str]]
GOOD = '{"schema_version":"missive.stdio.v1","id":"req-1","command":"task_list"}\n'
BAD = '{"schema_version":"missive.stdio.v1",\n "id":"req-1",\n "comand":"task_list"}\n'


@pytest.fixture
def missive(tmp_path: Path) -> Run:
    env = {"HOME": str(tmp_path), "MISSIVE_HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}

    def run(*words: str, stdin: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "missive_host", "contract", *words],
            env={**env, **more},
            cwd=tmp_path,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
        )

    return run


def test_list(missive: Run) -> None:
    done = missive("list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert faults("missive.output.v1", document) == ()
    assert (document["kind"], document["data"]["count"], document["data"]["message"]) == (
        "contract_list",
        len(KNOWN),
        f"{len(KNOWN)} contracts",
    )
    for entry in document["data"]["contracts"]:
        schema = SCHEMAS[entry["name"]]
        assert (entry["title"], entry["id"]) == (schema["title"], schema["$id"])
        assert json.loads(Path(entry["file"]).read_text("utf-8")) == schema
    people = missive("list").stdout.splitlines()
    assert people[0].split() == ["NAME", "OF", "WHAT", "FILE"]
    assert [line.split()[0] for line in people[1:]] == list(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_show_prints_the_file_as_it_is(missive: Run, name: str) -> None:
    done = missive("show", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == KNOWN[name].file.read_text("utf-8")


def test_show_for_programs(missive: Run) -> None:
    document = json.loads(missive("show", "missive.stdio.v1", "--json").stdout)
    assert faults("missive.output.v1", document) == ()
    assert document["data"]["contract"]["name"] == "missive.stdio.v1/request"
    assert document["data"]["schema"] == load_schema(KNOWN["missive.stdio.v1/request"])
    assert missive("show", "missive.stdio.v1", "--quiet").stdout == ""


def test_show_of_what_is_not_there(missive: Run) -> None:
    done = missive("show", "missive.confg.v1")
    assert (done.returncode, done.stdout) == (64, "")
    assert "there is no contract 'missive.confg.v1'; did you mean 'missive.config.v1'?" in done.stderr


def test_a_valid_file(missive: Run, tmp_path: Path) -> None:
    (tmp_path / "frame.json").write_text(GOOD)
    done = missive("validate", "frame.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "frame.json is valid: 1 document, missive.stdio.v1/request\n"
    document = json.loads(missive("validate", "frame.json", "--json").stdout)
    assert document["data"] == {
        "file": "frame.json",
        "valid": True,
        "document_count": 1,
        "contracts": ["missive.stdio.v1/request"],
        "violation_count": 0,
        "violations": [],
        "message": "frame.json is valid: 1 document, missive.stdio.v1/request",
    }


def test_a_refused_file(missive: Run, tmp_path: Path) -> None:
    (tmp_path / "frame.json").write_text(BAD)
    done = missive("validate", "frame.json", "--contract", "missive.stdio.v1")
    assert done.returncode == 64
    assert done.stdout == "frame.json:1: $.command: is missing\n"
    assert done.stderr.splitlines()[0] == "error: frame.json has 1 problem"


def test_standard_input(missive: Run) -> None:
    done = missive("validate", "-", "--ndjson", stdin=GOOD + '{"id":1}\n')
    assert done.returncode == 64
    document = json.loads(done.stdout)
    assert faults("missive.output.v1", document) == ()
    data = document["data"]
    assert (data["file"], data["valid"], data["document_count"]) == ("standard input", False, 2)
    assert [(violation["line"], violation["path"]) for violation in data["violations"]] == [(2, "$")]
    error = json.loads(done.stderr)
    assert faults("missive.output.v1", error) == ()
    assert (error["kind"], error["data"]["category"], error["data"]["exit_code"]) == ("error", "validation", 64)


@pytest.mark.parametrize("example", ["full", "empty"])
def test_a_configuration(missive: Run, example: str) -> None:
    file = ROOT / "missive.config.v1" / "examples" / "valid" / f"{example}.toml"
    assert missive("validate", str(file)).stdout == f"{file} is valid: 1 document, missive.config.v1\n"
    assert missive("validate", "-", "--contract", "missive.config.v1", stdin=file.read_text("utf-8")).returncode == 0


@pytest.mark.secrets_in("missive.toml")
def test_a_refused_configuration_keeps_its_secret(missive: Run, tmp_path: Path) -> None:
    (tmp_path / "missive.toml").write_text(f'[auth_refs.a]\nenv = "A"\ntoken = "{planted("sk-wrong-place")}"\n')
    done = missive("validate", "missive.toml")
    assert (done.returncode, done.stdout) == (64, "missive.toml:3: $.auth_refs.a.token: unknown field\n")
    assert "sk-wrong" not in done.stderr


def test_a_file_that_cannot_be_read(missive: Run, tmp_path: Path) -> None:
    done = missive("validate", "nowhere.json")
    assert (done.returncode, done.stdout) == (74, "")
    assert "nowhere.json: no such file or directory" in done.stderr
    assert missive("validate", str(tmp_path)).returncode == 74


def test_it_needs_no_configuration(missive: Run, tmp_path: Path) -> None:
    """A configuration that cannot be used is the very thing that one wants to validate."""
    (tmp_path / "missive.toml").write_text("[qos]\ntimeout = 5\n")
    for words in (["list"], ["show", "missive.config.v1"], ["validate", "-"]):
        assert missive(*words, stdin=GOOD, MISSIVE_CONFIG="missive.toml").returncode == 0
    assert missive("validate", "missive.toml", MISSIVE_CONFIG="missive.toml").returncode == 64


def test_without_a_verb(missive: Run) -> None:
    assert "missive contract validate frames.ndjson" in missive().stdout


def test_the_validator_is_not_imported_for_the_list() -> None:
    code = (
        "import sys\nsys.argv = ['missive', 'contract', 'list']\n"
        "from missive_host.cli import main\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "assert not {'jsonschema', 'a2a', 'anyio', 'asyncio', 'httpx'} & set(sys.modules), sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
