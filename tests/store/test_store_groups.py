"""Groups, their members, what routing remembers, and how agents and the config change them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from storekit import T0, T1, T2, agent, each

from missive_host.errors import ValidationError
from missive_host.store import BreakerRow, GroupRow, MemberRow, Store, migrate
from missive_host.store.connection import APPLICATION_ID
from missive_host.store.values import rank_order

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def group(name: str = "reviewers", **values: Any) -> GroupRow:
    return GroupRow(**{"name": name, "created_at": T0, "updated_at": T0, **values})


def member(alias: str, rank: str, group_name: str = "reviewers", **values: Any) -> MemberRow:
    return MemberRow(
        **{"group": group_name, "agent": alias, "rank": rank, "created_at": T0, "updated_at": T0, **values}
    )


def fill(store: Store, ranks: Iterable[tuple[str, str]] = (("ann", "1"), ("bob", "2"))) -> None:
    """Register agents and put them into the group ``reviewers``."""

    def fn(t) -> None:  # type: ignore[no-untyped-def]
        t.groups.create(group())
        for alias, rank in ranks:
            t.agents.add(agent(alias))
            t.groups.put_member(member(alias, rank))

    store.write(fn)


def aliases(store: Store, name: str = "reviewers") -> list[str]:
    return [row.agent for row in store.read(lambda t: t.groups.members(name))]


# --- groups


def test_a_group_comes_back_as_it_was_made(store: Store) -> None:
    made = group(routing_policy="round-robin", notes="they read", metadata={"ü": [None, 1.5]})
    store.write(lambda t: t.groups.create(made))
    assert store.read(lambda t: t.groups.get("reviewers")) == made
    assert store.read(lambda t: t.groups.members("reviewers")) == ()


def test_a_name_is_taken_once_and_groups_are_listed_by_name(store: Store) -> None:
    store.write(each(lambda t: t.groups.create(group("b")), lambda t: t.groups.create(group("a"))))
    with pytest.raises(ValidationError, match="a group 'a' exists already"):
        store.write(lambda t: t.groups.create(group("a", notes="other")))
    assert [row.name for row in store.read(lambda t: t.groups.list())] == ["a", "b"]
    assert store.read(lambda t: t.groups.get("a")).notes is None


def test_an_unknown_group_is_told_with_the_nearest(store: Store) -> None:
    store.write(lambda t: t.groups.create(group()))
    with pytest.raises(ValidationError, match="no group 'reviewer' is known; did you mean 'reviewers'"):
        store.read(lambda t: t.groups.get("reviewer"))
    assert store.read(lambda t: t.groups.find("reviewer")) is None
    for change in (
        lambda t: t.groups.rename("no", "other", T1),
        lambda t: t.groups.delete("no"),
        lambda t: t.groups.put_member(member("ann", "1", "no")),
        lambda t: t.groups.remove_member("no", "ann"),
    ):
        with pytest.raises(ValidationError, match="no group 'no'"):
            store.write(change)
    assert store.read(lambda t: t.groups.members("no")) == ()


def test_a_renamed_group_keeps_everything(store: Store) -> None:
    fill(store)
    store.write(lambda t: t.routing.put_state("reviewers", "round-robin", {"cursor": 3}, T0))
    store.write(lambda t: t.groups.rename("reviewers", "critics", T1))
    assert store.read(lambda t: t.groups.find("reviewers")) is None
    renamed = store.read(lambda t: t.groups.get("critics"))
    assert (renamed.created_at, renamed.updated_at) == (T0, T1)
    assert aliases(store, "critics") == ["ann", "bob"]
    assert store.read(lambda t: t.routing.state("critics", "round-robin")) == {"cursor": 3}
    store.write(lambda t: t.groups.create(group()))
    with pytest.raises(ValidationError, match="a group 'reviewers' exists already"):
        store.write(lambda t: t.groups.rename("critics", "reviewers", T2))


def test_a_deleted_group_leaves_its_agents(store: Store) -> None:
    fill(store)
    store.write(lambda t: t.routing.put_state("reviewers", "sticky", {"a": "ann"}, T0))
    store.write(lambda t: t.groups.delete("reviewers"))
    assert store.read(lambda t: t.groups.list()) == ()
    assert [row.alias for row in store.read(lambda t: t.agents.list())] == ["ann", "bob"]
    store.write(lambda t: t.groups.create(group()))
    assert aliases(store) == []
    assert store.read(lambda t: t.routing.state("reviewers", "sticky")) == {}


# --- members


def test_a_member_comes_back_as_it_was_put(store: Store) -> None:
    fill(store, ())
    put = member("ann", "lead", tags=("x", "y"), weight=0.25, routing_metadata={"zone": "eu"})
    store.write(lambda t: t.agents.add(agent("ann")))
    assert store.write(lambda t: t.groups.put_member(put)) is True
    assert store.read(lambda t: t.groups.members("reviewers")) == (put,)
    assert store.read(lambda t: t.groups.of_agent("ann")) == (put,)


def test_putting_a_member_again_changes_it(store: Store) -> None:
    fill(store)
    again = member("ann", "3", weight=2, tags=("new",), created_at=T1, updated_at=T1)
    assert store.write(lambda t: t.groups.put_member(again)) is False
    assert aliases(store) == ["bob", "ann"]
    stored = store.read(lambda t: t.groups.members("reviewers"))[1]
    assert stored == replace(again, created_at=T0), "it is a member since then"
    store.write(lambda t: t.groups.put_member(replace(again, rank="3")))


def test_members_are_in_order_of_rank_with_numbers_as_numbers(store: Store) -> None:
    ranks = ["10", "2", "lead", "1", "r2", "r10", "01", "a.1", "a-2"]
    fill(store, ((f"agent-{rank}", rank) for rank in ranks))
    assert [row.rank for row in store.read(lambda t: t.groups.members("reviewers"))] == [
        "01", "1", "2", "10", "a-2", "a.1", "lead", "r2", "r10",
    ]  # fmt: skip
    assert rank_order("2") < rank_order("10") < rank_order("a")
    assert rank_order("1") != rank_order("01")


def test_a_rank_is_taken_once_in_a_group(store: Store) -> None:
    fill(store)
    with pytest.raises(ValidationError, match="rank '1' in the group 'reviewers' is taken by agent 'ann'"):
        store.write(lambda t: t.groups.put_member(member("bob", "1")))
    store.write(
        each(lambda t: t.groups.create(group("other")), lambda t: t.groups.put_member(member("bob", "1", "other")))
    )
    assert [row.group for row in store.read(lambda t: t.groups.of_agent("bob"))] == ["other", "reviewers"]


def test_only_registered_agents_are_members(store: Store) -> None:
    fill(store)
    with pytest.raises(ValidationError, match="no agent 'anna' is registered; did you mean 'ann'"):
        store.write(lambda t: t.groups.put_member(member("anna", "3")))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_is_positive_and_finite(store: Store, weight: float) -> None:
    fill(store)
    with pytest.raises(ValidationError, match="weight"):
        store.write(lambda t: t.groups.put_member(member("ann", "1", weight=weight)))
    assert store.read(lambda t: t.groups.members("reviewers"))[0].weight == 1.0


def test_a_removed_member_is_gone(store: Store) -> None:
    fill(store)
    assert store.write(lambda t: t.groups.remove_member("reviewers", "ann")) == member("ann", "1")
    assert aliases(store) == ["bob"]
    with pytest.raises(ValidationError, match="agent 'bobo' is not in the group 'reviewers'; did you mean 'bob'"):
        store.write(lambda t: t.groups.remove_member("reviewers", "bobo"))


# --- agents that go or change


def test_an_agent_in_a_group_is_removed_only_with_purge(store: Store) -> None:
    fill(store)
    store.write(each(lambda t: t.groups.create(group("b")), lambda t: t.groups.put_member(member("ann", "1", "b"))))
    with pytest.raises(ValidationError, match="agent 'ann' is in the groups b, reviewers") as caught:
        store.write(lambda t: t.agents.remove("ann"))
    assert "--purge" in (caught.value.help or "")
    assert aliases(store) == ["ann", "bob"]
    store.write(lambda t: t.agents.remove("ann", purge=True))
    assert (aliases(store), aliases(store, "b")) == (["bob"], [])
    store.write(each(lambda t: t.groups.remove_member("reviewers", "bob"), lambda t: t.agents.remove("bob")))
    assert store.read(lambda t: t.agents.list()) == ()


def test_a_renamed_agent_takes_its_places_and_its_breaker_with_it(store: Store) -> None:
    fill(store)
    store.write(lambda t: t.breakers.put(BreakerRow(alias="ann", failures=2, updated_at=T0)))
    store.write(lambda t: t.agents.rename("ann", "anna", at=T1))
    assert aliases(store) == ["anna", "bob"]
    assert [row.alias for row in store.read(lambda t: t.breakers.list())] == ["anna"]


# --- routing


def test_a_state_is_kept_by_group_and_policy(store: Store) -> None:
    fill(store)
    assert store.read(lambda t: t.routing.state("reviewers", "round-robin")) == {}
    store.write(
        each(
            lambda t: t.routing.put_state("reviewers", "round-robin", {"cursor": 1}, T0),
            lambda t: t.routing.put_state("reviewers", "round-robin", {"cursor": 2}, T1),
            lambda t: t.routing.put_state("reviewers", "sticky", {"choices": {"c": "ann"}}, T1),
        )
    )
    assert store.read(lambda t: t.routing.state("reviewers", "round-robin")) == {"cursor": 2}
    assert store.read(lambda t: t.routing.state("reviewers", "sticky")) == {"choices": {"c": "ann"}}


def test_a_state_of_a_group_that_has_just_gone_is_dropped(store: Store) -> None:
    store.write(lambda t: t.routing.put_state("gone", "round-robin", {"cursor": 1}, T0))
    assert store.read(lambda t: t.routing.state("gone", "round-robin")) == {}


def test_a_breaker_is_kept_with_its_agent(store: Store) -> None:
    fill(store)
    opened = BreakerRow(alias="ann", failures=3, opened_at=T0, until=T1, last_error="refused", updated_at=T0)
    store.write(each(lambda t: t.breakers.put(replace(opened, failures=2)), lambda t: t.breakers.put(opened)))
    assert store.read(lambda t: t.breakers.get("ann")) == opened
    assert store.read(lambda t: t.breakers.get("bob")) is None
    store.write(lambda t: t.breakers.put(BreakerRow(alias="bob", failures=1, updated_at=T0)))
    assert [row.alias for row in store.read(lambda t: t.breakers.list())] == ["ann", "bob"]
    store.write(lambda t: t.agents.update(replace(t.agents.get("ann"), notes="n")))
    assert store.read(lambda t: t.breakers.get("ann")) == opened
    store.write(lambda t: t.agents.update(replace(t.agents.get("ann"), base_url="http://elsewhere")))
    assert store.read(lambda t: t.breakers.get("ann")) is None, "another place has not failed yet"
    store.write(lambda t: t.agents.remove("bob", purge=True))
    store.write(lambda t: t.breakers.put(BreakerRow(alias="bob", failures=1, updated_at=T0)))
    assert store.read(lambda t: t.breakers.list()) == ()


# --- the config


def seed(store: Store, *seeds: tuple[GroupRow, tuple[MemberRow, ...]]) -> bool:
    """Do as the core does when it opens a store. Return True if there was anything to do."""
    if store.read(lambda t: t.groups.is_seeded(seeds)):
        return False
    store.write(lambda t: t.groups.seed(seeds))
    assert store.read(lambda t: t.groups.is_seeded(seeds))
    return True


def test_the_config_makes_read_only_groups(store: Store) -> None:
    fill(store, ())
    store.write(each(lambda t: t.agents.add(agent("ann")), lambda t: t.agents.add(agent("bob"))))
    wanted = group("team", notes="from the config"), (member("bob", "2", "team"), member("ann", "1", "team"))
    assert seed(store, wanted) is True
    assert seed(store, wanted) is False
    stored = store.read(lambda t: t.groups.get("team"))
    assert (stored.source, stored.read_only, stored.notes) == ("config_seed", True, "from the config")
    assert aliases(store, "team") == ["ann", "bob"]
    for change in (
        lambda t: t.groups.put_member(member("ann", "3", "team")),
        lambda t: t.groups.remove_member("team", "ann"),
        lambda t: t.groups.rename("team", "other", T1),
        lambda t: t.groups.delete("team"),
    ):
        with pytest.raises(ValidationError, match="comes from the config") as caught:
            store.write(change)
        assert "[groups.team]" in (caught.value.help or "")
    assert store.read(lambda t: t.groups.get("reviewers")).read_only is False


def test_a_changed_config_changes_its_groups_and_nothing_else(store: Store) -> None:
    fill(store)
    store.write(lambda t: t.agents.add(agent("cat")))
    old = group("team"), tuple(member(a, r, "team") for a, r in (("ann", "1"), ("bob", "2"), ("cat", "3")))
    assert seed(store, old, (group("gone"), ()))
    store.write(lambda t: t.routing.put_state("team", "round-robin", {"cursor": 5}, T0))
    # Ann and Bob change places, Cat leaves; the rows of a later start have later times.
    later = {"created_at": T1, "updated_at": T1}
    new = (
        group("team", routing_policy="weighted", **later),
        (member("ann", "2", "team", **later), member("bob", "1", "team", **later)),
    )
    assert seed(store, new)
    assert not seed(store, new)
    team = store.read(lambda t: t.groups.get("team"))
    assert (team.routing_policy, team.created_at, team.updated_at) == ("weighted", T0, T1)
    members = store.read(lambda t: t.groups.members("team"))
    assert [(row.agent, row.rank, row.created_at, row.updated_at) for row in members] == [
        ("bob", "1", T0, T1), ("ann", "2", T0, T1),
    ]  # fmt: skip
    assert store.read(lambda t: t.routing.state("team", "round-robin")) == {"cursor": 5}
    assert store.read(lambda t: t.groups.find("gone")) is None
    assert aliases(store) == ["ann", "bob"]


def test_the_config_wins_over_a_group_made_by_hand(store: Store) -> None:
    fill(store)
    assert seed(store, (group(notes="config", created_at=T1, updated_at=T1), (member("bob", "9"),)))
    row = store.read(lambda t: t.groups.get("reviewers"))
    assert (row.read_only, row.notes, row.created_at) == (True, "config", T0)
    assert aliases(store) == ["bob"]
    assert seed(store)
    assert store.read(lambda t: t.groups.list()) == ()


def test_a_seed_without_effect_changes_no_time(store: Store) -> None:
    store.write(lambda t: t.agents.add(agent("ann")))
    wanted = group("team", metadata={"a": 1}), (member("ann", "1", "team", weight=2),)
    seed(store, wanted)
    later = (
        replace(wanted[0], created_at=T2, updated_at=T2),
        (replace(wanted[1][0], created_at=T2, updated_at=T2),),
    )
    assert seed(store, later) is False
    changed = (replace(later[0], notes="n"), later[1])
    assert seed(store, changed) is True
    assert store.read(lambda t: t.groups.get("team")).updated_at == T2
    assert store.read(lambda t: t.groups.members("team"))[0].updated_at == T0


# --- an older store


def test_a_store_of_the_first_schema_is_brought_up_to_date(path: Path, tmp_path: Path) -> None:
    first = tmp_path / "migrations"
    first.mkdir()
    file = migrate.FOLDER / "0001_foundation.sql"
    (first / file.name).write_bytes(file.read_bytes())
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate.apply(connection, application_id=APPLICATION_ID, folder=first)
        connection.execute(
            "INSERT INTO agents VALUES ('old', 'local', 'http://old', '{}', '[]', NULL, '[]', NULL, '{}', 0, ?, ?)",
            (T0, T0),
        )
    with Store.open(path) as store:
        assert store.read(lambda t: t.agents.get("old")).base_url == "http://old"
        store.write(each(lambda t: t.groups.create(group()), lambda t: t.groups.put_member(member("old", "1"))))
        assert aliases(store) == ["old"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (migrate.SCHEMA_VERSION,)
