"""Whose token is it?"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

from missive_host.ids import now
from missive_host.protocols import Principal

if TYPE_CHECKING:
    from missive_host.store import Store


class Authenticator:
    """`AdapterContext.authenticate`: tells whose token it is, or that it is nobody's (any more).

    It looks into the store each time, by the digest, so a token that is made, replaced or revoked counts from the next
    request on. How long it takes tells nothing about a token: what is searched for is not the token but its digest.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, token: str) -> Principal | None:
        digest = sha256(token.encode()).hexdigest()
        found = self._store.read(lambda tables: tables.tokens.by_digest(digest))
        if found is None or not compare_digest(found.token_sha256, digest) or not found.is_valid(now()):
            return None
        return Principal(found.name, commands=found.commands, agents=found.agents)
