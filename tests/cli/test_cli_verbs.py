"""Command structs from command lines: the same struct and the same checks as from a frame."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import click
import msgspec
import pytest
from cli_kit import build
from msgspec import Meta

from missive_host import commands as c
from missive_host.cli.app import App
from missive_host.cli.kit import Field, verb
from missive_host.cli.root import make_root
from missive_host.cli.verbs import Verb, dict_value, json_value
from missive_host.errors import ValidationError

CASES: list[tuple[str, c.Command]] = [
    ("send echo hello", c.Send(agent="echo", message="hello")),
    (
        "send --timeout 5s echo hello --async --context ctx-1 --task t-1 --binding grpc --mime text/x --mime text/y",
        c.Send(
            agent="echo",
            message="hello",
            return_immediately=True,
            timeout="5s",
            context="ctx-1",
            task="t-1",
            binding="grpc",
            mime=("text/x", "text/y"),
        ),
    ),
    (
        'send echo --file a --file b --file-bytes c --json-part {"x":1} --json-part null --part text=z --part text=a=',
        c.Send(agent="echo", files=("a", "b"), file_bytes=("c",), json_parts=({"x": 1}, None), text_parts=("z", "a=")),
    ),
    (
        "stream echo hi --metadata a=1 --metadata b=text --metadata c={} --metadata d=NaN --force",
        c.Stream(agent="echo", message="hi", metadata={"a": 1, "b": "text", "c": {}, "d": "NaN"}, force=True),
    ),
    (
        "task list --state canceled --source remote --page-size 7 --include-artifacts",
        c.TaskList(state="cancelled", task_source="remote", page_size=7, include_artifacts=True),
    ),
    ("task list --state TASK_STATE_INPUT_REQUIRED", c.TaskList(state="input_required")),
    (
        "task wait t --local --interval 2s --timeout 1m",
        c.TaskWait(task_id="t", local=True, interval="2s", timeout="1m"),
    ),
    ("task artifact save t a -o x --force", c.ArtifactSave(task_id="t", artifact_id="a", output="x", force=True)),
    ("task artifact export t --output-dir d", c.ArtifactExport(task_id="t", output_dir="d")),
    (
        "agent add a http://x --interface grpc=x:1 --tag t --tag u --binding-preference grpc --auth-ref r --notes n",
        c.AgentAdd(
            agent="a",
            url="http://x",
            interfaces={"grpc": "x:1"},
            tags=("t", "u"),
            binding_preference=("grpc",),
            auth_ref="r",
            notes="n",
        ),
    ),
    (
        "agent update a --clear notes --clear tags --remove-tag t",
        c.AgentUpdate(agent="a", clear=("notes", "tags"), remove_tags=("t",)),
    ),
    ("agent update a http://y", c.AgentUpdate(agent="a", url="http://y")),
    ("agent capabilities", c.AgentCapabilities()),
    ("agent capabilities a --refresh", c.AgentCapabilities(agent="a", refresh=True)),
    ("agent rename a b", c.AgentRename(agent="a", new_name="b")),
    ("context create --id i --name n --metadata k=[1]", c.ContextCreate(id="i", name="n", metadata={"k": [1]})),
    ("context fork c --summary s", c.ContextFork(context="c", summary="s")),
    ("context close c", c.ContextClose(context="c")),
]


@pytest.mark.parametrize(("line", "command"), CASES, ids=[line for line, _ in CASES])
def test_a_line_is_a_command(line: str, command: c.Command) -> None:
    assert build(*line.split(" ")) == command


def test_every_command_has_a_verb_that_sets_all_its_fields() -> None:
    found: dict[type[c.Command], set[str]] = {}

    def walk(group: click.Group, ctx: click.Context) -> None:
        for name in group.list_commands(ctx):
            if name in ("adapter", "plugin", "config", "contract", "demo", "completion"):
                continue
            command = group.get_command(ctx, name)
            if isinstance(command, click.Group):
                walk(command, ctx)
            elif isinstance(command, Verb):
                found[command._struct] = {str(param.name) for param in command.own_params()}

    root = make_root()
    walk(root, click.Context(root, obj=App([])))
    assert set(found) == {*c.DOOR_COMMANDS, *c.OPERATOR_COMMANDS}
    assert "from_bcast" in found[c.Barrier]  # a way to write two of its fields
    found[c.Barrier].remove("from_bcast")
    for struct, names in found.items():
        fields = {next((n for n in ("requirements", "options") if name.startswith(n + "_")), name) for name in names}
        assert fields == set(struct.__struct_fields__) - {"timeout"}, struct


def test_the_text_of_stdin_is_the_second_part(missive) -> None:  # type: ignore[no-untyped-def]
    """The struct is built before the agent is looked up, so what is refused says that stdin was read."""
    error = missive.run("send", "nobody", "--stdin", stdin="from the pipe")
    assert "no agent 'nobody'" in error.stderr


class _Level(c.Command, frozen=True, kw_only=True, tag="test_level"):
    """Made for the test.

    Its second paragraph.
    """

    local: ClassVar[bool] = True
    what: Annotated[str, Meta(description="What it is.", min_length=2)]
    level: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How much.")] = None
    colours: Annotated[tuple[Literal["red", "green"], ...], Meta(description="Which.")] = ()
    labels: Annotated[dict[str, str], Meta(description="Labels.")] = msgspec.field(default_factory=dict)
    hidden: bool = False


def test_one_line_makes_a_command_of_a_struct() -> None:
    command = verb(
        "level",
        _Level,
        options={"labels": Field(("-l", "--label"), metavar="K=V"), "hidden": None},
        examples=["level x"],
    )
    help_text = command.get_help(click.Context(command, info_name="level"))
    assert "WHAT  What it is." in help_text
    assert "--level N" in help_text
    assert "--colours [red|green]" in help_text
    assert "-l, --label K=V" in help_text
    assert "--hidden" not in help_text
    assert "Its second paragraph." in help_text
    assert "level x" in help_text
    assert command.get_short_help_str() == "Made for the test."

    def made(*words: str) -> c.Command:
        assert isinstance(command, Verb)
        return command.build(App([]), command.make_context("level", list(words), obj=App([])).params)

    assert made("it", "--level", "3", "--colours", "red", "--colours", "green", "-l", "a=1") == _Level(
        what="it", level=3, colours=("red", "green"), labels={"a": "1"}
    )
    for words, said in (
        (("x",), "WHAT: expected str of length >= 2"),
        (("it", "--level", "0"), "--level: expected int >= 1"),
        (("it", "--level", "٣"), "--level: expected a whole number"),
        (("it", "--colours", "blue"), "--colours: invalid enum value 'blue'"),
    ):
        with pytest.raises(ValidationError) as caught:
            made(*words)
        assert caught.value.message.startswith(said)


def test_json_values_are_as_strict_as_frames() -> None:
    assert json_value("--x", '{"a": [1, "\u00e9"]}') == {"a": [1, "\u00e9"]}
    for text in (
        "",
        "NaN",
        '1,"b":2',
        "1e999",
        "9007199254740993",
        '{"a":1,"a":2}',
        '"\\ud800"',
        "[" * 300 + "]" * 300,
    ):
        with pytest.raises(ValidationError, match="--x: "):
            json_value("--x", text)


def test_key_value_pairs() -> None:
    assert dict_value("--m", ["a=1", "b==", "c=x=y"], free=True) == {"a": 1, "b": "=", "c": "x=y"}
    assert dict_value("--m", ["a=1"], free=False) == {"a": "1"}
    for pairs in (["a"], ["=1"], ["a="], ["a=1", "a=1"]):
        with pytest.raises(ValidationError, match="--m: "):
            dict_value("--m", pairs, free=True)
