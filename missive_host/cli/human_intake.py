"""Deliveries, for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_host.cli.wording import ago

if TYPE_CHECKING:
    from missive_host import outputs_intake as i
    from missive_host.cli.screen import Screen


def _list(data: i.IntakeListResult, screen: Screen) -> None:
    if not data.deliveries:
        screen.line("no dead letters" if data.states == ("dead",) else "no deliveries")
        return
    screen.table(
        ("RECEIPT", "ADAPTER", "STATE", "COMMAND", "TO", "TRIES", "ACCEPTED", "ERROR"),
        [
            (
                each.receipt_id,
                each.adapter,
                each.state,
                each.command,
                each.agent if each.agent is not UNSET else each.group,
                each.attempts,
                ago(each.accepted_at, screen),
                each.error.message if each.error is not UNSET else UNSET,
            )
            for each in data.deliveries
        ],
    )
    if "dead" in data.states:
        screen.note("try them again: missive intake retry --all")


def _show(data: i.IntakeShowResult, screen: Screen) -> None:
    each = data.delivery
    screen.fields(
        (
            ("receipt", each.receipt_id),
            ("adapter", each.adapter),
            ("state", each.state),
            ("frame", each.frame_id),
            ("source", each.source_id),
            ("command", each.command),
            ("agent", each.agent),
            ("group", each.group),
            ("context", each.context_id),
            ("task", each.task_id),
            ("tries", f"{each.attempts} of {each.max_attempts}"),
            ("accepted", ago(each.accepted_at, screen)),
            ("next try", each.run_at),
            ("ended", ago(each.finished_at, screen)),
            ("delivered", ago(each.delivered_at, screen)),
            ("error", each.error.message if each.error is not UNSET else UNSET),
        )
    )
    screen.line()
    screen.line(json.dumps(data.request, ensure_ascii=False))
    for result in data.results:
        screen.line(f"  {result['kind']}: {result['data'].get('message', '')}")


def _done(data: i.IntakeRetryResult | i.IntakeDropResult, screen: Screen) -> None:
    screen.line(data.message)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "intake_list": _list,
    "intake_show": _show,
    "intake_retry": _done,
    "intake_drop": _done,
}
