"""From a command line to the struct that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from missive_host.cli.app import App
from missive_host.cli.root import make_root
from missive_host.cli.verbs import Verb

if TYPE_CHECKING:
    from missive_host.commands import Command


def build(*words: str) -> Command:
    """Return the struct that a command line means, without running it."""
    app = App(words)
    ctx = make_root().make_context("missive", list(words), obj=app)
    while isinstance(ctx.command, click.Group):
        first = "_protected_args" if hasattr(ctx, "_protected_args") else "protected_args"  # before click 8.2
        rest = [*getattr(ctx, first), *ctx.args]
        name, command, rest = ctx.command.resolve_command(ctx, rest)
        assert command is not None
        ctx = command.make_context(name, rest, parent=ctx)
    assert isinstance(ctx.command, Verb)
    return ctx.command.build(app, ctx.params)
