"""The global flags, checked and turned into what the core wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from missive_host.cli.flags import Flags
    from missive_host.config import Settings
    from missive_host.security.options import CallOptions


def check(flags: Flags, argv: Sequence[str]) -> None:
    """Refuse what no command can use. Raises `ValidationError`."""
    for number, word in enumerate(argv, 1):
        if not word.isascii() and any("\ud800" <= char <= "\udfff" for char in word):
            from missive_host.errors import ValidationError

            raise ValidationError(f"argument {number} is not valid UTF-8", help="send such bytes with --file-bytes")
    if flags.json and flags.ndjson and not flags.quiet:
        from missive_host.errors import ValidationError

        raise ValidationError("--json and --ndjson exclude each other", help="keep one of them")


def call_options(flags: Flags, settings: Settings) -> CallOptions:
    """Return what every call carries. Raises `ValidationError`, and `AuthError` for a missing bearer token."""
    from missive_host.security.options import call_options as make

    return make(
        timeout=flags.timeout,
        protocol_version=flags.protocol_version,
        extensions=flags.a2a_extension,
        service_params=flags.service_param,
        headers=flags.header,
        bearer_token_env=flags.bearer_token_env,
        protocol=settings.config.protocol,
    )


def config_summary(settings: Settings) -> dict[str, Any]:
    """Return the ``config`` of a ``command_status``."""
    config = settings.config
    summary: dict[str, Any] = {
        "source": settings.source,
        "profile": settings.profile,
        "output_format": config.output.format,
        "agent_count": len(config.agents),
        "auth_ref_count": len(config.auth_refs),
    }
    if settings.path is not None:
        summary["path"] = str(settings.path)
    return summary
