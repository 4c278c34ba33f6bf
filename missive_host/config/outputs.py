"""The result documents of ``missive config``."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.config.problems import Problem
from missive_host.outputs import Data


class ConfigShowResult(Data, frozen=True, kw_only=True):
    """The configuration in force, defaults included, without secrets."""

    kind = "config_show"
    profile: str
    source: str
    """``explicit_path``, ``environment``, ``repository_local``, ``xdg`` or ``built_in_default``."""
    config: dict[str, Any]
    message: str
    path: str | UnsetType = UNSET


class ConfigValidateResult(Data, frozen=True, kw_only=True):
    kind = "config_validate"
    valid: bool
    problem_count: int
    problems: tuple[Problem, ...]
    message: str
    path: str | UnsetType = UNSET
    """The file; not set when there is none and the built-in defaults are in force."""


class CandidateView(msgspec.Struct, frozen=True, kw_only=True):
    """A place where missive looks for its configuration."""

    source: str
    path: str
    exists: bool
    used: bool


class FoldersView(msgspec.Struct, frozen=True, kw_only=True):
    """Where the profile keeps its things."""

    data: str
    state: str
    cache: str
    database: str


class ConfigPathResult(Data, frozen=True, kw_only=True):
    kind = "config_path"
    profile: str
    source: str
    candidates: tuple[CandidateView, ...]
    """In the order in which they are tried."""
    folders: FoldersView
    message: str
    path: str | UnsetType = UNSET
    problem: str | UnsetType = UNSET
    """Why the file cannot be used; the folders are then those of an empty configuration."""
