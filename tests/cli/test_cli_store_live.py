"""The store of a gateway that is at work: saved in the middle of 2,000 messages, and pruned meanwhile."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.cores import Home
from support.gateways import GatewayProcess

if TYPE_CHECKING:
    from collections.abc import Iterable

    from missive_host.demo.fleet import AgentProcess

MESSAGES = 2000
PIPE = "[adapters.pipe]\nkind = 'stdio'\nsettings = { mode = 'long-running', concurrency = 64 }\n"


def missive(home: Home, *words: str, status: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), *words, "--json"],
        env={**os.environ, **home.environ}, cwd=home.folder, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == status, (done.stdout, done.stderr)
    return json.loads(done.stdout or done.stderr)["data"]


def rows(file: Path, sql: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, values).fetchall()


def answered(documents: Iterable[dict[str, Any]]) -> set[str]:
    return {str(each["id"]) for each in documents if str(each.get("id", "")).startswith("m")}


def _more(enough: int, documents: list[dict[str, Any]]) -> bool:
    return len(documents) > enough


def whole(file: Path, settled: set[str]) -> int:
    """Check that each of these is in a store from end to end: taken in, sent, answered, told; return how many are."""
    work = rows(file, "SELECT json_extract(request_json, '$.id'), state, work_id FROM work")
    done = {name: work_id for name, state, work_id in work if state == "done"}
    assert settled <= set(done)
    outputs = {work_id for (work_id,) in rows(file, "SELECT work_id FROM work_outputs")}
    assert {done[name] for name in settled} <= outputs
    texts = rows(file, "SELECT direction, json_extract(content_json, '$.parts[0].text'), status FROM messages")
    asked = {text.partition(" ")[2]: status for direction, text, status in texts if direction == "request"}
    said = {text for direction, text, _ in texts if direction == "response"}
    assert {asked[name] for name in settled} == {"sent"}
    assert settled <= said
    assert said <= set(asked)  # no answer without its question
    text = "SELECT json_extract(payload_json, '$.message.parts[0].text') FROM events WHERE event_type = ?"
    journal = rows(file, text, "a2a.send.response")
    assert settled <= {text for (text,) in journal}
    return len(done)


@pytest.mark.timeout(400)  # what is short on a machine of its own is long on one that is shared
async def test_a_backup_of_a_store_in_which_2000_messages_run(home: Home, agent: AgentProcess, tmp_path: Path) -> None:
    home.configure(PIPE)
    async with home.core() as core:
        core.add("echo", agent)
    saved: list[tuple[Path, set[str]]] = []
    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()
        names = [f"m{number}" for number in range(MESSAGES)]
        frames = [{"id": name, "command": "send", "agent": "echo", "message": f"echo {name}"} for name in names]
        writer = threading.Thread(target=gateway.put, args=frames)
        writer.start()
        for enough in (MESSAGES // 10, MESSAGES // 2):
            gateway.until(partial(_more, enough), 100)
            before = answered(list(gateway.documents))
            file = home.folder / f"saved-{enough}"
            missive(home, "store", "backup", str(file))
            saved.append((file, before))
        gateway.until(lambda documents: answered(documents) == set(names), 100)
        writer.join()
        assert gateway.stop() == 0
    counts = []
    for number, (file, before) in enumerate(saved):
        folder = tmp_path / f"other-{number}"
        folder.mkdir()
        other = Home(folder)
        missive(other, "store", "restore", str(file))
        assert missive(other, "store", "check")["profile"] == "default"
        missive(other, "events", "replay", "--verify")
        counts.append(whole(other.settings().paths.database, before))
        assert len(before) <= counts[-1] <= MESSAGES
    assert counts[0] < MESSAGES
    assert counts == sorted(counts)
    events = rows(
        home.settings().paths.database, "SELECT payload_json FROM events WHERE event_type = 'missive.store.backup'"
    )
    assert [json.loads(payload)["file"] for (payload,) in events] == [str(file) for file, _ in saved]


def said(document: dict[str, Any]) -> str:
    return str(document["data"]["data"]["response"]["text"])


async def test_prune_beside_a_gateway_takes_nothing_that_it_needs(home: Home, agent: AgentProcess) -> None:
    """Running work, what waits behind it, a job, a conversation, a key, each older than what is to go."""
    home.configure(PIPE)
    async with home.core() as core:
        core.add("echo", agent)
    talk = {"source": {"source_id": "talk", "resume_name": "talk"}}

    def frame(name: str, text: str, **fields: Any) -> dict[str, Any]:
        return {"id": name, "command": "send", "agent": "echo", "message": text, **fields}

    with GatewayProcess(home, stdin=True) as gateway:
        gateway.ready()

        def answers(*names: str) -> dict[str, dict[str, Any]]:
            def known(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]] | None:
                found = {str(each.get("id")): each for each in documents}
                return found if found.keys() >= set(names) else None

            found: dict[str, dict[str, Any]] = gateway.until(known, 100)
            return found

        old = [frame(f"old{number}", "echo old") for number in range(20)]
        gateway.put(*old, frame("keyed", "echo once", idempotency_key="k"), frame("talk1", "context", **talk))
        context = said(answers(*(each["id"] for each in old), "keyed", "talk1")["talk1"])
        job = missive(home, "job", "start", "send", "echo", "slow 12")["job"]["job_id"]
        gateway.put(frame("runs", "slow 12", **talk), frame("waits", "context", **talk))
        gateway.until(lambda _: gateway.status()["queue"]["running"] == 2, 100)
        time.sleep(2)
        done = missive(home, "store", "prune", "--older-than", "1s")
        assert done["removed"]["messages"] >= 40
        assert done["removed"]["work"] == 0
        assert done["removed"]["events"] >= 40
        gateway.put(frame("again", "echo once", idempotency_key="k"))
        found = answers("again", "runs", "waits")
        assert said(found["again"]) == "once"
        assert said(found["waits"]) == context
        gateway.until(lambda _: missive(home, "job", "show", job)["job"]["state"] == "succeeded", 100)
        assert gateway.stop() == 0
    assert missive(home, "store", "check")["profile"] == "default"
    missive(home, "events", "replay", "--verify")
    home.configure(PIPE + '[gateway]\nkeep_answers = "1s"\n')
    time.sleep(1)
    assert missive(home, "store", "prune", "--older-than", "1s")["removed"]["work"] > 20
