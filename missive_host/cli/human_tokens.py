"""Tokens, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from missive_host.cli.wording import ago

if TYPE_CHECKING:
    from missive_host import outputs_tokens as tokens
    from missive_host.cli.screen import Screen


def _create(data: tokens.TokenCreateResult, screen: Screen) -> None:
    screen.line(data.secret)
    screen.note(f"{data.message}: keep it in a safe place")


def _list(data: tokens.TokenListResult, screen: Screen) -> None:
    if not data.tokens:
        screen.line("no tokens")
        screen.note("make one: missive token create NAME")
        return
    screen.table(
        ("TOKEN", "STATE", "COMMANDS", "AGENTS", "CREATED", "EXPIRES"),
        [
            (
                one.name,
                one.state,
                one.commands or "all",
                one.agents or "all",
                ago(one.created_at, screen),
                one.expires_at,
            )
            for one in data.tokens
        ],
    )


def _revoke(data: tokens.TokenRevokeResult, screen: Screen) -> None:
    screen.line(data.message)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "token_list": _list,
    "token_create": _create,
    "token_revoke": _revoke,
}
