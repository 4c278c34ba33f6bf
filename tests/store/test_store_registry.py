"""Agents, their cards, and contexts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from storekit import T0, T1, T2, agent, context, each, event, message, task

from missive_host.errors import StorageError, ValidationError
from missive_host.store import CardRow, Store


def card(alias: str, **values: Any) -> CardRow:
    return CardRow(
        **{"alias": alias, "url": f"http://{alias}/card", "card": {"name": alias}, "fetched_at": T0, **values}
    )


# --- agents


def test_an_agent_comes_back_as_it_was_registered(store: Store) -> None:
    registered = agent(
        "echo",
        interface_urls={"grpc": "http://echo:1"},
        binding_preference=("grpc", "json-rpc"),
        auth_ref="token",
        tags=("fast", "cheap"),
        notes="says it again",
        metadata={"size": 3, "ü": [None, True]},
    )
    store.write(lambda t: t.agents.add(registered))
    assert store.read(lambda t: t.agents.get("echo")) == registered


def test_an_alias_is_taken_once(store: Store) -> None:
    store.write(lambda t: t.agents.add(agent("echo")))
    with pytest.raises(ValidationError, match="'echo' is already registered") as caught:
        store.write(lambda t: t.agents.add(agent("echo", base_url="http://other")))
    assert caught.value.help is not None
    assert store.read(lambda t: t.agents.get("echo")).base_url == "http://echo"


def test_an_unknown_agent_is_told_with_the_nearest(store: Store) -> None:
    store.write(lambda t: t.agents.add(agent("echo")))
    with pytest.raises(ValidationError, match="no agent 'ecko' is registered; did you mean 'echo'"):
        store.read(lambda t: t.agents.get("ecko"))
    assert store.read(lambda t: t.agents.find("ecko")) is None


def test_agents_are_listed_by_alias_and_by_tag(store: Store) -> None:
    for alias, tags in (("b", ("x",)), ("a", ("x", "y")), ("c", ("xy",))):
        store.write(lambda t, alias=alias, tags=tags: t.agents.add(agent(alias, tags=tags)))  # type: ignore[misc]
    assert [row.alias for row in store.read(lambda t: t.agents.list())] == ["a", "b", "c"]
    assert [row.alias for row in store.read(lambda t: t.agents.list(tag="x"))] == ["a", "b"]
    assert store.read(lambda t: t.agents.list(tag="z")) == ()


def test_several_agents_and_their_cards_are_read_at_once(store: Store) -> None:
    for alias in ("a", "b", "c"):
        store.write(lambda t, alias=alias: t.agents.add(agent(alias)))  # type: ignore[misc]
    cards = {alias: card(alias, etag=f'"{alias}"', expires_at=T1) for alias in ("a", "c")}
    for kept in cards.values():
        store.write(lambda t, kept=kept: t.agents.put_card(kept))  # type: ignore[misc]
    rows = store.read(lambda t: t.agents.among(("c", "b", "nobody")))
    assert rows == {alias: store.read(lambda t, alias=alias: t.agents.get(alias)) for alias in ("b", "c")}  # type: ignore[misc]
    assert store.read(lambda t: t.agents.cards(("a", "b", "nobody"))) == {"a": cards["a"]}
    assert store.read(lambda t: t.agents.among(())) == {}
    assert store.read(lambda t: t.agents.cards(())) == {}


def test_a_card_is_cached_with_its_validators(store: Store) -> None:
    cached = card("echo", etag='"1"', last_modified="yesterday", expires_at=T1, max_age=60)
    store.write(
        each(
            lambda t: t.agents.add(agent("echo")),
            lambda t: t.agents.put_card(card("echo")),
            lambda t: t.agents.put_card(cached),
        )
    )
    assert store.read(lambda t: t.agents.card("echo")) == cached
    row = store.read(lambda t: t.agents.get("echo"))
    assert (row.card_etag, row.card_last_modified, row.card_fetched_at, row.card_expires_at) == (
        '"1"', "yesterday", T0, T1,
    )  # fmt: skip
    store.write(lambda t: t.agents.delete_card("echo"))
    assert store.read(lambda t: t.agents.card("echo")) is None


def test_a_card_needs_its_agent(store: Store) -> None:
    with pytest.raises(StorageError, match="does not fit"):
        store.write(lambda t: t.agents.put_card(card("nobody")))


def test_an_update_keeps_the_card_unless_the_url_changes(store: Store) -> None:
    store.write(each(lambda t: t.agents.add(agent("echo")), lambda t: t.agents.put_card(card("echo"))))
    store.write(lambda t: t.agents.update(replace(t.agents.get("echo"), notes="new", updated_at=T1)))
    changed = store.read(lambda t: t.agents.get("echo"))
    assert (changed.notes, changed.created_at, changed.updated_at, changed.card_fetched_at) == ("new", T0, T1, T0)
    store.write(lambda t: t.agents.update(replace(t.agents.get("echo"), base_url="http://elsewhere")))
    assert store.read(lambda t: t.agents.card("echo")) is None
    with pytest.raises(ValidationError, match="no agent 'nobody'"):
        store.write(lambda t: t.agents.update(agent("nobody")))


def fill(store: Store, alias: str) -> None:
    """Let an agent have one of everything."""

    def fn(t) -> None:  # type: ignore[no-untyped-def]
        t.agents.add(agent(alias))
        t.agents.put_card(card(alias))
        t.contexts.ensure("ctx", alias, at=T0)
        t.contexts.bind_remote("ctx", alias, f"remote-{alias}")
        t.tasks.upsert(task(alias, "task-1", context_id="ctx"))
        t.artifacts.put(alias, "task-1", {"artifactId": "a", "parts": [{"text": "x"}]}, at=T0)
        t.artifacts.append(alias, "task-1", "a", [{"text": "y"}], at=T0)
        t.messages.add_request(message(alias, "m", context_id="ctx"))
        t.events.append(event(agent_alias=alias, context_id="ctx"))

    store.write(fn)


def test_a_removed_agent_leaves_what_was_said(store: Store) -> None:
    fill(store, "echo")
    store.write(lambda t: t.agents.remove("echo"))
    assert store.read(lambda t: (t.agents.find("echo"), t.agents.card("echo"))) == (None, None)
    assert store.read(lambda t: t.tasks.get("task-1")).agent_alias == "echo"
    counts = store.read(lambda t: t.contexts.counts("ctx"))
    assert (counts.task_count, counts.message_count, counts.artifact_count, counts.event_count) == (1, 1, 1, 1)


def test_a_purged_agent_leaves_only_the_context_and_the_journal(store: Store) -> None:
    fill(store, "echo")
    fill(store, "other")
    store.write(lambda t: t.agents.remove("echo", purge=True))
    assert store.read(lambda t: t.tasks.find("echo", "task-1")) is None
    assert store.read(lambda t: t.artifacts.list(agent="echo")) == ()
    assert store.read(lambda t: t.messages.list(agent="echo")) == ()
    assert store.read(lambda t: t.contexts.find("ctx")).remote_contexts == {"other": "remote-other"}
    assert store.read(lambda t: t.events.count(agent="echo")) == 1
    assert store.read(lambda t: len(t.artifacts.list(agent="other", task="task-1")[0].content["parts"])) == 2
    with pytest.raises(ValidationError, match="no agent 'echo'"):
        store.write(lambda t: t.agents.remove("echo"))


def test_a_renamed_agent_takes_everything_along(store: Store) -> None:
    fill(store, "echo")
    store.write(lambda t: t.agents.rename("echo", "parrot", at=T2))
    renamed = store.read(lambda t: t.agents.get("parrot"))
    assert (renamed.base_url, renamed.updated_at, renamed.card_fetched_at) == ("http://echo", T2, T0)
    assert store.read(lambda t: t.agents.find("echo")) is None
    assert store.read(lambda t: t.tasks.get("task-1")).agent_alias == "parrot"
    assert [p["text"] for p in store.read(lambda t: t.artifacts.get("parrot", "task-1", "a")).content["parts"]] == [
        "x", "y",
    ]  # fmt: skip
    assert store.read(lambda t: t.messages.find("parrot", "m")) is not None
    assert store.read(lambda t: t.contexts.remote_of("ctx", "parrot")) == "remote-echo"
    assert store.read(lambda t: t.contexts.find("ctx")).agent_alias == "parrot"
    assert store.read(lambda t: t.events.list())[0].agent_alias == "echo", "the journal is not rewritten"


def test_a_rename_onto_what_is_there_is_refused(store: Store) -> None:
    fill(store, "echo")
    fill(store, "other")
    with pytest.raises(ValidationError, match="'other' is already registered"):
        store.write(lambda t: t.agents.rename("echo", "other", at=T1))
    store.write(lambda t: t.agents.remove("other"))
    with pytest.raises(ValidationError, match="still holds tasks or messages") as caught:
        store.write(lambda t: t.agents.rename("echo", "other", at=T1))
    assert "--purge" in (caught.value.help or "")
    assert store.read(lambda t: t.agents.get("echo")).updated_at == T0


def test_the_registry_follows_the_config(store: Store) -> None:
    store.write(each(lambda t: t.agents.add(agent("mine")), lambda t: t.agents.add(agent("both", notes="by hand"))))
    seeds = (agent("both", updated_at=T1), agent("seeded", updated_at=T1, tags=("x",)))
    assert not store.read(lambda t: t.agents.is_seeded(seeds))
    store.write(lambda t: t.agents.seed(seeds))
    assert store.read(lambda t: t.agents.is_seeded(seeds))
    rows = {row.alias: row for row in store.read(lambda t: t.agents.list())}
    assert {alias: (row.source, row.read_only) for alias, row in rows.items()} == {
        "mine": ("local", False),
        "both": ("config_seed", True),
        "seeded": ("config_seed", True),
    }
    assert (rows["both"].notes, rows["both"].created_at) == (None, T0)
    # The same config read later changes nothing, not even the time.
    later = tuple(replace(row, updated_at=T2) for row in seeds)
    assert store.read(lambda t: t.agents.is_seeded(later))
    store.write(each(lambda t: t.agents.put_card(card("seeded")), lambda t: t.agents.seed(later)))
    assert store.read(lambda t: t.agents.get("seeded")).updated_at == T1
    store.write(lambda t: t.agents.seed((agent("seeded", notes="changed", updated_at=T2),)))
    assert [row.alias for row in store.read(lambda t: t.agents.list())] == ["mine", "seeded"]
    assert store.read(lambda t: t.agents.card("seeded")) is not None, "the URL is the same"
    store.write(lambda t: t.agents.seed(()))
    assert [row.alias for row in store.read(lambda t: t.agents.list())] == ["mine"]


def test_an_agent_of_the_config_is_read_only(store: Store) -> None:
    store.write(lambda t: t.agents.seed((agent("seeded"),)))
    for change in (
        lambda t: t.agents.update(agent("seeded", notes="x")),
        lambda t: t.agents.remove("seeded", purge=True),
        lambda t: t.agents.rename("seeded", "other", at=T1),
    ):
        with pytest.raises(ValidationError, match="comes from the config") as caught:
            store.write(change)
        assert "[agents.seeded]" in (caught.value.help or "")


# --- contexts


def test_a_context_comes_back_as_it_was_created(store: Store) -> None:
    created = context("c1", name="first", agent_alias="echo", summary="about", metadata={"a": 1})
    store.write(lambda t: t.contexts.create(created))
    assert store.read(lambda t: t.contexts.get("c1")) == created
    assert store.read(lambda t: t.contexts.find("first")) == created


def test_an_id_wins_over_a_name(store: Store) -> None:
    store.write(each(lambda t: t.contexts.create(context("c1", name="c2")), lambda t: t.contexts.create(context("c2"))))
    assert store.read(lambda t: t.contexts.find("c2")).context_id == "c2"


def test_ids_and_names_are_taken_once(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c1", name="one")))
    with pytest.raises(ValidationError, match="context 'c1' exists already"):
        store.write(lambda t: t.contexts.create(context("c1")))
    with pytest.raises(ValidationError, match="named 'one' exists already"):
        store.write(lambda t: t.contexts.create(context("c2", name="one")))
    with pytest.raises(ValidationError, match="id or name 'nowhere'"):
        store.write(lambda t: t.contexts.create(context("c3", parent_context_id="nowhere")))
    with pytest.raises(ValidationError, match="id or name 'on'; did you mean 'one'"):
        store.read(lambda t: t.contexts.find("on"))


def test_a_context_is_made_when_it_is_first_used(store: Store) -> None:
    assert store.write(lambda t: t.contexts.ensure("c", "echo", at=T0)) is True
    assert store.write(lambda t: t.contexts.ensure("c", "other", at=T0)) is False
    assert store.write(lambda t: t.contexts.ensure("c", None, at=T1)) is False
    row = store.read(lambda t: t.contexts.find("c"))
    assert (row.agent_alias, row.created_at, row.updated_at, row.state) == ("echo", T0, T1, "open")
    store.write(lambda t: t.contexts.touch("c", at=T2))
    assert store.read(lambda t: t.contexts.find("c")).updated_at == T2


def test_nothing_is_sent_in_a_closed_context(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c", name="n", summary="begun")))
    closed = store.write(lambda t: t.contexts.close("n", at=T1))
    assert (closed.state, closed.closed_at, closed.summary) == ("closed", T1, "begun")
    again = store.write(lambda t: t.contexts.close("c", at=T2, summary="done"))
    assert (again.closed_at, again.summary) == (T1, "done")
    with pytest.raises(ValidationError, match="is not open") as caught:
        store.write(lambda t: t.contexts.ensure("c", "echo", at=T2))
    assert "fork" in (caught.value.help or "")


def test_a_fork_remembers_where_it_came_from(store: Store) -> None:
    store.write(lambda t: t.contexts.create(context("c", name="n", agent_alias="echo")))
    store.write(lambda t: t.contexts.bind_remote("c", "echo", "remote"))
    child = store.write(lambda t: t.contexts.fork("n", context("d", created_at=T1, metadata={"mine": 1})))
    assert store.read(lambda t: t.contexts.find("d")) == child
    assert (child.parent_context_id, child.agent_alias, child.remote_contexts) == ("c", "echo", {})
    assert child.metadata == {
        "mine": 1,
        "missive.context.parent_id": "c",
        "missive.context.parent_name": "n",
        "missive.context.forked_at": T1,
    }
    assert [row.context_id for row in store.read(lambda t: t.contexts.list(parent="c"))] == ["d"]


def test_contexts_are_listed_the_last_used_first(store: Store) -> None:
    for name, agent_alias, at in (("a", "echo", T0), ("b", None, T2), ("c", "other", T1)):
        row = context(name, name=f"n-{name}", agent_alias=agent_alias, updated_at=at)
        store.write(lambda t, row=row: t.contexts.create(row))  # type: ignore[misc]
    store.write(each(lambda t: t.contexts.bind_remote("b", "echo", "r"), lambda t: t.contexts.close("a", at=T0)))

    def ids(**filters: str) -> list[str]:
        return [row.context_id for row in store.read(lambda t: t.contexts.list(**filters))]

    assert ids() == ["b", "c", "a"]
    assert ids(agent="echo") == ["b", "a"]
    assert ids(state="closed") == ["a"]
    assert ids(name="n-c") == ["c"]
    assert ids(agent="echo", state="open") == ["b"]


def test_each_agent_has_its_own_id_for_a_context(store: Store) -> None:
    store.write(
        each(lambda t: t.contexts.create(context("c")), lambda t: t.contexts.create(context("d", updated_at=T1)))
    )
    assert store.write(lambda t: t.contexts.bind_remote("c", "echo", "r1")) is True
    assert store.write(lambda t: t.contexts.bind_remote("c", "echo", "r1")) is False
    assert store.write(lambda t: t.contexts.bind_remote("c", "other", "r1")) is True
    assert store.read(lambda t: t.contexts.remote_of("c", "echo")) == "r1"
    assert store.write(lambda t: t.contexts.bind_remote("c", "echo", "r2")) is True
    assert store.read(lambda t: t.contexts.find("c")).remote_contexts == {"echo": "r2", "other": "r1"}
    assert store.read(lambda t: t.contexts.local_of("echo", "r2")) == "c"
    assert store.read(lambda t: t.contexts.local_of("echo", "r1")) is None
    store.write(lambda t: t.contexts.bind_remote("d", "echo", "r2"))
    assert store.read(lambda t: t.contexts.local_of("echo", "r2")) == "d", "the last used"
    assert store.read(lambda t: t.contexts.remote_of("d", "other")) is None


def test_a_binding_needs_its_context(store: Store) -> None:
    with pytest.raises(StorageError, match="does not fit"):
        store.write(lambda t: t.contexts.bind_remote("nowhere", "echo", "r"))
