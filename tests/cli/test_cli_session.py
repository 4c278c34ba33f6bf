"""``missive session``: what is typed, what is shown, who may ask."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from cli_kit import build

from missive_host import commands as c, outputs_sessions as s
from missive_host.cli.human import HumanRenderer, renderer_of
from missive_host.cli.human_sessions import RENDERERS
from missive_host.cli.screen import Screen
from missive_host.config.model import Sessions
from missive_host.core.sessions import resolve
from missive_host.envelopes import STDIO, parse_envelope
from missive_host.errors import ValidationError
from missive_host.ids import now
from missive_host.outputs import Output
from missive_host.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from missive_host.demo.fleet import AgentProcess

WHEN = "2026-01-02T03:04:05.000000Z"
ID = "019c2a4e-7d10-7b3f-9a55-3d2f8f3a7c11"


CASES: list[tuple[str, c.Command]] = [
    ("session list", c.SessionList()),
    (
        "session list --adapter http --source alice --agent echo",
        c.SessionList(adapter="http", source="alice", agent="echo"),
    ),
    ("session list --group team", c.SessionList(group="team")),
    (f"session show {ID}", c.SessionShow(session=ID)),
    (f"session reset {ID}", c.SessionReset(session=ID)),
    ("session reset --source alice --agent echo", c.SessionReset(source="alice", agent="echo")),
    ("session reset --adapter chat --group team", c.SessionReset(adapter="chat", group="team")),
    ("session reset", c.SessionReset()),
]


@pytest.mark.parametrize(("line", "command"), CASES)
def test_a_line_is_a_command(line: str, command: c.Command) -> None:
    assert build(*line.split(" ")) == command


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("session list --agent Echo", "--agent: expected 1 to 63 lower-case letters"),
        ("session show x\ty", "SESSION: expected text without white space"),
        ("session list --source a\tb", "--source: expected text without white space"),
    ],
)
def test_what_cannot_be_is_refused(line: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build(*line.split(" "))
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("words", [["--help"], ["list", "--help"], ["show", "--help"], ["reset", "--help"]])
def test_there_is_help_with_examples(missive: Any, words: list[str]) -> None:
    text = missive.ok("session", *words)
    assert "Examples" in text
    assert "missive session" in text


# --- for people


def shown(data: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    HumanRenderer(Screen(out=out, err=err)).emit(Output(data))
    return out.getvalue(), err.getvalue()


VIEW = s.SessionView(
    session_id=ID,
    adapter="http",
    source_id="alice",
    resume_name="default",
    target="agent:echo",
    agent="echo",
    context_id="ctx-1",
    display_name="Alice",
    created_at=WHEN,
    last_active_at=WHEN,
    last_reset_at=WHEN,
    reset_reasons=("idle", "daily"),
)
FRESH = s.SessionView(
    session_id="s-2",
    adapter="chat",
    source_id="bob",
    resume_name="trip",
    target="group:team",
    group="team",
    created_at=WHEN,
    last_active_at=WHEN,
    reset_reasons=(),
)


def test_each_kind_has_a_renderer() -> None:
    assert set(RENDERERS) == {s.SessionListResult.kind, s.SessionShowResult.kind, s.SessionResetResult.kind}
    for kind, renderer in RENDERERS.items():
        assert renderer_of(kind) is renderer


def test_sessions_are_a_table() -> None:
    out, _ = shown(s.SessionListResult(profile="default", count=2, sessions=(VIEW, FRESH), message="2 sessions"))
    head, first, second = out.splitlines()
    assert head.split() == ["SESSION", "ADAPTER", "SOURCE", "NAME", "WITH", "CONTEXT", "ACTIVE"]
    assert first.split() == [ID, "http", "alice", "default", "agent:echo", "ctx-1", WHEN]
    assert second.split() == ["s-2", "chat", "bob", "trip", "group:team", WHEN]
    out, _ = shown(s.SessionListResult(profile="default", count=0, sessions=(), message="0 sessions"))
    assert out == "no sessions\n"


def test_a_session_is_shown() -> None:
    out, _ = shown(s.SessionShowResult(profile="default", session=VIEW, due=("idle",), message="m"))
    for words in ("alice", "Alice", "agent:echo", "ctx-1", "idle, daily"):
        assert words in out
    out, _ = shown(s.SessionShowResult(profile="default", session=FRESH, due=(), message="m"))
    assert "none yet; the next message begins one" in out
    assert "because" not in out


# --- as a user has it


def begin(missive: Any, source: str, agent: str = "echo") -> str:
    """Let a delivery of a session begin, as the gateway does; return its context."""
    path: Path = missive.home / "missive" / "state" / "profiles" / "default" / "missive.sqlite3"
    assert path.exists()
    frame = {"id": "1", "command": "send", "agent": agent, "message": "hi", "source": {"source_id": source}}
    envelope = parse_envelope(json.dumps(frame).encode(), STDIO, default_source="x")
    with Store.open(path) as store:
        context = store.write(lambda tables: resolve(tables, envelope, "http", Sessions(), now()))
    assert context is not None
    return context


def test_a_conversation_is_seen_and_begins_anew(missive: Any, agent: AgentProcess) -> None:
    missive.ok("agent", "add", "echo", agent.url)
    assert missive.ok("session", "list") == "no sessions\n"
    context, other = begin(missive, "alice"), begin(missive, "bob")
    missive.ok("send", "echo", "hi", "--context", context)
    listed = missive.json("session", "list", "--source", "alice")
    (found,) = listed["sessions"]
    assert (found["adapter"], found["target"], found["context_id"]) == ("http", "agent:echo", context)
    assert missive.json("session", "list")["count"] == 2
    shown = missive.json("session", "show", found["session_id"])
    assert shown["counts"]["message_count"] == 2
    assert shown["session"] == found
    assert begin(missive, "alice") == context
    assert missive.ok("session", "reset", found["session_id"]) == "1 session reset\n"
    assert "context_id" not in missive.json("session", "show", found["session_id"])["session"]
    assert begin(missive, "alice") not in (context, other)
    assert begin(missive, "bob") == other
    assert missive.ok("session", "reset", "--agent", "echo", "--adapter", "http") == "2 sessions reset\n"
    assert missive.ok("session", "reset", "--agent", "echo") == "no session had anything to reset\n"
    assert missive.json("context", "show", context)["context"]["state"] == "open"


def test_errors_say_what_to_do(missive: Any) -> None:
    error = missive.error("session", "reset")
    assert error["exit_code"] == 64
    assert "no session is named" in error["message"]
    assert "--source" in error["help"]
    error = missive.error("session", "show", "nothing")
    assert "no session has the id 'nothing'" in error["message"]
    error = missive.error("session", "list", "--agent", "echo", "--group", "team")
    assert "exclude each other" in error["message"]


def test_the_shell_completes_ids(missive: Any, agent: AgentProcess) -> None:
    missive.ok("agent", "add", "echo", agent.url)
    begin(missive, "alice")
    (found,) = missive.json("session", "list")["sessions"]
    words = missive.ok(_MISSIVE_COMPLETE="bash_complete", _MISSIVE_WORDS="missive session show ")
    assert found["session_id"] in words
