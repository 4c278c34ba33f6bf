"""Secrets in the system's keyring: ``keyring:SERVICE/ACCOUNT``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from missive_host.errors import AuthError, ValidationError

if TYPE_CHECKING:
    from missive_host.protocols import SecretContext


class Keyring:
    """A `SecretProvider`."""

    def __init__(self, context: SecretContext) -> None:
        """The keyring is the user's, whatever the context is."""

    def get(self, reference: str) -> str:
        service, _, account = reference.rpartition("/")
        if not (service and account):
            raise ValidationError(
                "not a reference to a secret: expected SERVICE/ACCOUNT", help="write keyring:SERVICE/ACCOUNT"
            )
        account = unquote(account)  # an account with a slash in it is written with %2F
        try:
            import keyring
            from keyring.errors import KeyringError
        except ImportError:
            raise AuthError(
                "the keyring cannot be read, since the extra is not installed",
                help="pip install 'missive-host[keyring]'",
            ) from None
        where = f"the keyring entry {service}/{account}"
        try:
            value = keyring.get_password(service, account)
        except (KeyringError, RuntimeError, OSError) as error:
            # A backend's own text may hold anything, so only its kind is told.
            raise AuthError(
                f"{where} cannot be read ({type(error).__name__})",
                help="unlock the keyring, or use an env or file auth ref",
            ) from None
        if not value:
            raise AuthError(f"{where} does not exist", help=f"keyring set {service} {account}")
        return value
