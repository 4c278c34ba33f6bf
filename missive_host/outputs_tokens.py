"""The result documents of ``missive token``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without the token itself."""

    name: str
    state: str
    """``valid``, ``expired`` or ``revoked``."""
    commands: tuple[str, ...]
    """What it may be used for; none: all commands."""
    agents: tuple[str, ...]
    """Agents and groups that it may be used for; none: all."""
    created_at: str
    expires_at: str | UnsetType = UNSET
    revoked_at: str | UnsetType = UNSET


class TokenCreateResult(Data, frozen=True, kw_only=True):
    kind = "token_create"
    profile: str
    secret: str
    """The token itself. It is shown this once."""
    token: TokenView
    message: str


class TokenListResult(Data, frozen=True, kw_only=True):
    kind = "token_list"
    profile: str
    count: int
    tokens: tuple[TokenView, ...]
    message: str


class TokenRevokeResult(Data, frozen=True, kw_only=True):
    kind = "token_revoke"
    profile: str
    token: TokenView
    message: str
