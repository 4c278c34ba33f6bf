"""``missive skill``: what teaches a coding agent to use missive, and where such agents look for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from missive_host.cli.kit import App, Group, pass_app

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from missive_host.cli.screen import Screen
    from missive_host.outputs_host import SkillInstallResult, SkillResult

NAME = "missive"
"""Of the skill, and so of its folder: the Agent Skills specification wants them to be the same."""
SOURCE = Path(__file__).parents[1] / "skills" / NAME / "SKILL.md"
TOOLS: Mapping[str, tuple[str, str]] = {
    "agents": (".agents/skills", ".agents/skills"),
    "claude": (".claude/skills", ".claude/skills"),
    "codex": (".agents/skills", ".agents/skills"),
    "copilot": (".agents/skills", ".copilot/skills"),
    "cursor": (".agents/skills", ".cursor/skills"),
    "gemini": (".agents/skills", ".gemini/skills"),
    "opencode": (".agents/skills", ".config/opencode/skills"),
}
"""Tool to the folder that it reads in a project, and in the user's home. ``agents`` is what most of them share."""
_DIGEST = "  sha256: "

skill = Group(
    "skill",
    help="""An Agent Skill: a page that teaches a coding agent to use missive.

It is written where such tools look for it, by the Agent Skills specification.""",
    examples=("missive skill install", "missive skill install --user --for claude", "missive skill show"),
)


# --- the text


def text() -> str:
    """Return the skill as it is installed: with the version, and a digest by which a later missive knows its own."""
    from missive_host import __version__

    head, _, body = SOURCE.read_text("utf-8").partition("\n---\n")
    plain = f'{head}\nmetadata:\n  version: "{__version__}"\n---\n{body}'
    return plain.replace("\n---\n", f'\n{_DIGEST}"{_digest(plain)}"\n---\n', 1)


def is_as_we_wrote_it(found: str) -> bool:
    """Tell whether a skill is one that a missive has written, of any version, and nobody has changed since."""
    line = next((line for line in found.splitlines() if line.startswith(_DIGEST)), None)
    return line is not None and line == f'{_DIGEST}"{_digest(found.replace(line + chr(10), "", 1))}"'


def _digest(plain: str) -> str:
    from hashlib import sha256

    return sha256(plain.encode()).hexdigest()


# --- show


@skill.command(examples=("missive skill show", "missive skill show --json | jq -r .data.description"))
@pass_app
def show(app: App) -> None:
    """Print the skill."""
    from missive_host import __version__
    from missive_host.outputs import Output
    from missive_host.outputs_host import SkillResult

    written = text()
    description = next(line for line in written.splitlines() if line.startswith("description: "))
    result = SkillResult(
        name=NAME,
        description=description.removeprefix("description: "),
        version=__version__,
        text=written,
        message=f"skill {NAME} of missive {__version__}",
    )
    app.emit(Output(result), show_skill)


def show_skill(data: SkillResult, screen: Screen) -> None:
    screen.text(data.text, end="")


# --- install


@skill.command(
    examples=(
        "missive skill install",
        "missive skill install --for claude --for codex",
        "missive skill install --user",
        "missive skill install --target ~/skills --force",
    )
)
@click.option(
    "--for",
    "tools",
    multiple=True,
    type=click.Choice(list(TOOLS)),
    help="Where this tool looks for skills; repeatable. Without it where most do (agents), and where Claude Code does.",
)
@click.option(
    "--user", is_flag=True, help="For all projects of this user, below the home folder; else for this folder."
)
@click.option(
    "--target", metavar="DIR", type=click.Path(file_okay=False), help="Into this folder of skills instead: DIR/missive."
)
@click.option("--force", is_flag=True, help="Write over a skill that somebody has changed.")
@pass_app
def install(app: App, tools: tuple[str, ...], user: bool, target: str | None, force: bool) -> None:
    """Write the skill where coding agents look for it.

    An older one is brought up to date. One that was changed is left alone, and nothing is written then.
    """
    from missive_host import __version__
    from missive_host.errors import ValidationError
    from missive_host.outputs import Output
    from missive_host.outputs_host import SkillFile, SkillInstallResult

    if target is not None and (tools or user):
        raise ValidationError("--target says where, and so do --for and --user", help="keep one of them")
    folders = [Path(target).expanduser()] if target is not None else _folders(tools or ("agents", "claude"), user=user)
    written = text()
    plan = [(folder / NAME / "SKILL.md", _action(folder / NAME / "SKILL.md", written, force)) for folder in folders]
    for path, action in plan:
        if action != "unchanged":
            _write(path, written)
    files = tuple(SkillFile(path=str(path.absolute()), action=action) for path, action in plan)
    result = SkillInstallResult(name=NAME, version=__version__, files=files, message=_message(files))
    app.emit(Output(result), show_install)


def show_install(data: SkillInstallResult, screen: Screen) -> None:
    for file in data.files:
        screen.line(f"{file.action}: {file.path}")


def _message(files: Iterable[object]) -> str:
    written = sum(getattr(file, "action", "") != "unchanged" for file in files)
    return f"{written} written" if written else "it is there already"


def _folders(tools: Iterable[str], *, user: bool) -> list[Path]:
    """Return where the tools look, each folder once. Raises `ConfigError` if there is no home."""
    if not user:
        return list(dict.fromkeys(Path(TOOLS[tool][0]) for tool in tools))
    from missive_host.config.paths import home

    found = {tool: home(os.environ) / TOOLS[tool][1] for tool in tools}
    if "claude" in found and Path(moved := os.environ.get("CLAUDE_CONFIG_DIR", "")).is_absolute():
        found["claude"] = Path(moved) / "skills"
    return list(dict.fromkeys(found.values()))


def _action(path: Path, written: str, force: bool) -> str:
    """Return what is to be done with a file. Raises `ValidationError` for one that somebody has changed."""
    from missive_host.errors import ValidationError

    try:
        found = path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return "written"
    except OSError as error:
        raise _io_error(path, error) from error
    if found == written:
        return "unchanged"
    if is_as_we_wrote_it(found):
        return "updated"
    if force:
        return "replaced"
    raise ValidationError(
        f"{path} is not as missive wrote it; nothing was written",
        help=f"see what is different with `missive skill show | diff {path} -`, and write over it with --force",
    )


def _write(path: Path, content: str) -> None:
    """Write a file, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("x", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise _io_error(path, error) from error


def _io_error(path: Path, error: OSError) -> Exception:
    from missive_host.errors import IoError

    return IoError(f"while writing {path}: {(error.strerror or str(error)).lower()}", help="--target says where else")
