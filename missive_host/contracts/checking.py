"""A file against the contracts: one JSON document, NDJSON, or a configuration in TOML.

Beyond the schema, a request frame is parsed as a door would parse it and a configuration as missive would load it, so
that also what no schema can say is found: keys that are given twice, numbers that are too big, names of nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from json.decoder import JSONDecodeError
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET

from missive_host.contracts.library import Contract, find, load_schema
from missive_host.contracts.outputs import Violation
from missive_host.contracts.validation import Fault, Keys, validator
from missive_host.errors import nearest

if TYPE_CHECKING:
    from missive_host.config.problems import Problem

CONFIG = "missive.config.v1"

Format = Literal["json", "ndjson", "toml"]


class Checked(msgspec.Struct, frozen=True):
    """What came of a check. ``contracts`` are the names of those that the documents were checked against."""

    document_count: int
    contracts: tuple[str, ...]
    violations: tuple[Violation, ...]


class _RefusedError(Exception):
    """A text that is no document at all."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.message)
        self.violation = violation


def format_of(name: str, contract: str | None) -> Format | None:
    """Return the format of a file by its name, or by the contract that was asked for. None: look into it."""
    suffix = name.rpartition(".")[2].lower()
    if suffix in ("ndjson", "jsonl"):
        return "ndjson"
    if suffix == "toml" or (suffix != "json" and contract == CONFIG):
        return "toml"
    return None


def check(data: bytes, known: tuple[Contract, ...], *, contract: str | None, format: Format | None) -> Checked:  # noqa: A002
    """Check the documents in `data` against `contract`, or each against the one that its ``schema_version`` names.

    Without a `format` it is one JSON document or, if it is not and its first line is, NDJSON. Raises `ValidationError`
    when there is no contract of that name.
    """
    if contract is not None:
        # A version alone means all of its parts; a kind is in no list of contracts.
        asked = find(contract, known)
        known = tuple(each for each in known if contract in (each.name, each.version)) or (asked,)
    checker = _Checker(known, contract)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Checked(0, (), (Violation(message=f"not valid UTF-8 at byte {error.start}", line=line),))
    if format == "toml":
        checker.toml(text)
    elif format == "ndjson" or (format is None and _has_lines(text)):
        for number, one in enumerate(text.split("\n"), 1):
            if one.strip():
                checker.json(one, number)
    elif text.strip():
        checker.json(text, 1)
    if not checker.count:
        checker.violations.append(Violation(message="there is no document in it"))
    return Checked(checker.count, tuple(sorted(checker.used)), tuple(checker.violations))


def _has_lines(text: str) -> bool:
    """True if this is not one document but its first line is."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    return not _is_json(text) and _is_json(first)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Checker:
    """The work of one `check`."""

    def __init__(self, known: tuple[Contract, ...], asked: str | None) -> None:
        self.count = 0
        self.used: set[str] = set()
        self.violations: list[Violation] = []
        self._known = known
        self._asked = asked
        self._validators: dict[str, Callable[[Any], tuple[Fault, ...]]] = {}

    def json(self, text: str, first_line: int) -> None:
        """Check one JSON document that begins in this line of the file."""
        self.count += 1
        try:
            value = _load_json(text, first_line)
            contract = self._contract_of(value, first_line)
        except _RefusedError as error:
            self.violations.append(error.violation)
            return
        found = self._faults(contract, value)
        for line, fault in sorted(((_line_of(text, fault.keys), fault) for fault in found), key=itemgetter(0)):
            self._add(contract, fault.message, fault.path, first_line + line)
        if not found and contract.part == "request":
            from missive_host.envelopes import FrameError, parse_envelope

            try:
                parse_envelope(
                    text.encode(),
                    contract.spec or contract.version,
                    default_source="check",
                    default_id=self._id_of(contract),
                )
            except FrameError as error:
                self._add(contract, error.message, None, first_line)

    def toml(self, text: str) -> None:
        """Check a configuration."""
        self.count += 1
        import tomllib

        from missive_host.config.problems import problems_of

        config = next((contract for contract in self._known if contract.version == CONFIG), None)
        if config is None:
            self.violations.append(Violation(message=f"a TOML file is a configuration, not {self._asked}"))
            return
        try:
            # Dates become text, as they do when missive loads it.
            value = msgspec.to_builtins(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RecursionError):
            value = None
        faults = () if value is None else self._faults(config, value)
        # In the order of the file, and each with its line.
        for fault in faults:
            (problem,) = problems_of(text, [(fault.keys, fault.message)])
            self._add(config, fault.message, fault.path, problem.line)
        self.violations.sort(key=lambda violation: violation.line or 0)
        if not faults:
            for problem in _load_config(text):
                path = ".".join(part for part in (problem.table, problem.key) if part)
                self._add(config, problem.message, f"$.{path}" if path else None, problem.line)

    @staticmethod
    def _id_of(contract: Contract) -> str | None:
        """Return an id for frames that have none, where the door makes one up."""
        return None if "id" in _schema_of(contract).get("required", ()) else "check"

    def _faults(self, contract: Contract, value: Any) -> tuple[Fault, ...]:
        self.used.add(contract.name)
        if contract.name not in self._validators:
            self._validators[contract.name] = validator(_schema_of(contract))
        return self._validators[contract.name](value)

    def _add(self, contract: Contract, message: str, path: str | None, line: int | msgspec.UnsetType) -> None:
        self.violations.append(
            Violation(message=message, path=UNSET if path is None else path, line=line, contract=contract.name)
        )

    def _contract_of(self, value: Any, line: int) -> Contract:
        """Return the contract that this document means. Raises `_RefusedError`."""
        fields = value if isinstance(value, dict) else {}
        if self._asked is None:
            versions = sorted({contract.version for contract in self._known})
            version = fields.get("schema_version")
            fitting = tuple(contract for contract in self._known if contract.version == version)
            if "schema_version" not in fields:
                raise _RefusedError(
                    Violation(
                        message="there is no schema_version that names its contract; say which with --contract",
                        path="$",
                        line=line,
                    )
                )
            if not fitting:
                raise _RefusedError(
                    Violation(
                        message=f"there is no such contract{nearest(str(version)[:64], versions)}",
                        path="$.schema_version",
                        line=line,
                    )
                )
        else:
            fitting = self._known
        # Requests and responses of a door share a version; only a response says how it went.
        wanted = "response" if "ok" in fields else "request"
        return next((contract for contract in fitting if contract.part == wanted), fitting[0])


def _schema_of(contract: Contract) -> dict[str, Any]:
    if contract.spec is None:
        return load_schema(contract)
    from missive_host.contracts.brought import sound_schema

    return sound_schema(contract)


def _load_json(text: str, first_line: int) -> Any:
    """Parse JSON. Raises `_RefusedError` for what is not JSON, for keys that are given twice, and for NaN."""
    duplicates: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            names = [name for name, _ in items]
            duplicates.extend(name for name in result if names.count(name) > 1)
        return result

    def constant(word: str) -> Any:
        raise _RefusedError(Violation(message=f"{word} is not JSON", line=first_line))

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except JSONDecodeError as error:
        line = first_line + error.lineno - 1
        what = f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]} at column {error.colno}"
        raise _RefusedError(Violation(message=what, line=line)) from None
    except (RecursionError, ValueError):  # the latter: a number of thousands of digits
        raise _RefusedError(
            Violation(message="cannot be read: it is nested too deeply, or has a number too long", line=first_line)
        ) from None
    if duplicates:
        raise _RefusedError(Violation(message=f"field {duplicates[0][:64]} is given twice", line=first_line))
    return value


def _load_config(text: str) -> tuple[Problem, ...]:
    """Return what missive itself says about a configuration."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from missive_host.config.loading import read_config
    from missive_host.config.problems import InvalidConfigError, Problem as Found
    from missive_host.errors import ConfigError

    with TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_text(text, "utf-8", newline="")
        try:
            read_config(file)
        except InvalidConfigError as error:
            return error.problems
        except ConfigError as error:
            return (Found(message=error.message.replace(str(file), "the file")),)
    return ()


# --- lines

_BLANK = re.compile(r"[ \t\r\n]*")


def _line_of(text: str, keys: Keys) -> int:
    """Return how many lines before the place that `keys` lead to; as far as they lead. `text` is valid JSON."""
    position = _skip(text, 0)
    decoder = json.JSONDecoder()
    for key in keys:
        for name, start, value_start in _children(text, position, decoder):
            if name == key:
                mark, position = start, value_start
                break
        else:
            break
    else:
        position = mark if keys else position
    return text.count("\n", 0, position)


def _children(text: str, position: int, decoder: json.JSONDecoder) -> Iterator[tuple[str | int, int, int]]:
    """Yield the children of an object or array: key, where it is written, where its value begins."""
    closing = {"{": "}", "[": "]"}.get(text[position])
    if closing is None:
        return
    index = 0
    position = _skip(text, position + 1)
    while text[position] != closing:
        start, key = position, index
        if closing == "}":
            name, position = decoder.raw_decode(text, position)
            position = _skip(text, _skip(text, position) + 1)
            yield name, start, position
        else:
            yield key, start, position
        _, position = decoder.raw_decode(text, position)
        position = _skip(text, position)
        position = _skip(text, position + 1) if text[position] == "," else position
        index += 1


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    assert match is not None
    return match.end()
