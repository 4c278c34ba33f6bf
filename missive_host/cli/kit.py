"""What the nouns are made from: `App`, `pass_app`, `Group`, `Command` and `verb`.

A noun is one file with one click group::

    from missive_host.cli.kit import Group, verb

    context = Group("context", help="Conversations …", examples=["missive context list"])
    context.add_command(verb("show", ContextShow, examples=["missive context show ctx-1"]))

`verb` makes a command from a command struct, and that one line is all that a new command needs here. Commands of
the host itself (``plugin``, ``config``, …) are written with ``@noun.command()`` and `pass_app`, and end in
`App.emit`.
"""

from __future__ import annotations

from missive_host.cli.app import App, pass_app
from missive_host.cli.groups import Command, Group, LazyGroup
from missive_host.cli.known import Known
from missive_host.cli.verbs import Field, Options, verb

__all__ = ["App", "Command", "Field", "Group", "Known", "LazyGroup", "Options", "pass_app", "verb"]
