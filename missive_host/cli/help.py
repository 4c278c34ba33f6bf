"""``missive help``, for whoever does not think of ``--help``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.kit import App, Command, pass_app

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic only since click 8.4


class _Words(ParamType):
    """Completes the words of commands."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        inner = _context(ctx, ctx.params.get(param.name or "") or ())
        group = inner.command
        assert isinstance(group, click.Group)
        return [item for item in group.shell_complete(inner, incomplete) if not item.value.startswith("-")]


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


@click.command("help", cls=Command, examples=("missive help", "missive help task wait", "missive help send | less"))
@click.argument("words", nargs=-1, metavar="[COMMAND]...", type=_Words())
@click.pass_context
@pass_app
def help_(app: App, ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command, as its --help does."""
    app.status(_context(ctx, words))
