"""A `Secret` is never seen; where its value comes from, and what is said when it cannot be had."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import msgspec
import pytest
from support.secrets import planted, secrets_of

from missive_host.config.model import AuthHeader, AuthRef
from missive_host.errors import AuthError, ValidationError
from missive_host.security.secrets import (
    Secret,
    bearer_from_env,
    parse_header_flag,
)

VALUE = planted("value")
pytestmark = pytest.mark.secrets_in("token", "missive-*")
"""The files that are read, and those of the keyring."""


def resolved(ref: AuthRef, environ: dict[str, str] | None = None) -> list[tuple[str, str]]:
    return [(name, value.reveal()) for name, value in secrets_of(environ).headers("office", ref)]


# --- the type


def test_a_secret_never_prints_itself() -> None:
    secret = Secret(VALUE)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", "%s" % secret, str([secret])]  # noqa: UP031
    assert shown[:-1] == ["***"] * 6
    assert VALUE not in "".join(shown)
    assert secret.reveal() == VALUE


def test_a_secret_cannot_be_written() -> None:
    secret = Secret(VALUE)
    for write in (json.dumps, msgspec.json.encode, msgspec.to_builtins, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            write(secret)
        assert VALUE not in str(caught.value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps({"a": [secret]}, protocol=protocol)
    with pytest.raises(TypeError):
        secret.__getstate__()
    assert not hasattr(secret, "__dict__")


def test_a_secret_cannot_be_changed() -> None:
    secret = Secret(VALUE)
    with pytest.raises(AttributeError):
        secret._Secret__value = "other"
    with pytest.raises(AttributeError):
        secret.note = "x"
    with pytest.raises(AttributeError):
        del secret._Secret__value  # type: ignore[attr-defined]
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


def test_equality() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE + "x")
    assert Secret("\udcff") == Secret("\udcff")  # as an environment may hold it
    assert Secret(VALUE) != VALUE
    assert len({Secret(VALUE), Secret(VALUE), Secret("other")}) == 2


# --- auth refs: environment


def test_from_the_environment() -> None:
    assert resolved(AuthRef(env="TOKEN"), {"TOKEN": VALUE}) == [("Authorization", f"Bearer {VALUE}")]
    bare = AuthRef(env="KEY", header="X-API-Key", scheme="")
    assert resolved(bare, {"KEY": VALUE}) == [("X-API-Key", VALUE)]


def test_several_headers() -> None:
    ref = AuthRef(
        headers=(AuthHeader(env="TOKEN"), AuthHeader(env="ID", header="X-Client-Id", scheme="")),
    )
    assert resolved(ref, {"TOKEN": VALUE, "ID": "me"}) == [
        ("Authorization", f"Bearer {VALUE}"),
        ("X-Client-Id", "me"),
    ]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "auth ref 'office': the environment variable TOKEN is not set"),
        ({"TOKEN": ""}, "auth ref 'office': the environment variable TOKEN is empty"),
    ],
)
def test_a_variable_that_is_missing(environ: dict[str, str], says: str) -> None:
    with pytest.raises(AuthError) as caught:
        resolved(AuthRef(env="TOKEN"), environ)
    assert (caught.value.message, caught.value.exit_code) == (says, 77)
    assert caught.value.help == "set TOKEN to the credential, and export it"


@pytest.mark.parametrize("value", [f"{VALUE}\r\nX-Evil: 1", f"{VALUE}\n", f"{VALUE}\0", f"{VALUE}é", VALUE * 1000])
def test_a_value_that_no_header_can_carry(value: str) -> None:
    with pytest.raises(AuthError) as caught:
        resolved(AuthRef(env="TOKEN"), {"TOKEN": value})
    assert "auth ref 'office'" in caught.value.message
    assert VALUE not in str(caught.value.report())
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_auth_ref_of_any_provider() -> None:
    assert resolved(AuthRef(secret="env:TOKEN"), {"TOKEN": VALUE}) == [("Authorization", f"Bearer {VALUE}")]
    for wrong in ({"secret": "env:A", "env": "A"}, {"secret": "env:A", "kind": "env"}, {"secret": "a:b", "file": "f"}):
        with pytest.raises(ValueError, match=r"`(secret|env|file)`: (does not belong here|is needed)"):
            AuthRef(**wrong)  # type: ignore[arg-type]


# --- auth refs: files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(VALUE + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_from_a_file(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert resolved(AuthRef(file=str(file))) == [("Authorization", f"Bearer {VALUE}")]


def test_from_a_link_to_a_file(file: Path) -> None:
    """As secrets are mounted into containers."""
    link = file.with_name("link")
    link.symlink_to(file)
    assert resolved(AuthRef(file=str(link), scheme="")) == [("Authorization", VALUE)]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o611])
def test_a_file_that_others_can_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(AuthError, match="can be read by others") as caught:
        resolved(AuthRef(file=str(file)))
    assert caught.value.help == f"chmod 600 {file}"
    assert str(file) in caught.value.message
    assert VALUE not in str(caught.value.report())


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match=r"auth ref 'office': the file .*token cannot be read: No such file"):
        resolved(AuthRef(file=str(tmp_path / "token")))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb\n", "a line break"),
        (b"\xff\xfe", "is not text"),
        (b"a" * 8193, "longer than 8192 bytes"),
        (b"a" * 100_000, "longer than 8192 bytes"),
    ],
)
def test_a_file_with_another_content(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(AuthError, match=says):
        resolved(AuthRef(file=str(file), scheme=""))


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, tmp_path):
        with pytest.raises(AuthError, match="is not a regular file"):
            resolved(AuthRef(file=str(path)))


# --- auth refs: keyring


class FileKeyring(keyring.backend.KeyringBackend):
    """A keyring in a folder."""

    priority = 1

    def __init__(self, folder: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.folder = folder

    def get_password(self, service: str, username: str) -> str | None:
        if service == "locked":
            raise keyring.errors.KeyringLocked(f"locked: {VALUE}")
        path = self.folder / f"{service}-{username}"
        return path.read_text() if path.exists() else None

    def set_password(self, service: str, username: str, password: str) -> None:
        (self.folder / f"{service}-{username}").write_text(password)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(FileKeyring(tmp_path))
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("ring")
def test_from_the_keyring() -> None:
    keyring.set_password("missive", "archive", VALUE)
    ref = AuthRef(keyring_service="missive", keyring_account="archive")
    assert resolved(ref) == [("Authorization", f"Bearer {VALUE}")]


@pytest.mark.usefixtures("ring")
def test_an_account_with_a_slash_in_it() -> None:
    keyring.set_password("missive", "50%25", VALUE)
    assert resolved(AuthRef(keyring_service="missive", keyring_account="50%25", scheme=""))[0][1] == VALUE
    with pytest.raises(AuthError, match="the keyring entry missive/a/b%2Fc does not exist"):
        resolved(AuthRef(keyring_service="missive", keyring_account="a/b%2Fc"))


@pytest.mark.usefixtures("ring")
def test_an_entry_that_is_missing() -> None:
    with pytest.raises(AuthError, match="auth ref 'office': the keyring entry missive/x does not exist") as caught:
        resolved(AuthRef(keyring_service="missive", keyring_account="x"))
    assert caught.value.help == "keyring set missive x"


@pytest.mark.usefixtures("ring")
def test_a_locked_keyring() -> None:
    with pytest.raises(AuthError, match=r"keyring entry locked/x cannot be read \(KeyringLocked\)") as caught:
        resolved(AuthRef(keyring_service="locked", keyring_account="x"))
    assert VALUE not in str(caught.value.report())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)  # what an import finds when it is not installed
    with pytest.raises(AuthError) as caught:
        resolved(AuthRef(keyring_service="missive", keyring_account="x"))
    assert caught.value.help == "pip install 'missive-host[keyring]'"


# --- references in an adapter's settings


@pytest.mark.usefixtures("ring")
def test_references(file: Path) -> None:
    keyring.set_password("missive", "bot", planted("ring"))
    secrets = secrets_of({"T": VALUE})
    assert secrets.resolve("adapters.team.token", "env:T").reveal() == VALUE
    assert secrets.resolve("adapters.team.token", f"file:{file}").reveal() == VALUE
    assert secrets.resolve("adapters.team.token", "keyring:missive/bot").reveal() == planted("ring")
    with pytest.raises(AuthError, match=r"adapters\.team\.token: the environment variable T is not set"):
        secrets_of().resolve("adapters.team.token", "env:T")


@pytest.mark.parametrize("reference", [VALUE, "env:", f"env:{VALUE}", "file:", "keyring:a", "Vault:x", ":x", ""])
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(ValidationError, match=r"adapters\.team\.token: not a reference") as caught:
        secrets_of().resolve("adapters.team.token", reference)
    assert VALUE not in str(caught.value.report())


# --- flags


def test_header_flags() -> None:
    name, value = parse_header_flag("X-Tenant: blue: 1 ")
    assert (name, value.reveal(), str(value)) == ("X-Tenant", "blue: 1", "***")
    assert parse_header_flag("X-Empty:")[1].reveal() == ""
    assert parse_header_flag("X:" + "a" * 8192)[1].reveal() == "a" * 8192


@pytest.mark.parametrize(
    "flag",
    [
        VALUE,
        f":{VALUE}",
        f"X Y:{VALUE}",
        f"X\n:{VALUE}",
        f"X: {VALUE}\r\nY: 1",
        f"X: {VALUE}\n",
        f"X: {VALUE}é",
        f"X: {VALUE * 600}",
        f"A2A-Version: {VALUE}",
        f"content-length: {VALUE}",
    ],
)
def test_what_is_no_header(flag: str) -> None:
    with pytest.raises(ValidationError, match="--header") as caught:
        parse_header_flag(flag)
    assert caught.value.exit_code == 64
    assert VALUE not in str(caught.value.report())


def test_bearer_from_env() -> None:
    name, value = bearer_from_env("TOKEN", {"TOKEN": VALUE})
    assert (name, value.reveal()) == ("Authorization", f"Bearer {VALUE}")
    for environ in ({}, {"TOKEN": ""}):
        with pytest.raises(AuthError, match="--bearer-token-env: the environment variable TOKEN is"):
            bearer_from_env("TOKEN", environ)


def test_a_token_in_place_of_its_variable() -> None:
    with pytest.raises(ValidationError, match="expected the name of an environment variable") as caught:
        bearer_from_env(VALUE, {})
    assert VALUE not in str(caught.value.report())
