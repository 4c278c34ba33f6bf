"""Push configs and notifications, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from missive_host.cli.wording import ago

if TYPE_CHECKING:
    from missive_host import outputs_push as p
    from missive_host.cli.screen import Screen


def _config(data: p.PushCreateResult | p.PushGetResult, screen: Screen) -> None:
    config = data.config
    screen.fields(
        (
            ("config", config.config_id),
            ("agent", config.agent),
            ("task", config.task_id),
            ("url", config.url),
            ("token", "yes" if config.has_token else "no"),
            ("auth scheme", config.auth_scheme),
            ("made by", "somebody else" if not config.known_here else config.source),
            ("metadata", config.metadata or UNSET),
            ("created", ago(config.created_at, screen) if config.created_at is not UNSET else UNSET),
        )
    )


def _list(data: p.PushListResult, screen: Screen) -> None:
    if not data.configs:
        screen.line("no push configs")
        screen.note(f"make one: missive push create {data.agent} {data.task_id} URL --token-env NAME")
        return
    screen.table(
        ("CONFIG", "URL", "TOKEN", "AUTH", "MADE BY"),
        [
            (
                config.config_id,
                config.url,
                "yes" if config.has_token else "no",
                config.auth_scheme,
                config.source if config.known_here else "somebody else",
            )
            for config in data.configs
        ],
    )


def _message(data: Any, screen: Screen) -> None:
    screen.line(data.message)


def _note(data: Any, screen: Screen) -> None:
    screen.note(data.message)


RENDERERS: Mapping[str, Callable[[Any, Screen], None]] = {
    "push_create": _config,
    "push_get": _config,
    "push_list": _list,
    "push_delete": _message,
    "webhook_started": _note,
    "webhook_event": _message,
    "webhook_rejected": _note,
    "webhook_stopped": _note,
}
