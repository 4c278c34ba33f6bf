# ruff: noqa: E501 - a table of sentences
"""Every fault of a file is found, and said with its line, table, key and the nearest known key."""

from __future__ import annotations

from pathlib import Path

import pytest

from missive_host.config.loading import read_config
from missive_host.config.problems import InvalidConfigError


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    """Return the sentences about a file that is refused, without its path."""
    path = tmp_path / "c.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidConfigError) as caught:
        read_config(path)
    assert caught.value.message.startswith(str(path))
    return [problem.sentence(path).removeprefix(str(path)) for problem in caught.value.problems]


NAME = "expected 1 to 63 lower-case letters, digits, '.', '_' or '-', a letter or digit at both ends"

CASES = {
    "default_profil = 'x'": ":1: default_profil: unknown key; did you mean 'default_profile'?",
    "schema_version = 'missive.config.v2'": ":1: schema_version: expected one of missive.config.v1; did you mean 'missive.config.v1'?",
    "[agent.x]\nbase_url = 'http://a'": ":1: agent: unknown key; did you mean 'agents'?",
    "[agents.planner]": ":1: [agents.planner] base_url: is missing",
    "[agents.Planner]\nbase_url = 'http://a'": f":1: [agents] Planner: as a name: {NAME}",
    "[agents.'a b']\nbase_url = 'http://a'": f':1: [agents] "a b": as a name: {NAME}',
    "[agents.a]\nbase_url = 'a.example'": ":2: [agents.a] base_url: expected an absolute URL: http, https, file, or that of an agent transport",
    "[agents.a]\nbase_url = 'unix:/a'": ":2: [agents.a] base_url: expected an absolute URL: http, https, file, or that of an agent transport",
    "[agents.a]\nbase_url = 'https://u:p@a'": ":2: [agents.a] base_url: credentials do not belong into a URL; use an auth ref",
    "[agents.a]\nbase_url = 'http://a'\ninterfaces = { grpc = 'a' }": ":3: [agents.a.interfaces] grpc: expected an http or https URL, or host:port for gRPC",
    "[agents.a]\nbase_url = 'http://a'\ntags = 'x'": ":3: [agents.a] tags: expected a list, got a string",
    "[agents.a]\nbase_url = 'http://a'\n\ntags = [\n 'x', 'Y',\n]": f":4: [agents.a] tags[1]: {NAME}",
    "[agents.a]\nbase_url = 'http://a'\nauth_ref = 'offise'\n[auth_refs.office]\nenv = 'T'": ":3: [agents.a] auth_ref: there is no such name in [auth_refs]; did you mean 'office'?",
    "agents.a.base_url = 'http://a'\nagents.a.x = 1": ":2: [agents.a] x: unknown key",
    "agents = 3": ":1: agents: expected a table, got a whole number",
    "[agents]\na = 3": ":2: [agents] a: expected a table",
    "[profiles.work]\ndefault_agent = 'a'": ":2: [profiles.work] default_agent: there is no such name in [agents]",
    "default_profile = 'wrok'\n[profiles.work]": ":1: default_profile: there is no such name in [profiles]; did you mean 'work'?",
    "[profiles.work.qos]\ntimeout = '1 min'": ":2: [profiles.work.qos] timeout: expected a duration such as 500ms, 30s, 5m or 1h",
    "[auth_refs.a]": ":1: [auth_refs.a] env: is needed when the secret is in the environment",
    "[auth_refs.a]\nkind = 'keyrign'": ":2: [auth_refs.a] kind: expected one of env, keyring, file; did you mean 'keyring'?",
    "[auth_refs.a]\nkeyring_service = 's'": ":1: [auth_refs.a] keyring_account: is needed when the secret is in the keyring",
    "[auth_refs.a]\nenv = 'A'\nfile = 'B'": ":2: [auth_refs.a] env: does not belong here, the secret is in a file",
    "[auth_refs.a]\nenv = 'A B'": ":2: [auth_refs.a] env: expected the name of an environment variable",
    "[auth_refs.a]\nenv = 'A'\nheader = 'A B'": ":3: [auth_refs.a] header: expected letters, digits and '-' without white space, as in a header's name",
    "[auth_refs.a]\nenv = 'A'\nheader = 'a2a-version'": ":3: [auth_refs.a] header: a2a-version is set by missive itself",
    "[auth_refs.a]\nenv = 'A'\n[[auth_refs.a.headers]]\nenv = 'B'": ":2: [auth_refs.a] env: belongs into each table of `headers`",
    "[[auth_refs.a.headers]]\nenv = 'A'\n[[auth_refs.a.headers]]\nenv = 'B'": ":1: [auth_refs.a] headers: authorization is there twice",
    "[[auth_refs.a.headers]]\nenv = 'A'\n[[auth_refs.a.headers]]\nenvv = 'B'\nheader='X'": ":4: [auth_refs.a.headers.1] envv: unknown key; did you mean 'env'?",
    "[storage]\ndatabase_path = 'a/../../b'": ":2: [storage] database_path: `..` is not allowed",
    "[storage]\nbackend = 'postgres'": ":2: [storage] backend: expected one of sqlite",
    "[output]\nredact_secrets = false": ":2: [output] redact_secrets: cannot be switched off",
    "[output]\ncolor = 1": ":2: [output] color: expected a string, got a whole number",
    "[protocol]\nextensions = ['a', 'a']": ":2: [protocol] extensions: an extension is there twice",
    "[protocol]\nextensions = ['a,b']": ":2: [protocol] extensions[0]: expected a URI without white space or comma",
    "[protocol]\nprotocol_version = '1 0'": ":2: [protocol] protocol_version: expected letters, digits, '.', '_' or '-'",
    "[protocol.service_parameters]\nA2A-Version = '1.0'": ":1: [protocol] service_parameters: A2A-Version is set by protocol_version and extensions",
    '[protocol.service_parameters]\nX-A = "a\\nb"': ":2: [protocol.service_parameters] X-A: expected printable ASCII characters in one line",
    "[gateway]\nbind_address = 'localhost:1'": ":2: [gateway] bind_address: expected an IP address and a port, such as 127.0.0.1:7347 or [::1]:7347",
    "[gateway]\nbind_address = '127.0.0.1:70000'": ":2: [gateway] bind_address: expected an IP address and a port, such as 127.0.0.1:7347 or [::1]:7347",
    "[gateway]\nbind_address = '1.2.3:1'": ":2: [gateway] bind_address: expected an IP address and a port, such as 127.0.0.1:7347 or [::1]:7347",
    "[gateway.busy_input]\nmode = 'stear'": ":2: [gateway.busy_input] mode: expected one of queue, interrupt, steer; did you mean 'steer'?",
    "[adapters.a]": ":1: [adapters.a] kind: is missing",
    "[adapters.a]\nkind = 'stdio'\nbusy_input = 'queue'": ":3: [adapters.a] busy_input: expected a table",
    "[qos]\nretry_attempts = 11": ":2: [qos] retry_attempts: expected a whole number <= 10",
    "[qos]\nconcurrency = true": ":2: [qos] concurrency: expected a whole number, got true or false",
    "[qos]\nmax_request_bytes = '8 miles'": ":2: [qos] max_request_bytes: expected a number of bytes such as 1048576 or 8MiB",
    "[qos]\nmax_request_bytes = 1.5": ":2: [qos] max_request_bytes: expected a whole number or a string, got float",
    "[plugins]\nenabled = ['a']\ndisabled = ['b']": ":3: [plugins] disabled: cannot be used together with enabled; keep one of them",
    "[plugins]\nfile = ['a']": ":2: [plugins] file: unknown key; did you mean 'files'?",
    "a = \n": ":1: not TOML: invalid value",
    "[qos]\ntimeout = '1s'\ntimeout = '2s'\n": ":3: not TOML: cannot overwrite a value",
    "[qos": ": not TOML: expected ']' at the end of a table declaration at the end of the file",
}


@pytest.mark.parametrize(("text", "sentence"), CASES.items(), ids=range(len(CASES)))
def test_one_fault(tmp_path: Path, text: str, sentence: str) -> None:
    assert problems(tmp_path, text) == [sentence]


def test_all_faults_are_found_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """
[qos]
timeout = "0s"
retries = 3
[agents.a]
url = "http://a"
[output]
format = "jsonn"
redact_secrets = false
"""
    assert problems(tmp_path, text) == [
        ":3: [qos] timeout: expected a duration such as 500ms, 30s, 5m or 1h",
        ":4: [qos] retries: unknown key",
        ":5: [agents.a] base_url: is missing",
        ":6: [agents.a] url: unknown key; did you mean 'base_url'?",
        ":8: [output] format: expected one of human, json, ndjson, quiet; did you mean 'json'?",
        ":9: [output] redact_secrets: cannot be switched off",
    ]


def test_text_in_several_lines_does_not_confuse_the_lines(tmp_path: Path) -> None:
    text = '[agents.a]\nbase_url = "http://a"\nnotes = """\n[qos]\nbase_urll = 1\n"""\nbase_urll = 1\n'
    assert problems(tmp_path, text) == [":7: [agents.a] base_urll: unknown key; did you mean 'base_url'?"]


def test_not_utf_8(tmp_path: Path) -> None:
    assert problems(tmp_path, b"# a\n# \xff\n") == [":2: not TOML: not UTF-8 text"]


@pytest.mark.parametrize(
    "text",
    [
        "[agents.a]\nbase_url = 'https://user:SECRETVALUE@a'",
        "[auth_refs.a]\nenv = 'SECRETVALUE x'",
        "[auth_refs.a]\nenv = 'A'\nscheme = 'SECRETVALUE x'",
        "[agents.a]\nbase_url = 'http://a'\nauth_ref = 'SECRETVALUE'",
        '[protocol.service_parameters]\nX-Key = "SECRETVALUE\\n"',
        "[output]\nformat = 'SECRETVALUE'",
        "[qos]\ntimeout = 'SECRETVALUE'",
    ],
)
def test_values_are_never_repeated(tmp_path: Path, text: str) -> None:
    """A value may be a secret in the wrong place."""
    assert "SECRETVALUE" not in " ".join(problems(tmp_path, text))
