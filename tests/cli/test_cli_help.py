"""Help: the map, every example, and lines that fit a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from docs_kit import command_lines, missive_faults

import missive_host
from missive_host import errors
from missive_host.cli.app import App
from missive_host.cli.overview import ENVIRONMENT, EXIT_CODES, READ_ON
from missive_host.cli.root import COMMANDS, SECTIONS, make_root


def every_command() -> Iterator[click.Context]:
    def walk(ctx: click.Context) -> Iterator[click.Context]:
        yield ctx
        group = ctx.command
        if isinstance(group, click.Group):
            for name in group.list_commands(ctx):
                command = group.get_command(ctx, name)
                assert command is not None
                yield from walk(click.Context(command, info_name=name, parent=ctx, obj=ctx.obj))

    yield from walk(click.Context(make_root(), info_name="missive", obj=App([])))


CONTEXTS = tuple(every_command())


def test_every_example_is_a_command_line_that_missive_reads() -> None:
    wrong: list[str] = []
    for ctx in CONTEXTS:
        command: Any = ctx.command
        assert command.examples, ctx.command_path
        for example in command.examples:
            lines = [words for words in command_lines(example) if words[0] == "missive"]
            assert lines, example
            wrong += [fault for words in lines for fault in missive_faults(words[1:])]
        own = [example for example in command.examples if ctx.command_path in example]
        assert own or ctx.command_path == "missive", f"no example of {ctx.command_path} shows it"
    assert wrong == []


def test_every_line_of_help_fits_eighty_columns() -> None:
    long = []
    for ctx in CONTEXTS:
        shown = click.Context(ctx.command, info_name=ctx.info_name, parent=ctx.parent, obj=ctx.obj, terminal_width=80)
        text = shown.get_help().partition("\nExamples:\n")[0]
        long += [f"{ctx.command_path}: {line}" for line in text.splitlines() if len(line) > 80]
    assert long == []


def test_the_map_has_every_command_once_and_says_where_to_read_on(missive) -> None:  # type: ignore[no-untyped-def]
    text = missive.ok("--help")
    for name in COMMANDS:
        assert len(re.findall(rf"^  {name} +\S", text, re.MULTILINE)) == 1, name
    assert SECTIONS.keys() <= COMMANDS.keys()
    assert next(iter(COMMANDS)) in SECTIONS
    for title in (*SECTIONS.values(), "Commands of plugins", "Exit codes", "Environment", "Read on", "Examples"):
        assert f"\n{title}:\n" in text
    assert missive.ok() == text
    brief = missive.ok("-h")
    assert "Exit codes" not in brief
    assert "missive send echo" in brief
    for line, _ in READ_ON:
        words = [word for word in line.split() if word not in ("COMMAND", "--help")]
        assert words[0] == "man" or missive_faults(words[1:]) == []


def test_every_exit_code_and_variable_is_named() -> None:
    def tree(cls: type[errors.MissiveError]) -> set[int]:
        return {cls.exit_code}.union(*(tree(sub) for sub in cls.__subclasses__()))

    named = {int(code) for codes, _ in EXIT_CODES for code in re.findall(r"\b\d+\b", codes) if "+" not in codes}
    assert named == tree(errors.MissiveError) | {0, 1, 2, 141}
    root = Path(missive_host.__file__).parent
    sources = "\n".join(file.read_text("utf-8") for file in root.rglob("*.py"))
    read = set(re.findall(r"""(?:environ|env)(?:\.get\(|\[)"(MISSIVE_\w+)""", sources))
    read |= set(re.findall(r'"(MISSIVE_\w+)" in (?:environ|env)', sources))
    assert {"MISSIVE_HOME", "MISSIVE_CONFIG", "MISSIVE_PROFILE"} <= read
    assert read <= {name for name, _ in ENVIRONMENT}
    assert all(name in sources for name, _ in ENVIRONMENT)


def test_help_is_a_command_too(missive) -> None:  # type: ignore[no-untyped-def]
    assert missive.ok("help") == missive.ok("--help")
    assert missive.ok("help", "task", "wait") == missive.ok("task", "wait", "--help")
    assert missive.json("help", "task", "wait")["command"] == "task wait"
    for words, said in (
        (("help", "tsk"), "did you mean 'task'?"),
        (("help", "task", "wiat"), "did you mean 'wait'?"),
        (("help", "send", "x"), "`missive send` has no commands"),
    ):
        error = missive.error(*words)
        assert error["exit_code"] == 2
        assert said in error["message"]
    asked = missive.ok(_MISSIVE_COMPLETE="bash_complete", _MISSIVE_WORDS="missive help task artifact e")
    assert asked == "plain\texport\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("snd", "send"), ("agents", "agent"), ("tasks", "task"), ("docter", "doctor"), ("brodcast", None)],
)
def test_a_word_that_is_no_command(missive, typed: str, meant: str | None) -> None:  # type: ignore[no-untyped-def]
    error = missive.error(typed)
    assert error["exit_code"] == 2
    assert (f"did you mean '{meant}'?" in error["message"]) is (meant is not None)
    assert "`missive --help`" in error["help"]
