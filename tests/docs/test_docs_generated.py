"""What the documentation says of the code is what the code is: generated pages, rooms, names, kinds."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docs_kit import DOCS, ROOT, prose

from missive_host.cli.reference import refreshed
from missive_host.cli.reference_documents import import_kinds
from missive_host.errors import A2AErrorInfo, ErrorReport
from missive_host.outputs import Data, all_kinds

GENERATED = ("cli.md", "output.md", "errors.md", "event-types.md")


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_page_is_fresh(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert refreshed(text) == text, f"run: python -m missive_host.cli.reference docs/{page}"


def test_the_generator_tells_what_is_not_fresh(tmp_path: Path) -> None:
    page = tmp_path / "errors.md"
    page.write_text("<!-- errors: made by missive_host.cli.reference -->\n<!-- /errors -->\n", "utf-8")
    command = [sys.executable, "-m", "missive_host.cli.reference", str(page)]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert "| 64 | `validation` |" in page.read_text("utf-8")
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 0


# --- output.md, errors.md


def test_every_kind_is_named_with_its_command() -> None:
    import_kinds()
    text = prose(DOCS / "output.md").split("| Command | Kinds |", 1)[1].split("\n\n", 1)[0]
    named = {word for row in text.splitlines() for word in re.findall(r"`([a-z_]+)`", row.rpartition(" | ")[2])}
    assert named - {"events"} == set(all_kinds())


def test_no_kind_is_declared_where_the_generator_does_not_look() -> None:
    import_kinds()
    known = {cls.__module__ for cls in all_kinds().values()} | {Data.__module__}
    for file in (ROOT / "missive_host").rglob("*.py"):
        bases = (
            ast.unparse(base)
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.ClassDef)
            for base in node.bases
        )
        if "Data" in bases:
            assert ".".join(file.relative_to(ROOT).with_suffix("").parts) in known


@pytest.mark.parametrize(("after", "struct"), [("frames as `error`", ErrorReport), ("| `a2a` | object", A2AErrorInfo)])
def test_the_fields_of_an_error(after: str, struct: type) -> None:
    table = prose(DOCS / "errors.md").split(after, 1)[1].split("| --- |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(getattr(struct, "__struct_fields__"))  # noqa: B009


# --- architecture.md

ARCHITECTURE = prose(DOCS / "architecture.md")


def rows(first: str) -> list[list[str]]:
    """The rows of the table whose header begins so."""
    lines = ARCHITECTURE.split(f"\n{first}", 1)[1].splitlines()[2:]
    table = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture(scope="module")
def house() -> Any:
    """The test that keeps the rules of who may import what."""
    spec = importlib.util.spec_from_file_location("house_rules", ROOT / "tests" / "host" / "test_house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def test_the_rooms_are_those_that_the_house_has(house: Any) -> None:
    there = {house.room_of(file) for file in house.HOST.rglob("*.py")}
    assert {words(row[0])[0] for row in rows("| Room |")} == there
    for room, _, imports in rows("| Room |"):
        (name,) = words(room)
        assert words(imports) == sorted(set(house.MAY_IMPORT[name]) & there), f"what {name} may import"


def test_the_packages_are_known_where_the_page_says(house: Any) -> None:
    there = {house.room_of(file) for file in house.HOST.rglob("*.py")}
    said = {package: words(rooms) for packages, rooms in rows("| Package |") for package in words(packages)}
    assert said == {package: sorted(set(rooms) & there) for package, rooms in house.ONLY_IN.items()}


def names_in(file: Path) -> set[str]:
    """Functions, classes and methods of a module, e.g. ``Intake.submit``."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


@pytest.mark.parametrize("row", rows("| | What happens |"), ids=lambda row: str(row[0]))
def test_each_step_of_the_road_is_there(row: list[str]) -> None:
    _, _, files, named = row
    there = [names_in(ROOT / file) for file in words(files)]
    assert set(words(named)) <= set().union(*there)
    assert all(found & set(words(named)) for found in there), "a file without a name of its own"


def test_names_beside_a_file_are_in_it() -> None:
    """``name`` in ``file`` somewhere in a sentence."""
    pairs = re.findall(r"`([\w.]+)` in `((?:missive_host|plugins)/[\w/]+\.py)`", ARCHITECTURE)
    assert len(pairs) >= 4
    for name, file in pairs:
        assert name in names_in(ROOT / file), f"{name} in {file}"
