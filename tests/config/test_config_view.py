"""``config show``: all defaults, no secrets, and TOML that means the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, strategies as st

from missive_host.config.loading import read_config
from missive_host.config.model import Config
from missive_host.config.view import safe_view, to_toml

TEXT = """
[agents.planner]
base_url = "https://planner.example"
interfaces = { grpc = "planner.example:443" }
metadata = { "odd.key" = "a\\u007f\\nb", next_page_token_field = "cursor", api_token = "tok-literal-1" }
[profiles.home]
[auth_refs.one]
file = "/etc/one"
[[auth_refs.two.headers]]
env = "TWO"
[telemetry.headers]
X-Api-Key = "0815-literal"
X-Scope-OrgID = "tenant"
Authorization = { secret = "env:OTLP_HEADER" }

[protocol.service_parameters]
X-Region = "eu"
X-Auth-Token = "tok-literal-2"
[adapters.team]
kind = "chat"
[adapters.team.settings]
token = { secret = "env:TEAM_TOKEN" }
password = "tok-literal-3"
webhook = "https://user:tok-literal-4@hooks.example/x"
greeting = "the token is ready"
[adapters.team.settings.inner]
secret = "tok-literal-5"
"""


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return read_config(path)


def test_literal_secrets_are_not_shown(tmp_path: Path) -> None:
    view = safe_view(read(tmp_path, TEXT))
    assert "tok-literal" not in str(view)
    assert "tok-literal" not in to_toml(view)
    settings = view["adapters"]["team"]["settings"]
    assert settings["token"] == {"secret": "env:TEAM_TOKEN"}
    assert settings["password"] == settings["inner"]["secret"] == "[REDACTED]"
    assert settings["greeting"] == "the token is ready"
    assert view["telemetry"]["headers"] == {
        "X-Api-Key": "[REDACTED]",
        "X-Scope-OrgID": "tenant",
        "Authorization": {"secret": "env:OTLP_HEADER"},
    }
    assert view["protocol"]["service_parameters"] == {"X-Region": "eu", "X-Auth-Token": "[REDACTED]"}
    assert view["agents"]["planner"]["metadata"]["next_page_token_field"] == "cursor"
    assert view["qos"]["timeout"] == "30s"


def test_what_is_shown_is_a_valid_config_that_means_the_same(tmp_path: Path) -> None:
    config = read(tmp_path, TEXT)
    view = safe_view(config)
    again = read(tmp_path, to_toml(view))
    assert safe_view(again) == view
    assert again.auth_refs == config.auth_refs
    assert "home" in again.profiles
    plain = Config()
    assert read(tmp_path, to_toml(safe_view(plain))) == plain


def test_agents_named_like_secrets_are_shown(tmp_path: Path) -> None:
    view = safe_view(read(tmp_path, "[agents.token]\nbase_url = 'http://a'\ntags = ['secret']\n"))
    assert view["agents"]["token"]["base_url"] == "http://a"
    assert view["agents"]["token"]["tags"] == ["secret"]


# No surrogates: TOML is UTF-8.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_LEAF = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | _TEXT
_VALUE = st.recursive(_LEAF, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner, min_size=1), max_leaves=12)


@given(st.dictionaries(_TEXT, _VALUE))
def test_any_table_survives_toml(table: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(table)) == table


def test_the_schema_of_the_config_can_be_made() -> None:
    schema = msgspec.json.schema(Config)
    assert schema["$defs"]["Agent"]["additionalProperties"] is False
    assert schema["$defs"]["Qos"]["properties"]["timeout"]["description"]
    for name, struct in schema["$defs"].items():
        undescribed = [key for key, value in struct.get("properties", {}).items() if "description" not in value]
        assert undescribed == [], name
