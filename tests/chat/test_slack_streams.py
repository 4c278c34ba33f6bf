"""Answers that grow as streams of Slack's own, and what is shown at the end whatever became of the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from missive_chat.platform import Button, ChatError, Outgoing, Place
from missive_chat.platforms.slack.platform import SlackPlatform
from missive_chat.testing.running import Running
from support.chat.fake_slack import FakeSlack, shown
from support.chat.slack_rig import SlackRig

pytestmark = pytest.mark.anyio

KEY, OTHER = "0" * 23 + "1", "0" * 23 + "2"


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as slack:
        yield slack
        assert slack.faults == []


@pytest.fixture
async def platform(slack: FakeSlack, tmp_path: Path) -> AsyncIterator[SlackPlatform]:
    async with Running(SlackRig(slack), tmp_path, listens=False) as running:
        assert isinstance(running.platform, SlackPlatform)
        yield running.platform


def growing(slack: FakeSlack, text: str = "One", *, channel: str = "C1", key: str = KEY) -> Outgoing:
    root = slack.spoken("a question", channel=channel)["ts"]
    direct = channel.startswith("D")
    place = Place(chat=channel, thread=root, is_direct=direct, facts={"user": "U1", "team": "T1"})
    return Outgoing(key=key, place=place, text=text, reply_to=root, progress=True)


def methods(slack: FakeSlack) -> list[str]:
    return [method for method, _ in slack.calls if method.startswith("chat.")]


@pytest.mark.parametrize("channel", ["C1", "D1", "G1"])
async def test_an_answer_grows_by_what_is_new(slack: FakeSlack, platform: SlackPlatform, channel: str) -> None:
    answer = growing(slack, channel=channel)
    ts = await platform.send(answer)
    await platform.edit(answer.place, ts, "One, two")
    await platform.edit(answer.place, ts, "One, two")
    await platform.edit(answer.place, ts, "One, two, three")
    assert [call["markdown_text"] for call in slack.called("chat.appendStream")] == [", two", ", three"]
    assert slack.messages[channel, ts]["streaming"]
    await platform.edit(answer.place, ts, "One, two, three.", final=True)
    assert shown(slack.messages[channel, ts]) == "One, two, three."
    assert not slack.messages[channel, ts]["streaming"]
    assert methods(slack)[-2:] == ["chat.stopStream", "chat.update"]
    assert await platform.find(answer) == ts


async def test_a_remark_that_will_be_replaced_is_no_stream(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = growing(slack, "_Working on it._")
    ts = await platform.send(answer)
    assert methods(slack) == ["chat.postMessage"]
    await platform.edit(answer.place, ts, "It is 42", final=True)
    assert slack.shown("C1") == ["It is 42"]
    assert await platform.find(answer) == ts


async def test_a_text_that_changes_is_edited_from_then_on(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = growing(slack, "Thinking …")
    ts = await platform.send(answer)
    await platform.edit(answer.place, ts, "It is")
    assert shown(slack.messages["C1", ts]) == "It is"
    await platform.edit(answer.place, ts, "It is 42", final=True)
    assert shown(slack.messages["C1", ts]) == "It is 42"
    assert methods(slack) == ["chat.startStream", "chat.stopStream", "chat.update", "chat.update"]


async def test_a_mention_that_is_only_whole_later_still_pings_nobody(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = growing(slack, "hey <!chan")
    ts = await platform.send(answer)
    await platform.edit(answer.place, ts, "hey <!channel> and @here")
    assert "<!channel>" not in shown(slack.messages["C1", ts])
    assert "@here" not in shown(slack.messages["C1", ts])


async def test_a_stream_that_slack_ends_goes_on_as_edits(slack: FakeSlack, platform: SlackPlatform) -> None:
    slack.stream_limit = 1
    answer = growing(slack, "a")
    ts = await platform.send(answer)
    for text in ("ab", "abc", "abcd"):
        await platform.edit(answer.place, ts, text)
        assert shown(slack.messages["C1", ts]) == text
    await platform.edit(answer.place, ts, "abcde", final=True)
    assert shown(slack.messages["C1", ts]) == "abcde"
    assert len(slack.of("C1")) == 1


async def test_an_append_of_which_nobody_knows_is_not_appended_twice(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = growing(slack, "a")
    ts = await platform.send(answer)
    slack.lose_answer("chat.appendStream")
    await platform.edit(answer.place, ts, "ab")
    assert shown(slack.messages["C1", ts]) == "ab"


async def test_a_limit_while_it_grows_takes_nothing_from_the_end(slack: FakeSlack, platform: SlackPlatform) -> None:
    answer = growing(slack, "a")
    ts = await platform.send(answer)
    slack.limit("chat.appendStream", after=3)
    with pytest.raises(ChatError) as failed:
        await platform.edit(answer.place, ts, "ab")
    assert failed.value.retry_after == 3
    await platform.edit(answer.place, ts, "abc")
    await platform.edit(answer.place, ts, "abcd", final=True)
    assert shown(slack.messages["C1", ts]) == "abcd"


@pytest.mark.parametrize("error", ["missing_scope", "unknown_method", "channel_type_not_supported"])
async def test_without_streams_it_is_a_message_that_is_edited(
    slack: FakeSlack, platform: SlackPlatform, error: str
) -> None:
    slack.fail("chat.startStream", error)
    answer = growing(slack, "a")
    ts = await platform.send(answer)
    await platform.edit(answer.place, ts, "ab", final=True)
    assert shown(slack.messages["C1", ts]) == "ab"
    await platform.send(growing(slack, "b", key=OTHER))
    assert len(slack.called("chat.startStream")) == 1, "it is not tried again where there are none"


async def test_a_limit_on_beginning_streams_is_not_waited_for(slack: FakeSlack, platform: SlackPlatform) -> None:
    slack.limit("chat.startStream")
    ts = await platform.send(growing(slack, "a"))
    assert shown(slack.messages["C1", ts]) == "a"
    await platform.send(growing(slack, "b", key=OTHER))
    assert len(slack.called("chat.startStream")) == 2


async def test_outside_a_thread_and_for_nobody_there_are_no_streams(slack: FakeSlack, platform: SlackPlatform) -> None:
    await platform.send(Outgoing(key=KEY, place=Place(chat="D1", is_direct=True), text="a", progress=True))
    root = slack.spoken("x")["ts"]
    await platform.send(Outgoing(key=KEY, place=Place(chat="C1", thread=root), text="a", progress=True))
    assert slack.called("chat.startStream") == []


async def test_another_process_ends_the_stream_of_one_that_died(
    slack: FakeSlack, platform: SlackPlatform, tmp_path: Path
) -> None:
    answer = growing(slack, "half of")
    ts = await platform.send(answer)
    async with Running(SlackRig(slack), tmp_path / "other", listens=False) as other:
        await other.platform.edit(answer.place, ts, "half of it, and all of it", final=True)
    assert shown(slack.messages["C1", ts]) == "half of it, and all of it"
    assert not slack.messages["C1", ts]["streaming"]


async def test_a_stream_of_which_nobody_knows_is_found_and_ended(
    slack: FakeSlack, platform: SlackPlatform, tmp_path: Path
) -> None:
    earlier = growing(slack, "earlier")
    before = await platform.send(earlier)
    await platform.edit(earlier.place, before, "earlier", final=True)
    answer = Outgoing(key=OTHER, place=earlier.place, text="**Half**", reply_to=earlier.reply_to, progress=True)
    slack.lose_answer("chat.startStream")
    with pytest.raises(ChatError) as failed:
        await platform.send(answer)
    assert failed.value.maybe_sent
    async with Running(SlackRig(slack), tmp_path / "other", listens=False) as other:
        another = Outgoing(key=OTHER, place=answer.place, text="Something else", reply_to=answer.reply_to)
        assert await other.platform.find(another) is None, "it does not begin like that"
        whole = Outgoing(key=OTHER, place=answer.place, text="**Half**, and the whole", reply_to=answer.reply_to)
        found = await other.platform.find(whole)
        assert found not in (None, before)
        assert found is not None
        await other.platform.edit(answer.place, found, "**Half**, and the whole", final=True)
        third = Outgoing(key="0" * 24, place=answer.place, text="more", reply_to=answer.reply_to)
        assert await other.platform.find(third) is None, "a stream that was ended is nobody else's"
    assert slack.shown("C1") == ["earlier", "**Half**, and the whole"]


async def test_a_question_with_buttons_is_no_stream(slack: FakeSlack, platform: SlackPlatform) -> None:
    question = growing(slack)
    with_buttons = Outgoing(
        key=KEY, place=question.place, text="may it?", buttons=(Button(label="Yes", value="y"),), progress=True
    )
    await platform.send(with_buttons)
    assert slack.called("chat.startStream") == []
    answer = growing(slack, "a", key=OTHER)
    ts = await platform.send(answer)
    await platform.edit(answer.place, ts, "a?", buttons=(Button(label="Yes", value="y"),))
    assert [b["type"] for b in slack.messages["C1", ts]["blocks"]] == ["markdown", "actions"]
