"""The hooks a plugin may implement. This file, ``specs`` and ``protocols`` are all an author needs to read.

A hook is synchronous, takes no arguments and returns declarations. It is called once, when the plugin is
loaded, so it must not open, read or wait for anything. What does the work is named by the declaration's
``factory`` and imported later::

    from missive_host.hookspecs import hookimpl
    from missive_host.specs import AdapterSpec


    @hookimpl
    def missive_adapters():
        yield AdapterSpec("pigeon", "carrier_pigeon.adapter:PigeonAdapter", "Messages by pigeon post.")

and in ``pyproject.toml``::

    [project.entry-points."missive.plugins"]
    pigeon = "carrier_pigeon"

A plugin may say ``MISSIVE_API = 1``; any other number than `HOOK_API` is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from missive_host.specs import (
    AdapterSpec,
    CommandSpec,
    ContractSpec,
    InboundFilterSpec,
    OutboundFilterSpec,
    PolicySpec,
    ReducerSpec,
    SecretProviderSpec,
    SinkSpec,
    TransportSpec,
)

HOOK_API = 1
"""Rises when a hook or a field of a declaration goes away. New ones do not raise it."""

PROJECT = "missive"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def missive_adapters() -> Iterable[AdapterSpec]:
    """Declare ingress adapters: doors through which messages come in.

    Since API 1. The factory makes an `Adapter` from an `AdapterContext`.
    """
    return ()


@hookspec
def missive_routing_policies() -> Iterable[PolicySpec]:
    """Declare routing policies: which of several agents gets a message.

    Since API 1. The factory makes a `RoutingPolicy`.
    """
    return ()


@hookspec
def missive_reducers() -> Iterable[ReducerSpec]:
    """Declare reducers: how the answers of a group become one.

    Since API 1. The factory makes a `Reducer`.
    """
    return ()


@hookspec
def missive_commands() -> Iterable[CommandSpec]:
    """Declare nouns of the command line: ``missive NOUN VERB``.

    Since API 1. The factory of each `VerbSpec` is an async function that gets a `CommandContext`.
    """
    return ()


@hookspec
def missive_contracts() -> Iterable[ContractSpec]:
    """Declare contracts: the JSON Schemas of what the plugin reads and writes.

    Since API 1. `parse_envelope` takes a `ContractSpec`, and then its schema counts, too.
    """
    return ()


@hookspec
def missive_secret_providers() -> Iterable[SecretProviderSpec]:
    """Declare places where secrets are kept: ``{ secret = "PROVIDER:REFERENCE" }``.

    Since API 1. The factory makes a `SecretProvider` from a `SecretContext`.
    """
    return ()


@hookspec
def missive_event_sinks() -> Iterable[SinkSpec]:
    """Declare event sinks: where the gateway writes what has happened.

    Since API 1. The factory makes an `EventSink` from a `SinkContext`.
    """
    return ()


@hookspec
def missive_agent_transports() -> Iterable[TransportSpec]:
    """Declare agent transports: roads to agents that are not spoken to over HTTP or gRPC.

    Since API 1. The factory makes an `AgentTransport` from a `TransportContext`.
    """
    return ()


@hookspec
def missive_inbound() -> Iterable[InboundFilterSpec]:
    """Declare filters of what comes in through adapters, before it is kept: they annotate, redact or refuse.

    Since API 1. The factory makes an `InboundFilter` from a `FilterContext`.
    """
    return ()


@hookspec
def missive_outbound() -> Iterable[OutboundFilterSpec]:
    """Declare filters of what goes back through adapters: they annotate, redact or refuse.

    Since API 1. The factory makes an `OutboundFilter` from a `FilterContext`.
    """
    return ()


HOOKS = (
    "missive_adapters",
    "missive_routing_policies",
    "missive_reducers",
    "missive_commands",
    "missive_contracts",
    "missive_secret_providers",
    "missive_event_sinks",
    "missive_agent_transports",
    "missive_inbound",
    "missive_outbound",
)
