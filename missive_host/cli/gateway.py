"""``missive gateway``."""

from __future__ import annotations

from missive_host.cli.gateway_run import run
from missive_host.cli.kit import Group

gateway = Group("gateway", help="Run the gateway.")
gateway.add_command(run)
