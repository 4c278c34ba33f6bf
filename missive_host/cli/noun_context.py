"""What a command of a plugin gets from the host."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from missive_host.errors import ConfigError, MissiveError, ValidationError, nearest
from missive_host.folders import make_private
from missive_host.protocols import AdapterContext, ConfiguredAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from missive_host.cli.app import App
    from missive_host.config.model import AdapterBlock
    from missive_host.plugins import PluginRecord, Plugins
    from missive_host.protocols import Adapter
    from missive_host.specs import AdapterSpec


class NounContext:
    """A `CommandContext`."""

    def __init__(self, app: App, plugins: Plugins, record: PluginRecord, noun: str) -> None:
        self._app = app
        self._plugins = plugins
        self._record = record
        self._noun = noun
        self.profile = app.settings().profile
        self.log = logging.getLogger(f"missive.{noun}")

    def learn(self, options: Mapping[str, Any]) -> None:
        """Keep the secrets among these options out of all that is shown."""
        from missive_host.security.secrets import secrets_in

        for secret in secrets_in(options):
            self._app.redactor.add(secret)

    def progress(self, text: str) -> None:
        if self._app.mode == "human":
            self._app.screen.note(self._app.redacted_text(text))

    def adapters(self) -> tuple[ConfiguredAdapter, ...]:
        found = []
        for name, block in sorted(self._app.settings().config.adapters.items()):
            try:
                spec, record = self._declared(block.kind)
            except MissiveError:
                continue  # of a plugin that is not there: whose it would be is not known
            if self._looks_after(spec, record):
                found.append(self._configured(name, block, spec, record))
        return tuple(found)

    def configured(self, name: str) -> ConfiguredAdapter:
        return self._configured(name, *self._find(name))

    def adapter(self, name: str) -> AdapterContext:
        from missive_host.adapter_options import configured_options

        block, spec, _ = self._find(name)
        try:
            self._plugins.require(spec)
        except MissiveError as error:
            raise ConfigError(f"adapters.{name}.kind: {error.message}", help=error.help) from None
        settings = self._app.settings()
        options = configured_options(spec, name, block.settings, settings.path, self._app.secrets(self._plugins))
        self.learn(options)
        data_dir = self._folder(name)
        make_private(data_dir)
        return AdapterContext(
            name=name,
            kind=spec.name,
            options=options,
            log=logging.getLogger(f"missive.{name}"),
            data_dir=data_dir,
            progress=self.progress,
        )

    def make(self, name: str) -> Adapter:
        context = self.adapter(name)
        made: Adapter = self._plugins.factory(self._find(name)[1])(context)
        return made

    def gateway_running(self) -> bool:
        from missive_host.gateway.control import answers

        return answers(self._app.settings().paths)

    def _find(self, name: str) -> tuple[AdapterBlock, AdapterSpec, PluginRecord]:
        block = self._app.settings().config.adapters.get(name)
        if block is None:
            known = [each.name for each in self.adapters()]
            raise ValidationError(
                f"there is no adapter '{name}'{nearest(name, known)}",
                help=f"an adapter is a table of the configuration: [adapters.{name}]",
            )
        try:
            spec, record = self._declared(block.kind)
        except MissiveError as error:
            raise ConfigError(f"adapters.{name}.kind: {error.message}", help=error.help) from None
        if not self._looks_after(spec, record):
            raise ValidationError(
                f"the adapter '{name}' is a `{block.kind}` of {record.label}: `missive {self._noun}` has nothing to do"
                " with it"
            )
        return block, spec, record

    def _declared(self, kind: str) -> tuple[AdapterSpec, PluginRecord]:
        self._plugins.load_all()  # as the gateway sees them: another plugin may declare the same kind
        return self._plugins.adapter(kind)

    def _looks_after(self, spec: AdapterSpec, record: PluginRecord) -> bool:
        return record.name == self._record.name or spec.noun == self._noun

    def _configured(self, name: str, block: AdapterBlock, spec: AdapterSpec, record: PluginRecord) -> ConfiguredAdapter:
        from missive_host.plugins.reasons import needs

        return ConfiguredAdapter(name, block.kind, block.enabled, self._folder(name), needs(record, spec))

    def _folder(self, name: str) -> Path:
        return self._app.settings().paths.data / "adapters" / name
