"""Deliveries that have ended, put into a store without a gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from missive_host.envelopes import parse_envelope, stored
from missive_host.ids import new_id, now
from missive_host.store.rows import WorkRow

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.store import Tables


def put_ended(home: Home, state: str, message: str = "hello") -> str:
    """Put a delivery that has ended so into the store; return its id."""
    frame = {"id": "f-1", "command": "send", "agent": "echo", "message": message}
    envelope = parse_envelope(json.dumps(frame).encode(), "missive.stdio.v1", default_source="pipe")
    error = {"code": "missive::orchestration", "category": "orchestration", "message": "it broke", "exit_code": 70}

    def write(tables: Tables) -> str:
        at = now()
        row = WorkRow(
            work_id=new_id(), kind="delivery", adapter="pipe", command="send", agent_alias="echo",
            request=stored(envelope), max_attempts=1, run_at=at, accepted_at=at, reply_to={},
        )  # fmt: skip
        tables.work.put(row)
        (claimed,) = tables.work.claim("somebody", at=now(), limit=1)
        tables.work.finish(claimed, state, at=now(), error=None if state == "done" else error)
        return row.work_id

    with home.store() as store:
        return store.write(write)
