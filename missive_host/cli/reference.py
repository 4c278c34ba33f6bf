"""The generated parts of the documentation, made from the code.

``python -m missive_host.cli.reference docs/cli.md docs/output.md docs/errors.md docs/event-types.md`` writes anew what
stands between the markers of each page; with ``--check`` it writes nothing, and leaves with 1 if a page is not fresh.

=============================  ==============================================================
markers                        what is between them
=============================  ==============================================================
``<!-- commands … -->``        every command with its arguments, options and examples
``<!-- kinds … -->``           every ``kind`` of ``missive.output.v1`` with its fields
``<!-- errors … -->``          every kind of error with its exit code
``<!-- a2a-errors … -->``      A2A's own error names
``<!-- events … -->``          every type of event of the journal
=============================  ==============================================================
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from missive_host.cli.app import App
from missive_host.cli.flags import GLOBAL_OPTIONS
from missive_host.cli.groups import Command, Group
from missive_host.cli.root import COMMANDS, make_root

BUILT_IN = "missive-host"
"""The distribution whose adapters and nouns are shown; those of others depend on what is installed."""


def refreshed(page: str) -> str:
    """Return a page with what is between its markers made anew."""
    from missive_host.cli.reference_documents import a2a_errors, errors, events, kinds

    parts = {"commands": commands, "kinds": kinds, "errors": errors, "a2a-errors": a2a_errors, "events": events}
    for name, make in parts.items():
        begin = f"<!-- {name}: made by missive_host.cli.reference -->"
        end = f"<!-- /{name} -->"
        if begin in page:
            before, _, rest = page.partition(begin)
            _, _, after = rest.partition(end)
            page = f"{before}{begin}\n\n{make().strip()}\n\n{end}{after}"
    return page


def cell(text: str) -> str:
    """Return text as it stands in a cell of a table: one line, no bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


# --- commands


def commands() -> str:
    """Return the reference of the command line."""
    found = list(walk(*open_root()))
    lines = ["| Command | |", "| --- | --- |"]
    lines += [
        f"| [`{path}`](#{_anchor(path)}) | {cell(command.get_short_help_str(200))} |" for path, command, _ in found
    ]
    lines += ["", "## Global options", "", "They may stand before or after the sub-command.", ""]
    lines += _options(list(GLOBAL_OPTIONS))
    for path, command, inner in found:
        lines += ["", f"{'##' if path.count(' ') == 1 else '###'} `{path}`", "", *_command(path, command, inner)]
    return "\n".join(lines)


def open_root() -> tuple[Group, click.Context]:
    """Return the root command, and a context for it in which the configuration of whoever runs this does not count."""
    app = App(("--config", os.devnull))
    app.look_ahead()
    root = make_root()
    return root, click.Context(root, info_name="missive", obj=app)


def walk(group: Group, context: click.Context) -> Iterator[tuple[str, Command | Group, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not isinstance(command, Command | Group) or command.hidden or not _is_ours(group, name, context):
            continue
        inner = click.Context(command, info_name=name, parent=context, obj=context.obj)
        yield inner.command_path, command, inner
        if isinstance(command, Group):
            yield from walk(command, inner)


def _is_ours(group: Group, name: str, context: click.Context) -> bool:
    """Return False for an adapter or a noun of somebody else's plugin."""
    from missive_host.cli.plugin import find_plugins, open_plugins

    if group.name == "missive":
        records, _ = find_plugins(context.obj)
        brought = {noun for record in records if record.distribution == BUILT_IN for noun in record.commands}
        return name in COMMANDS or name in brought
    if group.name != "adapter":
        return True
    plugins, _ = open_plugins(context.obj)
    return any(spec.name == name and record.distribution == BUILT_IN for spec, record in plugins.adapters())


def _command(path: str, command: Command | Group, context: click.Context) -> list[str]:
    own = command.own_params()
    arguments = [param for param in own if isinstance(param, click.Argument)]
    options = [param for param in own if isinstance(param, click.Option)]
    usage = " ".join([path, *(argument(param) for param in arguments), *(["[OPTIONS]"] if options else [])])
    if isinstance(command, Group):
        usage += " COMMAND"
    lines = [*_paragraphs(command.help or ""), "", "```text", usage, "```"]
    if isinstance(command, Group):
        names = command.list_commands(context)
        shown = [name for name in names if _is_ours(command, name, context)]
        lines += ["", "Commands: " + ", ".join(f"[`{name}`](#{_anchor(f'{path} {name}')})" for name in shown) + "."]
    described = [param for param in arguments if getattr(param, "description", "")]
    if described:
        lines += ["", "| Argument | |", "| --- | --- |"]
        lines += [f"| `{argument(param)}` | {cell(getattr(param, 'description', ''))} |" for param in described]
    if options:
        lines += ["", *_options(options)]
    if command.examples and not isinstance(command, Group):
        lines += ["", "```text", *command.examples, "```"]
    return lines


def _paragraphs(text: str) -> list[str]:
    return inspect.cleandoc(text).splitlines()


def argument(param: click.Argument) -> str:
    name = param.metavar or (param.name or "").upper()
    return name if param.required or name.startswith("[") else f"[{name}]"


def _options(options: list[click.Option]) -> list[str]:
    lines = ["| Option | |", "| --- | --- |"]
    for option in options:
        names = ", ".join([*sorted(option.opts, key=len), *option.secondary_opts])
        value = "" if option.is_flag or option.count else f" {option.metavar or 'TEXT'}"
        text = cell(option.help or "") + (" Required." if option.required else "")
        lines.append(f"| `{cell(names + value)}` | {text} |")
    return lines


def _anchor(title: str) -> str:
    """Return the anchor that a heading of `title` gets."""
    return re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def main(argv: list[str]) -> int:
    """Refresh the pages that are named, or with ``--check`` say whether they are fresh."""
    check = "--check" in argv
    stale = []
    for page in (Path(name) for name in argv if name != "--check"):
        text = page.read_text("utf-8")
        fresh = refreshed(text)
        if fresh == text:
            continue
        stale.append(str(page))
        if not check:
            page.write_text(fresh, "utf-8")
    if stale:
        print(("not fresh: " if check else "written: ") + ", ".join(stale))
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
