"""What a command of a plugin gets from the host."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from missive_host.errors import ConfigError, MissiveError, ValidationError, nearest
from missive_host.protocols import AdapterContext, ConfiguredAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from missive_host.cli.app import App
    from missive_host.plugins import PluginRecord, Plugins


class NounContext:
    """A `CommandContext`."""

    def __init__(self, app: App, plugins: Plugins, record: PluginRecord, noun: str) -> None:
        self._app = app
        self._plugins = plugins
        self._record = record
        self.profile = app.settings().profile
        self.log = logging.getLogger(f"missive.{noun}")

    def learn(self, options: Mapping[str, Any]) -> None:
        """Keep the secrets among these options out of all that is shown."""
        from missive_host.security.secrets import secrets_in

        for secret in secrets_in(options):
            self._app.redactor.add(secret)

    def progress(self, text: str) -> None:
        if self._app.mode != "quiet":
            self._app.screen.note(self._app.redacted_text(text))

    def adapters(self) -> tuple[ConfiguredAdapter, ...]:
        blocks = self._app.settings().config.adapters
        return tuple(
            ConfiguredAdapter(name, block.kind, block.enabled)
            for name, block in sorted(blocks.items())
            if self._is_own(block.kind)
        )

    def adapter(self, name: str) -> AdapterContext:
        from missive_host.adapter_options import configured_options

        settings = self._app.settings()
        block = settings.config.adapters.get(name)
        if block is None:
            known = [each.name for each in self.adapters()]
            raise ValidationError(
                f"there is no adapter '{name}'{nearest(name, known)}",
                help=f"an adapter is a table of the configuration: [adapters.{name}]",
            )
        try:
            spec, record = self._plugins.adapter(block.kind)
            self._plugins.require(spec)
        except MissiveError as error:
            raise ConfigError(f"adapters.{name}.kind: {error.message}", help=error.help) from None
        if record.name != self._record.name:
            raise ValidationError(f"the adapter '{name}' is a `{block.kind}`, which is of {record.label}")
        options = configured_options(spec, name, block.settings, settings.path)
        self.learn(options)
        data_dir = settings.paths.data / "adapters" / name
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return AdapterContext(
            name=name,
            options=options,
            log=logging.getLogger(f"missive.{name}"),
            data_dir=data_dir,
            progress=self.progress,
        )

    def gateway_running(self) -> bool:
        from missive_host.gateway.control import answers

        return answers(self._app.settings().paths)

    def _is_own(self, kind: str) -> bool:
        self._plugins.load_all()  # as the gateway sees them: another plugin may declare the same kind
        try:
            return self._plugins.adapter(kind)[1].name == self._record.name
        except MissiveError:
            return False
