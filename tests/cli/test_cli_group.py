"""``missive group``: what is typed, what is shown, and the same through a frame."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from cli_kit import build

from missive_host import commands as c, outputs as o, outputs_groups as g
from missive_host.cli.human import HumanRenderer, renderer_of
from missive_host.cli.human_groups import RENDERERS
from missive_host.cli.screen import Screen
from missive_host.errors import ValidationError

if TYPE_CHECKING:
    from missive_host.demo.fleet import AgentProcess

WHEN = "2026-01-02T03:04:05.000000Z"


CASES: list[tuple[str, c.Command]] = [
    ("group create team", c.GroupCreate(group="team")),
    (
        "group create team --routing-policy round-robin --notes n --metadata a=1 --metadata b=x",
        c.GroupCreate(group="team", routing_policy="round-robin", notes="n", metadata={"a": 1, "b": "x"}),
    ),
    ("group list", c.GroupList()),
    ("group show team", c.GroupShow(group="team")),
    ("group add team ann --rank 1", c.GroupAdd(group="team", agent="ann", rank="1")),
    (
        "group add team ann --rank lead --tag x --tag y --weight 2.5 --routing-metadata zone=eu",
        c.GroupAdd(
            group="team", agent="ann", rank="lead", tags=("x", "y"), weight=2.5, routing_metadata={"zone": "eu"}
        ),
    ),
    ("group add --rank 1 --weight 1e-3 team ann", c.GroupAdd(group="team", agent="ann", rank="1", weight=0.001)),
    ("group remove team ann", c.GroupRemove(group="team", agent="ann")),
    ("group rename team crew", c.GroupRename(group="team", new_name="crew")),
    ("group delete team", c.GroupDelete(group="team")),
    ("group capabilities team --refresh --timeout 3s", c.GroupCapabilities(group="team", refresh=True, timeout="3s")),
]


@pytest.mark.parametrize(("line", "command"), CASES)
def test_a_line_is_a_command(line: str, command: c.Command) -> None:
    assert build(*line.split(" ")) == command


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("group add team ann --rank 1 --weight heavy", "--weight: expected a number, not 'heavy'"),
        ("group add team ann --rank 1 --weight inf", "--weight: expected a number, not 'inf'"),
        ("group add team ann --rank 1 --weight nan", "--weight: expected a number, not 'nan'"),
        ("group add team ann --rank 1 --weight 0", "--weight: expected "),
        ("group add team ann --rank A", "--rank: expected 1 to 63 lower-case letters"),
        ("group create Team", "NAME: expected 1 to 63 lower-case letters"),
        ("group add team ann --rank 1 --routing-metadata zone", "--routing-metadata: expected KEY=VALUE"),
    ],
)
def test_a_faulty_line_is_told_with_its_flag(line: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build(*line.split(" "))
    assert caught.value.message.startswith(sentence)


def test_a_group_on_the_command_line(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "ann", "http://127.0.0.1:9")
    missive.ok("agent", "add", "bob", "http://127.0.0.1:9")
    none = missive.run("group", "list")
    assert (none.stdout, none.stderr) == ("no groups\n", "make one: missive group create NAME\n")
    assert missive.ok("group", "create", "team", "--notes", "They read.") == (
        "group 'team' created; next: missive group add team AGENT --rank RANK\n"
    )
    assert missive.ok("group", "show", "team").endswith("\nno members\n")
    missive.ok("group", "add", "team", "ann", "--rank", "10", "--tag", "x", "--weight", "2.5")
    added = missive.ok("group", "add", "team", "bob", "--rank", "2", "--routing-metadata", "zone=eu")
    assert added == "agent 'bob' added to group 'team' as rank '2'\n"
    table = missive.ok("group", "show", "team").partition("\n\n")[2].splitlines()
    assert [line.split() for line in table] == [
        ["RANK", "AGENT", "WEIGHT", "TAGS", "ROUTING"], ["2", "bob", "1", "zone=eu"], ["10", "ann", "2.5", "x"],
    ]  # fmt: skip
    head, line = missive.ok("group", "list").splitlines()
    assert head.split() == ["GROUP", "POLICY", "MEMBERS", "SOURCE", "UPDATED", "NOTES"]
    assert line.split()[:4] == ["team", "direct", "bob,", "ann"]
    data = missive.json("group", "show", "team")
    assert [member["agent"] for member in data["group"]["members"]] == ["bob", "ann"]
    assert missive.json("group", "list")["groups"][0]["agents"] == ["bob", "ann"]

    error = missive.error("agent", "remove", "ann")
    assert (error["exit_code"], error["message"]) == (64, "validation error: agent 'ann' is in the group team")
    assert missive.ok("agent", "remove", "ann", "--purge") == (
        "agent 'ann' removed with all its tasks and messages, and taken out of team\n"
    )
    assert missive.ok("group", "remove", "team", "bob") == "agent 'bob' removed from group 'team'\n"
    assert missive.ok("group", "rename", "team", "crew") == "group 'team' is now 'crew'\n"
    assert missive.ok("group", "delete", "crew") == "group 'crew' deleted; its agents stay registered\n"
    assert missive.error("group", "show", "crew")["exit_code"] == 64
    missing = missive.run("group", "add", "crew", "bob", "--json")
    assert (missing.returncode, json.loads(missing.stderr)["data"]["exit_code"]) == (2, 2)


def test_capabilities_for_people(missive, agent: AgentProcess) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "ann", agent.url)
    missive.ok("agent", "add", "bob", "http://127.0.0.1:9")
    missive.ok("group", "create", "team")
    empty = missive.ok("group", "capabilities", "team")
    assert empty == "group 'team' has no members\n"
    missive.ok("group", "add", "team", "ann", "--rank", "1", "--tag", "x")
    missive.ok("group", "add", "team", "bob", "--rank", "2")
    done = missive.run("group", "capabilities", "team")
    assert done.returncode == 0, done.stderr
    table, _, together = done.stdout.partition("\n\n")
    assert table.splitlines()[0].split()[:3] == ["RANK", "AGENT", "STREAM"]
    assert "could not connect" in table.splitlines()[2]
    assert "stream   1 of 2" in together
    assert "cards    1 fetched, 1 missing" in together
    assert done.stderr == "1 card could not be had\n"


def test_the_names_of_groups_are_completed(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "ann", "http://127.0.0.1:9")
    missive.ok("group", "create", "team")
    missive.ok("group", "create", "crew")

    def bash(line: str) -> list[str]:
        out = missive.ok(_MISSIVE_COMPLETE="bash_complete", _MISSIVE_WORDS=line)
        return [entry.partition("\t")[2] for entry in out.splitlines()]

    assert bash("missive group show ") == ["crew", "team"]
    assert bash("missive group add t") == ["team"]
    assert bash("missive group add team ") == ["ann"]
    assert bash("missive group create t") == []
    assert "group" in bash("missive g")


def test_frames_ask_for_groups_and_change_none(missive) -> None:  # type: ignore[no-untyped-def]
    missive.ok("agent", "add", "ann", "http://127.0.0.1:9")
    missive.ok("group", "create", "team")
    missive.ok("group", "add", "team", "ann", "--rank", "1")
    frames: list[dict[str, Any]] = [
        {"id": "1", "command": "group_list"},
        {"id": "2", "command": "group_show", "group": "team"},
        {"id": "3", "command": "group_delete", "group": "team"},
    ]
    out = missive.ok(
        *("adapter", "stdio", "--mode", "long-running"), stdin="".join(json.dumps(frame) + "\n" for frame in frames)
    )
    answers = {answer["id"]: answer for answer in map(json.loads, out.splitlines())}
    assert answers["1"]["data"]["data"] == missive.json("group", "list")
    assert answers["2"]["data"]["kind"] == "group_show"
    assert answers["2"]["data"]["data"] == missive.json("group", "show", "team")
    assert "unknown command" in answers["3"]["error"]["message"]


# --- what is shown


def shown(data: o.Data) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    renderer = HumanRenderer(Screen(out=out, err=err))
    renderer.emit(o.Output(data))
    renderer.close()
    return out.getvalue(), err.getvalue()


def test_every_kind_of_group_has_a_renderer() -> None:
    kinds = {
        value.kind
        for value in vars(g).values()
        if isinstance(value, type) and issubclass(value, o.Data) and value.__module__ == g.__name__
    }
    assert kinds == set(RENDERERS)
    assert all(renderer_of(kind) is RENDERERS[kind] for kind in kinds)


def test_a_group_of_the_config_is_shown_as_read_only() -> None:
    group = g.GroupView(
        name="team",
        routing_policy="weighted",
        metadata={"owner": "a"},
        source="config_seed",
        read_only=True,
        member_count=0,
        members=(),
        created_at=WHEN,
        updated_at=WHEN,
    )
    out, err = shown(g.GroupShowResult(profile="default", group=group, message="-"))
    assert "source    the config (read-only)\n" in out
    assert "metadata  owner=a\n" in out
    assert (out.splitlines()[-1], err) == ("no members", "")
