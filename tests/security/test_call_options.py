"""The global flags about calls."""

from __future__ import annotations

from typing import Any

import pytest

from missive_host.config.model import Protocol
from missive_host.errors import AuthError, ValidationError
from missive_host.security.options import CallOptions, call_options
from missive_host.security.secrets import Secret


def test_nothing_given() -> None:
    assert call_options() == CallOptions()


def test_everything_given() -> None:
    options = call_options(
        timeout="1500ms",
        protocol_version="0.3",
        extensions=["https://e.example/a", "https://e.example/b"],
        service_params=["X-Region=eu", "x-region=us=1", "X-Empty="],
        headers=["X-Tenant: blue", "authorization: Basic abc"],
        bearer_token_env="TOKEN",
        protocol=Protocol(extensions=("https://e.example/c",)),
        environ={"TOKEN": "t"},
    )
    assert options.timeout == 1.5
    assert options.protocol_version == "0.3"
    assert options.extensions == ("https://e.example/a", "https://e.example/b")
    assert options.service_params == (("x-region", "us=1"), ("X-Empty", ""))
    # --header wins over --bearer-token-env, whatever the case of its name.
    assert options.headers == (("authorization", Secret("Basic abc")), ("X-Tenant", Secret("blue")))
    assert "Basic" not in repr(options)


def test_which_headers_are_secret() -> None:
    options = call_options(headers=["X-Tenant: blue", "X-API-Key: k1", "X-Other: 0123456789abcdef"])
    assert options.secrets == (Secret("k1"), Secret("0123456789abcdef"))


@pytest.mark.parametrize(
    "flags",
    [
        {"timeout": "30"},
        {"timeout": "0s"},
        {"protocol_version": ""},
        {"protocol_version": "1 0"},
        {"protocol_version": "1" * 65},
        {"extensions": ["a", "a"]},
        {"extensions": ["a,b"]},
        {"extensions": ["a b"]},
        {"extensions": [""]},
        {"extensions": ["a" * 513]},
        {"extensions": ["https://in.config/"]},
        {"service_params": ["X-Region"]},
        {"service_params": ["=x"]},
        {"service_params": ["A2A-Version=1.0"]},
        {"service_params": ["a2a-extensions=x"]},
        {"service_params": ["X=a\nb"]},
        {"service_params": ["X=" + "a" * 8193]},
        {"headers": ["X"]},
    ],
)
def test_a_value_that_is_not_acceptable(flags: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="--") as caught:
        call_options(**flags, protocol=Protocol(extensions=("https://in.config/",)), environ={})
    assert caught.value.exit_code == 64


def test_a_missing_token() -> None:
    with pytest.raises(AuthError) as caught:
        call_options(bearer_token_env="TOKEN", environ={})
    assert caught.value.exit_code == 77
