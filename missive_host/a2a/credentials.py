"""Does a card ask for a credential that we do not have? (A2A spec 4.5, 7)"""

from __future__ import annotations

from collections.abc import Collection

from missive_host.a2a.shapes import Json
from missive_host.errors import AuthError


def check_credentials(card: Json, header_names: Collection[str], *, alias: str) -> None:
    """Raise an `AuthError` that names the remedy if no security requirement of the card can be met.

    Requirements are alternatives; all schemes of one are needed together. A scheme that cannot be seen in headers
    (mutual TLS) counts as met: the connection will tell.
    """
    requirements = card.get("securityRequirements") or []
    if not requirements:
        return
    have = {name.lower() for name in header_names}
    schemes: Json = card.get("securitySchemes") or {}
    lacking: list[str] = []
    for requirement in requirements:
        missing = [
            (name, what)
            for name in requirement.get("schemes", {})
            if (what := _missing(schemes.get(name, {}), have)) is not None
        ]
        if not missing:
            return
        lacking.append(" and ".join(f"{what} (scheme '{name}')" for name, what in missing))
    raise AuthError(
        f"agent '{alias}' asks for {' or '.join(lacking)}, and there is no credential for it",
        help=(
            f"try --bearer-token-env NAME or --header 'NAME:VALUE', or write [auth_refs.{alias}] with env = \"NAME\" "
            f"into the config and `missive agent update {alias} --auth-ref {alias}`"
        ),
    )


def _missing(scheme: Json, have: set[str]) -> str | None:
    """Return what a scheme needs and we lack, or None."""
    if "httpAuthSecurityScheme" in scheme:
        kind = scheme["httpAuthSecurityScheme"].get("scheme", "Bearer")
        return None if "authorization" in have else f"an HTTP {kind} credential"
    if "oauth2SecurityScheme" in scheme or "openIdConnectSecurityScheme" in scheme:
        return None if "authorization" in have else "an OAuth 2.0 access token"
    if "apiKeySecurityScheme" in scheme:
        key = scheme["apiKeySecurityScheme"]
        name = str(key.get("name", "X-API-Key"))
        if key.get("location", "header") == "header":
            return None if name.lower() in have else f"an API key in the header {name}"
        if key.get("location") == "cookie":
            return None if "cookie" in have else f"an API key in the cookie {name}"
        return f"an API key in the query parameter {name}, which missive does not send"
    return None
