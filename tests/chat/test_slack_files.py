"""Files: our token goes to Slack alone, and its login page is no file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from missive_chat.platform import Attachment, ChatError, Outgoing, OutgoingFile, Place
from missive_chat.platforms.slack import files
from missive_chat.platforms.slack.platform import SlackPlatform
from missive_chat.testing.running import Running
from support.chat.fake_slack import FakeSlack
from support.chat.slack_rig import SlackRig

pytestmark = pytest.mark.anyio


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as slack:
        yield slack
        assert slack.faults == []


@pytest.fixture
async def platform(slack: FakeSlack, tmp_path: Path) -> AsyncIterator[SlackPlatform]:
    async with Running(SlackRig(slack), tmp_path / "data", listens=False) as running:
        assert isinstance(running.platform, SlackPlatform)
        yield running.platform


def out(tmp_path: Path, content: bytes, text: str = "") -> Outgoing:
    (tmp_path / "report.bin").write_bytes(content)
    file = OutgoingFile(path=tmp_path / "report.bin", name="report.bin")
    return Outgoing(key="0" * 24, place=Place(chat="D1", is_direct=True), text=text, file=file)


async def test_a_file_goes_out_in_three_steps(slack: FakeSlack, platform: SlackPlatform, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000
    slack.share_delay = 2
    ts = await platform.send(out(tmp_path, content, "**the** report <!here>"))
    sent = slack.messages["D1", ts]
    assert sent["text"] == "*the* report &lt;\u200b!here&gt;"
    assert slack.files[sent["files"][0]["id"]]["content"] == content


async def test_a_file_whose_message_is_not_to_be_found_is_sent_all_the_same(
    slack: FakeSlack, platform: SlackPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WAITS", (0.0, 0.0))
    slack.share_delay = 99
    message = out(tmp_path, b"x")
    file_id = await platform.send(message)
    assert file_id.startswith("file:F")
    await platform.edit(message.place, file_id, "never shown", final=True)
    await platform.react(message.place, file_id, "done", instead_of=None)
    assert slack.called("chat.update") == []


async def test_files_that_cannot_be_sent(slack: FakeSlack, platform: SlackPlatform, tmp_path: Path) -> None:
    with pytest.raises(ChatError, match="empty") as failed:
        await platform.send(out(tmp_path, b""))
    assert failed.value.permanent
    message = out(tmp_path, b"x")
    assert message.file is not None
    message.file.path.unlink()
    with pytest.raises(ChatError, match=r"report\.bin") as failed:
        await platform.send(message)
    assert failed.value.permanent


async def test_an_upload_that_breaks_was_never_shown(slack: FakeSlack, platform: SlackPlatform, tmp_path: Path) -> None:
    slack.lose_answer("files.getUploadURLExternal")
    with pytest.raises(ChatError) as failed:
        await platform.send(out(tmp_path, b"x"))
    assert not failed.value.permanent
    assert slack.of("D1") == []


async def test_a_file_comes_in(slack: FakeSlack, platform: SlackPlatform, tmp_path: Path) -> None:
    file = slack.add_file("a.html", b"<html>mine</html>", mimetype="text/html")
    attachment = Attachment(id=file["id"], name="a.html")
    assert await platform.download(attachment, tmp_path / "a", limit=100) == 17
    assert (tmp_path / "a").read_bytes() == b"<html>mine</html>"


@pytest.mark.parametrize("mimetype", ["text/plain", "text/html"])
async def test_the_login_page_is_no_file(
    slack: FakeSlack, platform: SlackPlatform, tmp_path: Path, mimetype: str
) -> None:
    file = slack.add_file("a", b"secret plan", mimetype=mimetype, locked=True)
    with pytest.raises(ChatError, match="login page") as failed:
        await platform.download(Attachment(id=file["id"], name="a"), tmp_path / "a", limit=10_000)
    assert failed.value.permanent
    assert "files:read" in str(failed.value.help)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("said", [11, None, 3])
async def test_more_than_the_limit_is_not_taken(
    slack: FakeSlack, platform: SlackPlatform, tmp_path: Path, said: int | None
) -> None:
    file = slack.add_file("a", b"secret plan")
    slack.files[file["id"]]["size"] = said  # what it says need not be so
    with pytest.raises(ChatError, match="larger than 10 bytes") as failed:
        await platform.download(Attachment(id=file["id"], name="a"), tmp_path / "a", limit=10)
    assert failed.value.permanent
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/files.slack.com",
        "https://evilslack.com/x",
        "http://files.slack.com/x",
        "https://slack.com.evil.example/",
        "file:///etc/passwd",
    ],
)
async def test_our_token_goes_to_slack_alone(
    slack: FakeSlack, platform: SlackPlatform, tmp_path: Path, url: str
) -> None:
    file = slack.add_file("a", b"x")
    slack.files[file["id"]]["url_private"] = url
    with pytest.raises(ChatError, match="not one of Slack") as failed:
        await platform.download(Attachment(id=file["id"], name="a"), tmp_path / "a", limit=10)
    assert failed.value.permanent


async def test_a_file_that_is_gone(slack: FakeSlack, platform: SlackPlatform, tmp_path: Path) -> None:
    with pytest.raises(ChatError, match="file_not_found") as failed:
        await platform.download(Attachment(id="F404", name="a"), tmp_path / "a", limit=10)
    assert failed.value.permanent
