"""Collective operations: who took part, and what came of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from storekit import T0, T1, T2, agent, each, event

from missive_host.errors import StorageError, ValidationError
from missive_host.store import GroupRow, MemberRow, OperationMemberRow, OperationRow, Store


def operation(operation_id: str = "bcast/1", **values: Any) -> OperationRow:
    kind = operation_id.partition("/")[0]
    return OperationRow(
        **{
            "operation_id": operation_id,
            "kind": kind,
            "group": "team",
            "context_id": "ctx",
            "created_at": T0,
            "updated_at": T0,
            **values,
        }
    )


def part(alias: str, rank: str, operation_id: str = "bcast/1", **values: Any) -> OperationMemberRow:
    return OperationMemberRow(
        **{
            "operation_id": operation_id,
            "agent": alias,
            "rank": rank,
            "status": "pending",
            "updated_at": T0,
            **values,
        }
    )


def team(store: Store) -> None:
    """A group of two, which has begun a broadcast."""

    def fn(t) -> None:  # type: ignore[no-untyped-def]
        t.groups.create(GroupRow(name="team", created_at=T0, updated_at=T0))
        for alias, rank in (("ann", "10"), ("bob", "9")):
            t.agents.add(agent(alias))
            t.groups.put_member(MemberRow(group="team", agent=alias, rank=rank, created_at=T0, updated_at=T0))
        t.operations.create(operation(), [part(row.agent, row.rank) for row in t.groups.members("team")])

    store.write(fn)


def test_an_operation_comes_back_with_its_members_in_order_of_rank(store: Store) -> None:
    members = [
        part(
            "ann",
            "10",
            request_message_id="m",
            response_message_id="r",
            task_id="t",
            remote_context_id="rc",
            state="completed",
            shape="task",
            error={"code": "missive::transport"},
        ),
        part("bob", "9"),
    ]
    begun = operation(document={"status": "running", "n": [1, None]})
    store.write(lambda t: t.operations.create(begun, members))
    assert store.read(lambda t: t.operations.get("bcast/1")) == begun
    assert store.read(lambda t: t.operations.members("bcast/1")) == (members[1], members[0])


def test_an_id_is_taken_once_and_an_unknown_one_is_told(store: Store) -> None:
    store.write(lambda t: t.operations.create(operation(), ()))
    with pytest.raises(ValidationError, match="operation 'bcast/1' exists already"):
        store.write(lambda t: t.operations.create(operation(), ()))
    for read in (lambda t: t.operations.get("bcast/2"), lambda t: t.operations.finish("bcast/2", "failed", None, T1)):
        with pytest.raises(ValidationError, match="no operation 'bcast/2'"):
            store.write(read)
    assert store.read(lambda t: t.operations.find("bcast/2")) is None
    assert store.read(lambda t: t.operations.members("bcast/2")) == ()


def test_nothing_of_an_operation_is_written_if_a_part_of_it_fails(store: Store) -> None:
    with pytest.raises(StorageError, match="does not fit"):
        store.write(lambda t: t.operations.create(operation(), [part("ann", "1", "bcast/other")]))
    assert store.read(lambda t: t.operations.find("bcast/1")) is None
    with pytest.raises(StorageError, match="does not fit"):
        store.write(lambda t: t.operations.create(operation("dance/1"), ()))


def test_a_member_is_written_as_it_goes_on(store: Store) -> None:
    team(store)
    done = part("ann", "10", status="succeeded", task_id="t", state="completed", shape="task", updated_at=T1)
    store.write(lambda t: t.operations.put_member(done))
    assert store.read(lambda t: t.operations.members("bcast/1")) == (part("bob", "9"), done)
    assert store.read(lambda t: t.operations.get("bcast/1")).updated_at == T1
    store.write(lambda t: t.operations.put_member(part("bob", "9", status="failed")))
    assert store.read(lambda t: t.operations.get("bcast/1")).updated_at == T1, "time does not run backwards"


def test_a_finished_operation_has_its_document(store: Store) -> None:
    team(store)
    store.write(lambda t: t.operations.finish("bcast/1", "succeeded", {"status": "succeeded"}, T1))
    row = store.read(lambda t: t.operations.get("bcast/1"))
    assert row == operation(
        status="succeeded", document={"status": "succeeded"}, updated_at=T1, finished_at=T1, created_at=T0
    )
    store.write(lambda t: t.operations.finish("bcast/1", "failed", None, T2))
    again = store.read(lambda t: t.operations.get("bcast/1"))
    assert (again.status, again.document, again.finished_at) == ("failed", {"status": "succeeded"}, T2)


def test_the_latest_of_a_group_in_a_context(store: Store) -> None:
    for row in (
        operation("bcast/2", created_at=T1),
        operation("bcast/1"),
        operation("gather/3", created_at=T2),
        operation("bcast/4", created_at=T2, context_id="other"),
        operation("bcast/5", created_at=T2, group="others"),
    ):
        store.write(lambda t, row=row: t.operations.create(row, ()))  # type: ignore[misc]

    def latest(*words: str) -> str | None:
        row = store.read(lambda t: t.operations.latest(*words))
        return row.operation_id if row else None

    assert latest("team", "ctx") == "gather/3"
    assert latest("team", "ctx", "bcast") == "bcast/2"
    assert latest("team", "ctx", "barrier") is None
    assert latest("team", "other") == "bcast/4"
    assert latest("nobody", "ctx") is None


def test_whoever_joins_or_leaves_later_does_not_change_it(store: Store) -> None:
    team(store)

    def later(t) -> None:  # type: ignore[no-untyped-def]
        t.agents.add(agent("cat"))
        t.groups.put_member(MemberRow(group="team", agent="cat", rank="1", created_at=T1, updated_at=T1))
        t.groups.remove_member("team", "bob")

    store.write(later)
    assert [row.agent for row in store.read(lambda t: t.operations.members("bcast/1"))] == ["bob", "ann"]


def test_it_outlives_its_group_and_follows_new_names(store: Store) -> None:
    team(store)
    store.write(each(lambda t: t.groups.rename("team", "crew", T1), lambda t: t.agents.rename("ann", "anna", at=T1)))
    assert store.read(lambda t: t.operations.latest("crew", "ctx")) == operation(group="crew")
    assert [row.agent for row in store.read(lambda t: t.operations.members("bcast/1"))] == ["bob", "anna"]
    store.write(lambda t: t.groups.delete("crew"))
    store.write(lambda t: t.agents.remove("anna"))
    assert [row.agent for row in store.read(lambda t: t.operations.members("bcast/1"))] == ["bob", "anna"]


def test_what_a_removed_agent_left_keeps_its_alias_taken_until_it_is_purged(store: Store) -> None:
    team(store)
    store.write(each(lambda t: t.groups.delete("team"), lambda t: t.agents.remove("ann")))
    with pytest.raises(ValidationError, match="'ann' still holds"):
        store.write(lambda t: t.agents.rename("bob", "ann", at=T1))
    store.write(each(lambda t: t.agents.add(agent("ann")), lambda t: t.agents.remove("ann", purge=True)))
    assert [row.agent for row in store.read(lambda t: t.operations.members("bcast/1"))] == ["bob"]
    store.write(lambda t: t.agents.rename("bob", "ann", at=T1))
    assert store.read(lambda t: t.operations.members("bcast/1")) == (part("ann", "9"),)


def test_members_are_replaced_as_a_whole(store: Store) -> None:
    team(store)
    store.write(lambda t: t.operations.put_member(part("ann", "10", error={"code": "x"}, task_id="t")))
    store.write(lambda t: t.operations.put_member(replace(part("ann", "10"), status="succeeded")))
    assert store.read(lambda t: t.operations.members("bcast/1"))[1] == part("ann", "10", status="succeeded")


def test_operations_and_the_journal_are_one_transaction(store: Store) -> None:
    def fails(t) -> None:  # type: ignore[no-untyped-def]
        t.events.append(event("missive.bcast.started"))
        t.operations.create(operation(), [part("ann", "1"), part("bob", "2", "bcast/none")])

    with pytest.raises(StorageError):
        store.write(fails)
    assert store.read(lambda t: (t.events.count(), t.operations.find("bcast/1"))) == (0, None)
