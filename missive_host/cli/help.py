"""``missive help`` and ``missive manpage``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.kit import App, Command, pass_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.shell_completion import CompletionItem

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic only since click 8.4


class _Words(ParamType):
    """Completes the words of commands."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return [*_below(_context(ctx, ctx.params.get(param.name or "") or ()), incomplete)]


def _context(ctx: click.Context, words: tuple[str, ...]) -> click.Context:
    """Return the context of the command that the words name. Raises `click.UsageError`."""
    inner = ctx.find_root()
    for word in words:
        if not isinstance(inner.command, click.Group):
            inner.fail(f"`{inner.command_path}` has no commands")
        _, command, _ = inner.command.resolve_command(inner, [word])
        assert command is not None
        inner = click.Context(command, info_name=word, parent=inner, obj=inner.obj)
    return inner


class _Nouns(ParamType):
    """Completes the commands that have a manual page."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG002
        return [*_below(ctx.find_root(), incomplete)]


def _below(inner: click.Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    if isinstance(inner.command, click.Group):
        for item in inner.command.shell_complete(inner, incomplete):
            if not item.value.startswith("-"):
                yield item


@click.command("help", cls=Command, examples=("missive help", "missive help task wait", "missive help send | less"))
@click.argument("words", nargs=-1, metavar="[COMMAND]...", type=_Words())
@click.pass_context
@pass_app
def help_(app: App, ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command, as its --help does."""
    app.status(_context(ctx, words))


@click.command(
    "manpage",
    cls=Command,
    examples=(
        "missive manpage | man -l -",
        "missive manpage send > missive-send.1",
        "missive manpage missive.toml | man -l -",
    ),
)
@click.argument("name", required=False, metavar="[COMMAND]", type=_Nouns())
@click.pass_context
@pass_app
def manpage(app: App, ctx: click.Context, name: str | None) -> None:
    """Print a manual page: missive(1), that of a command, or missive.toml(5).

    They are installed, too: `man missive` finds them where man looks for pages beside a program.
    """
    from missive_host.cli.groups import Group
    from missive_host.cli.manual import page_of, pages
    from missive_host.outputs import Output
    from missive_host.outputs_host import ManpageResult

    root = ctx.find_root()
    assert isinstance(root.command, Group)
    files = {None: "missive.1", "missive": "missive.1", "missive.toml": "missive.toml.5"}
    if name in files:
        file_name = files[name]
        text = pages()[f"man{file_name[-1]}/{file_name}"]
    else:
        assert name is not None
        file_name, text = f"missive-{name}.1", page_of(name, root.command, root)
    result = ManpageResult(
        command=name or "missive", file_name=file_name, page=text, message=f"manual page {file_name}"
    )
    app.emit(Output(result), lambda data, screen: screen.text(data.page, end=""))
