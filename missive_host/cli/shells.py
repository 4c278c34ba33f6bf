"""What is said between missive and the completion scripts of bash, zsh, fish and PowerShell.

A script starts missive with ``_MISSIVE_COMPLETE=SHELL_complete`` and the words of the command line in
``_MISSIVE_WORDS``, with U+001F between them; the last is the one at the cursor. bash gives the line as it is, because
its own words end where ``COMP_WORDBREAKS`` has a character. The answer is one line each: ``plain``, ``file`` or
``dir``, a tab, and the rest in the form that the shell wants.

What is completed may have been named by an agent: each script leaves the quoting to its shell, or gets it from here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.shell_completion import CompletionItem, ShellComplete

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missive_host.cli.app import App

SEPARATOR = "\x1f"
_WORDS = "_MISSIVE_WORDS"

_BASH = r"""_missive_completion() {
    local answer
    COMPREPLY=()
    while IFS= read -r answer; do
        case $answer in
            plain*) COMPREPLY+=("${answer#plain?}") ;;
            file*) compopt -o default 2>/dev/null ;;
            dir*) compopt -o dirnames 2>/dev/null ;;
        esac
    done < <(_MISSIVE_COMPLETE=bash_complete _MISSIVE_WORDS="${COMP_LINE:0:COMP_POINT}" \
        _MISSIVE_BREAKS="$COMP_WORDBREAKS" "${1/#\~/$HOME}" 2>/dev/null)
}
complete -o nosort -F _missive_completion missive 2>/dev/null || complete -o default -F _missive_completion missive
"""

# The function has the file's name: the first call, which loads the file, puts it in its own place.
_ZSH = r"""#compdef missive
_missive() {
    local answer none=1
    local -a words_before rows
    words_before=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    for answer in "${(@f)$(_MISSIVE_COMPLETE=zsh_complete _MISSIVE_WORDS="${(pj:\x1f:)words_before}" \
        "${${(Q)words[1]}/#\~/$HOME}" 2>/dev/null)}"; do
        case $answer in
            plain*) rows+=("${answer#plain?}") ;;
            file*) compset -P '--*='; _files && none=0 ;;
            dir*) compset -P '--*='; _files -/ && none=0 ;;
        esac
    done
    (( $#rows )) && _describe -V missive rows && none=0
    return none
}
if [[ $funcstack[1] == _missive ]]; then
    _missive "$@"
else
    compdef _missive missive
fi
"""

_FISH = r"""function __missive_completion
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $before[1])
    set -l line (string join \x1f -- $before "$current" | string collect)
    for answer in (env _MISSIVE_COMPLETE=fish_complete _MISSIVE_WORDS=$line $program 2>/dev/null)
        set -l fields (string split -m 1 \t -- $answer)
        switch $fields[1]
            case plain
                echo $fields[2]
            case file
                set -l path (string replace -r '^--[^=]*=' '' -- "$current")
                string replace -r '^' -- "$fields[2]" (__fish_complete_path "$path")
            case dir
                set -l path (string replace -r '^--[^=]*=' '' -- "$current")
                string replace -r '^' -- "$fields[2]" (__fish_complete_directories "$path")
        end
    end
end
complete --command missive --no-files --keep-order --arguments '(__missive_completion)'
"""

_POWERSHELL = r"""Register-ArgumentCompleter -Native -CommandName missive -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object {
        if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { "$_" }
    })
    $env:_MISSIVE_WORDS = ($words + "$wordToComplete") -join [char]0x1f
    $env:_MISSIVE_COMPLETE = "powershell_complete"
    try {
        & $words[0] 2>$null | ForEach-Object {
            $type, $text, $value, $help = $_ -split "`t", 4
            if ($type -eq "plain") {
                if (-not $help) { $help = $value }
                [System.Management.Automation.CompletionResult]::new($text, $value, "ParameterValue", $help)
            }
        }
    } finally {
        Remove-Item Env:_MISSIVE_WORDS, Env:_MISSIVE_COMPLETE
    }
}
"""


class _Shell(ShellComplete):
    """The words as they are, and answers that are whole words, also those that end in ``--option=VALUE``."""

    def get_completion_args(self) -> tuple[list[str], str]:
        words = os.environ[_WORDS].split(SEPARATOR)
        return words[1:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if not equals or not option.startswith("--"):
            return found
        return [CompletionItem(_after(option, item), item.type, item.help) for item in found]

    def source(self) -> str:
        return self.source_template

    def format_completion(self, item: CompletionItem[str]) -> str:
        about = "".join(char for char in " ".join((item.help or "").split()) if char.isprintable())
        return f"{item.type}\t{self.row(str(item.value), about, item.type)}"

    def row(self, value: str, about: str, kind: str) -> str:
        """Return an answer as the shell wants it: each shell's class has its own."""
        raise NotImplementedError(type(self).__name__)


def _after(option: str, item: CompletionItem[Any]) -> str:
    return f"{option}={item.value if item.type == 'plain' else ''}"


class Bash(_Shell):
    """bash puts what it is told in the place of what is behind the last word break, or behind an open quote."""

    name = "bash"
    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        words, self._quote, self._kept = split(os.environ[_WORDS], os.environ.get("_MISSIVE_BREAKS", " \t\n"))
        while words[:-1] and re.match(r"[A-Za-z_]\w*=", words[0]):  # A=1 missive …
            del words[0]
        return words[1:-1], words[-1]

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        found = [item for item in self.get_completions(args, incomplete) if self._fits(item)]
        return "\n".join(map(self.format_completion, found))

    def _fits(self, item: CompletionItem[str]) -> bool:
        if item.type != "plain":
            return True
        # An exclamation mark cannot be kept from the history within double quotes.
        return item.value.startswith(self._kept) and not (self._quote == '"' and "!" in item.value)

    def row(self, value: str, about: str, kind: str) -> str:  # noqa: ARG002 - bash shows nothing beside
        return quoted(value.removeprefix(self._kept), self._quote) if kind == "plain" else ""


class Zsh(_Shell):
    """zsh quotes what it inserts. ``_describe`` wants ``value:about``."""

    name = "zsh"
    source_template = _ZSH

    def row(self, value: str, about: str, kind: str) -> str:
        if kind != "plain":
            return ""
        escaped = value.replace("\\", "\\\\").replace(":", "\\:")
        return f"{escaped}:{about}" if about else escaped


class Fish(_Shell):
    """fish quotes what it inserts. The word at the cursor comes as it was typed."""

    name = "fish"
    source_template = _FISH

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        return args, split(incomplete)[0][-1]

    def row(self, value: str, about: str, kind: str) -> str:
        if kind != "plain":
            return value if value.startswith("--") else ""
        return f"{value}\t{about}" if about else value


class PowerShell(_Shell):
    """PowerShell 5 and 7. It inserts what it is told as it is; where there is nothing, it completes files itself."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        return args, incomplete.strip("'\"")

    def row(self, value: str, about: str, kind: str) -> str:  # noqa: ARG002
        plain = re.fullmatch(r"[\w./:%+=-]+", value)
        text = value if plain else "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", value) + "'"
        return f"{text}\t{value}\t{about}"


SHELLS: Mapping[str, type[_Shell]] = {shell.name: shell for shell in (Bash, Zsh, Fish, PowerShell)}


def answer(root: click.Command, app: App, instruction: str) -> int:
    """Answer the script of a shell: `instruction` is ``bash_complete`` and the like. Returns the exit code."""
    shell, _, what = instruction.partition("_")
    if shell not in SHELLS or what not in ("complete", "source"):
        return 1
    asked = SHELLS[shell](root, {"obj": app}, "missive", "_MISSIVE_COMPLETE")
    if what == "source":
        click.echo(asked.source(), nl=False)
        return 0
    try:
        app.argv = tuple(asked.get_completion_args()[0])
        text = asked.complete()
    except Exception:  # noqa: BLE001 - somebody is typing: whatever it is, it is no time to speak of it
        return 1
    if text:
        click.echo(text)
    return 0


# --- how bash writes words


class _Line:
    """A command line, read from its beginning to the cursor."""

    SPACE: ClassVar[str] = " \t\n"

    def __init__(self, breaks: str) -> None:
        self.words = [""]
        self.quote = ""
        self.kept = 0
        self._breaks = breaks
        self._escaped = False
        self._begun = False

    def take(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
            self.words[-1] += char if self.quote != '"' or char in '"\\$`' else "\\" + char
        elif char == "\\" and self.quote != "'":
            self._escaped = self._begun = True
        elif self.quote:
            if char == self.quote:
                self.quote = ""
            else:
                self.words[-1] += char
        elif char in "'\"":
            self.quote, self._begun = char, True
            self.kept = len(self.words[-1])
        elif char in self.SPACE:
            if self._begun:
                self.words.append("")
                self._begun, self.kept = False, 0
        else:
            self.words[-1] += char
            self._begun = True
            if char in self._breaks:
                self.kept = len(self.words[-1])


def split(line: str, breaks: str = "") -> tuple[list[str], str, str]:
    """Return the words, the quote that is open, and that part of the last word which bash does not replace."""
    read = _Line(breaks)
    for char in line:
        read.take(char)
    return read.words, read.quote, read.words[-1][: read.kept]


def quoted(text: str, quote: str) -> str:
    """Return a text as bash reads it, at the end of a word in which `quote` is open."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote == '"':
        return re.sub(r'(["\\$`])', r"\\\1", text)
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)
