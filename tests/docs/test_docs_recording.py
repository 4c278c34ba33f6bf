"""The recording of the demo: what it shows is what the demo prints today, and the picture is made of it."""

from __future__ import annotations

import getpass
import importlib.util
import re
import socket
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest
from docs_kit import DOCS, ROOT

FOLDER = DOCS / "recording"
CAST, PICTURE = FOLDER / "demo.cast", FOLDER / "demo.svg"
COMMAND = "run: python docs/recording/record.py"


@pytest.fixture(scope="module")
def recorder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recorder", FOLDER / "record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def constant(text: str) -> list[str]:
    """The lines without what is another each time: ids, ports, times."""
    text = re.sub(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"(demo serve) --port \d+", r"\1", text)  # where another demo has the usual ports
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"\d+\.\d+ s\b|\b\d+ ms\b|\b\d+$", "TIME", text, flags=re.MULTILINE)
    return [" ".join(line.split()) for line in text.splitlines()]


def personal(text: str) -> list[str]:
    """What tells where, and by whom, a recording was made."""
    found = re.findall(r"(?<![\w:/.])/(?:[\w.-]+/)+[\w.-]*|\w+@\w+", text)
    source = "".join(file.read_text("utf-8") for file in (ROOT / "missive_host").glob("**/*demo*.py"))
    names = {name for name in (getpass.getuser(), socket.gethostname(), Path.home().name) if name not in source}
    return found + [name for name in sorted(names) if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]


def test_it_shows_what_the_demo_prints(recorder: ModuleType) -> None:
    missive = Path(sys.executable).parent / "missive"
    anew = recorder.record([str(missive), "demo"], "missive demo").text()
    assert constant(anew) == constant(recorder.read(CAST.read_text("utf-8")).text()), COMMAND
    assert personal(anew) == []


def test_what_is_kept_is_small_and_tells_nothing_of_a_machine(recorder: ModuleType) -> None:
    for file in (CAST, PICTURE):
        text = file.read_text("utf-8")
        assert len(text) < 100_000
        assert personal(re.sub(r'http://www\.w3\.org/2000/svg|"version"', "", text)) == [], file.name
    assert "Vote result" in recorder.read(CAST.read_text("utf-8")).text()


def test_the_picture_is_drawn_from_it(recorder: ModuleType) -> None:
    recording = recorder.read(CAST.read_text("utf-8"))
    assert recorder.drawn(recording) == PICTURE.read_text("utf-8"), f"{COMMAND} --redraw"


def test_the_picture_has_every_line_and_nothing_that_runs(recorder: ModuleType) -> None:
    picture = ET.fromstring(PICTURE.read_text("utf-8"))
    name = "{http://www.w3.org/2000/svg}"
    assert {element.tag.removeprefix(name) for element in picture.iter()} == {
        "svg", "title", "style", "rect", "g", "text", "tspan",
    }  # fmt: skip
    shown = ["".join(" ".join(line.itertext()).split()) for line in picture.iter(f"{name}text")]
    text = recorder.read(CAST.read_text("utf-8")).text()
    assert shown == ["$missivedemo", *("".join(line.split()) for line in text.splitlines() if line.strip())]
    assert "url(" not in PICTURE.read_text("utf-8")


def test_the_entrances_show_it() -> None:
    assert "](recording/demo.svg)" in (DOCS / "index.md").read_text("utf-8")
    assert "](docs/recording/demo.svg)" in (ROOT / "README.md").read_text("utf-8")


# --- that it would be seen


def test_any_program_that_prints_lines_can_be_recorded(recorder: ModuleType, tmp_path: Path) -> None:
    printed = (
        "import os, sys; print('\\x1b[1;32mé' + str(sys.stdout.isatty()), os.get_terminal_size().columns, '\\x1b[0mx')"
    )
    recording = recorder.record([sys.executable, "-c", printed], "a & b")
    assert recording.text() == f"éTrue {recorder.COLUMNS} x\n"
    assert recorder.read(recording.cast()).text() == recording.text()
    picture = recorder.drawn(recording)
    assert f'fill="{recorder.COLOURS[32]}" font-weight="bold">éTrue {recorder.COLUMNS}</tspan>' in picture
    assert "<title>a &amp; b, recorded</title>" in picture


def test_what_fails_is_not_kept(recorder: ModuleType) -> None:
    with pytest.raises(SystemExit, match="`no` ended with 3"):
        recorder.record([sys.executable, "-c", "print('x'); exit(3)"], "no")


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b[48m", "a\rb", "\x07"])
def test_what_it_cannot_draw_is_refused(recorder: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="nothing for"):
        recorder.drawn(recorder.Recording("x", ((0.0, text + "\n"),)))


def test_another_text_would_be_found() -> None:
    assert constant("at 127.0.0.1:81  in 1.25 s\n") == constant("at 127.0.0.1:9 in 0.3 s\n")
    assert constant("3 events\n") != constant("4 events\n")
    assert personal("see /home/ada/x and ada@host") == ["/home/ada/x", "ada@host"]
    assert personal(f"on {socket.gethostname()} now") == [socket.gethostname()]
