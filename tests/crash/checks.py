"""What must hold after a run: one outcome for each delivery, none missing, nothing left over."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crash.doors import Answer, Door, Files, Http

    from missive_host.store import Store, WorkRow


def one_answer_each(doors: Iterable[Door]) -> dict[str, Answer]:
    """Return the answer of each delivery; it may have been given several times, but is always the same."""
    found: dict[str, Answer] = {}
    for door in doors:
        assert not door.missing()
        assert set(door.answers) == set(door.given), f"{door.name}: answers to what was not asked"
        for name, answers in door.answers.items():
            different = {answer.whole for answer in answers}
            assert len(different) == 1, f"{name} has {len(different)} different answers: {different}"
            found[name] = answers[0]
    return found


def answers_are_right(answers: Mapping[str, Answer], *, errors: bool) -> None:
    for name, answer in answers.items():
        assert answer.ok or errors, (name, answer)
        assert not answer.ok or answer.content in (name, "completed", "message"), (name, answer)


def same_again(http: Http) -> None:
    """Each key gives its answer again."""
    from crash.doors import answer_of

    for name, delivery in http.given.items():
        status, headers, document = http.post(delivery, wait=5)
        assert headers.get("idempotency-replayed") == "true", (name, status, document)
        assert answer_of(document) == http.answers[name][0], (name, document)


def files_are_tidy(files: Files) -> None:
    """Each request lies in one folder, each answer in the outbox, and nothing else is anywhere."""
    assert list(files.staging.iterdir()) == []
    assert {each.name for each in files.inbox.iterdir()} <= {"processed", "error"}
    processed = {each.name for each in (files.inbox / "processed").iterdir()}
    failed = {each.name for each in (files.inbox / "error").iterdir()}
    assert not processed & failed
    assert processed | failed == {f"{name}.json" for name in files.given}
    results = {each.name for each in files.outbox.iterdir()}
    assert results == {f"{Path(name).stem}.result.json" for name in processed} | {
        f"{Path(name).stem}.error.json" for name in failed
    }


def store_is_whole(database: Path) -> None:
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


def work_is_done(store: Store, doors: Iterable[Door]) -> tuple[WorkRow, ...]:
    """Each delivery is one row that has ended and was delivered; no process claims to work. Return the rows."""
    rows = store.read(lambda tables: tables.work.list())
    names = Counter(row.request["id"] for row in rows)
    assert names == Counter(name for door in doors for name in door.given)
    unfinished = [row for row in rows if not row.ended or row.owner is not None or row.delivered_at is None]
    assert unfinished == [], unfinished[:3]
    assert store.read(lambda tables: tables.work.owners()) == ()
    assert not store.read(lambda tables: tables.work.open_counts())
    return rows


def one_message_each(log: Path, rows: Iterable[WorkRow], answers: Mapping[str, Answer]) -> Counter[str]:
    """The agent got each delivery under one messageId, and those of a session in order. Return how often each came."""
    entries: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    ids: defaultdict[str, set[str]] = defaultdict(set)
    order: dict[str, int] = {}
    for position, entry in enumerate(entries):
        name = entry["text"].split()[-1]
        ids[name].add(entry["id"])
        order.setdefault(name, position)
    several = {name: found for name, found in ids.items() if len(found) > 1}
    assert several == {}, "a second messageId for one delivery"
    for name, answer in answers.items():
        assert not answer.ok or ids[name] == {answer.message_id}, f"{name} has the answer to another message"
    lanes: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row.lane is not None and row.request["id"] in order:
            lanes[row.lane].append(order[row.request["id"]])
    for lane, positions in lanes.items():
        assert positions == sorted(positions), f"the order of {lane!r} was not kept"
    return Counter(entry["text"].split()[-1] for entry in entries)


def nothing_is_left(folder: Path) -> None:
    """No temporary file is anywhere in the home."""
    left = [
        each
        for each in folder.rglob("*")
        if each.is_file() and (each.suffix in {".tmp", ".part", ".new"} or ".claim-" in each.name)
    ]
    assert left == []
