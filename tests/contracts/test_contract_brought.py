"""Contracts that plugins bring: listed with their owner, checked with their examples; what their envelopes keep to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from contract_kit import KNOWN

from missive_host.contracts.brought import contracts_of, faults_of, request_faults
from missive_host.contracts.checking import check
from missive_host.envelopes import FrameError, parse_envelope
from missive_host.errors import PluginError
from missive_host.plugins import catalog, load
from missive_host.specs import ContractSpec

MODULE = """
from missive_host.hookspecs import hookimpl
from missive_host.specs import ContractSpec

PIGEON = ContractSpec("missive.pigeon.v1", {package!r}, "Messages by pigeon.", facts="pigeon")


@hookimpl
def missive_contracts():
    yield PIGEON
"""
REQUEST: dict[str, Any] = {
    "type": "object",
    "properties": {
        "schema_version": {"const": "missive.pigeon.v1"},
        "id": {"type": "string"},
        "command": {"const": "send"},
        "agent": {"type": "string"},
        "message": {"type": "string"},
        "pigeon": {"$ref": "#/$defs/Pigeon"},
    },
    "required": ["id", "command", "agent", "message", "pigeon"],
    "additionalProperties": False,
    "$defs": {
        "Pigeon": {
            "type": "object",
            "properties": {"ring": {"type": "integer", "minimum": 1}},
            "required": ["ring"],
            "additionalProperties": False,
        }
    },
}
FRAME: dict[str, Any] = {"id": "1", "command": "send", "agent": "a", "message": "hi", "pigeon": {"ring": 7}}


class Loft:
    """A plugin in one file, with a contract beside it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "pigeon.py"
        self.contract = folder / "contracts" / "missive.pigeon.v1"
        self.file.write_text(MODULE.replace("{package!r}", "__name__"))
        self.write("request.schema.json", REQUEST)
        self.write("examples/valid/request-send.json", FRAME)
        self.write("examples/refused/request-no-ring.json", {**FRAME, "pigeon": {}})

    def write(self, name: str, value: Any) -> None:
        path = self.contract / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))

    def missive(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        home = self.file.parent / "home"
        return subprocess.run(
            [sys.executable, "-P", "-m", "missive_host", *words, "--plugin", str(self.file)],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "MISSIVE_HOME": str(home)},
            cwd=self.file.parent,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def reason(self) -> str | None:
        """What `missive plugin check` finds."""
        (record,) = [each for each in load(catalog(files=[self.file])).check() if each.name == "pigeon"]
        return record.reason


@pytest.fixture
def loft(tmp_path: Path) -> Loft:
    return Loft(tmp_path)


Package = Callable[[dict[str, Any]], ContractSpec]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Makes a package with these files in its folder of contracts, and returns the declaration."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"pigeons_{tmp_path.name}".replace("-", "_")

    def make(files: dict[str, Any]) -> ContractSpec:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        for path, value in files.items():
            file = tmp_path / name / "contracts" / "missive.pigeon.v1" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value if isinstance(value, str) else json.dumps(value))
        return ContractSpec("missive.pigeon.v1", name, "Messages by pigeon.", facts="pigeon")

    yield make
    sys.modules.pop(name, None)


# --- people see them


def test_it_is_listed_with_its_owner(loft: Loft) -> None:
    done = loft.missive("contract", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)["data"]
    assert data["count"] == len(KNOWN) + 1
    (mine,) = [entry for entry in data["contracts"] if "plugin" in entry]
    assert mine == {
        "name": "missive.pigeon.v1",
        "schema_version": "missive.pigeon.v1",
        "title": "Messages by pigeon.",
        "id": "urn:missive:contract:missive.pigeon.v1",
        "file": str(loft.contract / "request.schema.json"),
        "plugin": "pigeon",
    }
    lines = [line.split() for line in loft.missive("contract", "list").stdout.splitlines()]
    assert ["missive.pigeon.v1", "pigeon"] in [line[:2] for line in lines]


def test_it_is_shown(loft: Loft) -> None:
    shown = json.loads(loft.missive("contract", "show", "missive.pigeon.v1").stdout)
    assert shown["$defs"] == REQUEST["$defs"]
    done = loft.missive("plugin", "show", "pigeon")
    assert "contract missive.pigeon.v1" in done.stdout
    assert (
        "pigeon"
        in json.loads(loft.missive("plugin", "show", "pigeon", "--json").stdout)["data"]["contracts"][0].values()
    )


def test_documents_are_validated(loft: Loft) -> None:
    good = json.dumps({"schema_version": "missive.pigeon.v1", **FRAME})
    done = loft.missive("contract", "validate", "-", stdin=good)
    assert done.stdout == "standard input is valid: 1 document, missive.pigeon.v1\n"
    done = loft.missive("contract", "validate", "-", stdin=good.replace("ring", "rings"))
    assert done.returncode == 64
    assert "$.pigeon.rings: unknown field; did you mean 'ring'?" in done.stdout


def test_a_configuration_that_is_broken_can_still_be_validated(loft: Loft) -> None:
    (loft.file.parent / "home").mkdir()
    (loft.file.parent / "home" / "config.toml").write_text("[qos\n")
    done = loft.missive("contract", "show", "missive.pigeon.v1")
    assert done.returncode == 0, done.stderr


def test_one_that_cannot_be_used_is_said_where_it_is_asked_for(loft: Loft) -> None:
    (loft.contract / "request.schema.json").write_text("{")
    done = loft.missive("contract", "list")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(KNOWN) + 1
    assert "contract `missive.pigeon.v1`: while reading" in done.stderr
    done = loft.missive("contract", "show", "missive.pigeon.v1")
    assert done.returncode == 64
    assert "there is no contract 'missive.pigeon.v1'" in done.stderr
    assert "while reading" in done.stderr


# --- what `missive plugin check` finds


def test_a_sound_contract(loft: Loft) -> None:
    assert loft.reason() is None
    done = loft.missive("plugin", "check", "--json")
    (mine,) = [each for each in json.loads(done.stdout)["data"]["plugins"] if each["name"] == "pigeon"]
    assert (mine["state"], mine["provides"]) == ("loaded", ["contract missive.pigeon.v1"])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("request.schema.json", "{", "while reading"),
        ("request.schema.json", [], "is not a JSON object"),
        ("request.schema.json", {"type": "objekt"}, "is no JSON Schema, at $.type"),
        ("request.schema.json", {"$schema": "http://json-schema.org/draft-07/schema#"}, "is in another dialect"),
        (
            "request.schema.json",
            {"properties": {"a": {"$ref": "https://example.org/pigeon.json"}}},
            "refers to another document, at $.properties.a",
        ),
        ("request.schema.json", {"pattern": "["}, "is no JSON Schema, at $.pattern"),
        ("examples/valid/request-b.json", {**FRAME, "pigeon": {"ring": 0}}, "valid/request-b.json should be valid"),
        ("examples/valid/request-b.json", "{", "should be valid: 1: not valid JSON"),
        ("examples/refused/request-b.json", FRAME, "examples/refused/request-b.json should be refused, but is valid"),
        # what the schema lets through and missive does not
        ("examples/valid/request-b.json", {**FRAME, "agent": "No Agent"}, "should be valid"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(loft: Loft, name: str, value: Any, reason: str) -> None:
    loft.write(name, value)
    found = loft.reason()
    assert found is not None
    assert "contract `missive.pigeon.v1`" in found
    assert reason in found


def test_a_folder_that_is_not_there(loft: Loft) -> None:
    loft.contract.rename(loft.contract.with_name("missive.pigeon.v2"))
    assert "there is no folder contracts/missive.pigeon.v1 in" in str(loft.reason())


def test_facts_that_every_request_has(package: Package) -> None:
    spec = package({"request.schema.json": REQUEST})
    assert list(faults_of(spec)) == []
    wrong = ContractSpec(spec.name, spec.package, spec.summary, facts="message")
    assert "its facts `message` are a field that every request" in " ".join(faults_of(wrong))


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("missive.pigeon.v2", None),
        ("pigeon-post.letter.v1", None),
        ("missive.dove.v1", "missive.X.vN is for the plugin or adapter that is called X"),
        ("missive.output.v1", "missive.X.vN is for the plugin or adapter that is called X"),
        ("pigeon", "is not a contract id"),
    ],
)
def test_names(loft: Loft, name: str, refused: str | None) -> None:
    loft.file.write_text(loft.file.read_text().replace("missive.pigeon.v1", name))
    loft.contract.rename(loft.contract.with_name(name))
    loft.file.write_text(loft.file.read_text())
    record = load(catalog(files=[loft.file])).load_all()
    (mine,) = [each for each in record if each.name == "pigeon"]
    if refused is None:
        assert mine.provides == (f"contract {name}",)
    else:
        assert mine.state == "failed"
        assert refused in str(mine.reason)


def test_an_adapter_gives_its_name_to_a_contract(tmp_path: Path) -> None:
    file = tmp_path / "birds.py"
    file.write_text(
        MODULE.replace("{package!r}", "__name__").replace("ContractSpec\n", "AdapterSpec, ContractSpec\n", 1)
        + '\n\n@hookimpl\ndef missive_adapters():\n    yield AdapterSpec("pigeon", "a:b", "By pigeon.")\n'
    )
    (mine,) = [each for each in load(catalog(files=[file])).load_all() if each.name == "birds"]
    assert mine.provides == ("adapter pigeon", "contract missive.pigeon.v1")


def test_two_plugins_with_one_contract(loft: Loft) -> None:
    other = loft.file.with_name("dove.py")
    for file in (other, loft.file):
        file.write_text(MODULE.replace("{package!r}", "__name__").replace("missive.pigeon.v1", "birds.v1"))
    records = {each.name: each for each in load(catalog(files=[loft.file, other])).load_all()}
    for name, rival in (("pigeon", "dove"), ("dove", "pigeon")):
        assert records[name].provides == ()
        assert f"contract `birds.v1` is also declared by plugin `{rival}`" in str(records[name].reason)


# --- envelopes


def test_an_envelope_keeps_to_it(package: Package) -> None:
    spec = package({"request.schema.json": REQUEST})
    envelope = parse_envelope(json.dumps(FRAME).encode(), spec, default_source="loft")
    assert (envelope.contract, envelope.metadata, envelope.source.source_id) == (spec.name, {"ring": 7}, "loft")
    without_id = {key: value for key, value in FRAME.items() if key != "id"}
    assert parse_envelope(json.dumps(without_id).encode(), spec, default_source="loft", default_id="x").id == "x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pigeon": {"ring": 0}}, "missive.pigeon.v1: $.pigeon.ring: expected a number of at least 1"),
        ({"pigeon": {"rings": 1}}, "$.pigeon.rings: unknown field; did you mean 'ring'?"),
        ({"pigeon": 7}, "field `pigeon`: expected object, got int"),
        ({"command": "task_list"}, "unknown field `message`"),
        ({"command": "task_list", "agent": None, "message": None}, "unknown field `"),
        ({"pigon": {}}, "unknown field `pigon`; did you mean 'pigeon'?"),
        ({"schema_version": "missive.stdio.v1"}, "this door reads missive.pigeon.v1"),
        ({"in_background": True}, "unknown field"),
    ],
)
def test_what_it_does_not_allow_is_refused(package: Package, change: dict[str, Any], message: str) -> None:
    spec = package({"request.schema.json": REQUEST})
    with pytest.raises(FrameError) as caught:
        parse_envelope(json.dumps({**FRAME, **change}).encode(), spec, default_source="loft")
    assert message in "; ".join((caught.value.message, *caught.value.sources))
    assert caught.value.frame_id == "1"


def test_without_a_request_there_is_nothing_to_read(package: Package) -> None:
    spec = package({"note.schema.json": {}})
    assert [contract.name for contract in contracts_of(spec)] == ["missive.pigeon.v1"]
    with pytest.raises(PluginError, match=r"there is no request\.schema\.json"):
        parse_envelope(json.dumps(FRAME).encode(), spec, default_source="loft")


def test_a_schema_that_leads_elsewhere_is_never_followed(package: Package) -> None:
    spec = package({"request.schema.json": {"$ref": "http://127.0.0.1:9/pigeon.json"}})
    with pytest.raises(PluginError, match="refers to another document"):
        request_faults(spec)


def test_it_is_read_from_a_zip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ZipFile(tmp_path / "birds.zip", "w") as archive:
        archive.writestr("zipped_pigeons/__init__.py", "")
        for part in ("request", "response"):
            archive.writestr(f"zipped_pigeons/contracts/missive.pigeon.v1/{part}.schema.json", json.dumps(REQUEST))
        archive.writestr("zipped_pigeons/contracts/missive.pigeon.v1/examples/valid/request-a.json", json.dumps(FRAME))
    monkeypatch.syspath_prepend(str(tmp_path / "birds.zip"))
    spec = ContractSpec("missive.pigeon.v1", "zipped_pigeons", "Messages by pigeon.", facts="pigeon")
    assert list(faults_of(spec)) == []
    parts = contracts_of(spec)
    assert [part.name for part in parts] == ["missive.pigeon.v1/request", "missive.pigeon.v1/response"]
    assert check(json.dumps(FRAME).encode(), parts, contract=spec.name, format="json").violations == ()
    sys.modules.pop("zipped_pigeons", None)
