"""Payloads of Slack, as what the bridge takes in."""

from __future__ import annotations

from typing import Any

import pytest
from missive_chat.platform import Attachment, Inbound, Place, Press
from missive_chat.platforms.slack.translate import Me, inbound

ME = Me(user="UBOT", bot="B1", team="T1")


def event(subtype: str | None = None, **more: Any) -> dict[str, Any]:
    inner = {
        "type": "message",
        "channel": "C1",
        "channel_type": "channel",
        "user": "U1",
        "text": "hello",
        "ts": "1795800000.000100",
        "team": "T1",
        **({} if subtype is None else {"subtype": subtype}),
        **more,
    }
    return {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": "Ev1",
        "event": inner,
        "authorizations": [{"team_id": "T1", "enterprise_id": None}],
    }


def of(payload: dict[str, Any], kind: str = "events_api") -> Inbound:
    found = inbound(kind, payload, ME)
    assert found is not None
    return found


def test_a_message_of_a_channel_begins_a_thread() -> None:
    found = of(event())
    assert found.place == Place(chat="C1", thread="1795800000.000100", facts={"user": "U1", "team": "T1"})
    assert (found.message_id, found.text, found.sender.id, found.mentions_me) == (
        "1795800000.000100",
        "hello",
        "U1",
        False,
    )
    assert found.reply_to is None
    assert found.sent_at == pytest.approx(1795800000.0001)


def test_a_message_in_a_thread_stays_there_and_replies_to_its_root() -> None:
    found = of(event(thread_ts="1795700000.000100"))
    assert (found.place.thread, found.reply_to) == ("1795700000.000100", "1795700000.000100")
    root = of(event(thread_ts="1795800000.000100"))
    assert (root.place.thread, root.reply_to) == ("1795800000.000100", None)


@pytest.mark.parametrize(("channel", "kind"), [("D1", "im"), ("D1", None)])
def test_a_direct_message_is_answered_where_it_is(channel: str, kind: str | None) -> None:
    found = of(event(channel=channel, channel_type=kind))
    assert found.place.is_direct
    assert found.place.thread is None
    assert of(event(channel=channel, channel_type=kind, thread_ts="1.000001")).place.thread == "1.000001"


def test_a_group_of_people_is_not_a_direct_conversation() -> None:
    assert not of(event(channel="G1", channel_type="mpim")).place.is_direct


def test_a_mention_is_one_event_whichever_of_its_two_comes_first() -> None:
    said = of(event(text="<@UBOT> hello"))
    mention = event(text="<@UBOT> hello")
    mention["event"] = {k: v for k, v in mention["event"].items() if k != "channel_type"} | {"type": "app_mention"}
    mentioned = of(mention | {"event_id": "Ev2"})
    assert said == mentioned
    assert said.event_id == "C1:1795800000.000100"
    assert said.mentions_me
    assert said.text == "hello"


@pytest.mark.parametrize(
    "subtype",
    ["channel_join", "channel_leave", "channel_topic", "pinned_item", "message_replied", "reminder_add", "bot_add"],
)
def test_what_happens_in_a_channel_is_not_said_by_anybody(subtype: str) -> None:
    assert inbound("events_api", event(subtype), ME) is None


@pytest.mark.parametrize("subtype", ["file_share", "me_message", "thread_broadcast"])
def test_what_people_say_has_many_kinds(subtype: str) -> None:
    assert of(event(subtype)).text == "hello"


@pytest.mark.parametrize(
    "more",
    [{"user": "UBOT"}, {"user": None, "bot_id": "B1", "subtype": "bot_message"}, {"user": "UBOT", "bot_id": "B1"}],
)
def test_what_we_said_ourselves_is_not_taken_in(more: dict[str, Any]) -> None:
    assert inbound("events_api", event(**more), ME) is None


def test_other_bots_are_known_as_bots() -> None:
    found = of(event("bot_message", user=None, bot_id="B2", username="deploys"))
    assert (found.sender.id, found.sender.is_bot, found.sender.name) == ("B2", True, "deploys")
    assert of(event(user="U5", bot_id="B5")).sender.is_bot
    assert of(event(user="USLACKBOT")).sender.is_bot
    alert = of(event("bot_message", user=None, bot_id="B2", text="", attachments=[{"text": "disk full"}, {"x": 1}]))
    assert alert.text == "disk full"


def test_an_edit_is_about_its_message_and_has_an_id_of_its_own() -> None:
    before = {"type": "message", "user": "U1", "text": "helo", "ts": "1795800000.000100", "team": "T1"}
    now = before | {"text": "<@UBOT> hello", "edited": {"user": "U1", "ts": "1795800009.000000"}}
    found = of(event("message_changed", hidden=True, ts="9.000001", message=now, previous_message=before))
    assert (found.kind, found.message_id, found.text, found.mentions_me) == (
        "edit",
        "1795800000.000100",
        "hello",
        True,
    )
    assert found.event_id == "C1:1795800000.000100:edit:1795800009.000000"
    assert found.place.thread == "1795800000.000100"


@pytest.mark.parametrize(
    "now",
    [
        {"text": "hello", "attachments": [{"title": "a preview"}]},
        {"text": "hello", "edited": {"ts": "2.000000"}},
        {"text": "hello", "reply_count": 1},
    ],
)
def test_what_slack_adds_to_a_message_is_no_edit(now: dict[str, Any]) -> None:
    before = {"type": "message", "user": "U1", "text": "hello", "ts": "1.000100"}
    payload = event("message_changed", message=before | now, previous_message=before)
    assert inbound("events_api", payload, ME) is None


def test_our_own_edits_and_deletes_are_nothing() -> None:
    before = {"type": "message", "user": "UBOT", "bot_id": "B1", "text": "a", "ts": "1.000100"}
    now = before | {"text": "b", "edited": {"ts": "2.000000"}}
    assert inbound("events_api", event("message_changed", message=now, previous_message=before), ME) is None
    deleted = event("message_deleted", deleted_ts="1.000100", previous_message=before)
    assert inbound("events_api", deleted, ME) is None


def test_a_delete_is_about_its_message() -> None:
    before = {"type": "message", "user": "U1", "text": "a", "ts": "1.000100", "thread_ts": "0.000100"}
    found = of(event("message_deleted", deleted_ts="1.000100", previous_message=before))
    assert (found.kind, found.message_id, found.event_id) == ("delete", "1.000100", "C1:1.000100:delete")
    assert (found.place.thread, found.sender.id) == ("0.000100", "U1")
    tombstone = before | {"subtype": "tombstone", "user": "USLACKBOT"}
    root = of(event("message_changed", message=tombstone, previous_message=before))
    assert (root.kind, root.message_id, root.sender.id) == ("delete", "1.000100", "U1")


def test_somebody_of_another_workspace_is_not_somebody_of_ours() -> None:
    found = of(event(team="T9"))
    assert found.sender.id == "T9/U1"
    assert found.place.facts == {"user": "U1", "team": "T9"}
    assert of(event(user_team="T9")).sender.id == "T9/U1"
    assert inbound("events_api", event() | {"authorizations": [{"team_id": "T2"}]}, ME) is None
    grid = Me(user="UBOT", bot="B1", team="T1", enterprise="E1")
    of_grid = inbound("events_api", event(user_team="E1"), grid)
    assert of_grid is not None
    assert of_grid.sender.id == "U1"


def test_files_are_known_by_their_ids() -> None:
    files = [
        {"id": "F1", "name": "a.txt", "mimetype": "text/plain", "size": 3, "url_private": "https://files.slack.com/a"},
        {"id": "F2", "file_access": "check_file_info"},
        {"id": "F3", "mode": "tombstone"},
        {"id": "F4", "is_external": True, "title": "Plan", "url_private": "https://docs.example/plan"},
    ]
    found = of(event("file_share", files=files))
    assert found.attachments == (
        Attachment(id="F1", name="a.txt", media_type="text/plain", size=3),
        Attachment(id="F2", name="F2"),
    )
    assert found.text == "hello\n\n[Plan](https://docs.example/plan)"


def test_a_slash_command_is_a_command_of_the_bridge() -> None:
    form = {
        "command": "/missive",
        "text": "agent weather",
        "channel_id": "C1",
        "user_id": "U1",
        "user_name": "ann",
        "team_id": "T1",
        "trigger_id": "13.37",
    }
    found = of(form, "slash_commands")
    assert (found.kind, found.text, found.mentions_me, found.event_id) == (
        "message",
        "!agent weather",
        True,
        "C1:command:13.37",
    )
    assert (found.place.thread, found.sender.id, found.sender.name) == (None, "U1", "ann")
    assert of(form | {"text": ""}, "slash_commands").text == "!help"
    assert of(form | {"command": "/stop", "text": ""}, "slash_commands").text == "!stop"
    assert of(form | {"command": "/Agent", "text": "a &amp; b"}, "slash_commands").text == "!agent a & b"
    assert of(form | {"channel_id": "D1"}, "slash_commands").place.is_direct
    assert inbound("slash_commands", form | {"trigger_id": ""}, ME) is None


def test_a_press_is_who_and_what_and_where() -> None:
    payload = {
        "type": "block_actions",
        "user": {"id": "U2", "username": "bob", "team_id": "T1"},
        "container": {"type": "message", "message_ts": "2.000100", "channel_id": "C1", "thread_ts": "1.000100"},
        "channel": {"id": "C1"},
        "actions": [{"action_id": "missive_1", "value": "a:7Q2K:no", "type": "button", "action_ts": "3.000100"}],
    }
    found = of(payload, "interactive")
    assert found.press == Press(value="a:7Q2K:no", message_id="2.000100")
    assert (found.kind, found.message_id, found.place.thread, found.sender.id, found.sender.name) == (
        "press",
        "2.000100",
        "1.000100",
        "U2",
        "bob",
    )
    again = of(payload, "interactive")
    assert again.event_id == found.event_id
    later = {**payload, "actions": [{**payload["actions"][0], "action_ts": "4.000100"}]}  # type: ignore[index]
    assert of(later, "interactive").event_id != found.event_id
    foreign = {**payload, "actions": [{"action_id": "other", "value": "x", "action_ts": "3.0"}]}
    assert inbound("interactive", foreign, ME) is None
    assert inbound("interactive", {"type": "view_submission"}, ME) is None


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("events_api", {}),
        ("events_api", {"event": {"type": "app_home_opened"}}),
        ("events_api", {"event": {"type": "message"}}),
        ("events_api", {"event": {"type": "message", "subtype": "message_changed"}}),
        ("events_api", {"event": {"type": "message", "subtype": "message_deleted"}}),
        ("interactive", {"type": "block_actions"}),
        ("slash_commands", {}),
        ("something_new", {"event": {"type": "message"}}),
    ],
)
def test_what_is_not_known_is_nothing(kind: str, payload: dict[str, Any]) -> None:
    assert inbound(kind, payload, ME) is None
