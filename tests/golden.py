"""The golden documents: one for each kind of ``missive.output.v1``, as real commands print it.

    python tests/golden.py            record anew what has another shape, and what is missing
    python tests/golden.py gateway    only what this run prints
    python tests/golden.py --all      record all anew, whatever its shape

They lie in ``contracts/missive.output.v1/examples/valid``, as ``KIND.json``, and ``KIND.VARIANT.json`` where a kind has
several faces. Ids, times, ports and paths are made alike, so that what stays is the shape. A new kind needs a line in
one of the runs in ``tests/support/recordings``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.recordings import alone, calls, running
from support.recordings.desk import Desk

from missive_host.contracts.promises import PROMISED
from missive_host.contracts.shapes import Shape, read
from missive_host.demo.fleet import AgentSpec, Fleet

ROOT = Path(__file__).parents[1]
VERSION = "missive.output.v1"
FOLDER = ROOT / "contracts" / VERSION / "examples" / "valid"

Json = dict[str, Any]
Run = Callable[[Desk], None]

MACHINE = frozenset(("doctor",))
"""Kinds whose lists depend on the machine."""
SYSTEM = frozenset(
    ("gateway_service_install", "gateway_service_start", "gateway_service_stop", "gateway_service_uninstall")
)
"""Kinds whose shape depends on the operating system; the golden ones are those of Linux."""

AGENTS = (
    AgentSpec("echo", bindings=("json-rpc", "http+json")),
    AgentSpec("worker", bindings=("json-rpc", "http+json"), fast=True),
    AgentSpec("pusher", bindings=("json-rpc", "http+json"), push=True, streaming=False),
)
RUNS: tuple[Run, ...] = (
    calls.agents,
    calls.calls,
    calls.tasks,
    calls.contexts,
    calls.groups,
    calls.collectives,
    calls.errors,
    calls.contracts,
    alone.program,
    alone.plugins,
    alone.store,
    alone.doctor,
    alone.service,
    alone.demo,
    running.gateway,
    running.intake,
    running.doors,
    running.push,
    running.chat,
)


def record(run: Run, folder: Path, fleet: Fleet) -> dict[str, Json]:
    """Return the documents that the commands of a run print, by name."""
    found: dict[str, Json] = {}
    run(Desk(folder / run.__name__, fleet, found.setdefault))
    return {name: Alike(folder).document(found[name]) for name in sorted(found)}


def record_all(folder: Path, runs: tuple[Run, ...] = RUNS) -> dict[str, Json]:
    """Return the documents of these runs. No two may print the same."""
    found: dict[str, Json] = {}
    with Fleet(AGENTS) as fleet:
        for run in runs:
            made = record(run, folder, fleet)
            assert not made.keys() & found.keys(), f"{run.__name__} prints again: {', '.join(made.keys() & found)}"
            found |= made
    return found


def golden() -> dict[str, Json]:
    return {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))}


def promised() -> dict[str, Shape]:
    """The shape of each kind."""
    documents = read((ROOT / "contracts" / VERSION / PROMISED).read_text("utf-8"))
    return {name[2:]: shape for name, shape in documents.items()}


# --- what differs from run to run

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
_PORT = re.compile(r"\b(127\.0\.0\.1|localhost):(\d{2,5})\b")
_NUMBERS = {"pid": 4711, "bytes": 4096, "elapsed_ms": 100, "uptime_seconds": 12.5, "free_bytes": 4096}
_TRACE = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{16})(?![0-9a-f])")
_SECRETS = ("secret", "code")


class Alike:
    """Makes alike what differs from run to run, within one document."""

    def __init__(self, folder: Path) -> None:
        self._places = (
            (str(folder), "/home/ada"),
            (str(ROOT), "/usr/share/missive"),
            (sys.executable, "/usr/bin/python3"),
            (sys.prefix, "/usr"),
            (str(Path.home()), "/home/ada"),
        )
        self._ids: dict[str, str] = {}
        self._ports: dict[str, str] = {}

    def document(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self._text(key): self.document(child, key) for key, child in value.items()}
        if isinstance(value, list):
            return [self.document(child) for child in value]
        if isinstance(value, str):
            return "K7QD3MXA" if name in _SECRETS and "::" not in value else self._text(value)
        return _NUMBERS.get(name, value) if isinstance(value, int | float) else value

    def _text(self, text: str) -> str:
        for old, new in self._places:
            text = text.replace(old, new)
        text = _ID.sub(lambda match: self._ids.setdefault(match[0], self._next_id()), text)
        text = _TRACE.sub(lambda match: "0af7651916cd43dd8448eb211c80319c"[: len(match[0])], text)
        text = _TIME.sub(r"2026-01-31T12:00:00.000000\1", text)
        return _PORT.sub(lambda match: f"{match[1]}:{self._port(match[2])}", text)

    def _next_id(self) -> str:
        return str(uuid.UUID(int=(7 << 76) + (2 << 62) + len(self._ids) + 1))

    def _port(self, port: str) -> str:
        return self._ports.setdefault(port, str(8001 + len(self._ports)))


# --- shapes


def outline(document: Json, shape: Shape) -> Any:
    """Return fields, their order and their types, of a list what its items are. Free-form objects are passed over."""
    return _outline(document, shape, document["kind"])


def _outline(value: Any, shape: Shape, place: str) -> Any:
    types = shape[place].types if place in shape else ()
    if any(type_.get("open") or type_["type"] == "any" for type_ in types):
        return "anything"
    if isinstance(value, dict):
        if f"{place}{{}}" in shape:
            return {"{}": _several(value.values(), shape, f"{place}{{}}")}
        return {key: _outline(child, shape, f"{place}.{key}") for key, child in value.items()}
    if isinstance(value, list):
        return _several(value, shape, f"{place}[]")
    return {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}[type(value)]


def _several(values: Any, shape: Shape, place: str) -> list[Any]:
    found: list[Any] = []
    for value in values:
        one = _outline(value, shape, place)
        if json.dumps(one) not in map(json.dumps, found):
            found.append(one)
    return found


def differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield where two outlines differ. A list may have fewer kinds of items than the golden one, and no others."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before.keys() - now.keys():
            yield f"{place}.{key} is missing"
        for key in now.keys() - before.keys():
            yield f"{place}.{key} is new"
        if before.keys() == now.keys() and list(before) != list(now):
            yield f"{place or 'it'} has its fields in another order: {', '.join(now)}"
        for key in before.keys() & now.keys():
            yield from differences(before[key], now[key], f"{place}.{key}")
    elif isinstance(before, list) and isinstance(now, list):
        for one in now:
            if not any(not list(differences(known, one)) for known in before):
                yield f"{place}[] has an item of another shape: {json.dumps(one)}"
    elif before != now:
        yield f"{place} was {before}, is {now}"


def changed(before: dict[str, Json], now: dict[str, Json]) -> dict[str, list[str]]:
    """Return by name what is missing, and what has another shape; what is not recorded any more, too."""
    shapes = promised()
    found: dict[str, list[str]] = {}
    for name in sorted({*before, *now}):
        if name not in before:
            found[name] = ["is not there yet"]
        elif name not in now:
            found[name] = ["no run prints it any more"]
        else:
            different = sorted(_compared(before[name], now[name], shapes[now[name]["kind"]]))
            if different:
                found[name] = different
    return found


def _compared(before: Json, now: Json, shape: Shape) -> Iterator[str]:
    kind = now["kind"]
    if kind not in SYSTEM or sys.platform == "linux":
        found = differences(outline(before, shape), outline(now, shape))
        yield from (each for each in found if kind not in MACHINE or "[]" not in each)


def main(words: list[str]) -> int:
    named = {run.__name__: run for run in RUNS}
    parser = argparse.ArgumentParser(description="Record the golden documents.")
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"only these runs: {', '.join(named)}")
    parser.add_argument("--all", action="store_true", help="also what has the shape that it had")
    given = parser.parse_args(words)
    unknown = set(given.runs) - named.keys()
    if unknown:
        parser.error(f"there is no run {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        made = record_all(Path(folder).resolve(), tuple(named[name] for name in given.runs) or RUNS)
    before = {name: document for name, document in golden().items() if name in made or not given.runs}
    for name in {*before, *made} if given.all else changed(before, made):
        file = FOLDER / f"{name}.json"
        if name in made:
            file.write_text(json.dumps(made[name], indent=2, ensure_ascii=False) + "\n", "utf-8")
            sys.stdout.write(f"written: {file}\n")
        else:
            file.unlink()
            sys.stdout.write(f"removed: {file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
