"""The result document of ``missive doctor``."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data, Json

Status = Literal["pass", "warning", "fail", "skipped"]


class DoctorCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    id: str
    """Such as ``store.integrity``, or ``a2a.endpoints.NAME`` of the agent NAME."""
    category: str
    status: Status
    severity: Literal["info", "warning", "error"]
    message: str
    hints: tuple[str, ...]
    """What mends it, the best first: a command where there is one."""
    exit_code: int | UnsetType = UNSET
    """The exit code of the command, if this check failed and none before it."""
    data: Json | UnsetType = UNSET


class DoctorOverall(msgspec.Struct, frozen=True, kw_only=True):
    """All checks in one."""

    status: Literal["pass", "warning", "fail"]
    exit_code: int
    check_count: int
    passed: int
    warnings: int
    failed: int
    skipped: int


class DoctorResult(Data, frozen=True, kw_only=True):
    """What is in order, and what mends what is not."""

    kind = "doctor"
    profile: str
    scope: Literal["local_remote_gateway"]
    overall: DoctorOverall
    checks: tuple[DoctorCheck, ...]
    message: str
