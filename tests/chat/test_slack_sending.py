"""How messages get to Slack: what is sent once, what is found again, and what each refusal means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from missive_chat.platform import Button, ChatError, ChatLoginError, Outgoing, OutgoingFile, Place
from missive_chat.platforms.slack.platform import SlackPlatform
from missive_chat.testing import Hidden
from missive_chat.testing.running import Running
from support.chat.fake_slack import FakeSlack, buttons, shown
from support.chat.slack_rig import SlackRig
from support.secrets import planted

pytestmark = pytest.mark.anyio

KEY, OTHER = "0" * 23 + "1", "0" * 23 + "2"
YES_NO = (Button(label="Approve", value="a:7Q2K:yes", style="primary"), Button(label="Refuse", value="a:7Q2K:no"))


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(ack_timeout=0.5) as slack:
        yield slack
        assert slack.faults == []


@pytest.fixture
async def platform(slack: FakeSlack, tmp_path: Path) -> AsyncIterator[SlackPlatform]:
    async with Running(SlackRig(slack), tmp_path, listens=False) as running:
        assert isinstance(running.platform, SlackPlatform)
        yield running.platform


def message(slack: FakeSlack, text: str = "hello", *, channel: str = "C1", **more: Any) -> Outgoing:
    """An answer to something that somebody has said."""
    root = slack.spoken("a question", channel=channel)["ts"]
    direct = channel.startswith("D")
    place = Place(chat=channel, thread=None if direct else root, is_direct=direct, facts={"user": "U1", "team": "T1"})
    return Outgoing(**{"key": KEY, "place": place, "text": text, "reply_to": root, **more})


async def test_a_message_is_markdown_and_opens_no_address(slack: FakeSlack, platform: SlackPlatform) -> None:
    ts = await platform.send(message(slack, "**a** <https://evil.example/?secret>"))
    sent = slack.messages["C1", ts]
    assert sent["blocks"] == [{"type": "markdown", "text": "**a** <https://evil.example/?secret>"}]
    assert sent["text"] == "*a* &lt;https://evil.example/?secret&gt;"
    assert (sent["unfurl_links"], sent["unfurl_media"]) == (False, False)


async def test_a_top_level_message_of_a_channel_is_answered_in_its_thread(
    slack: FakeSlack, platform: SlackPlatform
) -> None:
    answer = message(slack)
    assert slack.messages["C1", await platform.send(answer)]["thread_ts"] == answer.reply_to
    direct = slack.messages["D1", await platform.send(message(slack, channel="D1"))]
    assert "thread_ts" not in direct


async def test_buttons_come_and_go(slack: FakeSlack, platform: SlackPlatform) -> None:
    question = message(slack, "may it?", buttons=YES_NO)
    ts = await platform.send(question)
    assert buttons(slack.messages["C1", ts]) == ["a:7Q2K:yes", "a:7Q2K:no"]
    await platform.edit(question.place, ts, "approved by Ann", final=True)
    assert buttons(slack.messages["C1", ts]) == []
    assert shown(slack.messages["C1", ts]) == "approved by Ann"


async def test_a_message_of_which_nobody_knows_is_found_by_its_key(slack: FakeSlack, platform: SlackPlatform) -> None:
    lost = message(slack)
    slack.lose_answer("chat.postMessage")
    with pytest.raises(ChatError) as failed:
        await platform.send(lost)
    assert failed.value.maybe_sent
    assert not failed.value.permanent
    assert len(slack.of("C1")) == 1, "the library must not have sent it again"
    assert await platform.find(lost) == slack.of("C1")[0]["ts"]
    other = Outgoing(key=OTHER, place=lost.place, text="hello", reply_to=lost.reply_to)
    assert await platform.find(other) is None


async def test_it_is_found_behind_many_others(slack: FakeSlack, platform: SlackPlatform) -> None:
    first = message(slack)
    ts = await platform.send(first)
    for number in range(450):
        slack.spoken(f"chatter {number}", thread=first.place.thread)
    last = Outgoing(key=OTHER, place=first.place, text="bye", reply_to=first.reply_to)
    last_ts = await platform.send(last)
    assert await platform.find(first) == ts
    assert await platform.find(last) == last_ts


@pytest.mark.parametrize("channel", ["D1", "C1"])
async def test_a_file_is_found_by_its_name(
    slack: FakeSlack, platform: SlackPlatform, tmp_path: Path, channel: str
) -> None:
    (tmp_path / "a.csv").write_text("1,2\n")
    with_file = message(slack, "here", channel=channel, file=OutgoingFile(path=tmp_path / "a.csv", name="a.csv"))
    assert await platform.find(with_file) is None
    ts = await platform.send(with_file)
    assert await platform.find(with_file) == ts
    (tmp_path / "a.csv").write_text("1,2,3\n")
    assert await platform.find(with_file) is None, "another file of this name"
    plain = Outgoing(key=OTHER, place=with_file.place, text="text", reply_to=with_file.reply_to)
    assert await platform.find(plain) is None, "a file is no stream that was never ended"


async def test_too_often_says_when_to_come_again(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = message(slack)
    slack.limit("chat.postMessage", after=7)
    with pytest.raises(ChatError) as failed:
        await platform.send(answer)
    assert (failed.value.retry_after, failed.value.permanent, failed.value.maybe_sent) == (7, False, False)
    assert len(slack.called("chat.postMessage")) == 1


@pytest.mark.parametrize(
    ("error", "permanent", "maybe_sent"),
    [
        ("channel_not_found", True, False),
        ("is_archived", True, False),
        ("internal_error", False, False),
        ("fatal_error", False, True),
    ],
)
async def test_what_a_refusal_means(
    slack: FakeSlack, platform: SlackPlatform, error: str, permanent: bool, maybe_sent: bool
) -> None:
    slack.fail("chat.postMessage", error)
    with pytest.raises(ChatError, match=error) as failed:
        await platform.send(message(slack))
    assert (failed.value.permanent, failed.value.maybe_sent) == (permanent, maybe_sent)


@pytest.mark.parametrize("status", [502, 503, 200])
async def test_an_answer_that_is_not_of_slack(slack: FakeSlack, platform: SlackPlatform, status: int) -> None:
    slack.break_with("chat.postMessage", status)
    with pytest.raises(ChatError, match=rf"chat\.postMessage failed with HTTP status {status}") as failed:
        await platform.send(message(slack))
    assert not failed.value.permanent
    assert failed.value.maybe_sent


async def test_what_cannot_be_looked_for_counts_as_not_sent(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = message(slack)
    await platform.send(answer)
    slack.fail("conversations.replies", "missing_scope")
    assert await platform.find(answer) is None
    slack.limit("conversations.replies", after=2)
    with pytest.raises(ChatError) as failed:
        await platform.find(answer)
    assert failed.value.retry_after == 2


async def test_a_channel_without_us_says_what_to_do(slack: FakeSlack, platform: SlackPlatform) -> None:
    place = Place(chat="C9")
    with pytest.raises(ChatError, match="not_in_channel") as failed:
        await platform.send(Outgoing(key=KEY, place=place, text="hello"))
    assert failed.value.permanent
    assert "/invite" in str(failed.value.help)


async def test_a_missing_scope_is_named(slack: FakeSlack, platform: SlackPlatform) -> None:
    slack.scopes.discard("chat:write")
    with pytest.raises(ChatError, match="missing_scope") as failed:
        await platform.send(message(slack))
    assert failed.value.permanent
    assert "chat:write" in str(failed.value.help)


async def test_a_token_that_was_revoked_meanwhile(slack: FakeSlack, platform: SlackPlatform) -> None:
    slack.fail("chat.postMessage", "token_revoked")
    with pytest.raises(ChatLoginError, match="token_revoked"):
        await platform.send(message(slack))


async def test_a_text_that_is_too_long_is_never_cut(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = message(slack, "ü" * 4000)
    ts = await platform.send(answer)
    assert shown(slack.messages["C1", ts]) == "ü" * 4000
    await platform.edit(answer.place, ts, "ä" * 4000, final=True)
    assert shown(slack.messages["C1", ts]) == "ä" * 4000
    with pytest.raises(ChatError) as failed:
        await platform.edit(answer.place, ts, "ä" * 4001, final=True)
    assert failed.value.permanent


async def test_markdown_that_slack_cannot_read_is_shown_as_it_is(slack: FakeSlack, platform: SlackPlatform) -> None:
    slack.fail("chat.postMessage", "invalid_blocks")
    text = "| a |\n" + "x" * 3500
    ts = await platform.send(message(slack, text, buttons=YES_NO))
    assert shown(slack.messages["C1", ts]) == text
    assert {block["type"] for block in slack.messages["C1", ts]["blocks"]} == {"section", "actions"}
    assert len(buttons(slack.messages["C1", ts])) == 2


async def test_reactions_replace_each_other(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = message(slack)
    assert answer.reply_to is not None
    await platform.react(answer.place, answer.reply_to, "seen", instead_of=None)
    await platform.react(answer.place, answer.reply_to, "seen", instead_of=None)
    await platform.react(answer.place, answer.reply_to, "done", instead_of="seen")
    assert slack.reactions == {("C1", answer.reply_to, "white_check_mark")}
    await platform.react(answer.place, answer.reply_to, "failed", instead_of="seen")
    assert ("C1", answer.reply_to, "x") in slack.reactions
    before = len(slack.calls)
    await platform.react(answer.place, "command:1.2", "seen", instead_of=None)
    assert len(slack.calls) == before, "a slash command is no message"


async def test_typing_is_left_where_slack_has_none(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = message(slack)
    await platform.typing(answer.place)
    assert [status[:2] for status in slack.statuses] == [("C1", answer.reply_to)]
    slack.fail("assistant.threads.setStatus", "channel_type_not_supported")
    await platform.typing(answer.place)
    before = len(slack.calls)
    await platform.typing(answer.place)
    await platform.typing(Place(chat="D1", is_direct=True))
    assert len(slack.calls) == before


async def test_typing_ends_when_an_answer_is_whole(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = message(slack)
    ts = await platform.send(answer)
    await platform.edit(answer.place, ts, "all", final=True)
    assert slack.statuses == []
    await platform.typing(answer.place)
    await platform.edit(answer.place, ts, "all of it", final=True)
    assert [status for *_, status in slack.statuses] == ["is thinking…", ""]


async def test_a_proxy_of_the_environment_is_not_for_loopback(
    slack: FakeSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Running(SlackRig(slack), tmp_path) as running:
        await slack.say("hello", channel="D1")
        await running.message("hello")
        api = running.platform._api  # type: ignore[attr-defined]
        assert api.proxy("https://slack.com/api/") == "http://127.0.0.1:9"
        assert api.proxy("wss://wss-primary.slack.com/link") == "http://127.0.0.1:9"
        monkeypatch.setenv("no_proxy", "slack.com")
        assert api.proxy("https://slack.com/api/") is None


async def test_a_token_of_a_person_is_refused(slack: FakeSlack, tmp_path: Path) -> None:
    slack._auth_test = lambda _: {"team_id": "T1", "user_id": "U1", "user": "ann"}  # type: ignore[method-assign]
    platform = SlackRig(slack).platform(SlackRig(slack).context(tmp_path, Running(SlackRig(slack), tmp_path).cursor))
    with pytest.raises(ChatLoginError, match="not that of a bot"):
        await platform.open()
    await platform.close()


async def test_a_wrong_app_token_is_told_before_anything_is_dialled(slack: FakeSlack, tmp_path: Path) -> None:
    rig = SlackRig(slack, app_token=Hidden("xapp-" + planted("wrong")))
    with pytest.raises(ChatLoginError, match=r"apps\.connections\.open: invalid_auth"):
        async with Running(rig, tmp_path):
            raise AssertionError
    assert slack.opened == 0
