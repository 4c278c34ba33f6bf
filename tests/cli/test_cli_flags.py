"""Global flags, help, and the modes of output."""

from __future__ import annotations

import json

import click
import pytest

from missive_host.cli.app import App
from missive_host.cli.flags import scan
from missive_host.cli.root import COMMANDS, make_root


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(group: click.Group, path: tuple[str, ...]) -> None:
        ctx = click.Context(group, obj=App([]))
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None, name
            found.append((*path, name))
            if isinstance(command, click.Group):
                walk(command, (*path, name))

    walk(make_root(), ())
    return found


def test_every_command_of_the_table_has_examples_global_flags_and_a_first_line() -> None:
    paths = every_command()
    assert {path[0] for path in paths} == {*COMMANDS, "chat"}  # the one that a plugin of missive's own brings
    assert ("task", "artifact", "export") in paths
    root = make_root()
    for path in paths:
        ctx = click.Context(root, info_name="missive", obj=App([]))
        for name in path:
            assert isinstance(ctx.command, click.Group)
            command = ctx.command.get_command(ctx, name)
            assert command is not None
            ctx = click.Context(command, info_name=name, parent=ctx)
        text = ctx.get_help()
        assert "Global options" in text, path
        assert "--service-param NAME=VALUE" in text, path
        assert "Examples:" in text, path
        assert f"Usage: missive {' '.join(path)} " in text
        assert ctx.command.get_short_help_str(100), path


def test_short_help_leaves_the_global_options_out(missive) -> None:  # type: ignore[no-untyped-def]
    brief, full = missive.ok("send", "-h"), missive.ok("send", "--help")
    assert "--stdin" in brief
    assert "Global options" not in brief
    assert "Global options" in full


def test_no_command_shows_the_long_help_or_a_status(missive) -> None:  # type: ignore[no-untyped-def]
    assert missive.ok() == missive.ok("--help")
    data = missive.json()
    assert data["command"] == "root"
    assert (data["status"], data["implemented"]) == ("help_available", True)
    line = json.loads(missive.ok("--ndjson"))
    assert (line["kind"], line["sequence"]) == ("command_status", 0)


def test_a_noun_without_a_verb(missive) -> None:  # type: ignore[no-untyped-def]
    assert missive.ok("task", "artifact").startswith("Usage: missive task artifact ")
    data = missive.json("task", "artifact")
    assert data["command"] == "task artifact"
    assert data["config"]["source"] == "built_in_default"


@pytest.mark.parametrize(
    "words",
    [("--json", "agent", "list"), ("agent", "--json", "list"), ("agent", "list", "--json")],
    ids=["before", "between", "after"],
)
def test_flags_may_stand_anywhere(missive, words: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    assert json.loads(missive.ok(*words))["kind"] == "agent_list"


def test_the_later_flag_wins_and_repeatable_ones_append() -> None:
    app = App([])
    seen: list[object] = []
    root = make_root()
    with root.make_context(
        "missive",
        [
            *("--profile", "a", "-v", "--header", "A:1", "task", "--profile", "b", "-v", "--header", "B:2"),
            *("artifact", "--no-plugin", "x", "--timeout", "1s"),
        ],
        obj=app,
    ) as ctx:
        group = root.get_command(ctx, "task")
        assert isinstance(group, click.Group)
        app.status = seen.append  # type: ignore[method-assign, assignment]
        root.invoke(ctx)
    assert len(seen) == 1
    flags = app.flags
    assert (flags.profile, flags.verbose, flags.timeout) == ("b", 2, "1s")
    assert (flags.header, flags.no_plugin) == (["A:1", "B:2"], ["x"])


def test_quiet_beats_json_and_ndjson_and_these_exclude_each_other(missive) -> None:  # type: ignore[no-untyped-def]
    assert missive.ok("agent", "list", "-q") == ""
    assert missive.ok("--json", "agent", "list", "--ndjson", "--quiet") == ""
    error = missive.error("agent", "list", "--ndjson")
    assert (error["exit_code"], error["code"]) == (64, "missive::validation")


def test_quiet_is_quiet_about_results_only(missive) -> None:  # type: ignore[no-untyped-def]
    done = missive.run("agent", "show", "nobody", "-q")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("error: ")


def test_the_config_chooses_the_mode_of_results_and_errors(missive) -> None:  # type: ignore[no-untyped-def]
    config = missive.home / "c.toml"
    config.write_text('[output]\nformat = "ndjson"\n')
    words = ("--config", str(config))
    assert json.loads(missive.ok(*words, "agent", "list"))["sequence"] == 0
    for line in (("agent", "show", "nobody"), ("agent", "lits"), ("agent", "list", "--nope")):
        done = missive.run(*line, *words)
        assert json.loads(done.stderr)["kind"] == "error"


def test_a_flag_after_two_dashes_is_text() -> None:
    assert scan(["send", "a", "--", "--json"]).json is False
    assert scan(["--config=x", "--profile", "p", "--ndjson"]).config == "x"
    assert scan(["--plugin", "a.py", "x", "--plugin=b.py"]).plugin == ["a.py", "b.py"]
    assert scan(["--config"]).config is None


def test_version(missive) -> None:  # type: ignore[no-untyped-def]
    from missive_host import __version__

    for words in (("--version",), ("-V",), ("--json", "--version")):
        assert missive.ok(*words) == f"missive {__version__}\n"
