"""Tasks, messages, artifacts and the journal."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from storekit import T0, T1, T2, context, event, message, task

from missive_host.errors import StorageError, ValidationError
from missive_host.store import Store

# --- keys are scoped by agent


def test_two_agents_use_the_same_ids(store: Store) -> None:
    for alias in ("a", "b"):

        def fn(t, alias=alias) -> None:  # type: ignore[no-untyped-def]
            t.tasks.upsert(task(alias, "task-1"))
            t.tasks.upsert(task(alias, "task-2"))
            t.messages.add_request(message(alias, "m", content={"of": alias}))
            for task_id in ("task-1", "task-2"):
                t.artifacts.put(alias, task_id, {"artifactId": "x", "parts": [{"text": alias + task_id}]}, at=T0)

        store.write(fn)
    store.write(lambda t: t.tasks.upsert(task("a", "task-1", "completed", T1)))
    assert store.read(lambda t: t.tasks.get("task-1", "b")).state == "working"
    assert store.read(lambda t: t.tasks.get("task-1", "a")).state == "completed"
    assert store.read(lambda t: t.messages.find("b", "m")).content == {"of": "b"}  # type: ignore[union-attr]
    assert store.read(lambda t: t.artifacts.get("a", "task-2", "x")).content["parts"] == [{"text": "atask-2"}]
    with pytest.raises(ValidationError, match="used by several agents: a, b") as caught:
        store.read(lambda t: t.tasks.get("task-1"))
    assert "agent" in (caught.value.help or "")


# --- tasks


def test_a_task_comes_back_as_it_was_seen(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c")))
    body = {
        "id": "t",
        "contextId": "r",
        "status": {"state": "TASK_STATE_WORKING", "timestamp": "2026-01-01T00:00:00Z", "message": {"messageId": "s"}},
        "metadata": {"k": "v"},
        "history": [{"messageId": "m1"}],
    }
    seen = task(
        "echo", "t", task=body, context_id="c", remote_context_id="r", protocol_version="1.0", last_message_id="m1",
        status_message_id="s", status_timestamp="2026-01-01T00:00:00Z", source="gateway",
    )  # fmt: skip
    assert store.write(lambda t: t.tasks.upsert(seen)) is True
    row = store.read(lambda t: t.tasks.get("t"))
    assert row == seen
    assert row.history_count == 1


def test_only_a_change_is_a_change(store: Store) -> None:
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t"))) is True
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", at=T1))) is False
    assert store.read(lambda t: t.tasks.get("t")).updated_at == T0
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", at=T1, source="gateway"))) is False
    assert store.read(lambda t: t.tasks.get("t")).source == "gateway"
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", "completed", at=T2))) is True
    row = store.read(lambda t: t.tasks.get("t"))
    assert (row.state, row.created_at, row.updated_at, row.completed_at) == ("completed", T0, T2, T2)


def test_a_part_of_a_task_keeps_the_rest(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c")))
    full = {
        "id": "t",
        "metadata": {"k": 1},
        "status": {"state": "x"},
        "history": [{"messageId": "m1"}],
        "artifacts": [1],
    }
    store.write(lambda t: t.tasks.upsert(task("echo", "t", task=full, context_id="c", remote_context_id="r")))
    update = {"id": "t", "status": {"state": "y"}}
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", task=update, at=T1))) is True
    row = store.read(lambda t: t.tasks.get("t"))
    assert row.task == {"id": "t", "metadata": {"k": 1}, "status": {"state": "y"}, "history": [{"messageId": "m1"}]}
    assert (row.context_id, row.remote_context_id) == ("c", "r")


def history(*ids: str) -> dict[str, object]:
    return {"id": "t", "history": [{"messageId": message_id} for message_id in ids]}


@pytest.mark.parametrize(
    ("observed", "stored", "changed"),
    [
        (("m1", "m2", "m3"), "m1 m2 m3", False),
        (("m3",), "m1 m2 m3", False),
        (("m1",), "m1 m2 m3", False),
        (("m3", "m4"), "m1 m2 m3 m4", True),
        (("m4",), "m1 m2 m3 m4", True),
        ((), "m1 m2 m3", False),
    ],
)
def test_a_shortened_history_takes_nothing_away(
    store: Store, observed: tuple[str, ...], stored: str, changed: bool
) -> None:
    store.write(lambda t: t.tasks.upsert(task("echo", "t", task=history("m1", "m2", "m3"))))
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", task=history(*observed), at=T1))) is changed
    row = store.read(lambda t: t.tasks.get("t"))
    assert [m["messageId"] for m in row.task["history"]] == stored.split()
    assert row.updated_at == (T1 if changed else T0)


def test_a_task_that_has_ended_is_not_put_back(store: Store) -> None:
    early, late, later = "2026-01-01T00:00:05Z", "2026-01-01T00:00:05.500Z", "2026-01-01T00:00:06Z"
    store.write(lambda t: t.tasks.upsert(task("echo", "t", "completed", T0, status_timestamp=late)))
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", "working", T1, status_timestamp=early))) is False
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", "working", T1))) is False
    row = store.read(lambda t: t.tasks.get("t"))
    assert (row.state, row.completed_at, row.status_timestamp) == ("completed", T0, late)
    assert store.write(lambda t: t.tasks.upsert(task("echo", "t", "working", T2, status_timestamp=later))) is True
    assert store.read(lambda t: t.tasks.get("t")).completed_at is None


def test_an_unknown_task_is_told(store: Store) -> None:
    with pytest.raises(ValidationError, match="no task 't' of agent 'echo' is known here") as caught:
        store.read(lambda t: t.tasks.get("t", "echo"))
    assert "--remote" in (caught.value.help or "")
    assert store.read(lambda t: t.tasks.find("echo", "t")) is None


def test_a_state_that_a2a_does_not_have_is_refused(store: Store) -> None:
    with pytest.raises(StorageError, match="does not fit") as caught:
        store.write(lambda t: t.tasks.upsert(task("echo", "t", "sleeping")))
    assert "CHECK" in caught.value.sources[0]


def test_tasks_are_listed_page_by_page(store: Store) -> None:
    def fn(t) -> None:  # type: ignore[no-untyped-def]
        for number in range(25):  # several share a time, so the order needs more than the time
            t.tasks.upsert(task("ab"[number % 2], f"t{number:02}", at=(T0, T1, T2)[number % 3]))

    store.write(fn)
    everything = store.read(lambda t: t.tasks.list())
    assert (len(everything.tasks), everything.total, everything.next_page_token) == (25, 25, None)
    assert [row.updated_at for row in everything.tasks] == sorted(
        (row.updated_at for row in everything.tasks), reverse=True
    )
    found = []
    token = None
    for expected in (10, 10, 5):
        page = store.read(lambda t, token=token: t.tasks.list(page_size=10, page_token=token))  # type: ignore[misc]
        assert (len(page.tasks), page.total) == (expected, 25)
        found += page.tasks
        token = page.next_page_token
    assert token is None
    assert tuple(found) == everything.tasks


def test_tasks_are_filtered(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c")))
    store.write(lambda t: t.tasks.upsert(task("a", "t1", "working", T0, context_id="c")))
    store.write(lambda t: t.tasks.upsert(task("b", "t2", "completed", T1, source="gateway")))
    store.write(lambda t: t.tasks.upsert(task("a", "t3", "auth_required", T2)))

    def ids(**filters: str) -> list[str]:
        return [row.task_id for row in store.read(lambda t: t.tasks.list(**filters)).tasks]  # type: ignore[arg-type]

    assert ids() == ["t3", "t2", "t1"]
    assert ids(agent="a") == ["t3", "t1"]
    assert ids(context="c") == ["t1"]
    assert ids(state="auth_required") == ["t3"]
    assert ids(source="gateway") == ["t2"]
    assert ids(updated_after=T1) == ["t3"]
    assert ids(updated_after="2026-01-01T02:00:00+02:00") == ["t3", "t2"], "the same moment as T0"
    assert ids(agent="b", state="working") == []
    for bad in ("yesterday", "2026-01-01T00:00:00"):
        with pytest.raises(ValidationError, match="not an RFC 3339 time"):
            ids(updated_after=bad)


@pytest.mark.parametrize("token", ["nonsense", "", "5b5d", "5b312c322c335d", "é"])
def test_a_page_token_that_was_not_ours_is_refused(store: Store, token: str) -> None:
    with pytest.raises(ValidationError, match="page token cannot be read"):
        store.read(lambda t: t.tasks.list(page_size=1, page_token=token))


def test_ensure_makes_a_row_and_changes_none(store: Store) -> None:
    store.write(lambda t: t.tasks.ensure("echo", "t", at=T0))
    assert store.read(lambda t: t.tasks.get("t")).state == "unknown"
    store.write(lambda t: t.tasks.upsert(task("echo", "t", "working", T1)))
    store.write(lambda t: t.tasks.ensure("echo", "t", at=T2))
    assert store.read(lambda t: t.tasks.get("t")).state == "working"


# --- messages


def test_a_request_is_pending_until_it_is_settled(store: Store) -> None:
    assert store.write(lambda t: t.messages.add_request(message("echo", "m", metadata={"a": 1}))) is True
    row = store.read(lambda t: t.messages.find("echo", "m"))
    assert row is not None
    assert (row.status, row.metadata, row.error) == ("pending", {"a": 1}, None)
    assert [m.message_id for m in store.read(lambda t: t.messages.list(status="pending"))] == ["m"]
    error = {"code": "missive::transport", "exit_code": 69}
    store.write(lambda t: t.messages.settle_request("echo", "m", "unknown", at=T1, error=error))
    row = store.read(lambda t: t.messages.find("echo", "m"))
    assert row is not None
    assert (row.status, row.error, row.updated_at, row.created_at) == ("unknown", error, T1, T0)
    assert store.read(lambda t: t.messages.list(status="pending")) == ()
    assert len(store.read(lambda t: t.messages.list(status="unknown"))) == 1


def test_a_request_that_is_tried_again_is_the_same_row(store: Store) -> None:
    store.write(lambda t: t.messages.add_request(message("echo", "m")))
    store.write(lambda t: t.messages.settle_request("echo", "m", "failed", at=T1, error={"code": "x"}))
    assert store.write(lambda t: t.messages.add_request(message("echo", "m", updated_at=T2))) is False
    row = store.read(lambda t: t.messages.find("echo", "m"))
    assert row is not None
    assert (row.status, row.error, row.updated_at) == ("pending", None, T2)
    store.write(lambda t: t.messages.settle_request("echo", "m", "sent", at=T2, task_id="t"))
    assert store.write(lambda t: t.messages.add_request(message("echo", "m"))) is False
    row = store.read(lambda t: t.messages.find("echo", "m"))
    assert row is not None
    assert (row.status, row.task_id) == ("sent", "t"), "it has arrived; trying again does not change that"


def test_a_message_that_comes_twice_is_renewed(store: Store) -> None:
    assert store.write(lambda t: t.messages.add_response(message("echo", "m", "response"))) is True
    assert store.write(lambda t: t.messages.add_request(message("echo", "m"))) is True, "another direction"
    again = message("echo", "m", "response", content={"more": True}, task_id="t", updated_at=T1)
    assert store.write(lambda t: t.messages.add_response(again)) is False
    row = store.read(lambda t: t.messages.find("echo", "m", "response"))
    assert row is not None
    assert (row.content, row.task_id, row.updated_at, row.ordinal) == ({"more": True}, "t", T1, 1)
    assert len(store.read(lambda t: t.messages.list())) == 2


def test_messages_are_listed_in_order_of_arrival(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c")))
    for number, alias in enumerate(("b", "a", "b")):
        row = message(alias, f"m{9 - number}", context_id="c", task_id="t", created_at=T0)
        store.write(lambda t, row=row: t.messages.add_request(row))  # type: ignore[misc]
    store.write(lambda t: t.messages.add_request(message("a", "elsewhere")))

    def ids(**filters: object) -> list[str]:
        return [row.message_id for row in store.read(lambda t: t.messages.list(**filters))]  # type: ignore[arg-type]

    assert ids(context="c") == ["m9", "m8", "m7"]
    assert ids(context="c", limit=2) == ["m8", "m7"]
    assert ids(agent="b", task="t") == ["m9", "m7"]
    assert ids() == ["m9", "m8", "m7", "elsewhere"]


def test_text_that_is_no_unicode_is_refused(store: Store) -> None:
    with pytest.raises(ValidationError, match="unpaired surrogate"):
        store.write(lambda t: t.messages.add_request(message("echo", "m", content={"text": "\ud800"})))


# --- artifacts


def put(store: Store, *parts: dict[str, Any], at: str = T0, **more: Any) -> int:
    return store.write(lambda t: t.artifacts.put("echo", "t", {"artifactId": "x", "parts": list(parts), **more}, at=at))


def test_an_artifact_comes_back_with_its_parts(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c")))
    store.write(lambda t: t.tasks.upsert(task("echo", "t", context_id="c")))
    parts = ({"text": "a"}, {"data": {"k": [1, None]}}, {"raw": "AAA=", "mediaType": "image/png"})
    assert put(store, *parts, name="out", metadata={"m": 1}, at=T1) == 1
    row = store.read(lambda t: t.artifacts.get("echo", "t", "x"))
    assert row.content == {"artifactId": "x", "name": "out", "metadata": {"m": 1}, "parts": list(parts)}
    assert (row.name, row.kind, row.mime_type, row.version, row.part_count) == ("out", "bytes", "image/png", 1, 3)
    assert (row.context_id, row.created_at, row.complete) == ("c", T1, True)
    assert store.read(lambda t: t.artifacts.list(context="c")) == (row,)
    assert store.read(lambda t: t.artifacts.list(agent="echo", task="t")) == (row,)
    assert store.read(lambda t: t.artifacts.list(agent="echo", task="other")) == ()
    assert store.read(lambda t: t.artifacts.count("echo", "t")) == 1


@pytest.mark.parametrize(
    ("parts", "kind", "mime_type"),
    [
        (({"text": "a", "mediaType": "text/plain"}, {"url": "u", "mediaType": "a/b"}), "file", "a/b"),
        (({"data": 0}, {"text": "a", "mediaType": "text/plain"}), "json", None),
        (({"text": ""},), "text", None),
        ((), "unknown", None),
    ],
)
def test_the_kind_of_an_artifact(store: Store, parts: tuple[dict[str, object], ...], kind: str, mime_type: str) -> None:
    put(store, *parts)
    row = store.read(lambda t: t.artifacts.get("echo", "t", "x"))
    assert (row.kind, row.mime_type) == (kind, mime_type)


def test_the_version_rises_only_with_the_content(store: Store) -> None:
    assert put(store, {"text": "a", "metadata": {"x": 1, "y": 2}}) == 1
    assert put(store, {"metadata": {"y": 2, "x": 1}, "text": "a"}, at=T1) == 1
    assert store.read(lambda t: t.artifacts.get("echo", "t", "x")).updated_at == T0
    assert put(store, {"text": "b"}, at=T1) == 2
    assert put(store, {"text": "b"}, name="n", at=T2) == 3
    row = store.read(lambda t: t.artifacts.get("echo", "t", "x"))
    assert (row.version, row.created_at, row.updated_at, row.name) == (3, T0, T2, "n")
    assert row.content["parts"] == [{"text": "b"}]


def append(store: Store, *parts: dict[str, Any], at: str = T1, **more: Any) -> int:
    return store.write(lambda t: t.artifacts.append("echo", "t", "x", parts, at=at, **more))


def test_chunks_are_joined_in_order(store: Store) -> None:
    first = {"artifactId": "x", "metadata": {"a": 1}, "parts": [{"text": "1"}]}
    store.write(lambda t: t.artifacts.put("echo", "t", first, at=T0, complete=False))
    assert append(store, {"text": "2"}, {"text": "3"}) == 2
    assert append(store) == 2, "an empty chunk is no change"
    assert append(store, {"raw": "AA==", "mediaType": "a/b"}, metadata={"b": 2}, at=T2) == 3
    row = store.read(lambda t: t.artifacts.get("echo", "t", "x"))
    assert row.content["parts"] == [{"text": "1"}, {"text": "2"}, {"text": "3"}, {"raw": "AA==", "mediaType": "a/b"}]
    assert row.content["metadata"] == {"a": 1, "b": 2}
    assert (row.kind, row.mime_type, row.complete, row.updated_at) == ("bytes", "a/b", False, T2)
    assert append(store, last_chunk=True) == 3
    grown = store.read(lambda t: t.artifacts.get("echo", "t", "x"))
    assert grown.complete is True
    # The agent now shows the artifact as a whole: the same content is the same version.
    whole = grown.content
    assert store.write(lambda t: t.artifacts.put("echo", "t", whole, at=T2)) == 3
    assert store.read(lambda t: t.artifacts.get("echo", "t", "x")) == grown
    assert put(store, {"text": "quite different"}) == 4
    assert store.read(lambda t: t.artifacts.get("echo", "t", "x")).content["parts"] == [{"text": "quite different"}]


def test_an_artifact_may_begin_with_an_appended_chunk_and_before_its_task(store: Store) -> None:
    assert append(store, {"text": "1"}, metadata={"a": 1}) == 1
    assert append(store, {"text": "2"}, last_chunk=True) == 2
    row = store.read(lambda t: t.artifacts.get("echo", "t", "x"))
    assert row.content == {"artifactId": "x", "metadata": {"a": 1}, "parts": [{"text": "1"}, {"text": "2"}]}
    assert store.read(lambda t: t.tasks.get("t")).state == "unknown"


def test_an_artifact_may_begin_empty(store: Store) -> None:
    put(store)
    assert append(store, {"text": "1"}) == 2
    assert append(store, {"text": "2"}) == 3
    assert store.read(lambda t: t.artifacts.get("echo", "t", "x")).content["parts"] == [{"text": "1"}, {"text": "2"}]


def test_appending_does_not_write_again_what_is_there(store: Store, path: Path) -> None:
    chunk = {"text": "x" * 4000}
    put(store, {"raw": "A" * 1_000_000})
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")  # an open reader keeps the log from being used anew: it holds all that is written
        reader.execute("SELECT 1 FROM artifacts").fetchone()
        wal = Path(f"{path}-wal")
        before = wal.stat().st_size
        for _ in range(100):
            append(store, chunk)
        written = wal.stat().st_size - before
    assert store.read(lambda t: t.artifacts.get("echo", "t", "x")).part_count == 101
    assert written < 10_000_000, "writing the whole each time would be 120 MB"


def test_unknown_artifacts_and_artifacts_without_an_id_are_told(store: Store) -> None:
    put(store, {"text": "a"})
    with pytest.raises(ValidationError, match="has no artifact 'report'") as caught:
        store.read(lambda t: t.artifacts.get("echo", "t", "report"))
    assert "task artifact list t" in (caught.value.help or "")
    with pytest.raises(ValidationError, match="no artifactId"):
        store.write(lambda t: t.artifacts.put("echo", "t", {"parts": []}, at=T0))


# --- the journal


def test_events_are_numbered_and_come_back(store: Store) -> None:
    first = event(
        "a2a.send.request", agent_alias="echo", context_id="c", task_id="t", payload={"p": 1}, metadata={"m": 2}
    )
    assert store.read(lambda t: t.events.last_sequence()) == 0
    assert store.write(lambda t: t.events.append(first)) == 1
    (row,) = store.read(lambda t: t.events.list())
    assert row == type(row)(**{**{f: getattr(first, f) for f in first.__struct_fields__}, "sequence": 1})
    assert row.event_id.startswith("evt/a2a.send.request/")
    assert store.read(lambda t: t.events.last_sequence()) == 1


def test_a_limit_gives_the_newest_and_tail_the_next(store: Store) -> None:
    store.write(lambda t: [t.events.append(event()) for _ in range(10)])

    def numbers(rows: tuple) -> list[int]:  # type: ignore[type-arg]
        return [row.sequence for row in rows]

    assert numbers(store.read(lambda t: t.events.list(limit=3))) == [8, 9, 10]
    assert numbers(store.read(lambda t: t.events.list(after=4, limit=3))) == [8, 9, 10]
    assert numbers(store.read(lambda t: t.events.tail(4, limit=3))) == [5, 6, 7]
    assert numbers(store.read(lambda t: t.events.tail(10))) == []


def test_events_are_filtered(store: Store) -> None:
    store.write(lambda t: t.events.append(event("x.one", agent_alias="a", context_id="c", timestamp=T0)))
    store.write(lambda t: t.events.append(event("x.two", agent_alias="b", context_id="c", timestamp=T1, source="cli")))
    store.write(lambda t: t.events.append(event("x.one", agent_alias="b", task_id="t", timestamp=T2)))

    def numbers(**filters: object) -> list[int]:
        found = [row.sequence for row in store.read(lambda t: t.events.list(**filters))]  # type: ignore[arg-type]
        assert len(found) == store.read(lambda t: t.events.count(**filters))  # type: ignore[arg-type]
        return found

    assert numbers(agent="b") == [2, 3]
    assert numbers(context="c") == [1, 2]
    assert numbers(task="t") == [3]
    assert numbers(source="cli") == [2]
    assert numbers(types=("x.one",)) == [1, 3]
    assert numbers(since=T1) == [2, 3]
    assert numbers(since="2026-01-01T00:00:01Z", types=("x.one",)) == [3]
    assert numbers(after=2) == [3]


def test_the_journal_is_not_changed(store: Store, path: Path) -> None:
    store.write(lambda t: [t.events.append(event()) for _ in range(3)])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("UPDATE events SET payload_json = '{}'", "DELETE FROM events WHERE sequence = 1"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    assert store.read(lambda t: t.events.count()) == 3


def test_pruning_leaves_a_record_and_no_number_comes_again(store: Store, path: Path) -> None:
    store.write(lambda t: [t.events.append(event()) for _ in range(5)])
    assert store.write(lambda t: t.events.prune(4, at=T1)) == 3
    assert [row.sequence for row in store.read(lambda t: t.events.list())] == [4, 5]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("SELECT * FROM event_prunings").fetchall() == [(4, T1)]
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("DELETE FROM events WHERE sequence = 4")
    assert store.write(lambda t: t.events.prune(100, at=T2)) == 2
    assert store.write(lambda t: t.events.append(event())) == 6
