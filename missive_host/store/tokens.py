"""Tokens with which clients come to the gateway. Only their digests are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.errors import ValidationError, nearest
from missive_host.store.rows import TokenRow
from missive_host.store.values import from_json, to_json

if TYPE_CHECKING:
    from sqlite3 import Connection

_SELECT = "SELECT name, token_sha256, commands_json, agents_json, created_at, expires_at, revoked_at FROM tokens"
_PUT = """
    INSERT INTO tokens (name, token_sha256, commands_json, agents_json, created_at, expires_at, revoked_at)
    VALUES (?, ?, ?, ?, ?, ?, NULL)
    ON CONFLICT (name) DO UPDATE SET token_sha256 = excluded.token_sha256, commands_json = excluded.commands_json,
        agents_json = excluded.agents_json, created_at = excluded.created_at, expires_at = excluded.expires_at,
        revoked_at = NULL
"""


class Tokens:
    """Tokens by name, and by digest."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def put(self, token: TokenRow, *, replace: bool = False) -> None:
        """Add a token, or with `replace` put it in the place of the one of this name. Raises `ValidationError`."""
        if not replace and self._one("name", token.name) is not None:
            raise ValidationError(
                f"a token '{token.name}' exists already",
                help="choose another name; --replace makes a new token in its place, and refuses the old one",
            )
        self._execute(
            _PUT,
            (
                token.name, token.token_sha256, to_json(token.commands), to_json(token.agents), token.created_at,
                token.expires_at,
            ),
        )  # fmt: skip

    def by_digest(self, digest: str) -> TokenRow | None:
        return self._one("token_sha256", digest)

    def list(self) -> tuple[TokenRow, ...]:
        """Return all tokens by name, those that were revoked, too."""
        return tuple(map(_token, self._execute(f"{_SELECT} ORDER BY name").fetchall()))

    def revoke(self, name: str, *, at: str) -> TokenRow:
        """Refuse a token from now on. Raises `ValidationError` if there is none of this name."""
        self._execute("UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (at, name))
        found = self._one("name", name)
        if found is None:
            names = tuple(token.name for token in self.list())
            raise ValidationError(f"there is no token '{name}'{nearest(name, names)}", help="see `missive token list`")
        return found

    def _one(self, column: str, value: str) -> TokenRow | None:
        row = self._execute(f"{_SELECT} WHERE {column} = ?", (value,)).fetchone()
        return _token(row) if row else None


def _token(row: tuple[Any, ...]) -> TokenRow:
    name, digest, commands, agents, created_at, expires_at, revoked_at = row
    return TokenRow(
        name=name,
        token_sha256=digest,
        commands=tuple(from_json(commands)),
        agents=tuple(from_json(agents)),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
