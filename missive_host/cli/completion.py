"""``missive completion``, and the answers to the scripts that it prints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, get_completion_class

from missive_host.cli.kit import App, Command, pass_app

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "_MISSIVE_COMPLETE"
SHELLS: Mapping[str, tuple[str, str]] = {
    "bash": ("missive", "~/.local/share/bash-completion/completions/missive"),
    "zsh": ("_missive", "~/.local/share/zsh/site-functions/_missive"),
    "fish": ("missive.fish", "~/.config/fish/completions/missive.fish"),
    "powershell": ("missive.ps1", "missive.ps1"),
}
"""Shell to the usual name of its script, and where to put it."""

_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
    $env:COMP_WORDS = $words -join "`n"
    $env:COMP_INCOMPLETE = $wordToComplete
    $env:%(complete_var)s = "powershell_complete"
    try {
        & %(prog_name)s | ForEach-Object {
            $type, $value, $help = $_ -split "`t", 3
            if ($type -eq "plain") {
                if (-not $help) { $help = $value }
                [System.Management.Automation.CompletionResult]::new($value, $value, "ParameterValue", $help)
            }
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:COMP_INCOMPLETE, Env:%(complete_var)s
    }
}
"""


class PowerShellComplete(ShellComplete):
    """click knows bash, zsh and fish. This speaks the same protocol with PowerShell 5 and 7.

    ``COMP_WORDS`` has one word a line, ``COMP_INCOMPLETE`` the word at the cursor.
    """

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        words = os.environ.get("COMP_WORDS", "").split("\n")
        incomplete = os.environ.get("COMP_INCOMPLETE", "")
        if incomplete and words[-1] == incomplete:
            words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type}\t{item.value}\t{' '.join((item.help or '').split())}"


def completer(shell: str, root: click.Command, app: App) -> ShellComplete | None:
    """Return what completes for a shell."""
    add_completion_class(PowerShellComplete)
    cls = get_completion_class(shell)
    return None if cls is None else cls(root, {"obj": app}, "missive", VARIABLE)


def answer(root: click.Command, app: App, instruction: str) -> int:
    """Answer the script of a shell: `instruction` is ``bash_complete`` and the like. Returns the exit code."""
    shell, _, what = instruction.partition("_")
    comp = completer(shell, root, app)
    if comp is None or what not in ("complete", "source"):
        return 1
    click.echo(comp.complete() if what == "complete" else ShellComplete.source(comp))
    return 0


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
@click.argument("shell", type=click.Choice(list(SHELLS)))
@pass_app
def completion(app: App, shell: str) -> None:
    """Print the completion script of a shell. It completes commands, flags, choices and the names of agents."""
    from missive_host.outputs import Output
    from missive_host.outputs_host import CompletionResult

    root = click.get_current_context().find_root().command
    comp = completer(shell, root, app)
    assert comp is not None
    file_name, hint = SHELLS[shell]
    app.emit(
        Output(
            CompletionResult(
                shell=shell,
                command="missive",
                file_name=file_name,
                install_hint=hint,
                # The base class's: bash's own begins by starting bash to ask for its version.
                script=ShellComplete.source(comp),
                message=f"completion script for {shell}",
            )
        )
    )
