"""The OpenAPI document: it is one, it is complete, and what the door does is what it says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from http_kit import ROOT, serving
from jsonschema import Draft202012Validator

from missive_host.commands import DOOR_COMMANDS

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

DOCUMENT = f"{ROOT}/v1/openapi.json"


async def test_it_is_complete(home: Home) -> None:
    async with serving(home) as door:
        answer = await door.get(DOCUMENT)
        document = answer.json()
        assert (answer.status_code, document["openapi"]) == (200, "3.1.0")
        schemas = document["components"]["schemas"]
        assert len(schemas["Frame"]["oneOf"]) == len(DOOR_COMMANDS)
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)
        used = set(_references(document))
        assert used <= {f"#/components/schemas/{name}" for name in schemas}
        assert "security" not in document
    async with serving(home, auth="token", authenticate=lambda _: None) as door:
        document = (await door.get(DOCUMENT)).json()
        assert document["security"] == [{"token": []}]


@pytest.mark.parametrize(
    "bounds",
    [
        ("--phases", "fuzzing", "--max-examples", "30"),
        # It makes thousands of cases of the frames, which the tests of the contracts do better.
        ("--phases", "coverage", "--exclude-path", f"{ROOT}/v1/messages"),
    ],
    ids=["fuzzing", "coverage"],
)
async def test_the_door_does_what_the_document_says(home: Home, agent: AgentProcess, bounds: tuple[str, ...]) -> None:
    """Schemathesis makes requests of the document, good ones and bad ones, and looks at the answers.

    Not asked for: that a frame that fits its schema is carried out (`positive_data_acceptance`). Most name agents that
    do not exist.
    """
    program = str(Path(sys.executable).with_name("schemathesis"))
    always = ("--no-color", "--generation-deterministic", "--exclude-checks", "positive_data_acceptance")
    async with serving(home, agent, wait=2) as door:
        done = await anyio.run_process(
            [program, "run", f"{door.listener.url}{DOCUMENT}", *always, *bounds, "--request-timeout", "10"],
            check=False,
            cwd=home.folder,
        )
        assert door.intake.kept or "coverage" in bounds
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)
