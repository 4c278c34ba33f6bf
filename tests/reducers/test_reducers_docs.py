"""The plugin as it is installed, and `docs/plugins/reducers.md`: its table is true and its examples run."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from reducing_kit import REDUCERS, SPECS, context, needed

from missive_host.errors import ValidationError
from missive_host.plugins import catalog, load
from missive_host.specs import AgentResult, ReductionContext

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "reducers.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+\.py)`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
TABLE = PAGE.partition("| --- | --- | --- |\n")[2].partition("\n\n")[0]
ROWS = {
    name: re.findall(r"`([a-z]+)`", cells)
    for name, cells in re.findall(r"^\| `([a-z-]+)` \|.*\|(.*)\|$", TABLE, re.MULTILINE)
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_plugin_is_found_by_its_entry_point_and_loads_in_strict_mode() -> None:
    records = tuple(record for record in catalog() if record.name == "reducers")
    (record,) = load(records, strict=True).check()
    assert (record.state, record.reason, record.warnings) == ("loaded", None, ())
    assert record.distribution == "missive-host"
    assert set(record.provides) == {f"reducer {name}" for name in ROWS}


def test_the_table_has_every_reducer() -> None:
    assert set(ROWS) == set(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_the_table_has_every_setting(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        REDUCERS[name].start(context(**needed(name), colour="red"))
    assert refused.value.help == (f"it has {', '.join(ROWS[name])}" if ROWS[name] else "it has none")


def test_every_example_of_the_page_is_tried() -> None:
    assert list(FILES) == ["mean.py"]
    assert PAGE.count("```python\n") == len(FILES)
    assert PAGE.count("```pycon\n") == PAGE.count("```console\n") == 1


def test_the_example_loads_and_answers(folder: Path) -> None:
    plugins = load(catalog(files=[str(folder / "mean.py")]), strict=True)
    spec, record = plugins.reducer("mean")
    assert record.warnings == ()
    reducer = plugins.factory(spec)()
    reduction = reducer.start(ReductionContext("g", "c", ("a", "b")))
    for agent, value in (("b", 1), ("a", 2), ("c", "three")):
        assert reduction.add(AgentResult(agent, agent, "gathered", data=(value,))) is None
    assert reduction.close(()).data == 1.5
    assert reducer.start(ReductionContext("g", "c", ())).close(()).text == "no member gave a number"
    with pytest.raises(ValidationError, match="did you mean 'digits'"):
        reducer.start(ReductionContext("g", "c", (), {"digit": 1}))


def test_the_session_on_the_page_goes_as_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mean", raising=False)
    (block,) = re.findall(r"^```pycon\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    session = doctest.DocTestParser().get_doctest(block, {}, "reducers.md", None, None)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(session, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted >= 6
    monkeypatch.delitem(sys.modules, "mean")


def test_the_commands_on_the_page_run(folder: Path) -> None:
    commands = re.findall(r"^\$ missive (.*)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "missive_host", *command.split()],
            cwd=folder,
            env={**os.environ, "MISSIVE_HOME": str(folder / "home")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "mean" in done.stdout
