"""What plugins bring, and what the configuration asks of them: adapters, sinks, filters, credentials.

Plugins are not for several threads at once, so all of this is one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missive_host.doctor.findings import failed, passed, quoted, raised, skipped, warned
from missive_host.errors import MissiveError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from missive_host.config import Settings
    from missive_host.outputs_doctor import DoctorCheck
    from missive_host.plugins import PluginRecord, Plugins
    from missive_host.security.providers import Secrets
    from missive_host.security.redact import Redactor
    from missive_host.security.secrets import Secret
    from missive_host.specs import AdapterSpec, SinkSpec

EXIT_CONFIG = 78
Headers = Mapping[str, "tuple[tuple[str, Secret], ...] | MissiveError"]
"""Of each auth ref the headers, or why there are none."""


class Installed:
    """What is installed, as the configuration gates it. Made in one thread, and used in no other at the same time."""

    def __init__(self, settings: Settings, open_plugins: Callable[[], tuple[Plugins, tuple[str, ...]]]) -> None:
        self.settings = settings
        self._open = open_plugins
        self.plugins: Plugins | None = None
        self.headers: dict[str, tuple[tuple[str, Secret], ...] | MissiveError] = {}

    # --- plugins

    def check_plugins(self) -> Iterator[DoctorCheck]:
        """Load every plugin, and say which are broken."""
        try:
            self.plugins, notices = self._open()
        except MissiveError as error:
            yield raised("plugins.load", error, f"${{EDITOR:-vi}} {quoted(self.settings.path or 'config.toml')}")
            return
        records = self.plugins.check()
        broken = [record for record in records if record.reason is not None]
        for record in broken:
            yield failed(f"plugins.{record.name}", EXIT_CONFIG, f"{record.label}: {record.reason}", *_mending(record))
        for notice in notices:
            yield warned("plugins.gates", notice, "missive plugin list")
        if not broken:
            loaded = sum(record.state == "loaded" for record in records)
            yield passed("plugins.load", f"{loaded} plugins load", loaded=loaded, count=len(records))

    # --- credentials

    def check_credentials(self, secrets: Secrets, redactor: Redactor) -> Iterator[DoctorCheck]:
        """Fetch every credential of the configuration, and never show it."""
        refs = self.settings.config.auth_refs
        if not refs:
            yield skipped("credentials.present", "the configuration has no auth refs")
        for name, ref in refs.items():
            try:
                found = secrets.headers(name, ref)
            except MissiveError as error:
                self.headers[name] = error
                hints = tuple(command for entry in ref.entries for command in _giving(entry.reference))
                yield raised(f"credentials.{name}", error, *hints)
                continue
            for _, secret in found:
                redactor.add(secret)
            self.headers[name] = found
            yield passed(f"credentials.{name}", "is there", headers=[header for header, _ in found])

    # --- adapters, sinks and filters

    def check_adapters(self, secrets: Secrets, redactor: Redactor) -> Iterator[DoctorCheck]:
        """Check what the gateway would start: its plugin, what that needs, its options, their secrets."""
        config = self.settings.config
        if not config.adapters:
            yield skipped("adapters.configured", "the configuration has no adapters")
        tables: tuple[tuple[str, Mapping[str, Any]], ...] = (("adapters", config.adapters), ("sinks", config.sinks))
        for table, blocks in tables:
            for name, block in blocks.items():
                if not block.enabled:
                    yield skipped(f"{table}.{name}", "is not enabled")
                else:
                    yield self._one(table, name, block, secrets, redactor)
        for index, block in enumerate(config.filters):
            yield self._filter(index, block.kind)

    def _one(self, table: str, name: str, block: Any, secrets: Secrets, redactor: Redactor) -> DoctorCheck:
        from missive_host.adapter_options import configured_options
        from missive_host.security.secrets import secrets_in

        check = f"{table}.{name}"
        if self.plugins is None:
            return skipped(check, "no plugin can be loaded: see plugins.load")
        edit = f"${{EDITOR:-vi}} {quoted(self.settings.path or 'config.toml')}"
        spec: AdapterSpec | SinkSpec
        try:
            spec = (self.plugins.adapter if table == "adapters" else self.plugins.sink)(block.kind)[0]
            self.plugins.factory(spec)
        except PluginError as error:
            return raised(check, error) if _is_command(error.help) else raised(check, error, edit)
        try:
            options = configured_options(spec, name, block.settings, self.settings.path, secrets)
        except MissiveError as error:
            named = [each for each in _references(block.settings) if each.partition(":")[2] in error.message]
            return raised(check, error, *(command for each in named for command in _giving(each)), edit)
        for secret in secrets_in(options):
            redactor.add(secret)
        return passed(check, f"`{block.kind}` can be started", plugin=block.kind)

    def _filter(self, index: int, kind: str) -> DoctorCheck:
        from missive_host.filters import check

        name = f"filters.{index}"
        if self.plugins is None:
            return skipped(name, "no plugin can be loaded: see plugins.load")
        try:
            check(self.settings.config, index, self.plugins)
        except MissiveError as error:
            return raised(name, error, f"${{EDITOR:-vi}} {quoted(self.settings.path or 'config.toml')}")
        return passed(name, f"`{kind}` can be used")


def _is_command(text: str | None) -> bool:
    return text is not None and text.startswith(("pip ", "`pip ", "missive ", "`missive "))


def _mending(record: PluginRecord) -> tuple[str, ...]:
    leave_out = f"export MISSIVE_PLUGINS_DISABLED={record.name}"
    trace = "missive plugin check --strict-plugins --trace"
    if record.distribution is None:
        return (f"${{EDITOR:-vi}} {quoted(record.path or '')}", leave_out, trace)
    return (f"pip install --upgrade {record.distribution}", leave_out, trace)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("secret"), str) and len(value) == 1:
            yield value["secret"]
        else:
            for child in value.values():
                yield from _references(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _references(child)


def _giving(reference: str) -> tuple[str, ...]:
    """Return the command that puts a secret where a reference looks for it."""
    provider, _, rest = reference.partition(":")
    if provider == "env":
        return (f"read -rs {rest} && export {rest}",)
    if provider == "file":
        if Path(rest).exists():
            return (f"chmod 600 {quoted(rest)}",)
        return (f'(umask 077; set -C; read -rs VALUE && printf %s "$VALUE" > {quoted(rest)})',)
    if provider == "keyring":
        service, _, account = rest.partition("/")
        return (f"keyring set {quoted(service)} {quoted(account)}",)
    return ()
