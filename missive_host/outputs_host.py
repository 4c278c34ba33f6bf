"""The result documents of the host's own commands: they say what missive is, not what an agent said."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data


class PluginView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    state: str
    """``found`` (installed, not loaded), ``disabled``, ``failed`` or ``loaded``."""
    target: str
    """The declaration module."""
    distribution: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    path: str | UnsetType = UNSET
    """The file of a one-file plugin."""
    gate: str | UnsetType = UNSET
    """What disabled it."""
    reason: str | UnsetType = UNSET
    """Why it, or a part of it, cannot be used."""
    seconds: float | UnsetType = UNSET
    """How long loading it took."""
    provides: tuple[str, ...] | UnsetType = UNSET
    """What can be used of it, e.g. ``adapter stdio``; known when it is loaded."""
    warnings: tuple[str, ...] | UnsetType = UNSET


class OptionView(msgspec.Struct, frozen=True, kw_only=True):
    """One option of an adapter: ``--name`` on its command line, ``name`` in ``[adapters.X.settings]``."""

    name: str
    type: str
    help: str
    required: bool
    repeated: bool
    secret: bool
    default: Any = UNSET
    choices: tuple[str, ...] | UnsetType = UNSET
    minimum: int | UnsetType = UNSET
    maximum: int | UnsetType = UNSET


class DeclarationView(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin provides: a routing policy, a reducer …"""

    name: str
    summary: str
    status: str
    factory: str
    extra: str | UnsetType = UNSET
    needs: str | UnsetType = UNSET
    """What is to be installed before it can be used, e.g. ``missive-host[slack]``."""


class ReducerView(DeclarationView, frozen=True, kw_only=True):
    ordered: bool


class SecretProviderView(DeclarationView, frozen=True, kw_only=True):
    form: str
    """What stands behind ``NAME:``."""


class FilterView(DeclarationView, frozen=True, kw_only=True):
    direction: str
    """``inbound`` or ``outbound``."""
    options: tuple[OptionView, ...]


class VerbView(msgspec.Struct, frozen=True, kw_only=True):
    """One command of a noun that a plugin brings."""

    path: tuple[str, ...]
    summary: str
    factory: str
    arguments: tuple[OptionView, ...]
    options: tuple[OptionView, ...]
    examples: tuple[str, ...]


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """A noun that a plugin brings: ``missive NAME …``."""

    name: str
    summary: str
    status: str
    verbs: tuple[VerbView, ...]
    extra: str | UnsetType = UNSET


class AdapterView(DeclarationView, frozen=True, kw_only=True):
    accepts: tuple[str, ...]
    """Contracts it reads."""
    emits: tuple[str, ...]
    foreground: bool
    options: tuple[OptionView, ...]
    secrets: tuple[str, ...]
    """The options that are secrets."""
    examples: tuple[str, ...]


class BroughtContractView(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that a plugin brings."""

    name: str
    summary: str
    package: str
    folder: str
    facts: str | UnsetType = UNSET
    """The field of its requests that no other contract has."""


class SinkView(DeclarationView, frozen=True, kw_only=True):
    options: tuple[OptionView, ...]
    """Keys of ``[sinks.NAME.settings]``."""


class PluginListResult(Data, frozen=True, kw_only=True):
    """What is installed, by metadata: no plugin was imported."""

    kind = "plugin_list"
    plugins: tuple[PluginView, ...]
    notices: tuple[str, ...]
    """Names in a gate that are no plugin's."""
    message: str


class PluginCheckResult(Data, frozen=True, kw_only=True):
    kind = "plugin_check"
    plugins: tuple[PluginView, ...]
    notices: tuple[str, ...]
    loaded: int
    disabled: int
    faulty: int
    """Plugins that failed, or that have a part that cannot be used."""
    message: str


class PluginShowResult(Data, frozen=True, kw_only=True):
    kind = "plugin_show"
    plugin: PluginView
    adapters: tuple[AdapterView, ...]
    routing_policies: tuple[DeclarationView, ...]
    reducers: tuple[ReducerView, ...]
    commands: tuple[CommandView, ...]
    contracts: tuple[BroughtContractView, ...]
    secret_providers: tuple[SecretProviderView, ...]
    event_sinks: tuple[SinkView, ...]
    agent_transports: tuple[DeclarationView, ...]
    filters: tuple[FilterView, ...]
    notices: tuple[str, ...]
    message: str


class PluginNewResult(Data, frozen=True, kw_only=True):
    """A plugin's project that was written."""

    kind = "plugin_new"
    name: str
    plugin_kind: str
    """``adapter``, ``policy`` or ``reducer``."""
    distribution: str
    module: str
    contract: str | UnsetType = UNSET
    """The envelope that it brings."""
    folder: str
    files: tuple[str, ...]
    """What was written, relative to the folder."""
    next: tuple[str, ...]
    """Commands that install it, check it and run its tests."""
    message: str


class CompletionResult(Data, frozen=True, kw_only=True):
    kind = "completion"
    shell: str
    """``bash``, ``zsh``, ``fish`` or ``powershell``."""
    command: str
    file_name: str
    """The usual name of the script's file."""
    install_hint: str
    """Where to put it."""
    script: str
    message: str


class SkillResult(Data, frozen=True, kw_only=True):
    kind = "skill_show"
    name: str
    description: str
    """What it teaches and when it is to be used: the only part that an agent reads before."""
    version: str
    """Of missive."""
    text: str
    """The file ``SKILL.md``."""
    message: str


class SkillFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    action: str
    """``written``, ``updated`` (an older one was there), ``replaced`` (a changed one, by force) or ``unchanged``."""


class SkillInstallResult(Data, frozen=True, kw_only=True):
    kind = "skill_install"
    name: str
    version: str
    files: tuple[SkillFile, ...]
    message: str


class ManpageResult(Data, frozen=True, kw_only=True):
    kind = "manpage"
    command: str
    file_name: str
    """The usual name of the page's file."""
    page: str
    """The page, in the language of man(7)."""
    message: str
