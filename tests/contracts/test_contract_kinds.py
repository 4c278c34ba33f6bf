"""One schema a kind: each is complete in itself, and says of its documents what the whole schema says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from contract_kit import HTTP_RESPONSE, KINDS, KNOWN, OUTPUT, RESPONSE, RESULT_FILE, ROOT, changed, examples, load
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator

from missive_host.contracts import find, load_schema
from missive_host.contracts.library import Contract, cases_of, kinds_of
from missive_host.contracts.validation import validator
from missive_host.errors import ValidationError

WHOLE = {name: load_schema(KNOWN[name]) for name in (OUTPUT, RESPONSE, HTTP_RESPONSE, RESULT_FILE)}
OF_KINDS = {contract.name: contract for name in WHOLE for contract in kinds_of(KNOWN[name].version)}
ONES = {name: load_schema(contract) for name, contract in OF_KINDS.items()}
VALIDATORS = {name: validator(schema) for name, schema in (*WHOLE.items(), *ONES.items())}
DOCUMENTS = [
    pytest.param(contract, load(file), id=f"{accepted}/{file.parts[-4]}/{file.name}")
    for accepted in ("valid", "refused")
    for contract, file in examples(accepted)
    if contract in WHOLE
]


def kind_name(whole: str, document: Any) -> str | None:
    """The contract of a document's kind, if it says one that there is."""
    kind = document.get("kind") if isinstance(document, dict) else None
    name = f"{KNOWN[whole].version}/{kind}"
    return name if name in ONES else None


def test_every_kind_has_one() -> None:
    assert [name for name in OF_KINDS if name.startswith(OUTPUT)] == [
        f"{OUTPUT}/{kind}" for kind in sorted(["error", *KINDS])
    ]
    for name, schema in WHOLE.items():
        version = KNOWN[name].version
        assert {contract.part for contract in kinds_of(version)} == set(cases_of(schema)) != set()
        assert set(schema["properties"]["kind"]["enum"]) == set(cases_of(schema))


@pytest.mark.parametrize("name", ONES)
def test_it_is_complete_in_itself(name: str) -> None:
    schema = ONES[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "urn:missive:contract:" + name.replace("/", ":")
    assert schema["title"] == name
    assert schema["description"]
    assert schema["properties"]["kind"] == {"const": OF_KINDS[name].part}
    text = OF_KINDS[name].file.read_text("utf-8")
    used = {piece.partition('"')[0] for piece in text.split('"$ref": "')[1:]}
    assert used == {f"#/$defs/{key}" for key in schema["$defs"]}
    for node in (schema, *schema["$defs"].values()):
        assert node.get("additionalProperties") is False or "properties" not in node, node["title"]


@pytest.mark.parametrize(("whole", "document"), DOCUMENTS)
def test_it_judges_examples_as_the_whole_one_does(whole: str, document: Any) -> None:
    """Its own kind as the whole schema does, and every other kind not at all."""
    mine = kind_name(whole, document)
    if mine is not None:
        assert bool(VALIDATORS[mine](document)) is bool(VALIDATORS[whole](document))
    others = [name for name in ONES if name != mine and name.startswith(KNOWN[whole].version)]
    assert all(VALIDATORS[name](document) for name in others)


@settings(max_examples=200)
@given(data=st.data())
def test_it_judges_changed_examples_as_the_whole_one_does(data: st.DataObject) -> None:
    whole, original = data.draw(st.sampled_from([case.values for case in DOCUMENTS]))
    document = data.draw(changed(original)) if original else original
    mine = kind_name(str(whole), document)
    if mine is not None:
        assert bool(VALIDATORS[mine](document)) is bool(VALIDATORS[str(whole)](document))


def test_it_is_found_by_name() -> None:
    known = tuple(KNOWN.values())
    assert find("missive.output.v1/doctor", known) == OF_KINDS["missive.output.v1/doctor"]
    with pytest.raises(ValidationError, match=r"did you mean 'missive\.output\.v1/doctor'"):
        find("missive.output.v1/docter", known)
    stranger = Contract("missive.stdio.v1", "missive.stdio.v1", "request", Path("there"), plugin="dove")
    with pytest.raises(ValidationError):
        find("missive.stdio.v1/stdio_error", (stranger,))
    assert kinds_of("missive.config.v1") == kinds_of("birds.v1") == kinds_of("missive.output.v1/..") == ()


# --- as a process


def missive(folder: Path, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", "contract", *words],
        env={"HOME": str(folder), "MISSIVE_HOME": str(folder / "home")},
        cwd=folder,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_list(tmp_path: Path) -> None:
    data = json.loads(missive(tmp_path, "list", "missive.http.v1", "--json").stdout)["data"]
    names = [f"missive.http.v1/{kind}" for kind in ("http_command_output", "http_error", "http_receipt", "http_result")]
    assert [entry["name"] for entry in data["contracts"]] == names
    lines = missive(tmp_path, "list", "missive.output.v1").stdout.splitlines()
    assert lines[0].split() == ["NAME", "FILE"]
    assert [line.split()[0] for line in lines[1:]] == [name for name in ONES if name.startswith(OUTPUT)]
    kinds = {
        entry["name"]: entry.get("kinds")
        for entry in json.loads(missive(tmp_path, "list", "--json").stdout)["data"]["contracts"]
    }
    assert kinds["missive.stdio.v1/response"] == ["stdio_command_output", "stdio_error"]
    assert kinds["missive.config.v1"] is kinds["missive.stdio.v1/request"] is None
    done = missive(tmp_path, "list", "missive.config.v1")
    assert (done.returncode, done.stdout) == (64, "")
    assert "the documents of missive.config.v1 have no kinds" in done.stderr


def test_show(tmp_path: Path) -> None:
    done = missive(tmp_path, "show", "missive.output.v1/doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (ROOT / "missive.output.v1/kinds/doctor.schema.json").read_text("utf-8")


def test_validate(tmp_path: Path) -> None:
    document = json.dumps(load(ROOT / "missive.output.v1/examples/valid/error.validation.json"))
    done = missive(tmp_path, "validate", "-", "--contract", "missive.output.v1/error", stdin=document)
    assert (done.returncode, done.stdout) == (0, "standard input is valid: 1 document, missive.output.v1/error\n")
    done = missive(tmp_path, "validate", "-", "--contract", "missive.output.v1/doctor", stdin=document)
    assert done.returncode == 64
    assert "$.kind: expected doctor" in done.stdout
