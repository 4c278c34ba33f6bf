"""The manual pages, made from the command line itself: missive(1), one for each command, and missive.toml(5).

``python -m missive_host.cli.manual man`` writes what has changed into ``man/man1`` and ``man/man5``; with ``--check``
it writes nothing, and leaves with 1 if a page is not fresh. The wheel puts them into ``share/man``, where man(1) finds
them beside a program that is in the path.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from missive_host import __version__
from missive_host.cli import roff
from missive_host.cli.flags import GLOBAL_OPTIONS
from missive_host.cli.groups import Command, Group
from missive_host.cli.overview import ENVIRONMENT, EXIT_CODES
from missive_host.cli.reference import argument, open_root, walk
from missive_host.cli.root import COMMANDS, EXAMPLES, HELP, SECTIONS
from missive_host.config.reference import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_DATE = ""
"""None: a page says of which version it is, and is made anew only when it says something else."""


def pages() -> Mapping[str, str]:
    """Return each page by its name in a folder of pages, e.g. ``man1/missive-send.1``."""
    root, context = open_root()
    found = list(walk(root, context))
    nouns = [(path, command) for path, command, _ in found if path.count(" ") == 1]
    made = {"man1/missive.1": _first(nouns), "man5/missive.toml.5": _configuration()}
    for path, command in nouns:
        below = [(other, verb) for other, verb, _ in found if other.startswith(path + " ")]
        made[f"man1/{_page(path)}.1"] = _noun(path, command, below)
    return made


def page_of(name: str, root: Group, context: click.Context) -> str:
    """Return the page of one command, a plugin's, too. Raises `click.UsageError` if there is none of this name."""
    _, command, _ = root.resolve_command(context, [name])
    assert isinstance(command, Command | Group)
    inner = click.Context(command, info_name=name, parent=context, obj=context.obj)
    below = walk(command, inner) if isinstance(command, Group) else ()
    return _noun(inner.command_path, command, [(path, verb) for path, verb, _ in below])


def _page(path: str) -> str:
    return path.replace(" ", "-")


def _about(name: str, command: Command | Group) -> str:
    return COMMANDS[name][1] if name in COMMANDS else command.get_short_help_str(200)


def _head(name: str, section: int, about: str) -> list[str]:
    title = roff.code(name.upper())
    return [
        r".\" Made by missive_host.cli.manual.",
        f'.TH {title} {section} "{_DATE}" {roff.argument(f"missive {__version__}")} "Missive Manual"',
        ".nh",
        ".ad l",
        ".SH NAME",
        " ".join(rf"{roff.code(name)} \- {roff.prose(about.rstrip('.'))}".splitlines()),
    ]


# --- missive(1)


def _first(nouns: Sequence[tuple[str, Command | Group]]) -> str:
    lines = _head("missive", 1, "carry messages to AI agents that speak A2A")
    lines += [".SH SYNOPSIS", f"{roff.bold('missive')} [{roff.italic('OPTIONS')}] {roff.italic('COMMAND')} ..."]
    lines += [".SH DESCRIPTION", *roff.paragraphs(HELP)]
    lines += [".SH COMMANDS", roff.prose("Each has a manual page of its own.")]
    for path, command in nouns:
        name = path.partition(" ")[2]
        if name in SECTIONS:
            lines.append(f".SS {roff.argument(SECTIONS[name])}")
        lines += roff.item(f"{roff.bold(_page(path))}(1)", roff.prose(_about(name, command)))
    lines += [".SH OPTIONS", roff.prose("They may stand before or after the command.")]
    lines += [each for option in GLOBAL_OPTIONS for each in _option(option)]
    lines += roff.item(roff.bold("-V") + ", " + roff.bold("--version"), "Show the version.")
    lines += roff.item(roff.bold("-h") + ", " + roff.bold("--help"), roff.prose("Show help; `-h` is shorter."))
    lines.append(".SH EXIT STATUS")
    lines += [each for codes, text in EXIT_CODES for each in roff.item(roff.bold(codes), roff.prose(text))]
    lines.append(".SH ENVIRONMENT")
    lines += [each for name, text in ENVIRONMENT for each in roff.item(roff.bold(name), roff.prose(text))]
    lines.append(".SH FILES")
    lines += roff.item(
        roff.bold("~/.config/missive/config.toml"),
        roff.prose("The configuration; `missive config path` says which file is used. See"),
        ".BR missive.toml (5).",
    )
    lines += roff.item(
        roff.bold("~/.local/state/missive/profiles/default/missive.sqlite3"),
        roff.prose("The store of the profile `default`: agents, tasks, messages, the journal."),
    )
    lines += [".SH EXAMPLES", *roff.literal(EXAMPLES)]
    return _text([*lines, *_see_also("missive.toml(5)", "missive-doctor(1)", "missive-skill(1)")])


# --- one noun


def _noun(path: str, command: Command | Group, below: Sequence[tuple[str, Command | Group]]) -> str:
    verbs = [(each, verb) for each, verb in below if not isinstance(verb, Group)]
    by_itself = [] if isinstance(command, Group) and not command.own_params() else [(path, command)]
    lines = [*_head(_page(path), 1, _about(path.partition(" ")[2], command)), ".SH SYNOPSIS"]
    for number, (each, verb) in enumerate([*by_itself, *verbs]):
        lines += [*([".br"] if number else []), _synopsis(each, verb)]
    lines += [".SH DESCRIPTION", *roff.paragraphs(command.help or "")]
    if own := _parameters(command):
        lines += [".SH OPTIONS", *own]
    if verbs:
        lines.append(".SH COMMANDS")
    for each, verb in verbs:
        lines += [f".SS {roff.argument(each)}", *roff.paragraphs(verb.help or "")]
        lines += [*_parameters(verb), ".PP", *roff.literal(verb.examples)]
    lines += [".SH EXAMPLES", *roff.literal(command.examples)]
    lines += [
        ".SH OPTIONS OF ALL COMMANDS",
        roff.prose("`--json`, `--ndjson`, `--quiet`, `--profile`, `--config`, `--timeout` and others: see"),
        ".BR missive (1).",
        ".SH EXIT STATUS",
        "0 if it is done. The other numbers are in",
        ".BR missive (1).",
    ]
    return _text([*lines, *_see_also("missive(1)", "missive.toml(5)")])


def _synopsis(path: str, command: Command | Group) -> str:
    arguments = [argument(param) for param in command.own_params() if isinstance(param, click.Argument)]
    words = [roff.bold(path), *(roff.italic(word) for word in arguments)]
    if any(isinstance(param, click.Option) for param in command.own_params()):
        words.append(f"[{roff.italic('OPTIONS')}]")
    return " ".join(words)


def _parameters(command: Command | Group) -> list[str]:
    lines = []
    for param in command.own_params():
        if isinstance(param, click.Option):
            lines += _option(param)
        elif isinstance(param, click.Argument) and (about := getattr(param, "description", "")):
            lines += roff.item(roff.italic(argument(param)), roff.prose(about))
    return lines


def _option(option: click.Option) -> list[str]:
    names = ", ".join(map(roff.bold, [*sorted(option.opts, key=len), *option.secondary_opts]))
    value = "" if option.is_flag or option.count else f" {roff.italic(option.metavar or 'TEXT')}"
    return roff.item(names + value, roff.prose((option.help or "") + (" Required." if option.required else "")))


def _see_also(*pages: str) -> list[str]:
    named = [page.partition("(") for page in pages]
    return [
        ".SH SEE ALSO",
        ",\n".join(f".BR {roff.code(name)} ({rest}" for name, _, rest in named).replace(",\n", " ,\n"),
    ]


# --- missive.toml(5)


def _configuration() -> str:
    lines = [
        *_head("missive.toml", 5, "the configuration of missive"),
        ".SH DESCRIPTION",
        roff.prose(
            "A file in TOML. All of it may be left out. A key that is not known is an error. `missive config path`"
            " says which file is used, `missive config validate` what is wrong with it, `missive config show`"
            " what is in force."
        ),
        ".SH TABLES",
    ]
    for title, about, keys in tables():
        lines += [f".SS {roff.argument(title.replace('`', ''))}", roff.prose(about)]
        for key in keys:
            default = "" if key.default in ("", "required") else f" By default {key.default}."
            needed = " Required." if key.default == "required" else ""
            said = f"{key.description} {needed}{default}"
            lines += roff.item(f"{roff.bold(key.name)} ({roff.prose(key.type)})", roff.prose(said))
    return _text([*lines, *_see_also("missive(1)", "missive-config(1)")])


# --- writing


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Refresh the pages in the folder that is named, or with ``--check`` say whether they are fresh."""
    check = "--check" in argv
    (folder,) = (Path(name) for name in argv if name != "--check")
    made = pages()
    stale = [name for name, text in made.items() if _is_stale(folder / name, text)]
    gone = [file for file in sorted(folder.glob("man*/*")) if file.relative_to(folder).as_posix() not in made]
    if not check:
        for name in stale:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(made[name], "utf-8")
        for file in gone:
            file.unlink()
    if stale or gone:
        names = ", ".join([*stale, *(str(file.relative_to(folder)) for file in gone)])
        print(("not fresh: " if check else "written: ") + names)
    return 1 if check and (stale or gone) else 0


def _is_stale(file: Path, text: str) -> bool:
    return not file.is_file() or file.read_text("utf-8") != text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
