"""The configuration: ``missive.config.v1`` in TOML, its profiles, and the folders of a profile."""

from __future__ import annotations

from missive_host.config.loading import Settings, load
from missive_host.config.model import Config
from missive_host.config.paths import Paths

__all__ = ["Config", "Paths", "Settings", "load"]
