"""What was published stays: each way to break a promise is found and said, and what may change may change."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_kit import KNOWN, ROOT, VALIDATORS, Json
from hypothesis import given, settings, strategies as st

from missive_host.contracts.library import kinds_of
from missive_host.contracts.promises import PROMISED, Break, advice, broken, keep
from missive_host.contracts.schemas import refresh, schemas
from missive_host.contracts.shapes import Shape, lines, read, shapes
from missive_host.contracts.validation import validate

TODAY = schemas()
PROMISES = {file.parent.name: read(file.read_text("utf-8")) for file in ROOT.glob(f"*/{PROMISED}")}
DOCTOR = "missive.output.v1/kinds/doctor.schema.json"
SENT = "missive.output.v1/kinds/send_result.schema.json"
REQUEST = "missive.stdio.v1/request.schema.json"
CONFIG = "missive.config.v1/config.schema.json"

Change = Callable[[dict[str, Json]], Any]


def after(change: Change) -> tuple[list[Break], set[str]]:
    """What is broken, and in which versions there is something new to promise, if the schemas changed like this."""
    made = json.loads(json.dumps(TODAY))
    change(made)
    touched = {file for file in {*made, *TODAY} if made.get(file) != TODAY.get(file)}
    now = shapes({file: made[file] for file in touched & made.keys()})
    before = shapes({file: TODAY[file] for file in touched & TODAY.keys()})
    breaks: list[Break] = []
    news = set()
    for version in {*before, *now}:
        promised = {name: PROMISES[version][name] for name in before.get(version, ())}
        breaks += broken(version, promised, now.get(version, {}))
        if list(lines(now.get(version, {}))) != list(lines(promised)):
            news.add(version)
    return breaks, news


def fields(made: dict[str, Json], file: str, name: str) -> Json:
    """The properties of a definition."""
    found: Json = made[file]["$defs"][name]["properties"]
    return found


def renamed(holder: Json, old: str, new: str) -> None:
    holder[new] = holder.pop(old)


def without_command(made: dict[str, Json], command: str) -> None:
    root = made[REQUEST]
    root["allOf"] = [case for case in root["allOf"] if case["if"]["properties"]["command"]["const"] != command]


def required(made: dict[str, Json], file: str, name: str) -> list[str]:
    found: list[str] = made[file]["$defs"][name].setdefault("required", [])
    return found


def new_and_required(made: dict[str, Json], file: str, name: str, field: str) -> None:
    fields(made, file, name)[field] = {"type": "string"}
    required(made, file, name).append(field)


# --- today


def test_every_promise_is_kept_and_every_document_promised() -> None:
    kept = keep(ROOT, TODAY, write=False)
    assert [each.sentence() for each in kept.breaks] == [], advice(kept.breaks)
    assert kept.stale == (), "run: python -m missive_host.contracts"
    assert set(PROMISES) == {contract.version for contract in KNOWN.values()}


def test_what_is_promised_can_be_read_back() -> None:
    for version, documents in shapes(TODAY).items():
        assert read("\n".join(lines(documents))) == documents == PROMISES[version]


# --- what breaks a promise

BREAKS: dict[str, tuple[Change, str]] = {
    # what missive writes
    "a field goes away": (
        lambda made: fields(made, DOCTOR, "DoctorResult").pop("checks"),
        "missive.output.v1/doctor: data.checks went away: programs read it",
    ),
    "a field gets another name": (
        lambda made: renamed(fields(made, SENT, "SendResult"), "persistence", "stored"),
        "missive.output.v1/send_result: data.persistence went away: programs read it (is it `stored` now?)",
    ),
    "a field below gets another name": (
        lambda made: renamed(fields(made, SENT, "ResponseView"), "text", "answer"),
        "missive.output.v1/send_result: data.response.text went away: programs read it (is it `answer` now?)",
    ),
    "a field of the envelope goes away": (
        lambda made: made[DOCTOR]["properties"].pop("sequence"),
        "missive.output.v1/doctor: sequence went away: programs read it",
    ),
    "a field becomes optional": (
        lambda made: required(made, SENT, "SendResult").remove("agent"),
        "missive.output.v1/send_result: data.agent may be left out now: programs count on it",
    ),
    "an optional field is always there": (
        lambda made: required(made, SENT, "ResponseView").append("text"),
        "missive.output.v1/send_result: data.response.text is always there now: documents of before",
    ),
    "a new field is always there": (
        lambda made: new_and_required(made, SENT, "SendResult", "cost"),
        "missive.output.v1/send_result: data.cost is new and always there: documents of before",
    ),
    "a type changes": (
        lambda made: fields(made, SENT, "RequestView").update(part_count={"type": "string"}),
        "missive.output.v1/send_result: data.request.part_count was integer, is string",
    ),
    "a whole number may have a fraction": (
        lambda made: fields(made, SENT, "RequestView").update(part_count={"type": "number"}),
        "missive.output.v1/send_result: data.request.part_count was integer, is number",
    ),
    "a field may be null": (
        lambda made: fields(made, SENT, "ResponseView").update(text={"type": ["string", "null"]}),
        "missive.output.v1/send_result: data.response.text was string, is null or string",
    ),
    "an array becomes one": (
        lambda made: fields(made, SENT, "RequestView").update(parts={"$ref": "#/$defs/PartSummary"}),
        "missive.output.v1/send_result: data.request.parts was array, is object",
    ),
    "a word of a choice goes away": (
        lambda made: fields(made, SENT, "ResponseView")["state"]["enum"].remove("failed"),
        "missive.output.v1/send_result: data.response.state does not say failed any more",
    ),
    "a kind goes away": (lambda made: made.pop(DOCTOR), "missive.output.v1/doctor: this kind went away"),
    "a kind of answer frames goes away": (
        lambda made: made.pop("missive.http.v1/kinds/http_receipt.schema.json"),
        "missive.http.v1/http_receipt: this kind went away",
    ),
    "a limit gets wider": (
        lambda made: fields(made, "missive.output.v1/kinds/error.schema.json", "ErrorReport")["exit_code"].update(
            maximum=1000
        ),
        "missive.output.v1/error: data.exit_code has a maximum of 255, which was 1000",
    ),
    # what missive reads
    "a field is refused": (
        lambda made: fields(made, REQUEST, "Send").pop("timeout"),
        "missive.stdio.v1/send: timeout is refused now: whoever sends it gets an error",
    ),
    "a field is read under another name": (
        lambda made: renamed(fields(made, REQUEST, "TaskWait"), "interval", "every"),
        "missive.stdio.v1/task_wait: interval is refused now: whoever sends it gets an error (is it `every` now?)",
    ),
    "an optional field must be given": (
        lambda made: required(made, REQUEST, "Send").append("message"),
        "missive.stdio.v1/send: message must be given now: requests of before may not have it",
    ),
    "a new field must be given": (
        lambda made: new_and_required(made, REQUEST, "Send", "urgency"),
        "missive.stdio.v1/send: urgency is new and must be given: requests of before",
    ),
    "a word is not taken": (
        lambda made: fields(made, CONFIG, "OutputBlock")["color"]["enum"].remove("never"),
        "missive.config.v1/config: output.color does not take never any more",
    ),
    "any text becomes a choice": (
        lambda made: fields(made, CONFIG, "FilterBlock").update(kind={"enum": ["one", "two"]}),
        "missive.config.v1/config: filters[].kind takes nothing now but one, two",
    ),
    "a type is not taken": (
        lambda made: fields(made, REQUEST, "TaskList").update(source={"$ref": "#/$defs/Source"}),
        "missive.stdio.v1/task_list: source was object or string, is object",
    ),
    "null is not taken": (
        lambda made: fields(made, REQUEST, "TaskList").update(page_size={"type": "integer"}),
        "missive.stdio.v1/task_list: page_size was integer or null, is integer",
    ),
    "a limit is lowered": (
        lambda made: fields(made, CONFIG, "Gateway")["concurrency"].update(maximum=10),
        "missive.config.v1/config: gateway.concurrency has a maximum of 10, which was 4096",
    ),
    "a limit is new": (
        lambda made: fields(made, CONFIG, "Plugins")["files"].update(maxItems=3),
        "missive.config.v1/config: plugins.files has a maxItems of 3, which was not there",
    ),
    "names have another form": (
        lambda made: made[CONFIG]["$defs"]["Name"].update(pattern="^[a-z]+$"),
        "missive.config.v1/config: default_profile has another pattern: no program can tell",
    ),
    "a rule is new": (
        lambda made: made[CONFIG]["$defs"]["Storage"].update({"if": {"required": ["x"]}, "then": {"required": ["y"]}}),
        "missive.config.v1/config: storage has a new rule, or another one: no program can tell",
    ),
    "free settings are closed": (
        lambda made: fields(made, CONFIG, "FilterBlock").update(
            settings={"type": "object", "properties": {}, "additionalProperties": False}
        ),
        "missive.config.v1/config: filters[].settings was open for any field, and is closed now",
    ),
    "names that begin with x_ are refused": (
        lambda made: made[REQUEST]["$defs"]["Send"].pop("patternProperties"),
        "missive.stdio.v1/send: ^x_ is refused now: whoever sends it gets an error",
    ),
    "a command is not taken": (
        lambda made: without_command(made, "barrier"),
        "missive.stdio.v1/barrier: this command is not taken any more",
    ),
    "a part of the configuration is not read": (
        lambda made: made[CONFIG]["properties"].pop("qos"),
        "missive.config.v1/config: qos is refused now: whoever sends it gets an error",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), BREAKS.values(), ids=BREAKS)
def test_a_break_is_found(change: Change, sentence: str) -> None:
    breaks, _ = after(change)
    said = [each.sentence() for each in breaks]
    assert any(each.startswith(sentence) for each in said), said
    assert sentence.partition(":")[0] in advice(breaks)


def test_what_is_below_a_lost_field_is_not_said_again() -> None:
    (lost,), _ = after(lambda made: fields(made, SENT, "SendResult").pop("selected_interface"))
    assert (lost.document, lost.place) == ("missive.output.v1/send_result", "data.selected_interface")


WRITTEN = [
    (version, name, place)
    for version, documents in PROMISES.items()
    for name, shape in documents.items()
    if name[0] == ">"
    for place in shape
    if place.rpartition(".")[2].isidentifier() and "." in place
]


@settings(max_examples=100)
@given(st.sampled_from(WRITTEN))
def test_every_field_that_goes_away_is_missed(case: tuple[str, str, str]) -> None:
    version, name, place = case
    made = copy.deepcopy(TODAY[f"{version}/kinds/{name[2:]}.schema.json"])
    for holder in _holders(made, place.split(".")[1:-1]):
        holder["properties"].pop(place.rpartition(".")[2], None)
    now = shapes({f"{version}/kinds/{name[2:]}.schema.json": made})[version]
    (lost,) = broken(version, {name: PROMISES[version][name]}, now)
    assert (lost.document, lost.place) == (f"{version}/{name[2:]}", place.partition(".")[2])
    assert lost.message.startswith("went away")


def _holders(root: Json, steps: list[str]) -> Iterator[Json]:
    """The objects of a schema at this place; a definition of its own for each, for others may share it."""
    found = root
    for step in steps:
        name = step.rstrip("[]{}")
        child = copy.deepcopy(_resolved(root, found["properties"][name]))
        found["properties"][name] = child
        for kind in step[len(name) :][::2]:
            word = "items" if kind == "[" else "additionalProperties"
            child[word] = copy.deepcopy(_resolved(root, child[word]))
            child = child[word]
        found = child
    yield found


def _resolved(root: Json, schema: Json) -> Json:
    return root["$defs"][schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


# --- what may change

ADDITIONS: dict[str, tuple[Change, str | None]] = {
    "a new optional field of a result": (
        lambda made: fields(made, SENT, "SendResult").update(cost={"type": "number"}),
        "missive.output.v1",
    ),
    "a new object in a result, with fields that it always has": (
        lambda made: fields(made, SENT, "SendResult").update(
            cost={
                "type": "object",
                "required": ["sum"],
                "properties": {"sum": {"type": "number"}},
                "additionalProperties": False,
            }
        ),
        "missive.output.v1",
    ),
    "a new kind": (
        lambda made: made.update({DOCTOR.replace("doctor", "nurse"): made[DOCTOR]}),
        "missive.output.v1",
    ),
    "a new word that missive says": (
        lambda made: fields(made, SENT, "ResponseView")["state"]["enum"].append("paused"),
        "missive.output.v1",
    ),
    "a new optional field of a request": (
        lambda made: fields(made, REQUEST, "Send").update(urgency={"type": "string"}),
        "missive.stdio.v1",
    ),
    "a new command": (
        lambda made: made[REQUEST]["allOf"].append(
            {"if": {"properties": {"command": {"const": "sing"}}}, "then": {"$ref": "#/$defs/Send"}}
        ),
        "missive.stdio.v1",
    ),
    "a new word that missive takes": (
        lambda made: fields(made, CONFIG, "OutputBlock")["color"]["enum"].append("some"),
        "missive.config.v1",
    ),
    "a choice becomes any text": (
        lambda made: fields(made, CONFIG, "OutputBlock").update(color={"type": "string"}),
        "missive.config.v1",
    ),
    "another type is taken, too": (
        lambda made: fields(made, CONFIG, "OutputBlock").update(
            color={"anyOf": [fields(made, CONFIG, "OutputBlock")["color"], {"type": "boolean"}]}
        ),
        "missive.config.v1",
    ),
    "a number that was whole may have a fraction": (
        lambda made: fields(made, CONFIG, "Gateway")["concurrency"].update(type="number"),
        "missive.config.v1",
    ),
    "a field need not be given any more": (
        lambda made: required(made, CONFIG, "GroupMember").remove("rank"),
        "missive.config.v1",
    ),
    "a limit is raised": (
        lambda made: fields(made, CONFIG, "Gateway")["concurrency"].update(maximum=10_000),
        "missive.config.v1",
    ),
    "a rule is dropped": (
        lambda made: [made[CONFIG]["$defs"]["Plugins"].pop(word) for word in ("if", "then")],
        "missive.config.v1",
    ),
    "texts for people": (
        lambda made: (
            made[CONFIG]["$defs"]["Plugins"].update(description="Which plugins."),
            fields(made, CONFIG, "Gateway")["concurrency"].update(default=9, description="How many."),
            made[SENT].update(title="Sent"),
        ),
        None,
    ),
    "the name of a definition": (
        lambda made: made.update(
            {SENT: json.loads(json.dumps(made[SENT]).replace("PartSummary", "Part").replace("SendResult", "Sent"))}
        ),
        None,
    ),
    "the order of fields": (
        lambda made: made[SENT].update(properties=dict(reversed(made[SENT]["properties"].items()))),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "version"), ADDITIONS.values(), ids=ADDITIONS)
def test_an_addition_breaks_nothing_but_is_to_be_promised(change: Change, version: str | None) -> None:
    breaks, news = after(change)
    assert [each.sentence() for each in breaks] == []
    assert news == (set() if version is None else {version})


# --- documents that were written before


def sample(shape: Shape, place: str, *, full: bool) -> Any:
    """A document of this shape: with the fields that it must have, or with all."""
    type_ = shape[place].types[0]
    if "words" in type_:
        return type_["words"][0]
    match type_["type"]:
        case "object":
            inner = {
                other[len(place) + 1 :]: other
                for other, field in shape.items()
                if other.startswith(f"{place}.") and (full or field.required)
            }
            made = {key: sample(shape, other, full=full) for key, other in inner.items() if not set(".[{") & set(key)}
            return {**made, "key": sample(shape, f"{place}{{}}", full=full)} if f"{place}{{}}" in shape else made
        case "array":
            some = f"{place}[]" in shape and (full or "minItems" in type_)
            return [sample(shape, f"{place}[]", full=full)] if some else []
        case "string":
            return "a.json" if "json" in type_.get("pattern", "") else "text"
        case "boolean":
            return True
        case "integer" | "number":
            return type_.get("minimum", 7)
        case "any":
            return None
    raise AssertionError(type_)


@pytest.mark.parametrize("full", [False, True], ids=["short", "full"])
@pytest.mark.parametrize("version", [version for version in PROMISES if kinds_of(version)])
def test_what_was_written_before_keeps_to_the_schemas_of_today(version: str, full: bool) -> None:
    """Documents are made of what was promised, and judged by the schemas of today, whole and by kind."""
    whole = version if version in KNOWN else f"{version}/response"
    for name, shape in PROMISES[version].items():
        if name[0] == ">":
            document = _with_documents(shape, sample(shape, name[2:], full=full))
            assert validate(document, TODAY[f"{version}/kinds/{name[2:]}.schema.json"]) == (), name
            assert VALIDATORS[whole](document) == (), name


def _with_documents(shape: Shape, document: Json) -> Json:
    """Put a whole document where a frame carries one."""
    output = {"schema_version": "missive.output.v1", "ok": True, "kind": "agent_remove", "sequence": 0}
    data = {"profile": "default", "agent": "a", "purged": False, "message": "removed"}
    for place, field in shape.items():
        name = place.partition(".")[2]
        if "document" in field.types[0] and name.removesuffix("[]") in document:
            one = {**output, "data": data}
            if field.types[0]["document"] == "missive.stdio.v1":
                frame = {"schema_version": "missive.stdio.v1", "id": "1", "ok": True, "kind": "stdio_command_output"}
                one = {**frame, "sequence": 0, "data": one}
            document[name.removesuffix("[]")] = [one] if name.endswith("[]") else one
    return document


# --- the command


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys\nfrom pathlib import Path\nfrom missive_host.contracts import __main__, library\n"
        f"library.folder = lambda: Path({str(folder)!r})\nsys.exit(__main__.main(sys.argv[1:]))"
    )
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The contracts of today, with a field of `doctor` promised that is not there."""
    refresh(tmp_path, write=True)
    keep(tmp_path, TODAY, write=True)
    file = tmp_path / "missive.output.v1" / PROMISED
    file.write_text(
        file.read_text("utf-8").replace("> doctor.data.profile", "> doctor.data.charm string\n> doctor.data.profile")
    )
    return tmp_path


def test_a_broken_promise_stays_until_it_is_taken_back(folder: Path) -> None:
    file = folder / "missive.output.v1" / PROMISED
    before = file.read_text("utf-8")
    for words in (["--check"], []):
        done = run(folder, *words)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr == (
            "broken: missive.output.v1/doctor: data.charm went away: programs read it\n"
            "What missive.output.v1 had once, it keeps. Undo the change, or make a new version "
            "(contracts/README.md, Versions).\n"
            "If no release has had the document yet, take it anew:\n"
            "  python -m missive_host.contracts --unreleased missive.output.v1/doctor\n"
        )
        assert file.read_text("utf-8") == before
    done = run(folder, "--unreleased", "missive.output.v1/doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"written: {file}\n"
    assert file.read_text("utf-8") == (ROOT / "missive.output.v1" / PROMISED).read_text("utf-8")


def test_what_is_new_is_to_be_promised(folder: Path) -> None:
    file = folder / "missive.output.v1" / PROMISED
    whole = (ROOT / "missive.output.v1" / PROMISED).read_text("utf-8")
    file.write_text("".join(line for line in whole.splitlines(keepends=True) if not line.startswith("> trace")))
    done = run(folder, "--check")
    assert (done.returncode, done.stdout) == (1, f"stale: {file}\n")
    assert done.stderr == "run: python -m missive_host.contracts\n"
    assert run(folder).returncode == 0
    assert file.read_text("utf-8") == whole


def test_a_document_that_is_not_there(folder: Path) -> None:
    done = run(folder, "--unreleased", "missive.output.v1/docter")
    assert done.returncode == 2
    assert "nothing is promised of missive.output.v1/docter" in done.stderr
