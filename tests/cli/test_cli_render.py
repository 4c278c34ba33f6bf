"""Results for people and for programs, from result values."""

from __future__ import annotations

import io
import os
import pty
from typing import Any, TextIO

import pytest
from msgspec import UNSET

from missive_host import outputs as o
from missive_host.cli.human import RENDERERS, HumanRenderer
from missive_host.cli.screen import Screen, harmless, one_line, shorten, width
from missive_host.cli.wording import ago, next_steps, part_text, size

INTERFACE = o.SelectedInterface(
    binding="json-rpc", protocol_binding="JSONRPC", url="http://a", protocol_version="1.0", source="agent_card"
)
WHEN = "2026-01-02T03:04:05.000000Z"


class Both:
    """A screen whose stdout and stderr are kept, neither of them a terminal."""

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.screen = Screen(out=self.out, err=self.err)

    def show(self, *data: o.Data) -> tuple[str, str]:
        renderer = HumanRenderer(self.screen)
        for item in data:
            renderer.emit(o.Output(item))
        renderer.close()
        return self.out.getvalue(), self.err.getvalue()


class Terminal:
    """A screen on a pseudo-terminal of 60 columns."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self._file: TextIO = os.fdopen(theirs, "w")
        self.screen = Screen(out=self._file, err=self._file)

    def close(self) -> str:
        """Close it and return what was shown, as it was sent."""
        self._file.close()
        sent = b""
        try:
            while chunk := os.read(self._ours, 65536):
                sent += chunk
        except OSError:
            pass
        os.close(self._ours)
        return sent.decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


# --- text


def test_text_is_made_harmless() -> None:
    assert harmless("\x1b[31mred\x1b[0m") == "red"
    assert harmless("\x1b]0;title\x07text") == "text"
    assert harmless("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert harmless("a\x9b2Jb\x00\x08\x7f") == "ab"
    assert harmless("\x1bP1;2qpayload\x1b\\after") == "after"
    assert harmless("one\r\ntwo\rthree\ttab\n") == "one\ntwothree\ttab\n"
    assert harmless("abc\u202edcba") == "abcdcba"
    assert "\x1b" not in harmless("\x1b\x1b[\x1b]unfinished")
    assert harmless("ganz normal: ä, 漢字, 👩‍💻") == "ganz normal: ä, 漢字, 👩‍💻"
    assert one_line(" a\n\tb\x1b[2Jc ") == "a bc"


def test_width_counts_columns() -> None:
    assert [width(text) for text in ("abc", "é", "e\u0301", "漢字", "👍", "👩‍💻", "")] == [3, 1, 1, 4, 2, 2, 0]
    assert shorten("漢字漢字", 5) == "漢字…"
    assert shorten("abc", 3) == "abc"


def test_sizes_and_times() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 5 * 2**20, 3 * 2**30)] == [
        "0 B",
        "1023 B",
        "1 KiB",
        "1.5 KiB",
        "5 MiB",
        "3 GiB",
    ]
    assert ago(WHEN, Both().screen) == WHEN
    assert ago(None, Both().screen) == ""


def test_times_on_a_terminal_are_relative(terminal: Terminal) -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    for delta, words in ((timedelta(minutes=5, seconds=20), "5 min ago"), (timedelta(days=2, hours=1), "2 d ago")):
        assert ago((now - delta).isoformat(), terminal.screen) == words
    assert ago("2001-02-03T00:00:00Z", terminal.screen) == "2001-02-03"
    assert ago("yesterday", terminal.screen) == "yesterday"
    terminal.close()


# --- tables


def test_a_table_is_aligned_and_leaves_empty_columns_out() -> None:
    both = Both()
    both.screen.table(("A", "EMPTY", "LONG"), [("漢", None, "x"), ("bb", (), ("y", "z")), ("", UNSET, True)])
    assert both.out.getvalue().splitlines() == ["A   LONG", "漢  x", "bb  y, z", "    yes"]


def test_a_table_for_a_pipe_is_never_cut() -> None:
    both = Both()
    both.screen.table(("A",), [("x" * 500,)])
    assert "x" * 500 in both.out.getvalue()


def test_a_table_fits_a_terminal_but_keeps_its_first_column(terminal: Terminal) -> None:
    first = "f" * 36
    terminal.screen.table(("ID", "B", "C"), [(first, "b" * 40, "c\x1b[31mc\nc")])
    head, row = terminal.close().splitlines()
    assert head.startswith("\x1b[1mID")
    assert row.startswith(first + "  bbb")
    assert row.endswith("…  cc c")
    assert len(row) == 60


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_when_asked(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    terminal = Terminal()
    terminal.screen.table(("A",), [("x",)])
    terminal.screen.note("note")
    assert "\x1b" not in terminal.close()


def test_colour_never_wins_and_always_colours_a_pipe() -> None:
    assert Screen(color="always", out=io.StringIO(), err=io.StringIO()).style("x", "red") == "\x1b[31mx\x1b[0m"
    assert Screen(color="auto", out=io.StringIO(), err=io.StringIO()).style("x", "red") == "x"


# --- send


def sent(shape: str, raw: dict[str, Any], **more: Any) -> o.SendResult:
    return o.SendResult(
        profile="default",
        agent="echo",
        selected_interface=INTERFACE,
        request=o.RequestView(
            message_id="m",
            part_count=1,
            parts=(),
            local_input_bytes=1,
            request_bytes=1,
            accepted_output_modes=(),
            metadata={},
        ),
        response=o.ResponseView(shape=shape, raw=raw, **more),
        persistence=o.Persistence(),
        message="agent 'echo' answered",
    )


def test_the_answer_of_a_message_is_its_text_alone() -> None:
    out, err = Both().show(sent("message", {"parts": [{"text": "Hello\x1b[31m\n"}, {"data": {"a": [1]}}]}))
    assert out == 'Hello\x1b[31m\n{\n  "a": [\n    1\n  ]\n}\n'  # a pipe gets the text as it is
    assert err == ""


def test_a_terminal_gets_no_escapes_of_the_agent(terminal: Terminal) -> None:
    renderer = HumanRenderer(terminal.screen)
    renderer.emit(o.Output(sent("message", {"parts": [{"text": "a\x1b[2J\x1b]52;c;ZXZpbA==\x07b"}]})))
    assert terminal.close() == "ab\n"


def test_a_message_without_parts_is_still_an_answer() -> None:
    assert Both().show(sent("message", {"parts": []})) == ("agent 'echo' answered\n", "")


def test_what_a_task_made_is_the_answer_and_the_rest_is_on_stderr() -> None:
    raw = {
        "id": "t",
        "status": {"state": "TASK_STATE_COMPLETED", "message": {"parts": [{"text": "Done."}]}},
        "artifacts": [{"artifactId": "a", "parts": [{"text": "result"}, {"raw": "AAAA", "filename": "f.bin"}]}],
    }
    out, err = Both().show(sent("task", raw, task_id="t", state="completed"))
    assert out == "result\n[file: f.bin, 3 B]\n"
    assert err.splitlines() == [
        "Done.",
        "task t of echo: completed, 1 artifact",
        "save what it made: missive task artifact export t --agent echo -o DIR",
    ]


def test_a_task_that_only_says_something_says_it_on_stdout() -> None:
    raw = {"id": "t", "status": {"message": {"parts": [{"text": "What is your name?"}]}}}
    out, err = Both().show(sent("task", raw, task_id="t", state="input_required"))
    assert out == "What is your name?\n"
    assert "missive send echo --task t" in err


def test_a_task_that_has_nothing_to_say_shows_its_state() -> None:
    out, err = Both().show(sent("task", {"id": "t"}, task_id="t", state="working"))
    assert out == "task t: working\n"
    assert "missive task wait t --agent echo" in err


def test_next_steps() -> None:
    assert next_steps("a", "t", "failed", 0) == []
    assert "missive task subscribe t --agent a" in next_steps("a", "t", "submitted", 0)[1]
    (step,) = next_steps("a", "t", "auth_required", 2)
    assert "authorisation" in step
    assert "missive send a --task t" in step
    assert "task wait" not in step


def test_parts() -> None:
    assert part_text({"url": "http://x/y", "mediaType": "image/png"}) == "[file: image/png, http://x/y]"
    assert part_text({}) == "[an empty part]"


# --- streams


def event(kind: str, raw: dict[str, Any], **more: Any) -> o.StreamEvent:
    return o.StreamEvent(
        profile="default",
        agent="echo",
        sequence=0,
        event_type=kind,
        raw=raw,
        persistence=o.Persistence(),
        message="",
        **more,
    )


def status(state: str, *texts: str) -> o.StreamEvent:
    message = {"message": {"parts": [{"text": text} for text in texts]}} if texts else {}
    return event("status_update", {"statusUpdate": {"taskId": "t", "status": message}}, task_id="t", state=state)


def chunk(text: str, name: str = "a", *, append: bool = True, last: bool = False) -> o.StreamEvent:
    artifact = {"artifactId": name, "parts": [{"text": text}]}
    return event(
        "artifact_update",
        {"artifactUpdate": {"taskId": "t", "artifact": artifact}},
        task_id="t",
        artifact_id=name,
        append=append,
        last_chunk=last,
    )


def ended(state: str = "completed", *, task: bool = True, resumed: int = 0) -> o.StreamResult:
    more: dict[str, Any] = {"final_task_id": "t", "final_state": state} if task else {}
    return o.StreamResult(
        profile="default",
        agent="echo",
        selected_interface=INTERFACE,
        capability=o.StreamCapability(advertised_streaming=True, forced=False),
        event_count=4,
        status_update_count=2,
        artifact_update_count=2,
        resumed=resumed,
        events=(),
        persistence=o.Persistence(),
        message="4 events",
        **more,
    )


def test_a_stream_for_a_pipe_is_the_text_and_nothing_else() -> None:
    out, err = Both().show(
        event("task", {"task": {"id": "t", "status": {}}}, task_id="t", state="submitted"),
        status("working", "step 1"),
        status("working", "step 1"),
        chunk("Once upon ", append=False),
        chunk("a time"),
        chunk("!", last=True),
        chunk("other", "b", append=False),
        status("completed", "Done."),
        ended(),
    )
    assert out == "Once upon a time!\nother\n"
    assert err.splitlines()[:4] == [
        "submitted",
        "working: step 1",
        "completed: Done.",
        "task t of echo: completed, 4 events",
    ]


def test_a_stream_that_is_a_message() -> None:
    said = event("message", {"message": {"parts": [{"text": "Hi"}]}}, text="Hi")
    assert Both().show(said, ended(task=False)) == ("Hi\n", "")


def test_a_stream_without_artifacts_ends_with_what_the_task_says() -> None:
    out, _ = Both().show(status("working"), status("completed", "42"), ended())
    assert out == "42\n"


def test_a_stream_that_says_nothing_shows_its_state() -> None:
    assert Both().show(status("failed"), ended("failed"))[0] == "task t: failed\n"


def test_a_stream_that_was_taken_up_again_repeats_nothing() -> None:
    snapshot = {
        "id": "t",
        "artifacts": [{"artifactId": "a", "parts": [{"text": "first "}, {"text": "sec"}, {"data": 1}]}],
    }
    out, err = Both().show(
        chunk("first ", append=False),
        event("task", {"task": snapshot}, task_id="t", state="working"),
        chunk("ond", append=True),
        event("task", {"task": snapshot}, task_id="t", state="working"),
        ended(resumed=1),
    )
    assert out == "first sec\n1\nond\n"
    assert "taken up again 1 time" in err


def test_a_stream_that_breaks_leaves_a_whole_line() -> None:
    assert Both().show(chunk("half a li", append=False))[0] == "half a li\n"


def test_a_live_stream_writes_its_progress_over(terminal: Terminal) -> None:
    renderer = HumanRenderer(terminal.screen)
    for item in (
        status("working", "step 1"),
        status("working", "step 2 " + "x" * 100),
        chunk("text\x1b[2J", append=False),
        status("working", "not in the middle of a line"),
        chunk(" goes on\n"),
        status("completed", "Done."),
        ended(),
    ):
        renderer.emit(o.Output(item))
    renderer.close()
    shown = terminal.close()
    assert "step 1\x1b[0m\r\x1b[2K" in shown
    assert "x" * 60 not in shown
    assert "text goes on\n" in shown
    assert "not in the middle" not in shown
    assert "\x1b[32mcompleted: Done.\x1b[0m\n" in shown
    assert "\x1b[2J" not in shown


# --- the other kinds


def test_every_kind_that_a_command_gives_can_be_shown() -> None:
    own = {"stream_event", "stream_result", "command_status"}
    module_kinds = {
        value.kind
        for value in vars(o).values()
        if isinstance(value, type) and issubclass(value, o.Data) and "kind" in value.__dict__
    }
    assert module_kinds - own <= set(RENDERERS)


def test_a_kind_without_a_renderer_shows_its_sentence_or_all_of_it() -> None:
    status_ = o.CommandStatus(command="x", status="y", implemented=True, message="the sentence")
    assert Both().show(status_)[0] == "the sentence\n"

    class Bare(o.Data, frozen=True, kw_only=True):
        kind = "test_bare"
        number: int

    assert Both().show(Bare(number=1))[0] == '{\n  "number": 1\n}\n'


def test_an_agent_card() -> None:
    agent = o.AgentView(
        alias="echo",
        source="local",
        base_url="http://a",
        interface_urls={},
        binding_preference=(),
        tags=("x",),
        metadata={},
        read_only=False,
        created_at=WHEN,
        updated_at=WHEN,
    )
    card = o.CardView(
        name="Echo",
        description="Says it again.",
        agent_version="1",
        protocol_versions=("1.0",),
        supported_interfaces=({"protocolBinding": "JSONRPC", "protocolVersion": "1.0", "url": "http://a/rpc"},),
        capabilities={"streaming": True, "pushNotifications": False},
        default_input_modes=("text/plain",),
        default_output_modes=("text/plain",),
        skills=({"id": "echo", "name": "Echo", "tags": ["a", "b"]},),
        security_schemes=(),
    )
    out, _ = Both().show(
        o.AgentInspectResult(
            profile="default",
            agent=agent,
            cache=o.CardCache(status="cached", discovery_url="http://a", fetched_at=WHEN),
            selected_interface=INTERFACE,
            card=card,
            raw_card={},
            message="",
        ),
        o.AgentShowResult(profile="default", agent=agent, message=""),
    )
    assert "capabilities  streaming\n" in out
    assert "JSONRPC  1.0      http://a/rpc" in out
    assert "echo   Echo  a, b" in out
    assert "alias    echo\n" in out


def test_an_exported_context_reads_as_a_conversation() -> None:
    context = o.ContextView(
        context_id="c", state="open", metadata={}, created_at=WHEN, updated_at=WHEN, remote_contexts={"echo": "r"}
    )
    said = {
        "status": "sent",
        "created_at": WHEN,
        "agent": "echo",
    }
    out, _ = Both().show(
        o.ContextExportResult(
            profile="default",
            exported_at=WHEN,
            context=context,
            counts=o.Counts(task_count=0, message_count=2, artifact_count=0, event_count=0),
            tasks=(),
            messages=(
                o.MessageView(
                    message_id="1", direction="request", role="user", content={"parts": [{"text": "Hi"}]}, **said
                ),
                o.MessageView(
                    message_id="2", direction="response", role="agent", content={"parts": [{"text": "Ho"}]}, **said
                ),
            ),
            artifacts=(),
            events=(),
            message="",
        )
    )
    assert f"you, {WHEN}\nHi\n\necho, {WHEN}\nHo\n" in out
