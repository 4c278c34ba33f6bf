"""Every example in ``contracts/``: what is valid is accepted by schema and code, what is refused by both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from contract_kit import (
    CONFIG,
    KNOWN,
    OUTPUT,
    REQUEST,
    RESPONSE,
    RESULT_FILE,
    ROOT,
    SCHEMAS,
    accepted,
    examples,
    faults,
    load,
)
from jsonschema import Draft202012Validator

from missive_host.config import load as load_config
from missive_host.contracts import contracts
from missive_host.contracts.checking import check, format_of

VALID = examples("valid")
REFUSED = examples("refused")
NEEDS_OUR_VALIDATOR = {"request-id-ends-with-line-feed.json", "parameter-with-line-feed.toml"}
"""In Python ``$`` also matches before a last line feed; what reads patterns as ECMA-262 has them, refuses these."""


def named(cases: list[tuple[str, Path]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("contract", "file"), cases, ids=[f"{file.parts[-4]}/{file.name}" for _, file in cases]
    )


def reasons(version: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads((version / "examples" / "reasons.json").read_text("utf-8"))
    return found


@named(VALID)
def test_a_valid_example(contract: str, file: Path, tmp_path: Path) -> None:
    document = load(file)
    assert faults(contract, document) == ()
    assert Draft202012Validator(SCHEMAS[contract]).is_valid(document)
    assert accepted(contract, document)
    if contract == CONFIG:
        assert load_config(config_path=str(file), env={"HOME": str(tmp_path)}).path == file
    found = check(file.read_bytes(), contracts(), contract=contract, format=format_of(file.name, contract))
    assert (found.document_count, found.contracts, found.violations) == (1, (contract,), ())


@named(REFUSED)
def test_a_refused_example(contract: str, file: Path) -> None:
    """It is refused by the schema alone, by the code, and for the reason that stands beside it."""
    document = load(file)
    assert faults(contract, document) != ()
    assert not accepted(contract, document)
    assert Draft202012Validator(SCHEMAS[contract]).is_valid(document) is (file.name in NEEDS_OUR_VALIDATOR)
    found = check(file.read_bytes(), contracts(), contract=contract, format=format_of(file.name, contract))
    said = [f"{violation.path}: {violation.message}" for violation in found.violations]
    assert said == reasons(file.parents[2])[file.name]


def test_every_reason_is_about_an_example() -> None:
    for version in ROOT.iterdir():
        if version.is_dir():
            files = {file.name for _, file in REFUSED if file.is_relative_to(version)}
            assert set(reasons(version)) == files, version.name


@pytest.mark.parametrize("contract", KNOWN)
def test_every_contract_has_examples_of_both(contract: str) -> None:
    assert len([name for name, _ in VALID if name == contract]) >= 5
    assert len([name for name, _ in REFUSED if name == contract]) >= 10


def test_every_command_has_a_valid_example() -> None:
    found = {load(file)["command"] for contract, file in VALID if contract == REQUEST}
    assert found == set(SCHEMAS[REQUEST]["properties"]["command"]["enum"])


def test_the_first_example_that_anybody_sees() -> None:
    frame = {"schema_version": "missive.stdio.v1", "id": "req-1", "command": "task_list"}
    assert frame in [load(file) for contract, file in VALID if contract == REQUEST]


def test_the_configuration_in_full_sets_every_key() -> None:
    """A new key in the model belongs into the example."""
    full = load(ROOT / CONFIG / "examples" / "valid" / "full.toml")
    schema = SCHEMAS[CONFIG]
    missing = set(schema["properties"]) - set(full)
    for table in ("storage", "output", "protocol", "gateway", "logging", "routing", "qos"):
        struct = schema["$defs"][schema["properties"][table]["$ref"].rpartition("/")[2]]
        missing |= {f"{table}.{key}" for key in set(struct["properties"]) - set(full[table])}
    assert missing == set()


@pytest.mark.parametrize("contract", [OUTPUT, RESPONSE, RESULT_FILE])
def test_what_missive_writes_has_examples_of_errors(contract: str) -> None:
    assert {load(file)["ok"] for name, file in VALID if name == contract} == {True, False}
