"""Secrets in environment variables: ``env:NAME``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from missive_host.errors import AuthError, ValidationError

if TYPE_CHECKING:
    from missive_host.protocols import SecretContext

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Environment:
    """A `SecretProvider`."""

    def __init__(self, context: SecretContext) -> None:
        self._environ = context.environ

    def get(self, reference: str) -> str:
        if not _NAME.fullmatch(reference):
            # Not repeated: somebody may have given the secret itself.
            raise ValidationError(
                "not a reference to a secret: expected the name of an environment variable",
                help="write env:NAME, with the name and not the value",
            )
        value = self._environ.get(reference)
        if not value:
            state = "is not set" if value is None else "is empty"
            raise AuthError(
                f"the environment variable {reference} {state}",
                help=f"set {reference} to the credential, and export it",
            )
        return value
