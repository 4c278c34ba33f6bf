"""click's `Command` and `Group` as missive uses them: global flags everywhere, examples in every help, lazy nouns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.flags import GLOBAL_OPTIONS, PREFIX

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_BRIEF = "missive.brief_help"
_SETTINGS: dict[str, Any] = {"max_content_width": 100}


def _show_help(brief: bool) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001 - click's signature
        if value and not ctx.resilient_parsing:
            ctx.meta[_BRIEF] = brief
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    return callback


def is_brief(ctx: click.Context) -> bool:
    """Tell whether ``-h`` asked, and not ``--help``."""
    return bool(ctx.meta.get(_BRIEF))


def _help_option(flag: str, brief: bool) -> click.Option:
    return click.Option(
        [PREFIX + flag.lstrip("-"), flag],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_help(brief),
        help="Show this help.",
    )


_HELP_OPTIONS = (_help_option("-h", brief=True), _help_option("--help", brief=False))


class _Base(click.Command):
    """What commands and groups have in common: the global options, and how help is laid out."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        kwargs["context_settings"] = {**_SETTINGS, **(kwargs.get("context_settings") or {})}
        kwargs["add_help_option"] = False
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def own_params(self) -> list[click.Parameter]:
        """Return the parameters that are this command's own."""
        return self.params

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:  # noqa: ARG002 - click's signature
        own = self.own_params()
        taken = {name for param in own for name in (*param.opts, *param.secondary_opts)}
        # A command's own flag wins over a global one of the same name (an adapter may have a --header).
        shared = [option for option in (*_HELP_OPTIONS, *GLOBAL_OPTIONS) if not taken.intersection(option.opts)]
        return [*own, *shared]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # so that the error can name the command's own help
            raise

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        pieces = ["[OPTIONS]"]
        for param in self.own_params():
            pieces += param.get_usage_pieces(ctx)
        return pieces

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = self.own_params()
        arguments = [
            (param.metavar or param.human_readable_name, getattr(param, "description", ""))
            for param in own
            if isinstance(param, click.Argument)
        ]
        options = [
            record for param in own if (record := param.get_help_record(ctx)) and param.param_type_name == "option"
        ]
        shared = [
            record
            for option in self.get_params(ctx)
            if option in GLOBAL_OPTIONS and (record := option.get_help_record(ctx))
        ]
        options.append(("-h, --help", "Show this help; -h leaves the global options out."))
        self.format_commands(ctx, formatter)
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        if not is_brief(ctx):
            with formatter.section("Global options (before or after the sub-command)"):
                formatter.write_dl(shared)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Groups list their commands here."""

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Newer versions of click have a section of their own for this; ours is in `format_options`."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class Command(_Base):
    """A command that does something. Its callback may return an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        if hasattr(ctx.obj, "prepare"):
            ctx.obj.prepare()
        return super().invoke(ctx)


class Group(_Base, click.Group):
    """A noun. Without a verb it shows its help, or in JSON a ``command_status``."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("callback", _nothing)
        super().__init__(*args, invoke_without_command=True, no_args_is_help=False, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        code = super().invoke(ctx)
        if ctx.invoked_subcommand is None:
            ctx.obj.prepare()
            return self.without_verb(ctx)
        return code

    def without_verb(self, ctx: click.Context) -> Any:
        """Answer a noun without a verb. A group that does something then overrides this; it may return an exit code."""
        ctx.obj.status(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return each sub-command that is shown, with one line about it."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(100)))
        return rows

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = self.short_helps(ctx)
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "COMMAND [ARGS]..."]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and ctx.resilient_parsing:  # the shell asks for completions
            return None, None, args[1:]
        if command is None:
            if name.startswith("-"):
                self.parse_args(ctx, args)  # an unknown flag: click's own error names the nearest
            from difflib import get_close_matches

            found = get_close_matches(name, self.list_commands(ctx), n=1, cutoff=0.6)
            hint = f"; did you mean '{found[0]}'?" if found else ""
            ctx.fail(f"no such command '{name}'{hint}")
        return name, command, args[1:]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        items = [CompletionItem(name, help=text) for name, text in self.short_helps(ctx) if name.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)


class LazyGroup(Group):
    """The root: it knows its commands by name and one line, and imports a noun when it is used."""

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = dict(table)
        """name -> (``"module:attribute"``, one line)"""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.table)

    def short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:  # noqa: ARG002 - see the base
        return [(name, text) for name, (_, text) in self.table.items()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.table:
            return None
        from importlib import import_module

        module, attribute = self.table[cmd_name][0].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


def _nothing() -> None:
    """A group's own work is none."""
