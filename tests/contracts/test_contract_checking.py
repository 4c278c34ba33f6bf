"""Finding contracts, and files checked against them: what is said, about which place, in which line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from contract_kit import KNOWN, OUTPUT, REQUEST, RESPONSE, SCHEMAS, faults
from support.secrets import planted

from missive_host.contracts import Contract, contracts, find, folder, load_schema, validate
from missive_host.contracts.checking import Checked, check, format_of
from missive_host.errors import IoError, ValidationError

FRAME = '{"schema_version":"missive.stdio.v1","id":"r1","command":"task_list"}'
DATA = '{"plugins":[],"notices":[],"message":""}'
DOCUMENT = f'{{"schema_version":"missive.output.v1","ok":true,"kind":"plugin_list","data":{DATA}}}'
ANSWER = (
    '{"schema_version":"missive.stdio.v1","id":"r","ok":true,"kind":"stdio_command_output","sequence":0,'
    f'"data":{DOCUMENT[:-1]},"sequence":0}}}}'
)
SEND = '{"id":"r1","command":"send","agent":"a",'


def checked(text: str | bytes, *, contract: str | None = None, name: str = "-") -> Checked:
    data = text.encode() if isinstance(text, str) else text
    return check(data, contracts(), contract=contract, format=format_of(name, contract))


def said(found: Checked) -> list[tuple[object, object, str]]:
    return [(violation.line or None, violation.path or None, violation.message) for violation in found.violations]


# --- the library


def brought(place: Path, *files: str) -> Path:
    for file in files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text('{"title": "Pigeons"}')
    return place


def test_the_own_contracts() -> None:
    doors = [f"missive.{door}.v1/{part}" for door in ("file_drop", "http", "stdio") for part in ("request", "response")]
    names = ["missive.chat.v1", "missive.config.v1", "missive.output.v1", *doors]
    assert [contract.name for contract in contracts()] == sorted(names)
    parts = {contract.name: contract.part for contract in contracts()}
    expected = {name: name.partition("/")[2] or name.split(".")[1] for name in names}
    assert parts == {**expected, "missive.chat.v1": "request"}  # its answers are messages, so there is no other part


def test_a_folder_that_somebody_brings(tmp_path: Path) -> None:
    place = brought(tmp_path, "pigeon.v1/note.schema.json", "pigeon.v1/examples/valid/a.json", "README.md")
    known = contracts(folder(), place)
    assert [contract.name for contract in known] == sorted([*KNOWN, "pigeon.v1"])
    assert load_schema(find("pigeon.v1", known)) == {"title": "Pigeons"}
    assert [contract.name for contract in contracts(place)] == ["pigeon.v1"]


def test_two_contracts_of_one_name(tmp_path: Path) -> None:
    place = brought(tmp_path, "missive.output.v1/output.schema.json")
    with pytest.raises(ValidationError, match=r"the contract missive\.output\.v1 is there twice"):
        contracts(folder(), place)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IoError, match="No such file"):
        contracts(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_schema_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    place = brought(tmp_path, "pigeon.v1/note.schema.json")
    (contract,) = contracts(place)
    (place / "pigeon.v1/note.schema.json").write_text(text)
    with pytest.raises(IoError, match=r"while reading .*note\.schema\.json"):
        load_schema(contract)
    (place / "pigeon.v1/note.schema.json").unlink()
    with pytest.raises(IoError, match="No such file"):
        load_schema(contract)


def test_names() -> None:
    known = contracts()
    assert find("missive.stdio.v1", known).name == REQUEST
    assert find("missive.stdio.v1/response", known).name == RESPONSE
    with pytest.raises(
        ValidationError, match=r"no contract 'missive\.outptu\.v1'; did you mean 'missive\.output\.v1'\?"
    ):
        find("missive.outptu.v1", known)


# --- faults in words


def test_a_fault_says_where_and_what() -> None:
    frame = {"id": "r1", "command": "send", "agent": "a", "mime": ["a/b", 7], "metadata": {'a "b"\n': 1}, "x y": 0}
    assert {fault.path: fault.message.partition(" 1 to")[0] for fault in faults(REQUEST, frame)} == {
        "$.mime[1]": "expected a string",
        '$.metadata["a \\"b\\"\\n"]': "as a name: expected",
        '$["x y"]': "unknown field",
    }


def test_a_value_is_never_repeated() -> None:
    secret = "sk-" + planted("wrong-place")
    document = {
        "auth_refs": {"a": {"env": secret, "header": secret + " ", "scheme": secret + " "}},
        "qos": {"timeout": secret},
    }
    found = faults("missive.config.v1", document)
    assert len(found) == 4
    assert not any(secret in fault.message for fault in found)


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"type": "integer"}, 5.0, "expected a whole number"),
        ({"type": "integer"}, True, "expected a whole number"),
        ({"type": ["string", "number"]}, None, "expected a string or a number"),
        ({"enum": ["red", "green"]}, "gren", "expected one of red, green; did you mean 'green'?"),
        ({"enum": ["red", "green"]}, 5, "expected one of red, green"),
        ({"enum": [1, 2]}, 5, "expected 1 or 2"),
        ({"const": None}, 5, "expected null"),
        ({"maxItems": 1}, [1, 2], "expected fewer items, at most 1"),
        ({"exclusiveMinimum": 0}, 0, "expected a number of more than 0"),
        ({"pattern": r"^a\$$"}, "a$\n", "is not in the expected form"),
        ({"pattern": "^[$]$"}, "a", "is not in the expected form"),
        ({"minLength": 1}, "", "expected some text"),
        ({"minLength": 2}, "a", "expected more text, a length of at least 2"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "expected a string"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, [], "expected a whole number or a string"),
        ({"anyOf": [{"minimum": 3}, {"maximum": 1}]}, 2, "expected another value"),
        ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, "expected another value"),
    ],
)  # fmt: skip
def test_the_words_for(schema: dict[str, object], value: object, message: str) -> None:
    assert [fault.message for fault in validate(value, schema)] == [message]


def test_what_fits() -> None:
    assert validate("a$", {"pattern": r"^a\$$"}) == ()
    assert validate("$", {"pattern": "^[$]$"}) == ()
    assert validate({"x_a": 1}, {"patternProperties": {"^x_": {}}, "additionalProperties": False}) == ()


def test_unknown_fields_that_are_not_evaluated() -> None:
    schema = {"allOf": [{"properties": {"message": {}}}], "unevaluatedProperties": False, "properties": {"name": {}}}
    assert [fault.sentence() for fault in validate({"message": 1, "nam": 2}, schema)] == ["$: has an unknown field"]
    assert validate({"message": 1, "name": 2}, schema) == ()


def test_values_of_further_fields() -> None:
    schema = {"additionalProperties": {"type": "string"}}
    assert [fault.sentence() for fault in validate({"a": "b", "c": 2}, schema)] == ["$.c: expected a string"]


# --- which contract


@pytest.mark.parametrize(
    ("text", "contract", "name"),
    [
        (FRAME, None, REQUEST),
        (FRAME, "missive.stdio.v1", REQUEST),
        ('{"id":"r1","command":"task_list"}', "missive.stdio.v1", REQUEST),
        (FRAME, "missive.stdio.v1/request", REQUEST),
        (DOCUMENT, None, OUTPUT),
        (ANSWER, None, RESPONSE),
        ("[qos]\ntimeout = '5s'\n", "missive.config.v1", "missive.config.v1"),
    ],
)  # fmt: skip
def test_each_document_finds_its_contract(text: str, contract: str | None, name: str) -> None:
    found = checked(text, contract=contract)
    assert (found.violations, found.contracts, found.document_count) == ((), (name,), 1)


def test_an_asked_contract_wins() -> None:
    found = checked(DOCUMENT, contract="missive.stdio.v1/response")
    assert found.contracts == (RESPONSE,)
    assert (1, "$.schema_version", "expected missive.stdio.v1") in said(found)
    assert (1, "$.sequence", "is missing") in said(found)


def test_a_contract_that_is_not_there() -> None:
    with pytest.raises(ValidationError, match="did you mean"):
        checked(FRAME, contract="missive.stdoi.v1")


def test_documents_without_a_contract() -> None:
    without = "there is no schema_version that names its contract; say which with --contract"
    assert said(checked('{"id":"r1"}')) == [(1, "$", without)]
    assert said(checked("[1]")) == [(1, "$", without)]
    misspelt = "there is no such contract; did you mean 'missive.output.v1'?"
    assert said(checked('{"schema_version":"missive.outptu.v1"}')) == [(1, "$.schema_version", misspelt)]
    assert said(checked('{"schema_version":7}')) == [(1, "$.schema_version", "there is no such contract")]


# --- lines


def test_lines_of_ndjson() -> None:
    bad = FRAME.replace("task_list", "tasklist")
    found = checked(f"{FRAME}\n\n{bad}\n{DOCUMENT}\r\n{{\n")
    assert found.document_count == 4
    assert found.contracts == (OUTPUT, REQUEST)
    assert [line for line, _, _ in said(found)] == [3, 5]


def test_lines_of_a_document() -> None:
    text = r"""
{ "id": "r1",
 "command" : "send", "mime": [
  "a/b", {"x": [1, "]", "\""]},
  "c"
 ],
 "agent": "A",
 "mesage": 1}"""
    assert [(line, path) for line, path, _ in said(checked(text, contract="missive.stdio.v1"))] == [
        (4, "$.mime[1]"),
        (5, "$.mime[2]"),
        (7, "$.agent"),
        (8, "$.mesage"),
    ]


def test_a_missing_field_is_where_its_object_begins() -> None:
    text = DOCUMENT.replace('"data":', '\n"data":\n').replace(',"message":""', "")
    assert said(checked(text)) == [(3, "$.data.message", "is missing")]


@pytest.mark.parametrize("name", ["frames.ndjson", "frames.JSONL"])
def test_the_name_says_that_it_has_lines(name: str) -> None:
    assert checked(f"\n{FRAME}\n", name=name).violations == ()
    assert said(checked(f"{{\n{FRAME[1:]}", name=name))[0][0] == 1


def test_lines_of_a_configuration() -> None:
    found = checked("[qos]\ntimeout = 5\n\n[agents.a]\nurl = 1\n", name="missive.toml")
    assert said(found) == [
        (2, "$.qos.timeout", "expected a string"),
        (4, "$.agents.a.base_url", "is missing"),
        (5, "$.agents.a.url", "unknown field"),
    ]


# --- what no schema can say


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id":"r1","id":"r2","command":"task_list"}', "field id is given twice"),
        (SEND + '"json_parts":[NaN]}', "NaN is not JSON"),
        (SEND + '"json_parts":[-Infinity]}', "-Infinity is not JSON"),
        (SEND + '"json_parts":[9007199254740993]}', "the number 9007199254740993 is too big to be kept exactly"),
        (SEND + '"message":"\\ud800"}', "a string has an unpaired surrogate (\\ud800 to \\udfff)"),
        (SEND + '"json_parts":' + "[" * 250 + "]" * 250 + "}", "the frame is nested too deeply"),
        ("[" * 100_000, "cannot be read: it is nested too deeply, or has a number too long"),
        ("9" * 10_000, "cannot be read: it is nested too deeply, or has a number too long"),
        ('{"id":"r1",}', "not valid JSON: expecting property name enclosed in double quotes at column 12"),
        ('{"id":"r1"} x', "not valid JSON: extra data at column 13"),
        ("", "there is no document in it"),
        (" \n\n", "there is no document in it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_beyond_its_schema(text: str, message: str) -> None:
    (violation,) = checked(text, contract="missive.stdio.v1").violations
    assert violation.message == message


def test_bytes_that_are_not_text() -> None:
    assert said(checked(b'{"id":\n"\xff"}')) == [(2, None, "not valid UTF-8 at byte 8")]


CONFIG_FAULTS = {
    "[agents.a]\nbase_url = 'http://h'\nauth_ref = 'b'\n": (
        (3, "$.agents.a.auth_ref", "there is no such name in [auth_refs]")
    ),
    "[auth_refs.a]\nheaders = [{env='A'}, {env='B'}]\n": ((2, "$.auth_refs.a.headers", "authorization is there twice")),
    "[gateway]\nbind_address = '[:::]:1'\n": (
        (2, "$.gateway.bind_address", "expected an IP address and a port, such as 127.0.0.1:7347 or [::1]:7347")
    ),
    "a = 1\na = 2\n": (2, None, "not TOML: cannot overwrite a value"),
    "a = {": (None, None, "not TOML: invalid initial character for a key part at the end of the file"),
}


@pytest.mark.parametrize("text", CONFIG_FAULTS)
def test_what_is_wrong_with_a_configuration_beyond_its_schema(text: str) -> None:
    assert said(checked(text, name="missive.toml")) == [CONFIG_FAULTS[text]]


def test_an_empty_configuration_is_one() -> None:
    assert checked("", name="missive.toml").document_count == 1


def test_a_toml_file_for_another_contract() -> None:
    found = checked("", name="frames.toml", contract="missive.stdio.v1")
    assert said(found) == [(None, None, "a TOML file is a configuration, not missive.stdio.v1")]


def test_a_schema_that_is_brought_is_used(tmp_path: Path) -> None:
    place = brought(tmp_path, "pigeon.v1/note.schema.json")
    (place / "pigeon.v1/note.schema.json").write_text('{"properties": {"wings": {"const": 2}}}')
    found = check(b'{"schema_version":"pigeon.v1","wings":3}', contracts(folder(), place), contract=None, format=None)
    assert said(found) == [(1, "$.wings", "expected 2")]


def test_the_schemas_are_those_that_are_loaded() -> None:
    assert {contract.name: load_schema(contract) for contract in contracts()} == SCHEMAS
    assert isinstance(contracts()[0], Contract)
    assert json.loads(contracts()[0].file.read_text("utf-8")) == SCHEMAS[contracts()[0].name]
