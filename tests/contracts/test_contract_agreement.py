"""Schemas and code agree: what one accepts the other does, shown with random documents and random changes to them."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest
from contract_kit import (
    ANYTHING_IN_TOML,
    CONFIG,
    KINDS,
    OUTPUT,
    REQUEST,
    RESPONSE,
    RESULT_FILE,
    accepted,
    as_json,
    changed,
    faults,
    fields_of,
    parsed,
)
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec import UNSET

from missive_host.a2a.shapes import state
from missive_host.commands import DOOR_COMMANDS, Command, tag_of
from missive_host.config.model import Config
from missive_host.contracts.rules import TASK_STATES
from missive_host.envelopes import (
    CHAT,
    FILE_DROP,
    STDIO,
    ChatFacts,
    Frames,
    ResultFile,
    Source,
    chat_envelope,
    door_fields,
    facts_of,
    from_stored,
    stored,
)
from missive_host.errors import ErrorReport, ValidationError
from missive_host.outputs import Data, Output, error_document

slowly = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
)
few = settings(slowly, max_examples=15)
many = settings(slowly, max_examples=60)


def agree(contract: str, document: Any) -> None:
    found = faults(contract, document)
    assert accepted(contract, document) is not bool(found), [fault.sentence() for fault in found]


# --- requests


@cache
def commands(cls: type[Command]) -> st.SearchStrategy[Command]:
    """Commands as a door may give them."""

    def made(fields: dict[str, Any]) -> Command:
        mine = {name: value for name, value in fields.items() if name in door_fields(cls)}
        return msgspec.convert({**mine, "command": tag_of(cls)}, cls)

    return fields_of(cls).map(made)


@cache
def frames(cls: type[Command]) -> st.SearchStrategy[dict[str, Any]]:
    envelope = st.fixed_dictionaries(
        {"id": st.from_regex(r"[!-~]{1,20}", fullmatch=True)},
        optional={"schema_version": st.just(STDIO), "source": fields_of(Source), "x_more": st.just([1])},
    )
    return st.builds(lambda frame, command: {**frame, **as_json(command)}, envelope, commands(cls))


@pytest.mark.parametrize("cls", DOOR_COMMANDS, ids=tag_of)
@many
@given(data=st.data())
def test_a_command_survives_the_road_through_a_frame(cls: type[Command], data: st.DataObject) -> None:
    command = data.draw(commands(cls))
    frame = {"schema_version": STDIO, "id": "r1", **as_json(command)}
    assert faults(REQUEST, frame) == ()
    assert parsed(frame) == command


@pytest.mark.parametrize("cls", DOOR_COMMANDS, ids=tag_of)
@many
@given(data=st.data())
def test_a_changed_frame_is_judged_alike(cls: type[Command], data: st.DataObject) -> None:
    agree(REQUEST, data.draw(changed(data.draw(frames(cls)))))


@pytest.mark.parametrize("cls", DOOR_COMMANDS, ids=tag_of)
@few
@given(data=st.data())
def test_both_refuse_what_is_plainly_wrong(cls: type[Command], data: st.DataObject) -> None:
    frame = data.draw(frames(cls))
    required = ["id", "command", *(field.name for field in msgspec.structs.fields(cls) if field.required)]
    known = {*door_fields(cls), "id", "command", "source", "metadata", "schema_version"}
    lost = data.draw(st.sampled_from(required))
    unknown = data.draw(st.text(min_size=1).filter(lambda name: name not in known and not name.startswith("x_")))
    wrong_type = data.draw(st.sampled_from(sorted(known)))
    for broken in (
        {key: value for key, value in frame.items() if key != lost},
        {**frame, unknown: data.draw(st.none() | st.text())},
        {**frame, wrong_type: 0.5},
    ):
        assert faults(REQUEST, broken) != ()
        with pytest.raises(ValidationError):
            parsed(broken)


@many
@given(facts=fields_of(ChatFacts), data=st.data())
def test_the_facts_of_a_chat_are_judged_alike(facts: dict[str, Any], data: st.DataObject) -> None:
    frame = {"id": "r1", "command": "send", "agent": "echo", "message": "hi", "chat": facts}
    agree(CHAT, frame)
    agree(CHAT, data.draw(changed(frame)))


@many
@given(facts=fields_of(ChatFacts), source_id=st.text(st.characters(codec="utf-8"), min_size=1))
def test_what_a_chat_makes_survives_being_stored(facts: dict[str, Any], source_id: str) -> None:
    known = msgspec.convert(facts, ChatFacts)
    envelope = chat_envelope(known, parsed({"id": "r1", "command": "task_list"}), source_id=source_id)
    kept = from_stored(as_json(stored(envelope)))
    assert kept == envelope
    assert facts_of(kept) == known
    frame = {"id": kept.id, **as_json(kept.command), "source": as_json(kept.source), "chat": kept.metadata}
    assert faults(CHAT, {**frame, "idempotency_key": kept.idempotency_key}) == ()


CHANGES = (str.lower, str.upper, str.title, lambda text: text.replace("_", "-"))


@pytest.mark.parametrize(
    "spelling", ["{}", "TASK_STATE_{}", "task-state-{}", "TASK_STATE_TASK_STATE_{}", "{}\n", " {}"]
)
@pytest.mark.parametrize("word", [*TASK_STATES, "canceled", "archived", "open", "remote", "Local", "done", ""])
def test_words_in_other_spellings(word: str, spelling: str) -> None:
    for change in CHANGES:
        text = change(spelling.format(word))
        agree(REQUEST, {"id": "r1", "command": "task_list", "state": text})
        agree(REQUEST, {"id": "r1", "command": "context_list", "state": text})
        agree(REQUEST, {"id": "r1", "command": "task_list", "task_source": text})
        agree(REQUEST, {"id": "r1", "command": "task_get", "task_id": "t", "source": text})
        agree(REQUEST, {"id": "r1", "command": "task_get", "task_id": "t", "source": text, "task_source": "local"})


CHARACTERS = [chr(point) for point in [*range(0x180), *range(0x2000, 0x2070), 0x1680, 0x180E, 0x3000, 0xFEFF, 0x1F989]]


@pytest.mark.parametrize("form", ["{}", "a{}", "{}a"])
def test_characters_in_names_and_ids(form: str) -> None:
    """White space means the same to both, and a line feed at the end is not overlooked."""
    for text in map(form.format, CHARACTERS):
        agree(REQUEST, {"id": text, "command": "agent_list"})
        agree(REQUEST, {"id": "r1", "command": "agent_show", "agent": text})
        agree(REQUEST, {"id": "r1", "command": "send", "agent": "a", "mime": [f"text/{text}"], "metadata": {text: 1}})
        agree(CONFIG, {"agents": {"a": {"base_url": f"http://h/{text}", "interfaces": {"grpc": f"{text}:1"}}}})
        agree(CONFIG, {"protocol": {"extensions": [text], "service_parameters": {text: text}}})
        agree(CONFIG, {"auth_refs": {text: {"env": f"A{text}", "scheme": text}}})


# --- results and answers


@cache
def documents(cls: type[Data]) -> st.SearchStrategy[Output]:
    values = fields_of(cls).map(lambda fields: msgspec.convert(with_true_categories(fields), cls))
    return st.builds(Output, values, st.integers(0, 50))


def with_true_categories(value: Any) -> Any:
    """Return fields in which the errors of members and attempts are of a category that there is."""
    if isinstance(value, dict):
        value = {key: with_true_categories(item) for key, item in value.items()}
        if {"code", "category", "message", "exit_code"} <= value.keys():
            value |= {"category": ValidationError.category, "code": f"missive::{ValidationError.category}"}
        return value
    return [with_true_categories(item) for item in value] if isinstance(value, list | tuple) else value


def reports() -> st.SearchStrategy[ErrorReport]:
    def made(fields: dict[str, Any], error: type[ValidationError]) -> ErrorReport:
        return msgspec.convert(
            {**fields, "category": error.category, "code": f"missive::{error.category}"}, ErrorReport
        )

    return st.builds(made, fields_of(ErrorReport), st.just(ValidationError))


@pytest.mark.parametrize("cls", KINDS.values(), ids=KINDS)
@few
@given(data=st.data())
def test_every_result_keeps_to_its_schema(cls: type[Data], data: st.DataObject) -> None:
    output = data.draw(documents(cls))
    frame = as_json(Frames(STDIO, "r1", "stdio").output(output))
    assert faults(OUTPUT, as_json(output.document())) == ()
    assert faults(OUTPUT, frame["data"]) == ()
    assert faults(RESPONSE, frame) == ()
    agree(OUTPUT, data.draw(changed(frame["data"])))
    agree(RESPONSE, data.draw(changed(frame)))
    file = as_json(result_file(frame_id="r1", outputs=(frame,), error=UNSET))
    assert faults(RESULT_FILE, file) == ()
    agree(RESULT_FILE, data.draw(changed(file)))


@many
@given(report=reports(), line=st.none() | st.integers(1, 10**6), frame_id=st.sampled_from([None, "r1"]), data=st.data())
def test_every_error_keeps_to_its_schema(
    report: ErrorReport, line: int | None, frame_id: str | None, data: st.DataObject
) -> None:
    document = as_json(error_document(report))
    made = Frames(STDIO, frame_id, "stdio")
    frame = as_json(made.error(report) if line is None else made.error(report, {"line": line}))
    assert faults(OUTPUT, document) == ()
    assert faults(RESPONSE, frame) == ()
    agree(OUTPUT, data.draw(changed(document)))
    agree(RESPONSE, data.draw(changed(frame)))
    file = as_json(result_file(frame_id=frame_id, outputs=UNSET, error=report))
    assert faults(RESULT_FILE, file) == ()
    agree(RESULT_FILE, data.draw(changed(file)))


def result_file(*, frame_id: str | None, outputs: Any, error: Any) -> ResultFile:
    return ResultFile(
        schema_version=FILE_DROP,
        id=UNSET if frame_id is None else frame_id,
        ok=error is UNSET,
        kind="file_drop_result" if error is UNSET else "file_drop_error",
        input_file="a.json",
        archived_file="a-1.json",
        outputs=outputs,
        error=error,
    )


def test_the_states_of_the_schema_are_those_that_agents_can_give() -> None:
    from a2a.types import TaskState as Wire

    assert {state({"state": name}) for name in Wire.keys()} == set(TASK_STATES)  # noqa: SIM118 - a protobuf enum
    assert state(None) in TASK_STATES


# --- configuration


def configs() -> st.SearchStrategy[dict[str, Any]]:
    return fields_of(Config, anything=ANYTHING_IN_TOML)


@settings(many, max_examples=200)
@given(config=configs(), data=st.data())
def test_a_configuration_is_judged_alike(config: dict[str, Any], data: st.DataObject) -> None:
    agree(CONFIG, config)
    if config:
        agree(CONFIG, data.draw(changed(config, ANYTHING_IN_TOML)))


SECRET = ("kind", "env", "file", "keyring_service", "keyring_account", "header")


@settings(many, max_examples=300)
@given(
    ref=st.fixed_dictionaries(
        {},
        optional={
            **{key: st.sampled_from(["env", "file", "keyring", "A"]) for key in SECRET},
            "headers": st.lists(
                st.fixed_dictionaries({}, optional={key: st.sampled_from(["env", "A2A-version"]) for key in SECRET}),
                max_size=1,
            ),
        },
    )
)
def test_every_way_to_say_where_a_secret_is(ref: dict[str, Any]) -> None:
    agree(CONFIG, {"auth_refs": {"a": ref}})


HOSTS = "127.0.0.1 0.0.0.0 255.255.255.255 256.1.1.1 1.2.3 01.2.3.4 [::1] [::ffff:1.2.3.4] [1.2.3.4] ::1 localhost"
PORTS = ["0", "80", "00080", "000080", "59999", "65535", "65536", "99999", "", "-1", "http", "1\n"]


@pytest.mark.parametrize("host", [*HOSTS.split(), ""])
@pytest.mark.parametrize("port", PORTS)
def test_where_the_gateway_listens(host: str, port: str) -> None:
    agree(CONFIG, {"gateway": {"bind_address": f"{host}:{port}"}})


@settings(many, max_examples=200)
@given(path=st.lists(st.sampled_from(["..", "a", "...", "/", "~", "\n"]), min_size=1, max_size=6).map("".join))
def test_where_the_database_lies(path: str) -> None:
    agree(CONFIG, {"storage": {"database_path": path}})
