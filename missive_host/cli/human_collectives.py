"""Collectives, for people: tables of the members; answers as Markdown on stdout, and the rest on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host.cli.screen import one_line, shorten
from missive_host.cli.wording import number, size, state_style

if TYPE_CHECKING:
    from missive_host import outputs_collectives as oc
    from missive_host.cli.screen import Screen

_TEXT = 60
"""Columns of an answer in a table for a pipe; a terminal cuts for itself."""
_STYLES = {"succeeded": "green", "failed": "red", "partial_failure": "red", "timeout": "yellow"}
_WAIT = frozenset(("submitted", "working", "unknown"))


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


def _said(text: object, error: object) -> str:
    if isinstance(text, str):
        return shorten(one_line(text), _TEXT)
    message = getattr(error, "message", None)
    return message.partition(": ")[2] if isinstance(message, str) else ""


def _bcast(data: oc.BcastResult, screen: Screen) -> None:
    _bcast_table(data, screen)
    screen.note(f"{data.status}: {data.message}, {_seconds(data.elapsed_ms)}", _STYLES.get(data.status, "dim"))
    screen.note(f"context {data.request.context_id}")
    if any(member.state in _WAIT for member in data.members):
        screen.note(f"  wait for them: missive barrier {data.group} --context {data.request.context_id}")
    elif data.success_count:
        screen.note(f"  collect the answers: missive gather {data.group} --context {data.request.context_id}")


def _bcast_table(data: oc.BcastResult, screen: Screen) -> None:
    screen.table(
        ("RANK", "AGENT", "STATUS", "STATE", "TIME", "TASK", "ANSWER"),
        [
            (m.rank, m.agent, m.status, m.state, _seconds(m.duration_ms), m.task_id, _said(m.text, m.error))
            for m in data.members
        ],
    )


def _barrier(data: oc.BarrierResult, screen: Screen) -> None:
    screen.table(
        ("RANK", "AGENT", "STATUS", "STATE", "ASKED", "TASK", "ERROR"),
        [
            (m.rank, m.agent, m.status, m.state, m.attempts or None, m.task_id, _said(None, m.error))
            for m in data.members
        ],
    )
    screen.note(
        f"{data.message}, {_seconds(data.elapsed_ms)}", _STYLES.get(data.status, state_style(data.status) or "dim")
    )
    if data.status == "succeeded":
        screen.note(f"  collect the answers: missive gather {data.group} --context {data.context_id}")


def _gather(data: oc.GatherResult, screen: Screen) -> None:
    """Show the answers as Markdown, one section each."""
    screen.line(f"# Answers of {data.group}", "bold")
    for member in data.members:
        screen.line()
        screen.line(f"## {member.rank} ({member.agent})", "bold")
        screen.line()
        _answer(member, screen)
    if isinstance(data.files, tuple) and data.files:
        screen.line()
        screen.table(
            ("FILE", "AGENT", "SIZE", "TYPE"),
            [(f.path, f.agent, size(f.bytes_written), f.media_type) for f in data.files],
        )
    screen.note(f"{data.status}: {data.message}", _STYLES.get(data.status, "dim"))


def _answer(member: oc.AnswerView, screen: Screen) -> None:
    if member.status != "gathered":
        screen.line(f"*{member.status.replace('_', ' ')}*")
    if isinstance(member.text, str):
        screen.text(member.text.rstrip("\n"))
    for value in member.data if isinstance(member.data, tuple) else ():
        screen.text(f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```")
    if isinstance(member.files, tuple):
        screen.line(f"Files: {', '.join(member.files)}")


def _reduce(data: oc.ReduceResult, screen: Screen) -> None:
    if isinstance(data.reduced_text, str):
        screen.text(data.reduced_text)
    for note in data.notes if isinstance(data.notes, tuple) else ():
        screen.note(f"note: {note}", "yellow")
    by = {"agent": f"agent {data.reducer.agent}", "command": "a program"}.get(data.reducer.method, data.strategy)
    screen.note(f"{data.status}: {data.message} by {by}", _STYLES.get(data.status, "dim"))
    for member in data.provenance:
        if member.status != "gathered":
            screen.note(f"  nothing from {member.rank} ({member.agent}): {member.status.replace('_', ' ')}")


def _allreduce(data: oc.AllreduceResult, screen: Screen) -> None:
    """Show a table of the answers, then what they were reduced to."""
    sent = {member.agent: member for member in data.bcast.members}
    waited = {member.agent: member for member in data.barrier.members} if data.barrier else {}
    answers = {member.agent: member for member in data.gather.members} if data.gather else {}
    rows = []
    for agent, member in sent.items():
        status = waited[agent].status if agent in waited else member.status
        answer = answers.get(agent)
        text = answer.text if answer is not None else member.text
        rows.append((member.rank, agent, status, _seconds(member.duration_ms), _said(text, member.error)))
    screen.table(("RANK", "AGENT", "STATUS", "TIME", "ANSWER"), rows)
    if isinstance(data.reduced_text, str):
        screen.line()
        screen.text(data.reduced_text)
    reduced = data.reduce or None
    for note in reduced.notes if reduced is not None and isinstance(reduced.notes, tuple) else ():
        screen.note(f"note: {note}", "yellow")
    screen.note(f"{data.message}, {_seconds(data.elapsed_ms)}", _STYLES.get(data.status, "dim"))
    if reduced is None and data.gather and data.gather.gathered_count:
        screen.note(
            f"  {number(data.gather.gathered_count, 'answer')} came: missive gather {data.group} "
            f"--context {data.context_id}"
        )


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "bcast_result": _bcast,
    "scatter_result": _bcast,
    "barrier_result": _barrier,
    "gather_result": _gather,
    "reduce_result": _reduce,
    "allreduce_result": _allreduce,
}
