"""Which interface of a card is used: binding, protocol version and URL are chosen together (A2A spec 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from missive_host.a2a.shapes import Json
from missive_host.errors import TransportError, ValidationError, nearest
from missive_host.outputs import SelectedInterface

_WIRE = {"json-rpc": "JSONRPC", "http+json": "HTTP+JSON", "grpc": "GRPC"}
BINDINGS = tuple(_WIRE)


def canonical_binding(name: str) -> str:
    """Return ``json-rpc``, ``http+json``, ``grpc``, or the name in lower case if it is none of ours."""
    key = re.sub(r"[+_-]", "", name.lower())
    return {"jsonrpc": "json-rpc", "httpjson": "http+json", "rest": "http+json", "grpc": "grpc"}.get(key, name.lower())


def known_binding(name: str) -> str:
    """As `canonical_binding`, but raise a `ValidationError` for one that missive cannot speak."""
    binding = canonical_binding(name)
    if binding not in BINDINGS:
        raise ValidationError(
            f"unknown binding {name!r}{nearest(binding, BINDINGS)}", help="one of: " + ", ".join(BINDINGS)
        )
    return binding


def grpc_installed() -> bool:
    from importlib.util import find_spec

    return find_spec("grpc") is not None


def spoken_version(version: str) -> str | None:
    """Return the version that missive uses for an interface's ``protocolVersion``: 1.0, 0.3, or None."""
    if version in ("1", "") or version.startswith("1."):
        return "1.0"
    return "0.3" if version == "0.3" or version.startswith("0.3.") else None


def negotiate(
    card: Json,
    *,
    alias: str,
    base_url: str,
    preference: Sequence[str] = (),
    registered: Mapping[str, str] | None = None,
    binding: str | None = None,
) -> SelectedInterface:
    """Choose the interface.

    The card's own order counts, unless the agent is registered with a preference or `binding` names one. Within
    a binding, protocol 1.0 goes before 0.3. ``registered`` (binding to URL) is used when the card lists none.
    Raises `TransportError` when there is none that we can speak.
    """
    wanted = [known_binding(binding)] if binding else [canonical_binding(name) for name in preference]
    offers = card.get("supportedInterfaces") or []
    usable, reasons = _usable(offers)
    for name in wanted or list(dict.fromkeys(offer[0] for offer in usable)):
        matching = [offer for offer in usable if offer[0] == name]
        if matching:
            _, version, offer = max(matching, key=lambda item: item[1])
            return _selected(name, offer["url"], offer.get("protocolVersion") or version, "agent_card", offer)
    if not offers:
        for name in wanted or [canonical_binding(key) for key in registered or {}] or ["json-rpc"]:
            for key, url in (registered or {}).items():
                if canonical_binding(key) == name:
                    return _selected(name, url, "1.0", "registry_override", {})
        if not registered and (not wanted or "http+json" in wanted):
            return _selected("http+json", base_url, "1.0", "base_url_fallback", {})
    asked = f" over {', '.join(wanted)}" if wanted else ""
    raise TransportError(
        f"agent '{alias}' offers no interface that can be used{asked}",
        help="it offers: " + (", ".join(reasons) or "none") + "; see `missive agent inspect " + alias + "`",
        sent=False,
    )


def _usable(offers: list[Json]) -> tuple[list[tuple[str, str, Json]], list[str]]:
    usable: list[tuple[str, str, Json]] = []
    reasons: list[str] = []
    with_grpc: bool | None = None
    for offer in offers:
        name = canonical_binding(offer.get("protocolBinding", ""))
        version = spoken_version(offer.get("protocolVersion", ""))
        note = f"{offer.get('protocolBinding', '?')} {offer.get('protocolVersion', '')}".strip()
        if name == "grpc":
            with_grpc = grpc_installed() if with_grpc is None else with_grpc
            if not with_grpc:
                reasons.append(note + " (needs the extra: pip install 'missive-host[grpc]')")
                continue
        if name not in BINDINGS or version is None or not offer.get("url"):
            reasons.append(note + " (not spoken here)")
            continue
        reasons.append(note)
        usable.append((name, version, offer))
    return usable, reasons


def _selected(name: str, url: str, version: str, source: str, offer: Mapping[str, Any]) -> SelectedInterface:
    return SelectedInterface(
        binding=name,
        protocol_binding=_WIRE[name],
        url=url,
        tenant=offer.get("tenant") or UNSET,
        protocol_version=version,
        source=source,
    )
