"""Pages of the documentation: their blocks, headings and links, and a shell that types what they say.

A page is Markdown. What counts in it:

====================================  =======================================================================
a fenced block ``console``            lines after ``$ `` are commands (``> `` continues one), the others are what
                                      is printed; ``…`` stands for any text, alone on a line for any lines
a fenced block ``sh``                 one script
``<!-- not run: REASON -->``          before a block: it is not executed
a line ```NAME`:`` before a block     the block is the file NAME, which is there when commands are executed
====================================  =======================================================================

All commands of a page are typed into one shell, so variables live on. One that fails must be followed by
``$ echo $?``, so that a page says it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from missive_host.cli.app import App
from missive_host.cli.root import make_root

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = tuple(sorted(DOCS.rglob("*.md")))
READMES = tuple(
    sorted(
        file
        for pattern in (
            "*.md",
            "plugins/*/*.md",
            "examples/**/*.md",
            "benchmarks/*.md",
            "contracts/*.md",
            "deploy/*.md",
        )
        for file in ROOT.glob(pattern)
    )
)
"""Pages that are not in ``docs/``. What they show is validated; tests of theirs may execute it."""

_FENCE = re.compile(r"^(```+)([^\n`]*)\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- (not run: \S[^\n]*) -->\n\Z")
_NAMED = re.compile(r"^`([\w./-]+)`:\n\n?\Z", re.MULTILINE)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block. ``language`` is the first word behind the fence, ``line`` the number of its first line."""

    page: Path
    line: int
    language: str
    text: str
    marker: str
    """Why it is not run; empty if it is."""
    file: str | None = None
    """Its name, if it is a file."""

    @property
    def skipped(self) -> bool:
        return bool(self.marker)

    @property
    def where(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


@dataclass(frozen=True)
class Step:
    """One command and the lines that it should print; None: whatever it prints."""

    where: str
    command: str
    expected: tuple[str, ...] | None


@dataclass(frozen=True)
class Result:
    step: Step
    status: int
    output: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        marker = _MARKER.search(text, 0, match.start())
        named = _NAMED.search(text, 0, match.start())
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start()) + 2,
                language=match[2].strip().partition(" ")[0],
                text=match[3],
                marker=marker[1] if marker else "",
                file=named[1] if named else None,
            )
        )
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    result = set()
    for title in re.findall(r"^#{1,6} (.+?)\s*$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = found[anchor] = found.get(anchor, -1) + 1
        result.add(f"{anchor}-{count}" if count else anchor)
    return result


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


# --- commands


def steps(block: Block) -> Iterator[Step]:
    """The commands of a block that is to be executed."""
    if block.language == "sh":
        yield Step(block.where, block.text, None)
        return
    command: str | None = None
    expected: list[str] = []
    begun = block.line
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            if command is not None:
                yield _step(block, begun, command, expected)
            command, expected, begun = line[2:], [], number
        elif (line == ">" or line.startswith("> ")) and command is not None and not expected:
            command += "\n" + line[2:]
        else:
            assert command is not None, f"{block.where}: a console block begins with `$ `"
            expected.append(line)
    assert command is not None, f"{block.where}: there is no command in it"
    yield _step(block, begun, command, expected)


def _step(block: Block, line: int, command: str, expected: list[str]) -> Step:
    return Step(f"{block.page.relative_to(ROOT)}:{line}", command, tuple(expected) or None)


def replaced(step: Step, places: Mapping[str, str]) -> Step:
    """The step with other texts in place of those of the page."""

    def other(text: str) -> str:
        for old, new in places.items():
            text = text.replace(old, new)
        return text

    expected = None if step.expected is None else tuple(other(line) for line in step.expected)
    return Step(step.where, other(step.command), expected)


def execute(
    todo: Sequence[Step], *, folder: Path, outputs: Path, environment: Mapping[str, str], seconds: float = 60
) -> list[Result]:
    """Type all commands into one shell in `folder`, and return what each printed, both streams in their order."""
    outputs.mkdir()
    script = ["status=0"]
    for number, step in enumerate(todo):
        kept = outputs / str(number)
        script += [
            "(exit $status)",
            "{",
            step.command.rstrip("\n"),
            f"}} >'{kept}' 2>&1 </dev/null",
            f"status=$?; echo $status >'{kept}.status'",
        ]
    (outputs / "script").write_text("\n".join(script) + "\n", "utf-8")
    shell = subprocess.Popen(
        ["/bin/sh", str(outputs / "script")], cwd=folder, env=dict(environment), start_new_session=True
    )
    try:
        shell.wait(seconds)
    finally:
        with suppress(
            ProcessLookupError, PermissionError
        ):  # what the page has left running, if it did not come to its end
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    results = []
    for number, step in enumerate(todo):
        status = outputs / f"{number}.status"
        assert status.exists(), f"{step.where}: the shell ended before `{step.command}` was done"
        output = (outputs / str(number)).read_text("utf-8")
        results.append(Result(step, int(status.read_text()), output))
    return results


def matches(expected: Sequence[str], output: str) -> bool:
    """True if `output` is what the page shows. White space within a line counts as one blank."""
    wanted = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else _line(line) + r"\n"
        for line in "\n".join(expected).strip().split("\n")
    )
    found = "".join(" ".join(line.split()) + "\n" for line in output.strip().split("\n"))
    return re.fullmatch(wanted, found) is not None


def _line(line: str) -> str:
    return r"[^\n]*".join(re.escape(piece) for piece in " ".join(line.split()).split("…"))


def environment(home: Path, scripts: Path, **more: str) -> dict[str, str]:
    """What a user's shell has who has just installed missive."""
    keep = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**keep, "PATH": path, "HOME": str(home), "TERM": "dumb", **more}


# --- what missive's own parser says


def command_lines(script: str) -> Iterator[list[str]]:
    """The simple commands of a script, each as words, without what assigns variables."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False
        for word in [*lexer, ";"]:
            if skip:
                skip = False
            elif set(word) <= set("<>"):
                skip = True
            elif set(word) <= set("|&;()"):
                while words and re.match(r"\w+=", words[0]):
                    words.pop(0)
                if words:
                    yield words
                words = []
            elif not (word == "sudo" and not words):
                words.append(word)


def missive_faults(words: list[str], folder: Path = ROOT) -> list[str]:
    """What missive's own parser says of a command line. A plugin of the page's folder need not be installed."""
    if words[:1] == ["adapter"] and any(
        f'AdapterSpec(\n        "{words[1]}"' in text or f'AdapterSpec("{words[1]}"' in text for text in sources(folder)
    ):
        return []
    ctx: Any = None
    try:
        ctx = make_root().make_context("missive", list(words), obj=App(words))
        while isinstance(ctx.command, click.Group):
            first = "_protected_args" if hasattr(ctx, "_protected_args") else "protected_args"  # before click 8.2
            rest = [*getattr(ctx, first), *ctx.args]
            if not rest:
                return []  # a noun by itself
            name, command, rest = ctx.command.resolve_command(ctx, rest)
            assert command is not None
            ctx = command.make_context(name, rest, parent=ctx)
    except click.exceptions.NoArgsIsHelpError:
        return []
    except click.ClickException as error:
        return [f"missive {' '.join(words)}: {error.format_message()}"]
    return []


def sources(folder: Path) -> list[str]:
    """The modules of an example."""
    return [file.read_text("utf-8") for file in folder.glob("*/*.py")] if "examples" in folder.parts else []
