"""The result documents of ``missive contract``."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data


class ContractView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """``schema_version``, or ``schema_version/part`` where a version has several parts; ``schema_version/kind``."""
    schema_version: str
    """What documents of it say about themselves."""
    title: str
    id: str
    """``$id`` of the schema."""
    file: str
    """Where the schema lies."""
    plugin: str | UnsetType = UNSET
    """The plugin that brings it; not set for missive's own."""
    kinds: tuple[str, ...] | UnsetType = UNSET
    """What its documents may say in ``kind``: for each there is also a contract ``schema_version/kind``."""


class ContractListResult(Data, frozen=True, kw_only=True):
    """The contracts that this missive knows."""

    kind = "contract_list"
    count: int
    contracts: tuple[ContractView, ...]
    notices: tuple[str, ...]
    """Contracts of plugins that cannot be used, and why."""
    message: str


class ContractShowResult(Data, frozen=True, kw_only=True):
    """One contract with its JSON Schema."""

    kind = "contract_show"
    contract: ContractView
    schema: dict[str, Any]
    message: str


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a document."""

    message: str
    path: str | UnsetType = UNSET
    """Where in the document, as in JSONPath: ``$.source.profile``."""
    line: int | UnsetType = UNSET
    """Line of the file, from 1."""
    contract: str | UnsetType = UNSET
    """The contract that is broken; not set when it is not known which one is meant."""

    def sentence(self, file: str) -> str:
        """Return ``FILE:LINE: PATH: MESSAGE``."""
        line = "" if self.line is UNSET else f":{self.line}"
        path = "" if self.path is UNSET else f" {self.path}:"
        return f"{file}{line}:{path} {self.message}"


class ContractValidateResult(Data, frozen=True, kw_only=True):
    """What a file with one document or several breaks of the contracts."""

    kind = "contract_validate"
    file: str
    valid: bool
    document_count: int
    contracts: tuple[str, ...]
    """The contracts that the documents were checked against."""
    violation_count: int
    violations: tuple[Violation, ...]
    message: str
