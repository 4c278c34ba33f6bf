"""``missive token``: what is typed, what is shown, and that a token is shown once."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from support.cores import Home


def missive(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "missive_host", "--config", str(home.config), "token", *words]
    return subprocess.run(command, env={**home.environ, "PATH": ""}, capture_output=True, text=True, timeout=60)


def document(home: Home, *words: str) -> Any:
    done = missive(home, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def test_a_token_is_shown_once_and_only_its_digest_is_kept(home: Home) -> None:
    done = missive(home, "create", "ci")
    secret = done.stdout.strip()
    assert secret.startswith("msv_")
    assert len(secret) == 4 + 43
    assert secret not in done.stderr
    assert "not shown again" in done.stderr
    assert secret not in missive(home, "list", "--json").stdout
    database = home.settings().paths.database
    for file in database.parent.glob(database.name + "*"):
        assert secret.encode() not in file.read_bytes()
    (digest,) = sqlite3.connect(database).execute("SELECT token_sha256 FROM tokens").fetchone()
    assert digest == hashlib.sha256(secret.encode()).hexdigest()


def test_from_beginning_to_end(home: Home) -> None:
    assert missive(home, "list").stdout == "no tokens\n"
    made = document(
        home, "create", "shop", "--command", "send", "--command", "stream", "--agent", "echo", "--expires", "90d"
    )
    token = made["token"]
    assert (token["commands"], token["agents"], token["state"]) == (["send", "stream"], ["echo"], "valid")
    assert token["expires_at"] > token["created_at"]
    again = missive(home, "create", "shop")
    assert (again.returncode, "--replace" in again.stderr) == (64, True)
    replaced = document(home, "create", "shop", "--replace")
    assert replaced["secret"] != made["secret"]
    assert replaced["token"]["commands"] == []
    assert missive(home, "revoke", "shop").stdout == "token 'shop' revoked\n"
    (listed,) = document(home, "list")["tokens"]
    assert listed["state"] == "revoked"
    assert document(home, "revoke", "shop")["token"]["revoked_at"] == listed["revoked_at"]
    people = missive(home, "list").stdout
    assert people.split()[:5] == ["TOKEN", "STATE", "COMMANDS", "AGENTS", "CREATED"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "x", "--command", "sned"), "did you mean 'send'?"),
        (("create", "x", "--command", "agent_remove"), "there is no command 'agent_remove'"),
        (("create", "x", "--expires", "soon"), "'soon' is no time"),
        (("create", "x", "--expires", "2001-01-01"), "in the past"),
        (("create", "x", "--expires", "999999d"), None),
        (("create", "X y"), "lower-case"),
        (("revoke", "x"), "there is no token 'x'"),
    ],
)
def test_what_is_wrong(home: Home, words: tuple[str, ...], said: str | None) -> None:
    done = missive(home, *words)
    if said is None:
        assert done.returncode == 0
    else:
        assert done.returncode == 64
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_an_end_in_another_time_zone(home: Home) -> None:
    made = document(home, "create", "x", "--expires", "2090-01-01T12:00:00+02:00")
    assert made["token"]["expires_at"] == "2090-01-01T10:00:00.000000Z"
