"""One page a hook, and what it says of signatures and fields is what the code has."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from docs_kit import DOCS, blocks

from missive_host import hookspecs, protocols, specs
from missive_host.plugins import catalog, load
from missive_host.plugins.checking import RETURNS

FOLDER = DOCS / "plugins" / "hooks"
SIGNATURE = re.compile(r"^(\w+)\.(\w+)(\(.*)$")
DECLARED_WITH = {specs.AdapterSpec: (specs.Option,), specs.CommandSpec: (specs.VerbSpec,)}
"""What else is declared within it, with a table of its own."""


def page_of(hook: str) -> Path:
    return FOLDER / f"{hook}.md"


def shown(hook: str) -> list[str]:
    """The lines of the page's text blocks."""
    return [line for block in blocks(page_of(hook)) if block.language == "text" for line in block.text.splitlines()]


def signature(function: Any) -> str:
    return str(inspect.signature(function)).replace("'", "")


def wrong_lines(lines: list[str]) -> list[str]:
    """Those that show a method of a protocol otherwise than it is."""
    wrong = []
    for line in lines:
        found = SIGNATURE.match(line)
        cls = getattr(protocols, found[1], None) if found else None
        if found and cls is not None:
            function = getattr(cls, found[2], None)
            if function is None or signature(function) != found[3]:
                wrong.append(line)
    return wrong


def fields_of_tables(text: str) -> dict[str, list[str]]:
    """The fields that each table has, by the declaration that it is of: a line ``An `X` …:`` is above it."""
    found = {}
    for name, table in re.findall(r"^An? `(\w+)`[^\n]*:\n\n((?:\|[^\n]*\n)+)", text, re.MULTILINE):
        rows = table.splitlines()[2:]
        found[name] = [field for row in rows for field in re.findall(r"`(\w+)`", row.split("|")[1])]
    return found


def test_every_hook_has_a_page_and_no_page_is_of_another() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.md")) == sorted(hookspecs.HOOKS)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_it_begins_with_the_exact_signature(hook: str) -> None:
    function = getattr(hookspecs, hook)
    begins = f"# `{hook}`\n\n```text\n{hook}{signature(function)}\n```\n\nSince API {hookspecs.HOOK_API}. "
    assert page_of(hook).read_text("utf-8").startswith(begins)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_every_signature_on_it_is_the_code_s(hook: str) -> None:
    assert wrong_lines(shown(hook)) == []


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_every_field_of_what_it_declares_has_a_row(hook: str) -> None:
    cls = RETURNS[hook]
    tables = fields_of_tables(page_of(hook).read_text("utf-8"))
    declared = (cls, *DECLARED_WITH.get(cls, ()))
    assert list(tables) == [each.__name__ for each in declared]
    for each in declared:
        assert sorted(tables[each.__name__]) == sorted(field.name for field in dataclasses.fields(each))


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_its_example_is_a_plugin_that_declares_by_this_hook(hook: str, tmp_path: Path) -> None:
    files = [block for block in blocks(page_of(hook)) if block.language == "python"]
    assert len(files) == 1
    assert files[0].file is not None
    file = tmp_path / files[0].file
    file.write_text(files[0].text, "utf-8")
    for block in blocks(page_of(hook)):
        if block.language == "json" and block.file is not None:
            place = tmp_path / "contracts" / "missive.pigeon.v1" / block.file
            place.parent.mkdir(parents=True)
            place.write_text(block.text, "utf-8")
    plugins = load(catalog(files=[file]), strict=True)
    plugins.check()
    record, declared = plugins.plugin(file.stem)
    assert (record.state, record.reason, record.warnings) == ("loaded", None, ())
    assert [type(each) for each in declared] == [RETURNS[hook]]


def test_each_hook_has_its_headings() -> None:
    for hook in hookspecs.HOOKS:
        titles = re.findall(r"^## (.+)$", page_of(hook).read_text("utf-8"), re.MULTILINE)
        assert sorted(titles) == ["Example", "What holds", "What is declared", "What runs"], hook


def test_every_protocol_that_a_plugin_meets_is_on_a_page() -> None:
    """Each method of a protocol is on some page below docs/plugins, as it is."""
    lines = {
        line
        for page in (DOCS / "plugins").rglob("*.md")
        for block in blocks(page)
        if block.language == "text"
        for line in block.text.splitlines()
    }
    assert wrong_lines(sorted(lines)) == []
    for name in ("Adapter", "Restoring", "Summarizing", "Viewer", "Intake", "RoutingPolicy", "Reducer", "Reduction"):
        for method, function in vars(getattr(protocols, name)).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                assert f"{name}.{method}{signature(function)}" in lines


def test_a_wrong_signature_would_be_seen() -> None:
    assert wrong_lines(
        ["Reducer.start(self) -> Reduction", "Reducer.begin(self)", "Reducer in words", "Other.x(a)"]
    ) == [
        "Reducer.start(self) -> Reduction",
        "Reducer.begin(self)",
    ]
    assert fields_of_tables("A `X`:\n\n| F | S |\n| --- | --- |\n| `a`, `b` | `c` |\n") == {"X": ["a", "b"]}
    assert {cls.__name__ for cls in get_args(specs.Spec)} == {cls.__name__ for cls in RETURNS.values()}
