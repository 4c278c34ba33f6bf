"""The schemas in ``contracts/``: fresh, valid JSON Schema 2020-12, and readable for others than Python."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_kit import KINDS, KNOWN, OUTPUT, REQUESTS, ROOT, SCHEMAS
from jsonschema import Draft202012Validator

import missive_host
from missive_host.commands import DOOR_COMMANDS, tag_of
from missive_host.contracts.schemas import refresh, schemas
from missive_host.contracts.shaping import portable

HOST = Path(missive_host.__file__).parent


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "missive_host.contracts", *words], capture_output=True, text=True, timeout=60
    )


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for child in schema.values():
            yield from nodes(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from nodes(child)


PATTERNS = sorted({node["pattern"] for schema in SCHEMAS.values() for node in nodes(schema) if "pattern" in node})


# --- freshness


def test_the_schemas_are_those_of_the_code() -> None:
    done = run("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_stale_is_named_and_written_anew(tmp_path: Path) -> None:
    folder = tmp_path / "contracts"
    assert refresh(folder, write=True) == tuple(sorted(schemas()))
    assert refresh(folder, write=False) == ()
    changed, gone = folder / "missive.output.v1/output.schema.json", folder / "missive.output.v0/output.schema.json"
    changed.write_text(changed.read_text().replace('"kind"', '"sort"', 1))
    gone.parent.mkdir()
    gone.write_text("{}")
    names = ("missive.output.v0/output.schema.json", "missive.output.v1/output.schema.json")
    assert refresh(folder, write=False) == names
    assert "sort" in changed.read_text()
    assert refresh(folder, write=True) == names
    assert not gone.exists()
    assert changed.read_bytes() == (ROOT / "missive.output.v1/output.schema.json").read_bytes()


def test_an_option_that_it_does_not_have() -> None:
    assert run("--chek").returncode == 2


# --- form


@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_json_schema(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:missive:contract:" + name.replace("/", ":")
    assert schema["title"]
    assert schema["description"]


def test_every_contract_has_an_id_of_its_own() -> None:
    assert len({schema["$id"] for schema in SCHEMAS.values()}) == len(SCHEMAS) == 9


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_reference_leads_somewhere_in_the_same_file(name: str) -> None:
    schema = SCHEMAS[name]
    used = {node["$ref"] for node in nodes(schema) if isinstance(node.get("$ref"), str)}
    assert used == {f"#/$defs/{key}" for key in schema["$defs"]}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_object_with_fields_is_closed(name: str) -> None:
    """But for the root of requests, which leaves this to the commands, and conditions, which only look."""
    schema = SCHEMAS[name]
    for node in [*schema["$defs"].values(), *([] if KNOWN[name].part == "request" else [schema])]:
        if "properties" in node:
            assert node["additionalProperties"] is False, node["title"]


def test_all_commands_and_kinds_are_there() -> None:
    for name in REQUESTS:
        assert SCHEMAS[name]["properties"]["command"]["enum"] == [tag_of(cls) for cls in DOOR_COMMANDS]
    assert SCHEMAS[OUTPUT]["properties"]["kind"]["enum"] == sorted(["error", *KINDS])


def test_kinds_are_defined_only_where_they_are_looked_for() -> None:
    """A result defined elsewhere would have no schema."""
    for file in HOST.rglob("*.py"):
        if file.name.startswith("outputs"):
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert "Data" not in {ast.unparse(base) for base in node.bases}, f"{file}: {node.name}"


# --- patterns


def test_patterns_keep_to_what_all_readers_of_json_schema_know() -> None:
    r"""Characters, sets, ``^ $ ( ) | * + ? {n}`` and ``\t \r \xNN``: no ``\s``, no look-around, no ``\u``."""
    token = r"\\(?:x[0-9a-f]{2}|[tr.\[\]])|\((?!\?)|[)|*+?^$]|\{[0-9,]+\}|[^\\(){}\[\]*+?^$|.]"
    piece = re.compile(rf"(?:{token}|\[\^?(?:\\x[0-9a-f]{{2}}|\\[tr]|[^\\\[\]])+\])*")
    assert len(PATTERNS) > 10
    for pattern in PATTERNS:
        assert piece.fullmatch(pattern), pattern


POINTS = [*range(0x100), *range(0x1FFC, 0x2070), 0x1680, 0x180E, 0x3000, 0xFEFF, 0x1F989]
FORMS = ["{}", "a{}", "{}a", "text/{}", "http://{}", "urn:{}:1"]
WHOLE = "30s 0s 8MiB canceled TASK_STATE_OPEN a2a-Version 127.0.0.1:7347 [::1]:7347 256.0.0.1:1 ../a a/.. a..b"
SAMPLES = [*(form.format(chr(point)) for point in POINTS for form in FORMS), *WHOLE.split(), "8 MiB", "8  MiB"]


def test_javascript_reads_the_patterns_as_python_does(tmp_path: Path) -> None:
    """With and without its Unicode mode. Python's own ``$`` is another one, so it is given ``\\Z`` here."""
    node = shutil.which("node")
    assert node is not None, "this test needs Node.js, as the JavaScript agent does"
    script = (
        "const [patterns, samples] = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "console.log(JSON.stringify(['', 'u'].map(flags => patterns.map(pattern => {"
        "const r = new RegExp(pattern, flags); return samples.map(text => r.test(text)); }))));"
    )
    done = subprocess.run(
        [node, "-e", script], input=json.dumps([PATTERNS, SAMPLES]), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    ours = [[bool(re.search(_ended(pattern), text)) for text in SAMPLES] for pattern in PATTERNS]
    assert any(map(any, ours))
    for theirs in json.loads(done.stdout):
        for pattern, one, other in zip(PATTERNS, ours, theirs, strict=True):
            assert one == other, pattern


def _ended(pattern: str) -> str:
    assert "\\$" not in pattern
    return re.sub(r"\$(?=\)*$)", r"\\Z", pattern)


@pytest.mark.parametrize("pattern", [r"^[^\s\x00-\x1f\x7f]+$(?!\n)", r"^[^\s/]+/\S+$(?!\n)", r"^[^\s,]+$(?!\n)"])
def test_white_space_spelt_out_is_pythons(pattern: str) -> None:
    published = re.compile(portable(pattern).removesuffix("$") + r"\Z")
    own = re.compile(pattern)
    for text in (form.format(chr(point)) for point in range(0x11000) for form in ("{}", "a/{}", "a{}")):
        assert bool(published.search(text)) is bool(own.search(text)), repr(text)


def test_no_name_of_this_machine_is_in_them() -> None:
    for contract in KNOWN.values():
        assert str(ROOT.parent) not in contract.file.read_text("utf-8")
