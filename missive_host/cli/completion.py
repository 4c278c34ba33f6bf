"""``missive completion``: what answers the scripts that it prints is `shells`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from missive_host.cli.kit import App, Command, pass_app

if TYPE_CHECKING:
    from collections.abc import Mapping

PLACES: Mapping[str, tuple[str, str]] = {
    "bash": ("missive", "~/.local/share/bash-completion/completions/missive"),
    "zsh": ("_missive", "~/.local/share/zsh/site-functions/_missive"),
    "fish": ("missive.fish", "~/.config/fish/completions/missive.fish"),
    "powershell": ("missive.ps1", "missive.ps1"),
}
"""Shell to the usual name of its script, and where to put it."""


@click.command(
    "completion",
    cls=Command,
    examples=(
        "missive completion bash > ~/.local/share/bash-completion/completions/missive",
        "missive completion zsh > ~/.local/share/zsh/site-functions/_missive",
        "missive completion fish > ~/.config/fish/completions/missive.fish",
        "missive completion powershell | Out-String | Invoke-Expression",
    ),
)
@click.argument("shell", type=click.Choice(list(PLACES)))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the completion script of a shell. It completes commands, flags, choices, names and ids.

    The names of agents, groups, profiles, plugins and the like, and the ids of tasks, contexts, jobs, receipts and
    sessions come from the store and the configuration; nothing is written, and no agent is asked.
    """
    from missive_host.cli.shells import SHELLS
    from missive_host.outputs import Output
    from missive_host.outputs_host import CompletionResult

    file_name, hint = PLACES[shell]
    app.emit(
        Output(
            CompletionResult(
                shell=shell,
                command="missive",
                file_name=file_name,
                install_hint=hint,
                script=SHELLS[shell].source_template,
                message=f"completion script for {shell}",
            )
        )
    )
