"""Golden documents: each kind has one, and what commands print today has its fields, in its order, with its types."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import golden
import pytest
from contract_kit import KINDS, OUTPUT, ROOT, SCHEMAS, Json, examples, load
from support.secrets import MARK

from missive_host.contracts import load_schema
from missive_host.contracts.library import cases_of, kinds_of
from missive_host.contracts.validation import validator
from missive_host.demo.fleet import Fleet

GOLDEN = golden.golden()
VALIDATORS = {contract.part: validator(load_schema(contract)) for contract in kinds_of(OUTPUT)}
Recorded = Callable[[golden.Run], dict[str, Json]]
HOW = "let a run in tests/support/recordings print it, and call: python tests/golden.py"


def test_every_kind_has_a_golden_document() -> None:
    there = {document["kind"] for document in GOLDEN.values()}
    assert sorted({"error", *KINDS} - there) == [], HOW
    assert sorted(there - {"error", *KINDS}) == []


def test_every_category_of_errors_has_one() -> None:
    categories = SCHEMAS[OUTPUT]["$defs"]["ErrorReport"]["properties"]["category"]["enum"]
    assert [name for name in GOLDEN if GOLDEN[name]["kind"] == "error"] == [f"error.{each}" for each in categories], HOW


def test_every_kind_of_frame_has_an_example() -> None:
    for contract, schema in SCHEMAS.items():
        shown = {load(file).get("kind") for name, file in examples("valid") if name == contract}
        assert set(cases_of(schema)) <= shown, contract


@pytest.mark.parametrize("name", GOLDEN)
def test_it_says_what_it_is(name: str) -> None:
    document = GOLDEN[name]
    kind, _, variant = name.partition(".")
    assert document["kind"] == kind
    assert kind == "error" or not variant or kind in GOLDEN
    assert VALIDATORS[kind](document) == ()
    text = (golden.FOLDER / f"{name}.json").read_text("utf-8")
    assert text == json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert str(ROOT.parent) not in text
    assert MARK not in text


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Runs the commands of a run, once, on real agents."""
    folder = tmp_path_factory.mktemp("golden").resolve()
    with Fleet(golden.AGENTS) as fleet:
        yield cache(lambda run: golden.record(run, folder, fleet))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", golden.RUNS, ids=lambda run: run.__name__)
def test_commands_print_what_they_always_did(recorded: Recorded, run: golden.Run) -> None:
    made = recorded(run)
    different = golden.changed({name: GOLDEN[name] for name in made if name in GOLDEN}, made)
    said = [f"{name}: {each}" for name, found in different.items() for each in found]
    assert said == [], "if this is meant, write it anew: python tests/golden.py"


@pytest.mark.timeout(900)
def test_each_is_printed_by_one_run(recorded: Recorded) -> None:
    names = [name for run in golden.RUNS for name in recorded(run)]
    assert sorted(names) == sorted(GOLDEN), "if this is meant, write them anew: python tests/golden.py"


# --- the comparison


def without(document: Json, *path: str) -> None:
    for step in path[:-1]:
        document = document[step]
    del document[path[-1]]


CHANGES: dict[str, tuple[str, Callable[[Json], Any], list[str]]] = {
    "a field is missing": (
        "send_result",
        lambda made: without(made, "data", "response", "text"),
        [".data.response.text is missing"],
    ),
    "a field is new": ("send_result", lambda made: made["data"].update(cost=1), [".data.cost is new"]),
    "another type": (
        "send_result",
        lambda made: made["data"]["request"].update(part_count="1"),
        [".data.request.part_count was number, is string"],
    ),
    "null": ("send_result", lambda made: made["data"].update(agent=None), [".data.agent was string, is null"]),
    "another order": (
        "agent_remove",
        lambda made: made.update(data=dict(reversed(made["data"].items()))),
        [".data has its fields in another order: message, purged, agent, profile"],
    ),
    "an item of another shape": (
        "task_list",
        lambda made: without(made["data"]["tasks"][0], "state"),
        [".data.tasks[] has an item of another shape: "],
    ),
    "a field of a free-form object": ("send_result", lambda made: made["data"]["response"]["raw"].clear(), []),
    "other values": ("send_result", lambda made: made["data"].update(agent="another", message=""), []),
    "fewer items": ("task_list", lambda made: made["data"]["tasks"].clear(), []),
    "other names in a map": (
        "context_show",
        lambda made: made["data"]["context"].update(remote_contexts={"other": "1"}),
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "said"), CHANGES.values(), ids=CHANGES)
def test_what_has_changed_is_said(name: str, change: Callable[[Json], Any], said: list[str]) -> None:
    document = copy.deepcopy(GOLDEN[name])
    change(document)
    found = golden.changed({name: GOLDEN[name]}, {name: document}).get(name, [])
    assert len(found) == len(said)
    assert all(each.startswith(wanted) for each, wanted in zip(found, said, strict=True))


def test_what_is_new_and_what_is_gone() -> None:
    one = GOLDEN["task_get"]
    assert golden.changed({}, {"task_get": one}) == {"task_get": ["is not there yet"]}
    assert golden.changed({"task_get": one}, {}) == {"task_get": ["no run prints it any more"]}


def test_what_differs_from_run_to_run_is_made_alike(tmp_path: Path) -> None:
    first, second = "0191f3b5-5e96-7001-8ba5-9328e39cc0c8", "0291f3b5-5e96-7001-8ba5-9328e39cc0c8"
    document = {"a": [first, second, f"x/{first}"], "at": "2026-11-27T22:58:34Z", "url": "http://127.0.0.1:45939/rpc",
                "file": f"{tmp_path}/x", "pid": 12, "secret": "s3cret",
                "trace": "00-7f7fa9b7ead97ddadcf91d53fa91c89c-acf35ab488f8b7d7-01"}  # fmt: skip
    made = golden.Alike(tmp_path).document(document)
    assert made == {
        "a": [
            "00000000-0000-7000-8000-000000000001",
            "00000000-0000-7000-8000-000000000002",
            "x/00000000-0000-7000-8000-000000000001",
        ],
        "at": "2026-01-31T12:00:00.000000Z",
        "url": "http://127.0.0.1:8001/rpc",
        "file": "/home/ada/x",
        "pid": 4711,
        "secret": "K7QD3MXA",
        "trace": "00-0af7651916cd43dd8448eb211c80319c-0af7651916cd43dd-01",
    }
