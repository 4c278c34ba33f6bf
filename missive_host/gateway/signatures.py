"""Signed notifications: a JWT as bearer token, checked with the keys that the agent publishes (JWKS).

Where the keys are is said when the agent is registered: ``--metadata push_jwks_url=https://…/jwks.json``. The token
must say when it was made (``iat``); what else it says must be true: ``exp``, ``nbf``, the task (``task_id``), the body
(``request_body_sha256``). Each token is good for one notification. Needs the extra ``push-jwt``.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from missive_host.errors import MissiveError

if TYPE_CHECKING:
    from missive_host.core.core import Core

log = logging.getLogger("missive.gateway.push")

METADATA_KEY = "push_jwks_url"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: a public key must not be taken for a shared secret."""
MAX_AGE = 300.0
"""Seconds between the making of a token and its arrival."""
LEEWAY = 60.0
"""How far the agent's clock may be off."""
KEYS_SECONDS = 600.0
RETRY_SECONDS = 30.0
"""How soon keys are fetched anew for a token whose key is not among them, or that could not be fetched."""
MAX_KEYS = 256 * 1024
FETCH_SECONDS = 10.0


class Signatures:
    """Checks tokens; keeps the keys of each agent for a while."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._keys: dict[str, tuple[float, Any]] = {}
        """By URL: when they were fetched, and the set; None if that failed."""
        self._fetching = anyio.Lock()

    def url_of(self, agent: str) -> str | None:
        """Return where an agent's keys are, or None if that is not known."""
        try:
            url = self._core.agents.row(agent).metadata.get(METADATA_KEY)
        except MissiveError:
            return None
        return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None

    async def receipt(self, agent: str, url: str, token: str, body: bytes, task_id: str) -> str | None:
        """Return the digest by which the token is known again, or None if it proves nothing."""
        try:
            import jwt
        except ImportError:
            log.warning("a signed notification cannot be checked: pip install 'missive-host[push-jwt]'")
            return None
        try:
            key = await self._key(url, jwt.get_unverified_header(token))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key.key,
                algorithms=list(ALGORITHMS),
                leeway=LEEWAY,
                options={"require": ["iat"], "verify_aud": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            log.info("a signed notification of agent '%s' is not genuine: %s", agent, type(error).__name__)
            return None
        if not _agrees(claims, body, task_id):
            return None
        jti = claims.get("jti")
        once = f"jti\0{jti}" if isinstance(jti, str) and jti else f"token\0{token}"
        return hashlib.sha256(f"{agent}\0{once}".encode()).hexdigest()

    async def _key(self, url: str, header: dict[str, Any]) -> Any:
        kid = header.get("kid")
        for _ in range(2):
            fetched_at, keys = self._keys.get(url, (float("-inf"), None))
            found = _choose(keys, kid)
            age = time.monotonic() - fetched_at
            if age < (KEYS_SECONDS if found is not None else RETRY_SECONDS):
                return found
            async with self._fetching:
                if self._keys.get(url, (float("-inf"), None))[0] == fetched_at:
                    keys = await self._fetch(url)
                    self._keys[url] = (time.monotonic(), keys)
        return _choose(self._keys[url][1], kid)

    async def _fetch(self, url: str) -> Any:
        import jwt

        try:
            with anyio.fail_after(FETCH_SECONDS):
                response = await self._core.connections.http.request(
                    "GET", url, headers=[("Accept", "application/json")], body=None, max_body=MAX_KEYS
                )
            if response.status == 200:
                return jwt.PyJWKSet.from_dict(msgspec.json.decode(response.body))
            log.warning("the keys at %s cannot be had: HTTP %d", url, response.status)
        except (MissiveError, TimeoutError, msgspec.DecodeError, jwt.PyJWTError, AttributeError, TypeError) as error:
            log.warning("the keys at %s cannot be had: %s", url, error)
        return None


def _choose(keys: Any, kid: Any) -> Any:
    usable = [] if keys is None else [key for key in keys.keys if key.public_key_use in (None, "sig")]
    if kid is None:
        return usable[0] if len(usable) == 1 else None
    return next((key for key in usable if key.key_id == kid), None)


def _agrees(claims: dict[str, Any], body: bytes, task_id: str) -> bool:
    """Whether what a token says about the notification is so."""
    if time.time() - float(claims["iat"]) > MAX_AGE + LEEWAY:
        return False
    said = claims.get("request_body_sha256")
    if said is not None and not hmac.compare_digest(str(said).lower(), hashlib.sha256(body).hexdigest()):
        return False
    return all(claims.get(name) in (None, task_id) for name in ("task_id", "taskId"))
