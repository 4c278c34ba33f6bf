"""Record a command on a terminal of its own, as an asciinema file and as a picture that moves.

    python docs/recording/record.py             missive demo anew: demo.cast, and demo.svg of it
    python docs/recording/record.py --redraw    demo.svg anew, of the demo.cast that is there

``demo.cast`` has what the program printed and when (asciicast v2; ``asciinema play`` shows it). ``demo.svg`` needs no
player, no script and no font of its own; a browser plays it once, slowly enough to read, and whoever has asked for no
motion sees how it ends. It understands what programs print line by line: colours, and no other control of a terminal.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise
from pathlib import Path

FOLDER = Path(__file__).parent
COLUMNS, ROWS = 92, 30
FONT, CELL, LINE, EDGE = 14, 8.4, 19, 16
"""In pixels: the size of a letter, how far it is to the next one and to the next line, and what is around all."""
SLOWEST, QUICKEST = 1.2, 0.45
"""In the picture no line follows another later, or sooner, than so many seconds."""
COLOURS = {31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea"}
PAPER, INK = "#161b22", "#e6edf3"

_CONTROL = re.compile(r"\x1b\[([0-9;]*)m")


@dataclass(frozen=True)
class Recording:
    """What a program printed: pieces of text, each with its second."""

    title: str
    pieces: tuple[tuple[float, str], ...]

    def cast(self) -> str:
        """The recording as asciicast v2."""
        head = {"version": 2, "width": COLUMNS, "height": ROWS, "title": self.title}
        pieces = ([round(second, 3), "o", text] for second, text in self.pieces)
        return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in (head, *pieces))

    def lines(self) -> list[tuple[float, str]]:
        """Each line with its controls, and the second in which it was whole."""
        found, begun = [], ""
        for second, text in self.pieces:
            *whole, begun = (begun + text).replace("\r\n", "\n").split("\n")
            found += [(second, line) for line in whole]
        return [*found, (self.pieces[-1][0], begun)] if begun else found

    def text(self) -> str:
        """What a person reads in it."""
        return "".join(_CONTROL.sub("", line) + "\n" for _, line in self.lines())


def read(cast: str) -> Recording:
    head, *pieces = (json.loads(line) for line in cast.splitlines())
    return Recording(head["title"], tuple((second, text) for second, kind, text in pieces if kind == "o"))


def record(command: Sequence[str], title: str) -> Recording:
    """Run a command on a terminal, with a home that is empty, and return what it printed."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    decode = codecs.getincrementaldecoder("utf-8")().decode
    with tempfile.TemporaryDirectory() as home:
        env = {"PATH": os.environ["PATH"], "HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        pieces: list[tuple[float, str]] = []
        with subprocess.Popen(
            command, stdin=there, stdout=there, stderr=there, cwd=home, env=env, start_new_session=True
        ) as process:
            os.close(there)
            begun = time.monotonic()
            while text := _printed(here, process):
                pieces.append((time.monotonic() - begun, decode(text)))
        os.close(here)
    if process.returncode:
        sys.exit(f"`{title}` ended with {process.returncode}:\n{''.join(text for _, text in pieces)}")
    return Recording(title, tuple(pieces))


def _printed(terminal: int, process: subprocess.Popen[bytes]) -> bytes:
    """Return what comes next; nothing if that was all. macOS has an end of the file there, Linux an error."""
    while True:
        ended = process.poll() is not None  # asked first: what it wrote at its end is still there afterwards
        if select.select([terminal], [], [], 0.1)[0]:
            break
        if ended:
            return b""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


# --- the picture


@dataclass(frozen=True)
class Style:
    bold: bool = False
    dim: bool = False
    colour: str | None = None

    def after(self, codes: str) -> Style:
        """Return the style after a control, such as ``1;32``."""
        bold, dim, colour = self.bold, self.dim, self.colour
        for code in map(int, (codes or "0").split(";")):
            if code == 0:
                bold, dim, colour = False, False, None
            elif code in (1, 2, 22):
                bold, dim = code == 1 or (bold and code == 2), code == 2 or (dim and code == 1)
            elif code in COLOURS:
                colour = COLOURS[code]
            elif code == 39:
                colour = None
            else:
                raise ValueError(f"the picture has nothing for the control {code}")
        return Style(bold, dim, colour)

    def attributes(self) -> str:
        found = f' fill="{self.colour}"' if self.colour else ""
        return found + (' font-weight="bold"' if self.bold else "") + (' opacity=".6"' if self.dim else "")


def drawn(recording: Recording) -> str:
    """Return the recording as a picture in SVG that moves by itself."""
    lines = [(0.0, f"\x1b[1m$ {recording.title}\x1b[0m"), (0.0, ""), *recording.lines()]
    width, height = COLUMNS * CELL + 2 * EDGE, ROWS * LINE + 2 * EDGE
    seconds = _read_times([second for second, _ in lines])
    whole = seconds[-1] + SLOWEST
    scroll = "".join(
        f"{100 * second / whole:.2f}%{{transform:translateY({-(number - ROWS) * LINE}px)}}"
        for number, second in enumerate(seconds, 1)
        if number > ROWS
    )
    style = Style()
    rows = []
    for number, (second, (_, line)) in enumerate(zip(seconds, lines, strict=True)):
        spans, style = _spans(line, style)
        if spans:
            rows.append(f'<text y="{number * LINE + FONT}" style="animation-delay:{second:.2f}s">{spans}</text>\n')
    end = -max(0, len(lines) - ROWS) * LINE
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">
<title>{escape(recording.title)}, recorded</title>
<style>
text{{font:{FONT}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:{INK};white-space:pre}}
text{{animation:appear 1ms both}}
g{{transform:translateY({end}px);animation:scroll {whole:.1f}s step-end}}
@keyframes appear{{from{{opacity:0}}}}
@keyframes scroll{{0%{{transform:none}}{scroll}}}
@media (prefers-reduced-motion:reduce){{text,g{{animation:none}}}}
</style>
<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>
<svg x="{EDGE}" y="{EDGE}" width="{width - 2 * EDGE:g}" height="{height - 2 * EDGE:g}">
<g>
{"".join(rows)}</g>
</svg>
</svg>
"""


def _read_times(seconds: Sequence[float]) -> list[float]:
    """Return when each line appears, so that it can be read."""
    found = [0.0]
    for before, second in pairwise(seconds):
        found.append(found[-1] + min(SLOWEST, max(QUICKEST, second - before)))
    return found


def _spans(line: str, style: Style) -> tuple[str, Style]:
    """Return a line as pieces of one style, each at its column, and the style at its end."""
    cells: list[tuple[Style, str]] = []
    for number, piece in enumerate(_CONTROL.split(line)):
        if number % 2:
            style = style.after(piece)
        elif any(ord(letter) < 32 for letter in piece):
            raise ValueError(f"the picture has nothing for a control in {piece!r}")
        else:
            cells += [(style, letter) for letter in piece]
    found, column = [], 0
    for each, group in groupby(cells, key=lambda cell: cell[0]):
        text = "".join(letter for _, letter in group)
        if text.strip():
            shown = column + len(text) - len(text.lstrip())
            found.append(f'<tspan x="{shown * CELL:g}"{each.attributes()}>{escape(text.strip(), quote=False)}</tspan>')
        column += len(text)
    return "".join(found), style


def main(argv: Sequence[str]) -> None:
    cast = FOLDER / "demo.cast"
    if "--redraw" not in argv:
        missive = Path(sys.executable).parent / "missive"
        cast.write_text(record([str(missive), "demo"], "missive demo").cast(), "utf-8")
    (FOLDER / "demo.svg").write_text(drawn(read(cast.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
