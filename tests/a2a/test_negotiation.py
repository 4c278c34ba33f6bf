"""Which interface of a card is used: the whole table, without a network."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec import UNSET

from missive_host.a2a.negotiate import BINDINGS, canonical_binding, known_binding, negotiate, spoken_version
from missive_host.errors import TransportError, ValidationError
from missive_host.outputs import SelectedInterface

BASE = "http://agent"


def offer(binding: str, version: str = "1.0", **more: str) -> dict[str, Any]:
    return {"protocolBinding": binding, "protocolVersion": version, "url": f"http://{binding}/{version}", **more}


def choose(*offers: dict[str, Any], **how: Any) -> SelectedInterface:
    return negotiate({"supportedInterfaces": list(offers)}, alias="a", base_url=BASE, **how)


JSONRPC, REST, GRPC = offer("JSONRPC"), offer("HTTP+JSON"), offer("GRPC")
OLD = offer("JSONRPC", "0.3")


@pytest.mark.parametrize(
    ("offers", "how", "chosen"),
    [
        pytest.param([JSONRPC, REST, GRPC], {}, JSONRPC, id="the card's own order"),
        pytest.param([GRPC, REST, JSONRPC], {}, GRPC, id="the card's own order, reversed"),
        pytest.param([JSONRPC, REST], {"preference": ("http+json",)}, REST, id="registered preference"),
        pytest.param([REST, JSONRPC], {"preference": ("grpc", "json-rpc")}, JSONRPC, id="second preference"),
        pytest.param([JSONRPC, REST], {"preference": ("json-rpc",), "binding": "http+json"}, REST, id="flag wins"),
        pytest.param([JSONRPC, REST], {"binding": "HTTP_JSON"}, REST, id="spelling of the flag"),
        pytest.param([OLD, JSONRPC], {}, JSONRPC, id="1.0 before 0.3 within a binding"),
        pytest.param([OLD, JSONRPC, REST], {"binding": "http+json"}, REST, id="binding and version together"),
        pytest.param([OLD, REST], {}, OLD, id="the binding comes before the version"),
        pytest.param([offer("JSONRPC", "2.0"), OLD], {}, OLD, id="an unknown version is passed over"),
        pytest.param([offer("JSONRPC", "0.2.6"), REST], {}, REST, id="so is one that is too old"),
        pytest.param([offer("WS"), REST], {}, REST, id="an unknown binding is passed over"),
        pytest.param([offer("JSONRPC", url=""), REST], {}, REST, id="so is one without a URL"),
        pytest.param([offer("JSONRPC", "1.1")], {}, offer("JSONRPC", "1.1"), id="1.x is spoken as 1.0"),
        pytest.param([offer("JSONRPC", "0.3.0")], {}, offer("JSONRPC", "0.3.0"), id="0.3.x is spoken as 0.3"),
        pytest.param(
            [JSONRPC, offer("JSONRPC", url="http://second")], {}, JSONRPC, id="the first of two that are equal"
        ),
        pytest.param([JSONRPC], {"registered": {"grpc": "x:1"}}, JSONRPC, id="the card wins over the registration"),
    ],
)
def test_what_is_chosen(offers: list[dict[str, Any]], how: dict[str, Any], chosen: dict[str, Any]) -> None:
    selected = choose(*offers, **how)
    assert selected.url == chosen["url"]
    assert selected.protocol_binding == chosen["protocolBinding"]
    assert selected.protocol_version == chosen["protocolVersion"]
    assert selected.source == "agent_card"
    assert selected.tenant is UNSET


@pytest.mark.parametrize("tenant", ["acme", "a/b c", "%2F", "ünï"])
def test_a_tenant_is_kept_verbatim(tenant: str) -> None:
    assert choose(offer("JSONRPC", tenant=tenant)).tenant == tenant


REGISTERED = {"json-rpc": "http://r", "grpc": "r:1"}


@pytest.mark.parametrize(
    ("how", "binding", "url", "source"),
    [
        ({}, "http+json", BASE, "base_url_fallback"),
        ({"binding": "http+json"}, "http+json", BASE, "base_url_fallback"),
        ({"registered": {"json-rpc": "http://r"}}, "json-rpc", "http://r", "registry_override"),
        ({"registered": {"JSON-RPC": "http://r", "grpc": "r:1"}}, "json-rpc", "http://r", "registry_override"),
        ({"registered": REGISTERED, "binding": "grpc"}, "grpc", "r:1", "registry_override"),
        ({"registered": REGISTERED, "preference": ("grpc",)}, "grpc", "r:1", "registry_override"),
    ],
)  # fmt: skip
def test_a_card_without_interfaces(how: dict[str, Any], binding: str, url: str, source: str) -> None:
    selected = choose(**how)
    assert (selected.binding, selected.url, selected.source) == (binding, url, source)


@pytest.mark.parametrize(
    ("offers", "how", "reasons"),
    [
        ([JSONRPC], {"binding": "grpc"}, ["over grpc", "JSONRPC 1.0"]),
        ([offer("WS"), offer("JSONRPC", "9.0")], {}, ["WS 1.0 (not spoken here)", "JSONRPC 9.0 (not spoken here)"]),
        ([JSONRPC], {"preference": ("http+json",)}, ["over http+json", "JSONRPC 1.0"]),
        ([], {"binding": "json-rpc"}, ["none"]),
        ([], {"registered": {"grpc": "r:1"}, "binding": "json-rpc"}, ["none"]),
    ],
)
def test_nothing_that_could_be_used(offers: list[dict[str, Any]], how: dict[str, Any], reasons: list[str]) -> None:
    with pytest.raises(TransportError) as caught:
        choose(*offers, **how)
    told = f"{caught.value.message} {caught.value.help}"
    assert all(reason in told for reason in reasons), told
    assert not caught.value.sent


def test_grpc_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)  # as if it were not installed
    assert choose(GRPC, REST).binding == "http+json"
    with pytest.raises(TransportError) as caught:
        choose(GRPC)
    assert "missive-host[grpc]" in (caught.value.help or "")


def test_a_binding_that_nobody_knows() -> None:
    with pytest.raises(ValidationError, match="did you mean 'grpc'"):
        choose(JSONRPC, binding="gprc")


@pytest.mark.parametrize(
    ("name", "binding"),
    [("JSONRPC", "json-rpc"), ("JSON-RPC", "json-rpc"), ("json_rpc", "json-rpc"), ("HTTP+JSON", "http+json"),
     ("http-json", "http+json"), ("rest", "http+json"), ("GRPC", "grpc"), ("gRPC", "grpc")],
)  # fmt: skip
def test_spellings(name: str, binding: str) -> None:
    assert canonical_binding(name) == known_binding(name) == binding


@pytest.mark.parametrize(
    ("version", "spoken"),
    [("1.0", "1.0"), ("1", "1.0"), ("1.2", "1.0"), ("", "1.0"), ("0.3", "0.3"), ("0.3.26", "0.3"), ("0.30", None),
     ("0.2", None), ("10.0", None), ("2.0", None), ("x", None)],
)  # fmt: skip
def test_versions(version: str, spoken: str | None) -> None:
    assert spoken_version(version) == spoken


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "protocolBinding": st.sampled_from(["JSONRPC", "HTTP+JSON", "GRPC", "WS", ""]),
                "protocolVersion": st.sampled_from(["1.0", "0.3", "7", ""]),
                "url": st.sampled_from(["http://a", "http://b", ""]),
                "tenant": st.text(max_size=3),
            },
        ),
        max_size=5,
    ),
    st.lists(st.sampled_from(BINDINGS), max_size=2),
    st.none() | st.sampled_from(BINDINGS),
)
def test_any_card(offers: list[dict[str, Any]], preference: list[str], binding: str | None) -> None:
    """What is chosen is one of the offers, whole: URL, binding, version and tenant belong together."""
    try:
        selected = choose(*offers, preference=preference, binding=binding)
    except TransportError:
        return
    if not offers:
        assert selected.url == BASE
        return
    assert any(
        (each.get("url"), canonical_binding(each.get("protocolBinding", "")), each.get("tenant") or UNSET)
        == (selected.url, selected.binding, selected.tenant)
        and each.get("protocolVersion") in (selected.protocol_version, "", None)
        for each in offers
    )
    assert binding in (None, selected.binding)
    assert binding or not preference or selected.binding in preference
