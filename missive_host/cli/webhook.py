"""``missive webhook``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from missive_host.cli.kit import Command, Group, Known

if TYPE_CHECKING:
    from missive_host.cli.app import App
    from missive_host.gateway.push import SharedSecret

webhook = Group(
    "webhook",
    help="Take the push notifications that agents send, without the gateway.",
    examples=("missive webhook run", "missive webhook run --max-events 1 --timeout 5m --ndjson"),
)

_HELP = """Take push notifications over HTTP until it is stopped.

A notification must be proved by the token or the credentials of the push config that it belongs to (`missive push
create`). The task is brought up to date, its messages and artifacts are kept, and the journal has each event. It ends
with SIGINT or SIGTERM, after --max-events or after --timeout, with status 0."""


def _run(
    bind_address: str | None,
    port: int | None,
    path: str,
    auth_header: str,
    auth_scheme: str,
    auth_token_env: str | None,
    max_events: int | None,
    max_body_bytes: int,
) -> None:
    import anyio

    from missive_host.gateway.webhook import Webhook
    from missive_host.logs import configure

    app: App = click.get_current_context().obj
    core = app.core()
    shared = _shared(app, auth_header, auth_scheme, auth_token_env)
    configure(app.flags.verbosity, core.redactor.text)

    async def main() -> None:
        try:
            await Webhook(
                core,
                _bind(app, bind_address, port),
                app.emit,
                path=path,
                max_body=max_body_bytes,
                shared=shared,
                max_events=max_events,
                timeout=core.options.timeout,
            ).run()
        finally:
            await app.aclose()

    anyio.run(main)


def _bind(app: App, address: str | None, port: int | None) -> str:
    """Return the address to listen on: that of the gateway, with what was given in place of its parts."""
    from ipaddress import ip_address

    from missive_host.errors import ValidationError

    host, _, default_port = app.settings().config.gateway.bind_address.rpartition(":")
    if address is not None:
        try:
            parsed = ip_address(address.strip("[]"))
        except ValueError:
            raise ValidationError(
                f"--bind-address: '{address}' is not an IP address", help="such as 127.0.0.1 or ::1; see --port, too"
            ) from None
        host = f"[{parsed}]" if parsed.version == 6 else str(parsed)
    return f"{host}:{default_port if port is None else port}"


def _shared(app: App, header: str, scheme: str, variable: str | None) -> SharedSecret | None:
    if variable is None:
        return None
    from missive_host.gateway.push import SharedSecret
    from missive_host.security.secrets import from_env

    secret = from_env(variable, app.settings().environ, "--auth-token-env")
    app.core().redactor.add(secret)
    return SharedSecret(header, "" if scheme == "none" else scheme, secret)


def _path(ctx: click.Context, param: click.Parameter, value: str) -> str:  # noqa: ARG001 - click's signature
    if not value.startswith("/") or any(char in value for char in "?#{} "):
        raise click.BadParameter("it must begin with / and hold no ?, #, { or space")
    return value


webhook.add_command(
    Command(
        "run",
        help=_HELP,
        examples=(
            "missive webhook run",
            "missive webhook run --port 8099 --auth-token-env PUSH_TOKEN",
            "missive webhook run --max-events 1 --timeout 5m --ndjson",
        ),
        callback=_run,
        params=[
            click.Option(["--bind-address"], metavar="IP", help="IP address to listen on [default: the gateway's]."),
            click.Option(
                ["--port"],
                type=click.IntRange(0, 65535),
                metavar="PORT",
                help="Port to listen on; 0: a free one [default: the gateway's].",
            ),
            click.Option(
                ["--path"],
                default="/a2a/push",
                callback=_path,
                metavar="PATH",
                show_default=True,
                help="Path to take notifications at; PATH/CONFIG is taken, too.",
            ),
            click.Option(
                ["--auth-header"],
                default="Authorization",
                metavar="NAME",
                show_default=True,
                help="Header that must hold the token of --auth-token-env.",
            ),
            click.Option(
                ["--auth-scheme"],
                default="Bearer",
                metavar="SCHEME",
                show_default=True,
                help="Word before the token; none: the header is the token alone.",
            ),
            click.Option(
                ["--auth-token-env"],
                metavar="NAME",
                type=Known("env"),
                help="Environment variable with a token that every notification must have. It also proves those of "
                "push configs that have no secret of their own, and of tasks that were not made a config for here.",
            ),
            click.Option(
                ["--max-events"], type=click.IntRange(1), metavar="N", help="End after so many notifications."
            ),
            click.Option(
                ["--max-body-bytes"],
                type=click.IntRange(1),
                default=1024 * 1024,
                metavar="N",
                show_default=True,
                help="The largest body that is taken.",
            ),
        ],
    )
)
