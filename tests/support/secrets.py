"""The secrets that tests plant, and the secret providers that are installed.

Every secret of a test is made by `planted`. All of them have one word in common, so that one search finds whichever of
them is where it should not be: ``support.secret_scan`` looks for it in all that a test run leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping

from missive_host.plugins import catalog, load
from missive_host.security.providers import Secrets

MARK = f"planted{451:04}secret"
"""Letters and digits only: no way of quoting changes it. Put together, so that it is in no source file."""


def planted(name: str) -> str:
    """Return a secret that is for `name`, and that the scan finds wherever it is shown."""
    return f"{name}-{MARK}"


def secrets_of(environ: Mapping[str, str] | None = None) -> Secrets:
    plugins = load(catalog(), strict=False)
    return Secrets(lambda: plugins, environ or {})
