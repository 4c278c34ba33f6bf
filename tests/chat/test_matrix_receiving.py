"""What people say in Matrix rooms, on a real homeserver."""

from __future__ import annotations

import anyio
import pytest
from missive_chat.platform import Place
from support.chat.matrix import Account, Person, outgoing
from support.chat.synapse import Synapse

pytestmark = pytest.mark.anyio


async def test_a_direct_message_comes_in(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice:
        account.options["users"] = (alice.id,)
        async with account.listening() as line:
            room = await alice.room(account.id, direct=True)
            await alice.say(room, "said while it was invited")
            await alice.is_in(room, account.id)
            said = await alice.say(room, "hello **you**")
            inbound = await line.text("hello **you**")
        assert inbound.event_id == inbound.message_id == said
        assert inbound.place == Place(chat=room, is_direct=True)
        assert (inbound.sender.id, inbound.sender.name) == (alice.id, alice.name)
        assert not inbound.sender.is_me
        assert inbound.kind == "message"
        assert not inbound.mentions_me
        assert inbound.unauthentic is None
        assert inbound.automatic is None
        assert inbound.sent_at is not None
        assert [each.text for each in line.heard] == ["said while it was invited", "hello **you**"]
        assert account.alive > 1


async def test_who_is_meant_in_a_room(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice, Person(synapse, "bob") as bob:
        account.options["users"] = (alice.id,)
        localpart = account.id[1:].partition(":")[0]
        pill = f'<a href="https://matrix.to/#/{account.id}">{localpart}</a>: to the pill'
        async with account.listening() as line:
            room = await alice.room(account.id, bob.id, name="ops")
            await alice.is_in(room, account.id)
            mentions = {"m.mentions": {"user_ids": [account.id]}}
            await alice.say(room, "to nobody", **{"m.mentions": {}})
            await alice.say(room, f"{localpart}: by mention", **mentions)
            await alice.say(room, f"{localpart}: to the pill", format="org.matrix.custom.html", formatted_body=pill)
            await alice.say(room, f"{localpart}, by hand", **{"m.mentions": {}})
            await alice.say(room, f"hey {account.id} by id")
            await alice.say(room, f"I like {localpart} much")
            await alice.say(room, f"I like {localpart} more", **{"m.mentions": {}})
            await alice.say(room, "@room everybody", **{"m.mentions": {"room": True}})
            await alice.say(room, f"{localpart}ling is another", **{"m.mentions": {}})
            await line.text(f"{localpart}ling is another")
        assert [(each.text, each.mentions_me) for each in line.heard] == [
            ("to nobody", False),
            ("by mention", True),
            ("to the pill", True),
            ("by hand", True),
            ("hey by id", True),
            (f"I like {localpart} much", True),
            (f"I like {localpart} more", False),
            ("@room everybody", False),
            (f"{localpart}ling is another", False),
        ]
        assert not any(each.place.is_direct for each in line.heard)


async def test_a_room_of_three_is_not_direct_also_after_a_restart(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice, Person(synapse, "bob") as bob:
        account.options["users"] = (alice.id,)
        async with account.listening() as line:
            room = await alice.room(account.id, bob.id, direct=True)
            await alice.is_in(room, account.id)
            await alice.say(room, "one")
            await line.text("one")
        await alice.say(room, "two")
        async with account.listening() as again:
            await again.text("two")
            assert not [each for each in (*line.heard, *again.heard) if each.place.is_direct]
            await alice.nio.room_kick(room, bob.id)
            await alice.say(room, "three")
            assert (await again.text("three")).place.is_direct


async def test_threads_and_replies(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice, Person(synapse, "bob") as bob:
        account.options["users"] = (alice.id,)
        async with account.listening() as line:
            room = await alice.room(account.id, bob.id)
            await alice.is_in(room, account.id)
            root = await alice.say(room, "root")
            fallback = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True}
            first = await alice.say(
                room, "in the thread", **{"m.relates_to": {**fallback, "m.in_reply_to": {"event_id": root}}}
            )
            real = {"rel_type": "m.thread", "event_id": root, "m.in_reply_to": {"event_id": first}}
            await alice.say(room, "reply in the thread", **{"m.relates_to": real})
            quoted = f"> <{alice.id}> root\n> more of it\n\nreply with a quote"
            await alice.say(room, quoted, **{"m.relates_to": {"m.in_reply_to": {"event_id": root}}})
            await line.text("reply with a quote")
        assert [(each.text, each.place.thread, each.reply_to) for each in line.heard] == [
            ("root", None, None),
            ("in the thread", root, None),
            ("reply in the thread", root, first),
            ("reply with a quote", None, root),
        ]


async def test_what_is_changed_and_taken_back(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice, Person(synapse, "bob") as bob:
        account.options["users"] = (alice.id,)
        async with account.listening() as line:
            room = await alice.room(account.id, bob.id)
            await bob.nio.join(room)
            await alice.is_in(room, account.id)
            said = await alice.say(room, "frist")
            new = {"m.new_content": {"msgtype": "m.text", "body": "first"}}
            relation = {"m.relates_to": {"rel_type": "m.replace", "event_id": said}}
            changed = await alice.say(room, "* first", **new, **relation)
            forged = {"m.new_content": {"msgtype": "m.text", "body": "by bob"}}
            await bob.say(room, "* by bob", **forged, **relation)
            await alice.nio.room_redact(room, said)
            gone = await line.until(lambda each: each.kind == "delete")
        assert gone.message_id == said
        kinds = [(each.kind, each.message_id, each.text) for each in line.heard]
        assert kinds == [("message", said, "frist"), ("edit", said, "first"), ("delete", said, "")]
        assert line.heard[1].event_id == changed


async def test_programs_and_the_bridge_itself_are_not_answered(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice:
        account.options["users"] = (alice.id,)
        async with account.listening() as line:
            room = await alice.room(account.id)
            await alice.is_in(room, account.id)
            await line.platform.send(outgoing(Place(chat=room), "from the bridge itself"))
            said = await alice.send(room, {"msgtype": "m.notice", "body": "a notice"})
            await alice.send(room, {"m.relates_to": {"rel_type": "m.annotation", "event_id": said, "key": "x"}},
                             "m.reaction")  # fmt: skip
            await alice.say(room, "odd", format={}, formatted_body=7, filename=[])
            await alice.send(room, {"msgtype": "m.emote", "body": "waves"})
            await line.text("waves")
        assert [(each.text, each.automatic is None) for each in line.heard] == [
            ("a notice", False), ("odd", True), ("waves", True),
        ]  # fmt: skip


async def test_history_is_left_alone_and_what_was_missed_is_fetched_in_order(
    synapse: Synapse, account: Account
) -> None:
    async with Person(synapse, "alice") as alice:
        account.options["users"] = (alice.id,)
        room = await alice.room(account.id)
        token = synapse.log_in(account.id, "OTHER")
        synapse.ask("POST", f"/_matrix/client/v3/join/{room}", {}, token=token)
        await alice.say(room, "before the first start")
        async with account.listening() as line:
            await alice.say(room, "after it")
            await line.text("after it")
        texts = [f"number {number}" for number in range(130)]  # more than one sync gives
        for text in texts:
            await alice.say(room, text)
        async with account.listening() as again:
            await again.text(texts[-1])
        assert [each.text for each in line.heard] == ["after it"]
        assert [each.text for each in again.heard] == texts
        async with account.listening() as third:
            await alice.say(room, "once")
            await third.text("once")
        assert [each.text for each in third.heard] == ["once"]


async def test_what_was_not_taken_in_comes_again_under_the_same_id(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice:
        account.options["users"] = (alice.id,)
        async with account.listening():
            room = await alice.room(account.id)
            await alice.is_in(room, account.id)
        taken: list[str] = []

        async def dies(inbound: object) -> bool:
            taken.append(inbound.event_id)  # type: ignore[attr-defined]
            raise RuntimeError("the process dies here")

        said = await alice.say(room, "hello")
        async with account.opened() as platform:
            with pytest.raises(RuntimeError):
                await platform.listen(dies)
        async with account.listening() as line:
            await line.text("hello")
        assert taken == [said]
        assert [each.event_id for each in line.heard] == [said]


async def test_only_invitations_of_those_who_may_write_are_followed(synapse: Synapse, account: Account) -> None:
    async with Person(synapse, "alice") as alice, Person(synapse, "mallory") as mallory:
        account.options["users"] = (alice.id,)
        left_open = await mallory.room(account.id, direct=True)
        early = await alice.room(account.id)
        async with account.listening() as line:
            late = await alice.room(account.id)
            for room in (early, late):
                await alice.is_in(room, account.id)
            await alice.say(late, "hello")
            await line.text("hello")
        async with account.opened() as platform:
            rooms = next(check for check in await platform.check() if check.id == "rooms")
            assert rooms.message == "in 2 rooms"
        path = f"/_matrix/client/v3/rooms/{left_open}/joined_members"
        assert list(synapse.ask("GET", path, token=mallory.token)["joined"]) == [mallory.id]
        async with account.listening(dm_policy="pairing"):
            room = await mallory.room(account.id, direct=True)
            await mallory.is_in(room, account.id)
        async with account.listening(auto_join=False) as line:
            room = await alice.room(account.id)
            await alice.say(early, "still here")
            await line.text("still here")
            path = f"/_matrix/client/v3/rooms/{room}/joined_members"
            assert list(synapse.ask("GET", path, token=alice.token)["joined"]) == [alice.id]


async def test_a_server_that_goes_away_and_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    from support.chat.matrix import make_account

    with Synapse() as server:
        account = make_account(server, tmp_path_factory.mktemp("account"))
        async with Person(server, "alice") as alice:
            account.options["users"] = (alice.id,)
            async with account.listening() as line:
                room = await alice.room(account.id)
                await alice.is_in(room, account.id)
                await alice.say(room, "before")
                await line.text("before")
                await anyio.to_thread.run_sync(lambda: server.restart(crash=True))
                with anyio.fail_after(60):
                    while True:
                        try:
                            await alice.say(room, "after")
                        except Exception:  # noqa: BLE001 - it is still starting
                            await anyio.sleep(0.2)
                        else:
                            break
                await line.text("after")
            assert [each.text for each in line.heard] == ["before", "after"]
