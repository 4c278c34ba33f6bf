"""Nouns that plugins bring: ``missive NOUN VERB``, made from what they declare."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from missive_host.cli.declared import argument, flag_of, given, parameter
from missive_host.cli.kit import App, Command, Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.outputs import Output
    from missive_host.plugins import PluginRecord, Plugins
    from missive_host.protocols import Summary
    from missive_host.specs import CommandSpec, VerbSpec


def find_noun(app: App, name: str) -> Group | None:
    """Return the command of a plugin, or None if there is none of this name.

    Raises `PluginError` if the plugin that brings it is disabled or broken, and `ConfigError`.
    """
    from missive_host.cli.plugin import open_plugins

    app.look_ahead()
    plugins, _ = open_plugins(app)
    found = plugins.command(name)
    return None if found is None else _noun(found[0], found[1], plugins)


# --- from the declaration to click


def _noun(spec: CommandSpec, record: PluginRecord, plugins: Plugins) -> Group:
    lines = dict(spec.groups)
    noun = Group(spec.name, help=spec.summary, examples=spec.examples or tuple(_examples(spec)))
    groups: dict[tuple[str, ...], Group] = {(): noun}
    for verb in spec.verbs:
        for count in range(1, len(verb.path)):
            path = verb.path[:count]
            if path not in groups:
                inside = [other for other in spec.verbs if other.path[:count] == path]
                examples = [example for other in inside for example in other.examples[:1]]
                words = dict.fromkeys(other.path[count] for other in inside)
                line = lines.get(" ".join(path), f"Commands: {', '.join(words)}.")
                group = Group(path[-1], help=line, examples=examples)
                groups[path] = group
                groups[path[:-1]].add_command(group)
        groups[verb.path[:-1]].add_command(_VerbCommand(spec, verb, record, plugins))
    return noun


def _examples(spec: CommandSpec) -> Iterator[str]:
    """Yield one of each verb."""
    for verb in spec.verbs:
        yield from verb.examples[:1]


class _VerbCommand(Command):
    """Runs one function of a plugin."""

    def __init__(self, spec: CommandSpec, verb: VerbSpec, record: PluginRecord, plugins: Plugins) -> None:
        super().__init__(
            verb.path[-1],
            help=verb.summary + ("\n\n" + verb.description if verb.description else ""),
            short_help=verb.summary,
            examples=verb.examples,
            params=[*map(argument, verb.arguments), *map(parameter, verb.options)],
            callback=self._run,
        )
        self._spec = spec
        self._verb = verb
        self._record = record
        self._plugins = plugins

    def _run(self, **values: Any) -> int:
        from missive_host.adapter_options import convert_values

        app: App = click.get_current_context().obj
        verb = self._verb
        declared = (*verb.arguments, *verb.options)
        labels = {option.name: option.name.upper() for option in verb.arguments}
        labels |= {option.name: flag_of(option) for option in verb.options}
        secrets = app.secrets(self._plugins)
        options = convert_values(declared, given(declared, values), label=labels.__getitem__, secrets=secrets)
        function = self._plugins.factory(self._spec, verb)
        from missive_host.cli.noun_context import NounContext
        from missive_host.cli.running import run_watched

        context = NounContext(app, self._plugins, self._record, self._spec.name)
        context.learn(options)
        named = {name.replace("-", "_"): value for name, value in options.items()}
        summary = run_watched(app, partial(self._work, app, function, context, named), app.redactor.text)
        if summary is None:
            return 0
        app.emit(self._output(app, summary))
        return int(summary.exit_code)

    async def _work(self, app: App, function: Any, context: Any, options: dict[str, Any]) -> Summary | None:
        import anyio

        from missive_host.errors import DeadlineError, MissiveError

        seconds = app.call_options().timeout
        try:
            with anyio.move_on_after(seconds) as scope:
                return self._checked(await function(context, **options))
        except Exception as error:
            while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]
            if isinstance(error, MissiveError):
                raise error from None
            raise self._fault(f"failed: {type(error).__name__}: {error}".removesuffix(": ")) from error
        assert scope.cancelled_caught
        raise DeadlineError(f"{self._title} did not end within {seconds:g} s", help="allow more time with --timeout")

    def _checked(self, summary: Any) -> Summary | None:
        from missive_host.protocols import Summary

        if summary is None or isinstance(summary, Summary):
            return summary
        raise self._fault(f"returned {type(summary).__name__}, which is neither a Summary nor None")

    def _output(self, app: App, summary: Summary) -> Output:
        """Return what a plugin said as a result document, without secrets."""
        import msgspec

        from missive_host.outputs_plugins import result_output

        profile = app.settings().profile
        try:
            data = msgspec.to_builtins(dict(summary.data))
            clean = app.redactor.known(data) if app.redactor.knows_secrets else data
            return result_output(summary.kind, clean, profile=profile, plugin=self._record.name, command=self._title)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise self._fault(f"gave a `{summary.kind}` that is none: {error}") from error

    @property
    def _title(self) -> str:
        return f"{self._spec.name} {self._verb.name}"

    def _fault(self, what: str) -> Exception:
        from missive_host.errors import OrchestrationError

        return OrchestrationError(
            f"command `{self._title}` of {self._record.label} {what}",
            help="this is a fault of the plugin; --trace shows where",
        )
