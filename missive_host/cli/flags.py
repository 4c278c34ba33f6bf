"""The global flags: one table, accepted before and after every sub-command.

Each command of missive (see `groups`) carries these options. Their values are merged into one `Flags`, outer
command first: of two values the later wins, what may be repeated is appended, ``-v`` is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from missive_host.cli.known import Here

PREFIX = "global_"


class Flags:
    """What was said by global flags, before any configuration is read."""

    def __init__(self) -> None:
        self.json = False
        self.ndjson = False
        self.quiet = False
        self.no_color = False
        self.config: str | None = None
        self.profile: str | None = None
        self.timeout: str | None = None
        self.protocol_version: str | None = None
        self.a2a_extension: list[str] = []
        self.service_param: list[str] = []
        self.bearer_token_env: str | None = None
        self.header: list[str] = []
        self.trace = False
        self.verbose = 0
        self.plugin: list[str] = []
        self.no_plugin: list[str] = []
        self.strict_plugins = False

    def merge(self, name: str, value: Any) -> None:
        """Add what a command line (or a part of it) says for one flag."""
        if value is None or value is False or value == () or (name == "verbose" and value == 0):
            return
        if name == "verbose":
            self.verbose += value
        elif isinstance(value, tuple):
            getattr(self, name).extend(value)
        else:
            setattr(self, name, value)

    @property
    def verbosity(self) -> int:
        """How much is logged, from 0 to 3."""
        return 3 if self.trace else min(self.verbose, 3)

    @property
    def wants_json(self) -> bool:
        return self.json or self.ndjson


def scan(argv: Sequence[str]) -> Flags:
    """Read from raw arguments what is needed before they can be parsed, or although they cannot be.

    ``missive snd --json`` must be answered in JSON, and ``missive adapter pigeon --plugin pigeon.py`` needs the
    plugin to know which options ``pigeon`` has.
    """
    flags = Flags()
    for index, word in enumerate(argv):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        key = name[2:].replace("-", "_")
        if word in ("--json", "--ndjson", "--no-color", "--trace", "--strict-plugins"):
            flags.merge(key, True)
        elif name in ("--config", "--profile", "--plugin", "--no-plugin"):
            found = value if equals else next(iter(argv[index + 1 : index + 2]), None)
            flags.merge(key, found if found is None or key in ("config", "profile") else (found,))
    return flags


def _merge(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    flags = getattr(ctx.obj, "flags", None)
    if isinstance(flags, Flags) and param.name is not None:
        flags.merge(param.name.removeprefix(PREFIX), value)


def _option(names: str, text: str, **settings: Any) -> click.Option:
    words = names.split()
    name = PREFIX + max(words, key=len).lstrip("-").replace("-", "_")
    return click.Option([name, *words], help=text, expose_value=False, callback=_merge, **settings)


def _flag(names: str, text: str) -> click.Option:
    return _option(names, text, is_flag=True, default=False)


def _known(what: Here) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:  # noqa: ARG001
        from missive_host.cli.known import complete

        return complete(what, ctx, incomplete)

    return complete


GLOBAL_OPTIONS: tuple[click.Option, ...] = (
    _flag("--json", "Print the result as one JSON document."),
    _flag("--ndjson", "Print each result as one line of JSON, as it happens."),
    _flag("-q --quiet", "Print no result."),
    _flag("--no-color", "No colour (NO_COLOR does the same)."),
    _option("--config", "Read this configuration file.", metavar="PATH", type=click.Path()),
    _option("--profile", "Use this profile.", metavar="NAME", shell_complete=_known("profile")),
    _option("--timeout", "Deadline of the whole command: 500ms, 30s, 5m, 1h.", metavar="DURATION"),
    _option("--protocol-version", "Send this A2A-Version.", metavar="VERSION"),
    _option("--a2a-extension", "Ask for this A2A extension (repeatable).", metavar="URI", multiple=True),
    _option("--service-param", "Send this service parameter (repeatable).", metavar="NAME=VALUE", multiple=True),
    _option(
        "--bearer-token-env",
        "Send the bearer token in this environment variable.",
        metavar="ENV",
        shell_complete=_known("env"),
    ),
    _option("--header", "Send this header (repeatable); it is never stored.", metavar="NAME:VALUE", multiple=True),
    _option("-v --verbose", "Say more on stderr: -v, -vv or -vvv.", count=True, default=0),
    _flag("--trace", "Say everything on stderr, with tracebacks."),
    _option("--plugin", "Load a plugin from a file (repeatable).", metavar="FILE", multiple=True, type=click.Path()),
    _option(
        "--no-plugin",
        "Leave this plugin out (repeatable).",
        metavar="NAME",
        multiple=True,
        shell_complete=_known("plugin"),
    ),
    _flag("--strict-plugins", "Stop if a plugin is broken."),
)
