"""End-to-end encryption, with the library at both ends and a real homeserver between them."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from missive_chat.platform import ChatError, ChatLoginError, OutgoingFile, Place
from missive_chat.platforms.matrix.contents import MAX_TEXT
from missive_chat.platforms.matrix.platform import Matrix
from support.chat.matrix import Account, Line, Person, outgoing
from support.chat.synapse import Synapse

pytestmark = pytest.mark.anyio


@pytest.fixture
async def alice(synapse: Synapse, account: Account, tmp_path: Path) -> AsyncIterator[Person]:
    async with Person(synapse, "alice", tmp_path) as person:
        account.options.update(users=(person.id,), encryption=True)
        yield person


async def meet(alice: Person, line: Line) -> Place:
    """Return an encrypted room in which both are."""
    room = await alice.room(line.account.id, direct=True, encrypted=True)
    await alice.is_in(room, line.account.id)
    await alice.until(lambda: room in alice.nio.rooms and line.account.id in alice.nio.rooms[room].users)
    return Place(chat=room, is_direct=True)


async def test_messages_go_both_ways_encrypted(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        said = await alice.say(place.chat, "for your eyes only")
        inbound = await line.text("for your eyes only")
        assert inbound.event_id == said
        assert inbound.unauthentic is None
        sent = await line.platform.send(outgoing(place, "for yours", progress=True))
        assert await line.platform.send(outgoing(place, "for yours", progress=True)) == sent
        await line.platform.edit(place, sent, "for yours, **too**", final=True)
        await line.platform.react(place, said, "done", instead_of=None)
        await alice.until(lambda: alice.texts(place.chat, account.id) == ["for yours, **too**"])
        checks = {check.id: check for check in await line.platform.check()}
        assert checks["encryption"].status == "ok", checks["encryption"].message
    raw = account.server.ask("GET", f"/_matrix/client/v3/rooms/{place.chat}/event/{sent}", token=alice.token)
    assert raw["type"] == "m.room.encrypted"
    assert "yours" not in str(raw)
    event = alice.event(sent)
    assert event is not None
    assert event["nio"].decrypted
    keys = account.folder / "data" / "keys.db"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600


async def test_after_a_restart_the_device_and_its_keys_are_the_same(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        await alice.say(place.chat, "one")
        await line.text("one")
        first = await line.platform.send(outgoing(place, "answer one"))
        device = line.platform._connection.device_id
    await alice.say(place.chat, "two, while you were away")
    async with account.listening() as again:
        await again.text("two, while you were away")
        assert again.platform._connection.device_id == device
        assert await again.platform.send(outgoing(place, "answer one")) == first
        await again.platform.send(outgoing(place, "answer two", 2))
        await alice.until(lambda: alice.texts(place.chat, account.id) == ["answer one", "answer two"])
    async with account.opened() as for_sending_alone:
        await for_sending_alone.send(outgoing(place, "from the command line", 3))
    await alice.until(lambda: "from the command line" in alice.texts(place.chat, account.id))


async def test_somebody_who_comes_later_gets_what_is_said_from_then_on(
    alice: Person, synapse: Synapse, account: Account, tmp_path: Path
) -> None:
    async with Person(synapse, "bob", tmp_path) as bob, account.listening() as line:
        place = await meet(alice, line)
        await line.platform.send(outgoing(place, "before"))
        await alice.nio.room_invite(place.chat, bob.id)
        await bob.nio.join(place.chat)
        await bob.until(lambda: place.chat in bob.nio.rooms)
        await alice.say(place.chat, "bob is here")
        await line.text("bob is here")
        sent = await line.platform.send(outgoing(place, "welcome", 2))
        event = await bob.until(lambda: bob.event(sent))
        assert event["content"]["body"] == "welcome"


async def test_files_are_encrypted_both_ways(alice: Person, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_bytes(b"the plan" * 500)
    async with account.listening() as line:
        place = await meet(alice, line)
        file = OutgoingFile(path=path, name="secret.txt", media_type="text/plain")
        sent = await line.platform.send(outgoing(place, "", file=file))
        content = (await alice.until(lambda: alice.event(sent)))["content"]
        assert "url" not in content
        stored = await alice.nio.download(content["file"]["url"])
        assert b"the plan" not in stored.body
        await alice.send(place.chat, {key: content[key] for key in ("msgtype", "body", "filename", "file", "info")})
        inbound = await line.until(lambda each: bool(each.attachments))
        (attachment,) = inbound.attachments
        assert await line.platform.download(attachment, tmp_path / "in", limit=10_000) == 4000
        assert (tmp_path / "in").read_bytes() == path.read_bytes()


async def test_the_longest_text_goes_encrypted(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        long = '**ä"<&** ' * 5000
        while len(line.platform.render(long).encode()) > MAX_TEXT:
            long = long[:-100]
        in_thread = Place(chat=place.chat, thread=await alice.say(place.chat, "root"))
        sent = await line.platform.send(outgoing(in_thread, long))
        await line.platform.edit(in_thread, sent, long[:-1])
        await alice.until(lambda: alice.texts(place.chat, account.id) == [long[:-1]])


async def test_what_cannot_be_read_is_logged_and_what_comes_in_the_clear_is_not_trusted(
    alice: Person, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        sealed = {
            "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnACgAkLmt6qF84IK", "sender_key": "a",
            "device_id": "PHONE", "session_id": "b",
        }  # fmt: skip
        path = f"/_matrix/client/v3/rooms/{place.chat}/send"
        lost = account.server.ask("PUT", f"{path}/m.room.encrypted/1", sealed, token=alice.token)["event_id"]
        clear = {"msgtype": "m.text", "body": "in the clear"}
        account.server.ask("PUT", f"{path}/m.room.message/2", clear, token=alice.token)
        inbound = await line.text("in the clear")
        assert inbound.unauthentic
        assert [each.text for each in line.heard] == ["in the clear"]
    assert f"the event {lost} of {alice.id}" in caplog.text


async def test_a_key_that_comes_later_opens_the_message(alice: Person, account: Account, tmp_path: Path) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        await alice.nio.joined_members(place.chat)
        alice.nio.olm.create_outbound_group_session(place.chat)
        alice.nio.olm.outbound_group_sessions[place.chat].shared = True  # so she believes
        said = await alice.say(place.chat, "read me later")
        clear = {"msgtype": "m.text", "body": "in the clear"}
        path = f"/_matrix/client/v3/rooms/{place.chat}/send/m.room.message/1"
        account.server.ask("PUT", path, clear, token=alice.token)
        await line.text("in the clear")
        await alice.nio.export_keys(str(tmp_path / "keys"), "passphrase")
        await line.platform._connection.nio.import_keys(str(tmp_path / "keys"), "passphrase")
        account.server.ask("PUT", path.replace("/1", "/2"), clear, token=alice.token)
        inbound = await line.text("read me later")
    assert inbound.event_id == said
    assert inbound.unauthentic is None


async def test_nothing_is_sent_in_the_clear_to_an_encrypted_room(
    alice: Person, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with account.listening(encryption=False) as line:
        place = await meet(alice, line)
        await alice.say(place.chat, "can you read this?")
        with pytest.raises(ChatError, match="is encrypted") as caught:
            await line.platform.send(outgoing(place, "secret"))
        assert caught.value.permanent
        assert caught.value.help
    async with account.opened(encryption=False) as platform:  # it knows nothing of the room, and asks
        with pytest.raises(ChatError, match="is encrypted"):
            await platform.send(outgoing(place, "secret"))
    await alice.look()
    assert alice.texts(place.chat, account.id) == []


async def test_the_keys_have_one_owner(alice: Person, account: Account) -> None:
    async with account.listening() as line:
        place = await meet(alice, line)
        open_room = await alice.room(account.id)
        await alice.is_in(open_room, account.id)
        async with account.opened() as beside:
            await beside.send(outgoing(Place(chat=open_room), "to a room that is not encrypted"))
            with pytest.raises(ChatError, match="another process has the keys") as caught:
                await beside.send(outgoing(place, "secret"))
            assert "gateway" in str(caught.value.help)
            checks = {check.id: check.status for check in await beside.check()}
            assert checks["encryption"] == "ok"

            async def ignore(_inbound: object) -> bool:
                return True

            with pytest.raises(ChatError, match="a second gateway"):
                await beside.listen(ignore)
    async with account.opened() as after:
        await after.send(outgoing(place, "now it goes", 2))
    await alice.until(lambda: alice.texts(place.chat, account.id) == ["now it goes"])


async def test_lost_keys_are_told(alice: Person, account: Account) -> None:
    async with account.opened() as platform:
        device = platform._connection.device_id
    (account.folder / "data" / "keys.db").unlink()
    lost = Matrix(account.context())
    with pytest.raises(ChatLoginError, match=f"{device} are not on this machine") as caught:
        await lost.open()
    await lost.close()
    assert str(account.folder / "data" / "session.json") in str(caught.value.help)
    (account.folder / "data" / "session.json").unlink()
    async with account.opened() as platform:
        assert platform._connection.device_id != device
        assert {check.status for check in await platform.check() if check.id != "rooms"} == {"ok"}


def test_without_the_cryptography_it_refuses_to_start(tmp_path: Path) -> None:
    program = """
import asyncio, logging, sys
sys.modules["vodozemac"] = None
from pathlib import Path
from missive_chat.platform import PlatformContext
from missive_chat.platforms.matrix.platform import Matrix
from missive_host.errors import ConfigError
options = {"homeserver": "http://127.0.0.1:1", "user": "bot", "password": object(), "encryption": True}
context = PlatformContext(account="a", options=options, log=logging.getLogger(), data_dir=Path(sys.argv[1]),
                          cursor=None, alive=lambda: None)
try:
    asyncio.run(Matrix(context).open())
except ConfigError as error:
    print(error.message, error.help)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "missive-host[matrix-e2ee]" in done.stdout
