"""Completion: the scripts, and what the shells are answered."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import click
import pytest
from storekit import T0, T1, message, task

from missive_host.cli.app import App
from missive_host.cli.known import Known
from missive_host.cli.root import COMMANDS, make_root
from missive_host.cli.shells import split
from missive_host.cli.verbs import Choices
from missive_host.store import (
    OperationRow,
    ScheduleRow,
    SessionRow,
    Store,
    Tables,
    WorkRow,
)
from missive_host.store.rows import PushConfigRow


def walk() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the host with its words."""

    def inside(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        ctx = click.Context(group, obj=App([]))
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            yield (*path, name), command
            if isinstance(command, click.Group):
                yield from inside(command, (*path, name))

    for path, command in inside(make_root(), ()):
        if path[0] in COMMANDS and path[0] != "adapter":  # not what plugins declare
            yield path, command


SHELLS = ["bash", "zsh", "fish", "powershell"]
BREAKS = " \t\n\"'@><=;|&(:"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_each_shell(missive, shell: str) -> None:  # type: ignore[no-untyped-def]
    script = missive.ok("completion", shell)
    assert "_MISSIVE_COMPLETE" in script
    assert f"{shell}_complete" in script
    data = missive.json("completion", shell)
    assert data["script"] == script
    assert (data["shell"], data["command"]) == (shell, "missive")
    assert missive.ok("completion", shell, _MISSIVE_COMPLETE=f"{shell}_source").strip() == script.strip()


def bash(missive, line: str, **env: str) -> list[str]:  # type: ignore[no-untyped-def]
    """Return the values that bash would offer at the end of `line`."""
    done = missive.run(_MISSIVE_COMPLETE="bash_complete", _MISSIVE_WORDS=line, _MISSIVE_BREAKS=BREAKS, **env)
    assert (done.returncode, done.stderr) == (0, "")
    return [entry.partition("\t")[2] for entry in done.stdout.splitlines()]


def test_commands_flags_and_choices(missive) -> None:  # type: ignore[no-untyped-def]
    assert bash(missive, "missive s") == ["send", "stream", "scatter", "session", "store", "skill"]
    assert bash(missive, "missive task artifact e") == ["export"]
    assert "--no-color" in bash(missive, "missive --no")
    assert {"--state", "--service-param"} <= set(bash(missive, "missive task list --s"))
    assert bash(missive, "missive task list --state in") == ["input_required"]
    assert bash(missive, "missive completion f") == ["fish"]
    assert bash(missive, "missive nonsense x") == []


CONFIG = """[agents.beta]
base_url = "http://127.0.0.1:2"

[groups.reviewers]
members = [{ agent = "beta", rank = "1" }]

[adapters.inbox]
kind = "filedrop"

[auth_refs.shop]
env = "SHOP"

[profiles.work]
"""
NAMES = {
    "missive send a": ["alpha"],
    "missive task list --agent ": ["alpha", "beta"],
    "missive agent add a": [],
    "missive context show t": ["trip"],
    "missive context show ctx-a": ["ctx-a"],
    "missive context list --parent t": ["trip"],
    "missive group show ": ["reviewers"],
    "missive group create r": [],
    "missive bcast rev": ["reviewers"],
    "missive task wait ": ["task-2", "task-1"],
    "missive task wait --agent beta ": ["task-2"],
    "missive send alpha hello --task ": ["task-1"],
    "missive events list --task task-": ["task-2", "task-1"],
    "missive task artifact show task-1 ": ["report"],
    "missive task artifact show task-2 ": [],
    "missive job show job-": ["job-1"],
    "missive job schedule pause ": ["schedule-1"],
    "missive intake show rec": ["receipt-2", "receipt-1"],
    "missive intake retry ": ["receipt-2"],
    "missive intake retry receipt-2 ": [],
    "missive session show ": ["session-1"],
    "missive session list --adapter ": ["inbox"],
    "missive token revoke ": ["ci"],
    "missive push get alpha task-1 ": ["push-1"],
    "missive barrier reviewers --operation ": ["operation-1"],
    "missive events show 1": ["1"],
    "missive events tail --type missive.agent.": ["missive.agent.add"],
    "missive trace task-": ["task-2", "task-1"],
    "missive trace j": ["job-1"],
    "missive trace mess": ["message-1"],
    "missive events list --message ": ["message-1"],
    "missive events list --work rec": ["receipt-2", "receipt-1"],
    "missive --profile ": ["default", "work"],
    "missive agent add x http://127.0.0.1 --auth-ref ": ["shop"],
    "missive push create alpha task-1 http://127.0.0.1 --token-env MISSIVE_TEST_": ["MISSIVE_TEST_NAME"],
    "missive send alpha --bearer-token-env MISSIVE_TEST_": ["MISSIVE_TEST_NAME"],
    "missive plugin show st": ["stdio"],
    "missive job start send alpha hi --time-zone Europe/Berl": ["Europe/Berlin"],
    "missive --no-plugin=fi": ["filedrop", "filters"],
    "missive send --group reviewers --policy round": ["round-robin"],
    "missive reduce reviewers --strategy v": ["vote"],
    "missive contract show missive.conf": ["missive.config.v1"],
    "missive agent add x http://127.0.0.1 --binding-preference j": ["json-rpc"],
    "A=1 missive send a": ["alpha"],
    "missive chat doctor i": ["inbox"],
    "missive adapter terminal --group re": ["reviewers"],
}


def work(work_id: str, kind: str) -> WorkRow:
    about: Any = {"adapter": "inbox", "command": "send", "agent_alias": "alpha", "request": {}}
    return WorkRow(work_id=work_id, kind=kind, run_at=T0, accepted_at=T0, **about)


def fill(tables: Tables) -> None:
    at: Any = {"created_at": T0, "updated_at": T0}
    tables.tasks.upsert(task("alpha", "task-1"))
    tables.tasks.upsert(task("beta", "task-2", at=T1))
    tables.messages.add_request(message("alpha", "message-1"))
    tables.artifacts.put("alpha", "task-1", {"artifactId": "report", "parts": [{"text": "x"}]}, at=T0)
    ends = {"job-1": "done", "receipt-1": "done", "receipt-2": "dead"}
    for name in ends:
        tables.work.put(work(name, "job" if name == "job-1" else "delivery"))
    for row in tables.work.claim("owner", at=T1, limit=10):
        tables.work.finish(row, ends[row.work_id], at=T1)
    tables.sessions.put(
        SessionRow(
            session_id="session-1",
            adapter="inbox",
            source_id="ann",
            target="agent:alpha",
            created_at=T0,
            last_active_at=T0,
        )
    )
    tables.push.put(
        PushConfigRow(agent_alias="alpha", task_id="task-1", config_id="push-1", url="http://x", created_at=T0)
    )
    tables.schedules.put(
        ScheduleRow(schedule_id="schedule-1", kind="every", expression="10m", request={}, command="send", **at)
    )
    tables.operations.create(
        OperationRow(operation_id="operation-1", kind="bcast", group="reviewers", context_id="ctx-a", **at), []
    )


def test_names_and_ids(missive) -> None:  # type: ignore[no-untyped-def]
    config = missive.home / "missive.toml"
    config.write_text(CONFIG, "utf-8")
    for words in (
        ("agent", "add", "alpha", "http://127.0.0.1:1"),
        ("context", "create", "--name", "trip", "--id", "ctx-a"),
        ("token", "create", "ci"),
    ):
        missive.ok(*words, "--config", str(config))
    with Store.open(missive.home / "missive/state/profiles/default/missive.sqlite3") as store:
        store.write(fill)
    env = {"MISSIVE_CONFIG": str(config), "MISSIVE_TEST_NAME": "secret"}
    found = {line: bash(missive, line, **env) for line in NAMES}
    assert found == NAMES


def test_adapters_and_their_options(missive) -> None:  # type: ignore[no-untyped-def]
    assert bash(missive, "missive adapter s") == ["stdio"]
    assert bash(missive, "missive adapter stdio --mode l") == ["long-running"]


def test_what_nobody_can_type_is_not_offered(missive) -> None:  # type: ignore[no-untyped-def]
    """An agent names its tasks, and whoever completes one has it on the command line before it is seen."""
    path = missive.home / "missive/state/profiles/default/missive.sqlite3"
    missive.ok("agent", "list")
    good = ["a b", "ü", "$(id)", "`id`", "!!", "*", "~", "it's", '"', "\\", "x-1", "x;y|z&"]
    bad = ["-rf", "--config=/etc/passwd", "a\nb", "a\tb", "\x1b[2J", "\u202eevil", "\x7f"]
    with Store.open(path) as store:
        store.write(lambda tables: [tables.tasks.upsert(task("alpha", each)) for each in good + bad])
    offered = missive.ok(_MISSIVE_COMPLETE="fish_complete", _MISSIVE_WORDS="missive\x1ftask\x1fget\x1f").splitlines()
    assert sorted(row.split("\t")[1] for row in offered) == sorted(good)
    assert len(bash(missive, "missive task get ")) == len(good)
    assert len(bash(missive, 'missive task get "')) == len(good) - 1  # an exclamation mark cannot be quoted there


def test_the_words_of_a_line_are_read_as_bash_reads_them() -> None:
    for line, expected in {
        "missive send a": (["missive", "send", "a"], "", ""),
        "missive send ": (["missive", "send", ""], "", ""),
        "missive 'a b' c": (["missive", "a b", "c"], "", ""),
        "missive 'a b": (["missive", "a b"], "'", ""),
        'missive "a \\" b': (["missive", 'a " b'], '"', ""),
        "missive a\\ b": (["missive", "a b"], "", ""),
        "missive --x=y:z": (["missive", "--x=y:z"], "", "--x=y:"),
        "missive --x='y:z": (["missive", "--x=y:z"], "'", "--x="),
        "missive '' ": (["missive", "", ""], "", ""),
    }.items():
        assert split(line, BREAKS) == expected, line


@pytest.mark.parametrize("state", ["absent", "not a database", "newer", "locked"])
def test_a_store_that_cannot_be_read_has_no_names_and_none_is_made(missive, state: str) -> None:  # type: ignore[no-untyped-def]
    path = missive.home / "missive/state/profiles/default/missive.sqlite3"
    if state == "absent":
        assert bash(missive, "missive send a") == []
        assert not (missive.home / "missive").exists()
        return
    missive.ok("agent", "add", "alpha", "http://127.0.0.1:1")
    before = sorted(path.parent.iterdir())
    assert bash(missive, "missive send a") == ["alpha"]
    assert sorted(path.parent.iterdir()) == before
    connection = sqlite3.connect(path, isolation_level=None)
    if state == "not a database":
        path.write_bytes(b"nonsense" * 1000)
    elif state == "newer":
        connection.execute("DROP TABLE breakers")
        connection.execute("ALTER TABLE agents RENAME TO friends")
        connection.execute("PRAGMA user_version = 9999")
    else:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
    assert bash(missive, "missive send a") == []
    connection.close()


def test_each_parameter_that_takes_a_name_of_something_is_completed() -> None:
    """By their names: whoever adds a parameter for one of these gives it its type."""
    named = {"task", "task_id", "context", "group", "agent", "job_id", "schedule_id", "session", "receipt", "receipts"}
    named |= {"artifact_id", "adapter", "policy", "strategy", "operation", "binding", "auth_ref", "event", "types"}
    makes = {("agent", "add", "agent"), ("group", "create", "group"), ("demo", "chat", "group")}
    left = []
    for path, command in walk():
        for param in command.own_params():
            name = (param.name or "").partition("_")[2] if (param.name or "").startswith("options_") else param.name
            if name in named and (*path, name) not in makes and not isinstance(param.type, Known | Choices):
                left.append((*path, name))
    assert left == []


def test_a_broken_config_does_not_disturb(missive) -> None:  # type: ignore[no-untyped-def]
    (missive.home / "c.toml").write_text("nonsense")
    for line in ("missive send ", "missive --profile ", "missive adapter ", "missive plugin show "):
        assert bash(missive, line, MISSIVE_CONFIG=str(missive.home / "c.toml")) == []
    assert bash(missive, "missive sen", MISSIVE_CONFIG=str(missive.home / "c.toml")) == ["send"]


def test_powershell_speaks_the_same_protocol(missive) -> None:  # type: ignore[no-untyped-def]
    def asked(*words: str) -> Any:
        return missive.ok(_MISSIVE_COMPLETE="powershell_complete", _MISSIVE_WORDS="\x1f".join(words)).splitlines()

    (row,) = asked("missive", "task", "w")
    assert row.startswith("plain\twait\twait\tWait until a task has ended")
    missive.ok("context", "create", "--id", "it's;$(touch)")
    assert asked("missive", "context", "show", "'it") == ["plain\t'it''s;$(touch)'\tit's;$(touch)\tcontext, open"]


def test_an_unknown_shell(missive) -> None:  # type: ignore[no-untyped-def]
    assert missive.run(_MISSIVE_COMPLETE="csh_complete").returncode == 1
    assert json.loads(missive.run("completion", "csh", "--json").stderr)["data"]["exit_code"] == 2
