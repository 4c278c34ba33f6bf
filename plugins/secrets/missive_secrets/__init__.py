"""The ``secrets`` plugin: the secret providers that come with missive.

This module only declares. The work is in the modules beside it, which are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.hookspecs import hookimpl
from missive_host.specs import SecretProviderSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSIVE_API = 1


@hookimpl
def missive_secret_providers() -> Iterator[SecretProviderSpec]:
    """Declare the providers."""
    yield SecretProviderSpec("env", "missive_secrets.env:Environment", "An environment variable.", form="NAME")
    yield SecretProviderSpec("file", "missive_secrets.file:File", "A file that only its owner may read.", form="PATH")
    yield SecretProviderSpec(
        "keyring",
        "missive_secrets.ring:Keyring",
        "The system's keyring.",
        form="SERVICE/ACCOUNT",
        extra="keyring",
    )
