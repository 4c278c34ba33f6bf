"""The contracts: JSON Schemas of everything that missive reads and writes, and documents checked against them.

The schemas lie in ``contracts/`` of the source tree, and in ``missive_host/_contracts`` of an installed wheel. They are
made from the command model, the result documents and the configuration by ``python -m missive_host.contracts``.
"""

from __future__ import annotations

from missive_host.contracts.library import Contract, contracts, find, folder, load_schema
from missive_host.contracts.validation import Fault, validate

__all__ = ["Contract", "Fault", "contracts", "find", "folder", "load_schema", "validate"]
