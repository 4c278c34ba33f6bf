"""What the bridge says in Matrix rooms, on a real homeserver."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from pathlib import Path
from typing import Any

import anyio
import pytest
from missive_chat.platform import ChatError, ChatLoginError, OutgoingFile, Place
from missive_chat.platforms.matrix.contents import MAX_TEXT
from missive_chat.platforms.matrix.platform import Matrix
from support.chat.matrix import Account, FileCursor, Line, Person, make_account, outgoing
from support.chat.synapse import PASSWORD, Synapse
from support.cutting import CuttingProxy
from support.secrets import planted

from missive_host.errors import ConfigError, MissiveError
from missive_host.security.secrets import Secret

pytestmark = pytest.mark.anyio


async def meet(alice: Person, line: Line, *others: str) -> Place:
    """Return a room in which both are."""
    room = await alice.room(line.account.id, *others)
    await alice.is_in(room, line.account.id)
    return Place(chat=room, is_direct=not others)


@pytest.fixture
async def alice(synapse: Synapse, account: Account) -> Any:
    async with Person(synapse, "alice") as person:
        account.options["users"] = (person.id,)
        yield person


async def test_a_message_of_the_same_key_is_taken_once(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        first = await line.platform.send(outgoing(place, "once"))
        assert await line.platform.send(outgoing(place, "once")) == first
    async with account.opened() as again:  # as after a crash between the sending and writing it down
        assert await again.send(outgoing(place, "once")) == first
        last = await again.send(outgoing(place, "another", 2))
    await alice.until(lambda: alice.event(last))
    assert alice.texts(place.chat, account.id) == ["once", "another"]


async def test_a_text_is_markdown_and_rings_no_bell(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        levels = {"users": {account.id: 100}}  # who may ring for the whole room
        account.server.ask(
            "PUT", f"/_matrix/client/v3/rooms/{place.chat}/state/m.room.power_levels/", levels, token=alice.token
        )
        text = f"**@room** {alice.id} <b>x</b> [click](javascript:alert(1))"
        sent = await line.platform.send(outgoing(place, text))
    event = await alice.until(lambda: alice.event(sent))
    content = event["content"]
    assert content["msgtype"] == "m.text"
    assert content["m.mentions"] == {}
    assert content["body"] == text.replace("@room", "@\u200broom")
    assert content["format"] == "org.matrix.custom.html"
    assert content["formatted_body"] == (
        f"<strong>@\u200broom</strong> {alice.id} &lt;b&gt;x&lt;/b&gt; [click](javascript:alert(1))"
    )
    notifications = account.server.ask("GET", "/_matrix/client/v3/notifications?only=highlight", token=alice.token)
    assert notifications["notifications"] == []


async def test_answers_in_threads_and_to_messages(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        root = await alice.say(place.chat, "root")
        in_thread = Place(chat=place.chat, thread=root)
        sent = [
            await line.platform.send(outgoing(in_thread, "in the thread", 1, reply_to=root)),
            await line.platform.send(outgoing(in_thread, "more", 2)),
            await line.platform.send(outgoing(place, "reply", 3, reply_to=root)),
            await line.platform.send(outgoing(place, "by itself", 4)),
        ]
    await alice.until(lambda: alice.event(sent[-1]))
    thread = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True, "m.in_reply_to": {"event_id": root}}
    relations = [(alice.event(each) or {})["content"].get("m.relates_to") for each in sent]
    assert relations == [thread, thread, {"m.in_reply_to": {"event_id": root}}, None]


async def test_a_message_grows_by_edits(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        sent = await line.platform.send(outgoing(place, "working", progress=True))
        await line.platform.edit(place, sent, "working: **half**")
        await line.platform.edit(place, sent, "working: **half**")
        await line.platform.edit(place, sent, "done", final=True)
    await alice.until(lambda: alice.texts(place.chat, account.id) == ["done"])
    edits = [event["content"] for event in alice.seen if "m.new_content" in event["content"]]
    assert [edit["body"] for edit in edits] == ["* working: **half**", "* working: **half**", "* done"]
    assert all(edit["m.mentions"] == edit["m.new_content"]["m.mentions"] == {} for edit in edits)


async def test_the_longest_text_goes_and_a_longer_one_is_refused(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        long = 'ä"<&*' * 8000
        while len(line.platform.render(long).encode()) > MAX_TEXT:
            long = long[:-100]
        sent = await line.platform.send(outgoing(place, long))
        await line.platform.edit(place, sent, long[:-1])
        await alice.until(lambda: alice.texts(place.chat, account.id) == [long[:-1]])
        for call in (line.platform.send(outgoing(place, long * 2, 2)), line.platform.edit(place, sent, long * 2)):
            with pytest.raises(ChatError, match="40,000") as caught:
                await call
            assert caught.value.permanent
            assert not caught.value.maybe_sent


async def test_files_go_both_ways(alice: Person, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(b"a,b\n" * 1000)
    async with account.listening() as line:
        place = await meet(alice, line)
        file = OutgoingFile(path=path, name="report.csv", media_type="text/csv")
        sent = await line.platform.send(outgoing(place, "the **report**", file=file))
        event = await alice.until(lambda: alice.event(sent))
        content = event["content"]
        assert (content["msgtype"], content["filename"], content["body"]) == ("m.file", "report.csv", "the **report**")
        assert content["info"] == {"mimetype": "text/csv", "size": 4000}
        await alice.send(place.chat, {**content, "body": "report.csv"})
        inbound = await line.until(lambda each: bool(each.attachments))
        (attachment,) = inbound.attachments
        assert inbound.text == ""
        assert (attachment.name, attachment.media_type, attachment.size) == ("report.csv", "text/csv", 4000)
        assert await line.platform.download(attachment, tmp_path / "in", limit=4000) == 4000
        assert (tmp_path / "in").read_bytes() == path.read_bytes()
        with pytest.raises(ChatError, match="more than 3,999 bytes") as caught:
            await line.platform.download(attachment, tmp_path / "over", limit=3999)
        assert caught.value.permanent
        assert not (tmp_path / "over").exists()


async def test_a_file_that_the_server_does_not_take_is_refused(alice: Person, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(2 * 1024 * 1024 + 1))
    async with account.listening() as line:
        place = await meet(alice, line)
        assert line.platform.capabilities.attachments_out == 2 * 1024 * 1024
        with pytest.raises(ChatError, match=r"large\.bin.*2,097,152") as caught:
            await line.platform.send(outgoing(place, "", file=OutgoingFile(path=path, name="large.bin")))
        assert caught.value.permanent
        line.platform._largest = 10**9  # as if the server had not told its limit
        with pytest.raises(ChatError, match="M_TOO_LARGE") as caught:
            await line.platform.send(outgoing(place, "", file=OutgoingFile(path=path, name="large.bin")))
        assert caught.value.permanent


async def test_reactions_take_each_others_place_also_after_a_restart(alice: Person, account: Account) -> None:
    def shown(message: str) -> list[str]:
        path = f"/_matrix/client/v1/rooms/{place.chat}/relations/{message}/m.annotation"
        chunk = account.server.ask("GET", path, token=alice.token)["chunk"]
        return [event["content"]["m.relates_to"]["key"] for event in chunk if event["content"]]

    async with account.listening() as line:
        place = await meet(alice, line)
        first, second = await alice.say(place.chat, "one"), await alice.say(place.chat, "two")
        for message in (first, second):
            await line.platform.react(place, message, "seen", instead_of=None)
            await line.platform.react(place, message, "seen", instead_of=None)
        await line.platform.react(place, first, "done", instead_of="seen")
        assert (shown(first), shown(second)) == (["✅"], ["👀"])
    async with account.opened() as again:
        await again.react(place, second, "failed", instead_of="seen")
    assert shown(second) == ["❌"]


async def test_typing_is_shown_until_the_answer_is_there(alice: Person, account: Account) -> None:
    async def typing() -> list[str]:
        answer = await alice.nio.sync(timeout=100)
        alice.seen += [{**event.source, "room_id": room, "nio": event} for room, news in answer.rooms.join.items()
                       for event in news.timeline.events]  # fmt: skip
        return list(alice.nio.rooms[place.chat].typing_users)

    async def until(users: list[str]) -> None:
        with anyio.fail_after(20):
            while await typing() != users:
                pass

    async with account.listening() as line:
        place = await meet(alice, line)
        await alice.until(lambda: place.chat in alice.nio.rooms)
        await line.platform.typing(place)
        await until([account.id])
        await line.platform.send(outgoing(place, "here"))
        await until([])


# --- what goes wrong


async def test_wrong_credentials_are_told_at_once(synapse: Synapse, account: Account) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"password": Secret("wrong-password")}, "M_FORBIDDEN: Invalid username or password"),
        ({"password": None, "access_token": Secret(planted("matrix-wrong"))}, "M_UNKNOWN_TOKEN: Invalid access token"),
    ]
    for options, words in wrong:
        error = await refusal(account, ChatLoginError, **options)
        assert words in error.message
        assert "wrong-" not in f"{error!r} {error.report()}"
    for options in ({"password": None}, {"access_token": Secret("x")}, {"user": None}):
        await refusal(account, ConfigError, **options)
    error = await refusal(account, ConfigError, homeserver="http://matrix.example.org")
    assert "https" in error.message


async def refusal(account: Account, kind: type[MissiveError], **options: Any) -> MissiveError:
    """Return the error of opening with these options."""
    platform = Matrix(account.context(**options))
    try:
        with pytest.raises(kind) as caught:
            await platform.open()
    finally:
        await platform.close()
    return caught.value


async def test_nobody_there(account: Account) -> None:
    error = await refusal(account, ChatError, homeserver="http://127.0.0.1:1")
    assert "could not log in" in error.message
    assert isinstance(error, ChatError)
    assert not error.permanent


async def test_the_login_is_kept_and_made_anew_when_it_is_gone(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        device = line.platform._connection.device_id
        token = line.platform._connection.nio.access_token
        async with account.opened() as beside:  # what `missive chat test` does
            assert beside._connection.nio.access_token == token
            await beside.send(outgoing(place, "from beside", 7))
        await alice.say(place.chat, "still there?")
        await line.text("still there?")
    file = account.folder / "data" / "session.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    synapse_logout(account.server, token)
    async with account.opened() as again:
        assert again._connection.device_id == device
        assert again._connection.nio.access_token != token
        assert await again.send(outgoing(place, "from beside", 7))
    await alice.until(lambda: len(alice.texts(place.chat, account.id)) == 1)


def synapse_logout(server: Synapse, token: str) -> None:
    server.ask("POST", "/_matrix/client/v3/logout", {}, token=token)


async def test_a_login_that_is_taken_away_ends_listening(alice: Person, account: Account) -> None:
    async def ignore(_inbound: object) -> bool:
        return True

    async with account.opened() as platform:
        synapse_logout(account.server, platform._connection.nio.access_token)
        with pytest.raises(ChatError, match="M_UNKNOWN_TOKEN"):
            await platform.listen(ignore)


async def test_with_an_access_token_the_device_is_that_of_the_token(synapse: Synapse, account: Account) -> None:
    token = synapse.log_in(account.id, "BRIDGE")
    options = {"password": None, "user": None, "access_token": Secret(token)}
    async with account.opened(**options) as platform:
        assert (platform._connection.user_id, platform._connection.device_id) == (account.id, "BRIDGE")
    assert not (account.folder / "data" / "session.json").exists()
    error = await refusal(account, ConfigError, **options, device_id="OTHER")
    assert "'BRIDGE', not of 'OTHER'" in error.message


async def test_a_room_that_we_are_not_in(alice: Person, account: Account) -> None:
    room = await alice.room()
    async with account.opened() as platform:
        with pytest.raises(ChatError, match="M_FORBIDDEN") as caught:
            await platform.send(outgoing(Place(chat=room), "hello"))
    assert caught.value.permanent


async def test_a_connection_that_breaks_before_the_answer(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
    async with (
        CuttingProxy(account.server.url.removeprefix("http://")) as proxy,
        account.opened(homeserver=f"http://{proxy.address}") as platform,
    ):
        sending = asyncio.ensure_future(platform.send(outgoing(place, "is it there?")))
        with anyio.fail_after(20):
            while not sending.done():
                await anyio.sleep(0.001)
                proxy.reset()
        error = sending.exception()
        assert isinstance(error, ChatError)
        assert not error.permanent
        first = await platform.send(outgoing(place, "is it there?"))
    await alice.until(lambda: alice.event(first))
    assert alice.texts(place.chat, account.id) == ["is it there?"]


async def test_closing_leaves_nothing_running(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    before = asyncio.all_tasks()
    async with account.listening():
        pass
    never = Matrix(account.context())
    await never.close()
    await never.close()
    assert asyncio.all_tasks() == before
    token = json.loads((account.folder / "data" / "session.json").read_text())["access_token"]
    assert PASSWORD not in caplog.text
    assert token not in caplog.text


async def test_the_doctor_is_content(alice: Person, account: Account) -> None:
    async with account.opened() as platform:
        checks = await platform.check()
    assert [(check.id, check.status) for check in checks] == [
        ("token", "ok"), ("server", "ok"), ("rooms", "warn"), ("encryption", "ok"), ("clock", "ok"),
    ]  # fmt: skip
    assert checks[2].fix


# --- a homeserver with the limits that it is installed with


async def test_the_default_limits_are_told_and_the_final_text_arrives(tmp_path: Path) -> None:
    with Synapse(limits=True) as server:
        account = make_account(server, tmp_path)
        async with Person(server, "alice") as alice:
            account.options["users"] = (alice.id,)
            async with account.listening() as line:
                place = await meet(alice, line)
                sent = await line.platform.send(outgoing(place, "0", progress=True))

                async def edit_fast() -> None:
                    for number in range(1, 14):
                        await line.platform.edit(place, sent, str(number))

                with pytest.raises(ChatError, match="M_LIMIT_EXCEEDED") as caught:
                    await edit_fast()
                error = caught.value
                assert error.retry_after is not None
                assert 0 < error.retry_after <= 10
                assert not error.permanent
                assert not error.maybe_sent
                await anyio.sleep(error.retry_after)
                await line.platform.edit(place, sent, "the final text", final=True)
            await alice.until(lambda: alice.texts(place.chat, account.id) == ["the final text"])


async def test_a_position_that_the_server_does_not_know_is_given_up(alice: Person, account: Account) -> None:
    await FileCursor(account.folder / "cursor.json").set("next_batch", "nonsense")
    async with account.listening() as line:
        place = await meet(alice, line)
        await alice.say(place.chat, "hello")
        await line.text("hello")
