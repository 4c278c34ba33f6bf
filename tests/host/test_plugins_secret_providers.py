"""The hook `missive_secret_providers`: a stranger's provider, as the config names it and the command line uses it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.agents import BEARER_TOKEN
from support.secrets import planted

from missive_host.demo.fleet import AgentProcess
from missive_host.errors import AuthError, PluginError, ValidationError
from missive_host.plugins import Gates, Plugins, catalog, load
from missive_host.security.providers import Secrets

HIDDEN = planted("vault")
pytestmark = pytest.mark.secrets_in("*.py")
VAULT = f"""
from missive_host.errors import AuthError, ValidationError
from missive_host.hookspecs import hookimpl
from missive_host.specs import SecretProviderSpec

@hookimpl
def missive_secret_providers():
    yield SecretProviderSpec("vault", f"{{__name__}}:Vault", "A vault.", form="SHELF/BOX")

class Vault:
    def __init__(self, context):
        self.environ = context.environ
        self.opened = 0
    def get(self, reference):
        self.opened += 1
        if reference == "count":
            return str(self.opened)
        if reference == "top/number":
            return 17
        if reference == "top/nothing":
            return ""
        if reference == "top/lines":
            return "{HIDDEN}\\nand more"
        if reference == "top/broken":
            raise RuntimeError("{HIDDEN}")
        if reference == "odd":
            raise ValidationError("expected SHELF/BOX", help="write vault:SHELF/BOX")
        if reference != "top/box":
            raise AuthError(f"the box {{reference}} is empty", help="put something into it")
        return self.environ.get("VAULT_HAS", "{HIDDEN}")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "carrier.py"
    path.write_text(VAULT)
    return path


def opened(*files: Path, off: tuple[str, ...] = ()) -> Plugins:
    return load(catalog(Gates(no_plugin=off), files=files))


def secrets(plugins: Plugins, **environ: str) -> Secrets:
    return Secrets(lambda: plugins, environ)


def test_a_strangers_provider(file: Path) -> None:
    found = secrets(opened(file), VAULT_HAS="more")
    assert found.resolve("x", "vault:top/box").reveal() == "more"
    assert [found.resolve("x", "vault:count").reveal() for _ in range(2)] == ["2", "3"]  # one object for all


@pytest.mark.parametrize(
    ("reference", "kind", "said", "help_"),
    [
        ("vault:side/box", AuthError, "x.token: the box side/box is empty", "put something into it"),
        ("vault:odd", ValidationError, "x.token: expected SHELF/BOX", "write vault:SHELF/BOX"),
        ("vault:top/broken", AuthError, "x.token: the secret provider `vault` failed (RuntimeError)", "plugin check"),
        ("vault:top/number", AuthError, "x.token: the secret provider `vault` gave no text", None),
        ("vault:top/nothing", AuthError, "x.token: the secret provider `vault` gave nothing", None),
        ("vault:top/lines", AuthError, "x.token: what `vault` has there has a line break or", "one line"),
        ("valt:top", PluginError, "x.token: no secret provider `valt`; did you mean 'vault'?", "file, keyring, vault;"),
    ],
)  # fmt: skip
def test_what_a_provider_does_not_give(
    file: Path, reference: str, kind: type[Exception], said: str, help_: str | None
) -> None:
    with pytest.raises(kind) as caught:
        secrets(opened(file)).resolve("x.token", reference)
    error = caught.value
    assert str(error).startswith(said)
    assert (help_ or "") in (error.help or "")  # type: ignore[attr-defined]
    assert HIDDEN not in str(error.report())  # type: ignore[attr-defined]
    assert error.__context__ is None or error.__suppress_context__


def test_a_built_in_provider_can_be_disabled_and_the_error_says_so() -> None:
    with pytest.raises(PluginError, match=r"a: no secret provider `env`: plugin `secrets` .* is disabled by --no") as e:
        secrets(opened(off=("secrets",)), T="x").resolve("a", "env:T")
    assert e.value.help == "take `secrets` out of --no-plugin"


def test_a_reference_imports_the_plugin_that_it_names_and_no_other(file: Path) -> None:
    plugins = opened(file)
    secrets(plugins, T="x").resolve("a", "env:T")
    assert [record.name for record in plugins.records if record.state == "loaded"] == ["secrets"]
    module = next(record.target for record in plugins.records if record.name == "carrier")
    assert module not in sys.modules


def test_two_that_declare_the_same_give_nothing(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(VAULT)
    with pytest.raises(
        PluginError, match=r"no secret provider `vault`: it is declared by plugin `carrier` .* and plugin"
    ):
        secrets(opened(file, other)).resolve("a", "vault:top/box")
    mine = tmp_path / "vault.py"
    mine.write_text(VAULT)
    assert secrets(opened(file, mine)).resolve("a", "vault:top/box").reveal() == HIDDEN


# --- as people use it


def test_a_credential_from_a_strangers_vault_reaches_the_agent_and_nothing_else(
    site: Any, bearer_agent: AgentProcess
) -> None:
    modules = {"carrier_plugin": VAULT}
    site.install("missive-carrier", {"carrier": "carrier_plugin"}, modules, providers=("vault",))
    site.plugin("bystander", "raise RuntimeError('nobody asked for this plugin')")
    config = site.home / "missive.toml"
    config.write_text(
        f'[auth_refs.v]\nsecret = "vault:top/box"\n[agents.safe]\nbase_url = "{bearer_agent.url}"\nauth_ref = "v"\n'
    )
    words = ("--config", str(config), "-vvv", "send", "safe", "hello")
    done = site.missive(*words, VAULT_HAS=BEARER_TOKEN)
    assert done.returncode == 0, done.stderr
    assert BEARER_TOKEN not in done.stdout + done.stderr
    assert "RuntimeError" not in done.stderr
    for path in site.home.rglob("*"):
        if path.is_file():
            assert BEARER_TOKEN.encode() not in path.read_bytes(), path
    done = site.missive(*words, VAULT_HAS=planted("vault-wrong"))
    assert done.returncode == 77, done.stderr
    assert planted("vault-wrong") not in done.stdout + done.stderr


def test_one_that_is_not_in_the_metadata_is_found_all_the_same_and_told_of(site: Any) -> None:
    site.plugin("carrier", VAULT)
    loaded = site.load("result = plugins.secret_provider('vault')[1].name")
    assert loaded.result == "carrier"
    assert loaded["carrier"]["warnings"] == [
        "vault: to be found at once, name it among the entry points `missive.secret_providers`"
    ]


def test_validation_knows_the_providers_and_fetches_nothing(site: Any, file: Path) -> None:
    config = site.home / "missive.toml"
    text = (
        f'[plugins]\nfiles = ["{file}"]\n[auth_refs.v]\nsecret = "PROVIDER:top/broken"\n'
        '[adapters.a]\nkind = "http"\nsettings = { routes = [{ key = { secret = "PROVIDER:side" } }] }\n'
    )
    config.write_text(text.replace("PROVIDER", "vault"))
    done = site.missive("config", "validate", str(config))
    assert done.returncode == 0, done.stderr
    config.write_text(text.replace("PROVIDER", "volt"))
    done = site.missive("config", "validate", str(config), "--json")
    assert done.returncode == 78
    problems = json.loads(done.stdout)["data"]["problems"]
    assert [(each["table"], each["key"]) for each in problems] == [
        ("auth_refs.v", "secret"),
        ("adapters.a.settings.routes.0", "key"),
    ]
    for each in problems:
        assert each["message"].startswith("no secret provider `volt`; did you mean 'vault'? (secret providers: env,")
