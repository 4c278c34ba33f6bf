"""Every block of the documentation is what it says it is.

Commands are executed by ``test_docs_executed.py``, and by tests of single pages. Here the others have their turn: JSON,
TOML, YAML, Python and INI, and commands that are not executed, which are parsed as the shell and missive parse them.
"""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
import yaml
from docs_kit import PAGES, READMES, ROOT, Block, blocks, command_lines, missive_faults, name_of, prose

from missive_host.config import load as load_config
from missive_host.contracts import contracts
from missive_host.contracts.checking import check
from missive_host.errors import PluginError
from missive_host.plugins import catalog, load

KNOWN = frozenset(("console", "sh", "json", "ndjson", "toml", "yaml", "ini", "python", "pycon", "text"))
OF_TESTS = {
    "docs/stdio.md": "tests/stdio/test_stdio_docs.py",
    "docs/chat/adding-a-platform.md": "tests/chat/test_chat_contract.py",
    "docs/plugins/tutorial-adapter.md": "tests/install/test_tutorials.py",
    "docs/plugins/tutorial-policy.md": "tests/install/test_tutorials.py",
    "docs/plugins/tutorial-reducer.md": "tests/install/test_tutorials.py",
    "README.md": "tests/project/test_project_files.py",
}
"""Pages whose JSON and Python blocks a test of their own takes from the page."""

ALL = [block for page in (*PAGES, *READMES) for block in blocks(page)]


def of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


def where(block: Block) -> str:
    return block.where


def test_each_block_says_what_it_is() -> None:
    wrong = [block.where for block in ALL if block.language not in KNOWN]
    assert not wrong, f"no language, or none that is known: {wrong}"


def test_pages_with_tests_of_their_own_are_read_by_them() -> None:
    for page, test in OF_TESTS.items():
        assert (ROOT / page).is_file()
        source = (ROOT / test).read_text("utf-8")
        assert Path(page).name in source or f"{Path(page).stem.partition('-')[0]}-" in source


# --- data


def json_faults(block: Block) -> list[str]:
    """What is wrong with JSON: it follows its contract, or is a schema, or a test of its page reads it."""
    if name_of(block.page) == "README.md":
        return []  # an excerpt, which the test of the page compares with what missive prints
    texts = [block.text] if block.language == "json" else block.text.splitlines()
    found = []
    for text in texts:
        try:
            document = json.loads(text)
        except ValueError as error:
            found.append(str(error))
            continue
        if isinstance(document, dict) and "schema_version" in document:
            checked = check(text.encode(), contracts(), contract=None, format="json")
            found += [violation.sentence(block.where) for violation in checked.violations]
        elif block.file is not None and block.file.endswith(".schema.json"):
            from jsonschema import Draft202012Validator

            Draft202012Validator.check_schema(document)
        elif name_of(block.page) not in OF_TESTS:
            found.append("it names no schema_version, so that nothing tells whether it is true")
    return found


@pytest.mark.parametrize("block", of("json", "ndjson"), ids=where)
def test_json_is_what_its_contract_says(block: Block) -> None:
    assert json_faults(block) == []


@pytest.mark.parametrize("block", of("toml"), ids=where)
def test_toml_is_a_configuration_or_a_project(block: Block, tmp_path: Path) -> None:
    data = tomllib.loads(block.text)
    if "project" in data:
        points = data["project"].get("entry-points", {})
        assert set(points) <= {"missive.plugins", "missive.commands"}
        assert points.get("missive.plugins"), "a plugin is found by its entry point"
        assert all(re.fullmatch(r"[a-z_]\w*", module) for names in points.values() for module in names.values())
        return
    file = tmp_path / "missive.toml"
    file.write_text(block.text, "utf-8")
    assert load_config(config_path=str(file), env={"HOME": str(tmp_path)}).path == file


@pytest.mark.parametrize("block", of("yaml"), ids=where)
def test_yaml_can_be_read_and_its_commands_exist(block: Block) -> None:
    data = yaml.safe_load(block.text)
    assert isinstance(data, dict)
    assert [fault for script in runs_of(data) for fault in script_faults(script)] == []


def runs_of(data: object) -> Iterator[str]:
    """The scripts of a workflow: what stands under `run`."""
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from runs_of(value)
    if isinstance(data, dict) and isinstance(data.get("run"), str):
        yield data["run"]


@pytest.mark.parametrize("block", of("ini"), ids=where)
def test_a_unit_has_sections(block: Block) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(block.text)
    assert unit.sections()


# --- Python


def commands_of(page: Path) -> str:
    return "\n".join(block.text for block in blocks(page) if block.language in ("console", "sh") and not block.skipped)


def python_faults(block: Block, folder: Path) -> list[str]:
    """What is wrong with Python: a plugin loads in strict mode, anything else is what a command of its page runs."""
    code = compile(block.text, block.where, "exec")
    if name_of(block.page) in OF_TESTS:
        return []
    if "hookimpl" not in code.co_names:
        # what pytest reads by itself, or what is named
        said = "pytest" if block.file == "conftest.py" else block.file
        used = said is not None and re.search(rf"(?<![\w.]){re.escape(said)}", commands_of(block.page))
        return [] if used else ["it is no plugin, and no command of the page runs it"]
    if block.file is None:
        return ["it is a plugin without a file name"]
    file = folder / block.file
    file.write_text(block.text, "utf-8")
    (record,) = [each for each in load(catalog(files=[file])).load_all() if each.path == str(file)]
    if record.state == "failed" and "written for plugin API" in str(record.reason):
        return []  # which is what the page shows
    return [each for each in (record.reason, *record.warnings) if each]


@pytest.mark.parametrize("block", of("python"), ids=where)
def test_python_is_a_plugin_that_loads_or_is_run(block: Block, tmp_path: Path) -> None:
    assert python_faults(block, tmp_path) == []


# --- commands that are not executed


def script_faults(script: str, folder: Path = ROOT) -> list[str]:
    """What a shell, or missive, would not understand, and files that are not there. A page is read in its folder."""

    def absent(file: str) -> bool:
        return not any((place / file).is_file() for place in (folder, ROOT))

    shell = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, timeout=20)
    found = [shell.stderr] if shell.returncode else []
    for words in command_lines(script):
        program = Path(words[0]).name
        if program == "missive":
            found += missive_faults(words[1:], folder)
        elif program in ("python", "python3", "bash", "sh") and words[1:2] == ["-m"]:
            if importlib.util.find_spec(words[2]) is None:
                found.append(f"there is no module {words[2]}")
        elif program in ("python", "python3", "bash", "sh", "."):
            file = words[1]
            if not file.startswith((".venv", "-")) and absent(file):
                found.append(f"there is no {file}")
        elif program in ("pip", "docker"):
            flags = {"pip": "-r", "docker": "-f"}
            files = [value for flag, value in pairwise(words) if flag == flags[program]]
            found += [f"there is no {file}" for file in files if absent(file)]
    return found


UNTRIED = [block for block in of("sh", "console") if block.skipped or block.page in READMES]


def script_of(block: Block) -> str:
    if block.language == "sh":
        return block.text
    return "\n".join(line[2:] for line in block.text.splitlines() if line.startswith(("$ ", "> ")))


@pytest.mark.parametrize("block", UNTRIED, ids=where)
def test_commands_that_are_not_executed_are_such_that_exist(block: Block) -> None:
    assert script_faults(script_of(block), block.page.parent) == []


# --- commands within sentences

PAGES_AND_READMES = [page for page in (*PAGES, *READMES) if page.name != "CHANGELOG.md"]


def spoken(page: Path) -> list[str]:
    """What stands in code style in the sentences of a page and begins with `missive`."""
    return re.findall(r"(?<![`\w])`(missive [^`\n]+)`(?!`)", prose(page))


def spoken_faults(said: str) -> list[str]:
    """A noun, a verb or an option that missive does not have. Words in capitals stand for what one would write."""
    first, *rest = re.split(r"; | && | \\?\| ", said)
    words = shlex.split(re.split(r"\.{3}|…|\\?\|", first)[0])
    try:
        found = missive_faults(words[1:], ROOT)
    except (click.exceptions.Exit, PluginError):  # --version and --help; an adapter that only the page has
        found = []
    wrong = [fault for fault in found if re.search(r"[Nn]o such (?:command '(?![A-Z]+')|option)", fault)]
    return wrong + [fault for more in rest if more.startswith("missive ") for fault in spoken_faults(more)]


@pytest.mark.parametrize("page", PAGES_AND_READMES, ids=name_of)
def test_a_command_in_a_sentence_is_one(page: Path) -> None:
    assert [fault for said in spoken(page) for fault in spoken_faults(said)] == []


# --- that it would be seen


def test_a_wrong_command_in_a_sentence_is_found() -> None:
    assert spoken_faults("missive gateway restart")
    assert spoken_faults("missive gateway stop; missive gateway uninstal")
    assert spoken_faults("missive agent list --colour")
    assert spoken_faults("missive intake show ID") == []
    assert spoken_faults("missive send … --async") == []


def block(language: str, text: str, file: str | None = None) -> Block:
    return Block(ROOT / "docs" / "made-up.md", 1, language, text, "", file)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"schema_version": "missive.stdio.v1", "id": "1", "command": "task_lst"}', "is not known here"),
        ('{"schema_version": "missive.stdoi.v1"}', "there is no such contract"),
        ('{"id": "1"}', "it names no schema_version"),
        ("{,}", "Expecting property name"),
    ],
)
def test_wrong_json_is_found(text: str, fault: str) -> None:
    assert fault in " ".join(json_faults(block("json", text)))


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("missive agnet list", "No such command 'agnet'"),
        ("missive agent list --colour", "No such option"),
        ("echo x | missive contract validate", "Missing argument"),
        ("MISSIVE_HOME=/x sudo missive gateway status && missive wrong", "No such command 'wrong'"),
        ("missive send echo 'a", "nterminated"),
        ("python tests/crash/harnes.py", "there is no tests/crash/harnes.py"),
        ("python -m missive_host_x", "there is no module missive_host_x"),
        ("pip install -r requirements/nothing.txt", "there is no requirements/nothing.txt"),
    ],
)
def test_wrong_commands_are_found(script: str, fault: str) -> None:
    try:
        found = script_faults(script)
    except ValueError as error:  # a quotation without an end: the shell says so, too
        found = [f"unterminated: {error}"]
    assert fault.lower() in " ".join(found).lower()


def test_commands_of_a_workflow_are_found() -> None:
    workflow = yaml.safe_load("jobs: {a: {steps: [{uses: x}, {run: missive agnet list}]}}")
    assert list(runs_of(workflow)) == ["missive agnet list"]
    assert script_faults("task=$(missive send a --asink --json | jq -r .x)\nmissive task wait $task")


def test_right_commands_are_let_through() -> None:
    good = "A=1 missive agent list --json > x.json && missive adapter stdio --mode long-running --concurrency 2 < a\n"
    assert script_faults(good + "echo 'missive nothing' | missive contract validate - \\\n  --quiet\n") == []


@pytest.mark.parametrize(
    ("text", "file", "fault"),
    [
        ("print(1)", "a.py", "no command of the page runs it"),
        (
            "from missive_host.hookspecs import hookimpl\n@hookimpl\ndef missive_adaptors(): ...",
            "a.py",
            "there is no hook",
        ),
        ("from missive_host.hookspecs import hookimpl\n@hookimpl\ndef missive_adapters(): ...", None, "without a file"),
    ],
)
def test_wrong_python_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, file: str, fault: str
) -> None:
    monkeypatch.setitem(globals(), "commands_of", lambda page: "python other.py")
    assert fault in " ".join(python_faults(block("python", text, file), tmp_path))
