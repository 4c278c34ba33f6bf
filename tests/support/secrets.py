"""The secret providers that are installed, with an environment of the test's own."""

from __future__ import annotations

from collections.abc import Mapping

from missive_host.plugins import catalog, load
from missive_host.security.providers import Secrets


def secrets_of(environ: Mapping[str, str] | None = None) -> Secrets:
    plugins = load(catalog(), strict=False)
    return Secrets(lambda: plugins, environ or {})
