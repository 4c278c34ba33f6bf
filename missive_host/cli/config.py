"""``missive config``: what is configured, whether it is right, where it lies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from missive_host.cli.kit import App, Group, pass_app

if TYPE_CHECKING:
    from pathlib import Path

    from missive_host.cli.screen import Screen
    from missive_host.config import Config, Paths
    from missive_host.config.outputs import ConfigPathResult, ConfigShowResult, ConfigValidateResult
    from missive_host.config.problems import Problem

config = Group(
    "config",
    help="The configuration: what is in force, whether it is right, where it lies.",
    examples=["missive config show", "missive config validate", "missive config path"],
)


# --- show


@config.command(examples=["missive config show", "missive config show --profile work --json"])
@pass_app
def show(app: App) -> None:
    """Show the configuration in force, defaults included.

    It never shows a secret.
    """
    from missive_host.config.outputs import ConfigShowResult
    from missive_host.config.view import safe_view
    from missive_host.outputs import Output

    settings = app.settings()
    where = settings.path or "the built-in defaults"
    result = ConfigShowResult(
        profile=settings.profile,
        source=settings.source,
        config=safe_view(settings.config),
        message=f"profile '{settings.profile}', from {where}",
        **({} if settings.path is None else {"path": str(settings.path)}),
    )
    app.emit(Output(result), show_config)


def show_config(data: ConfigShowResult, screen: Screen) -> None:
    from missive_host.config.view import to_toml

    screen.text(f"# {data.message}\n\n{to_toml(data.config)}", end="")


# --- validate


@config.command(examples=["missive config validate", "missive config validate ./missive.toml --json"])
@click.argument("file", required=False, type=click.Path())
@pass_app
def validate(app: App, file: str | None) -> None:
    """Check a configuration file, and list all that is wrong with it.

    Without FILE it checks the one that is in force. Leaves with 78 if there is a fault.
    """
    from pathlib import Path

    from missive_host.config import Config
    from missive_host.config.discovery import find
    from missive_host.config.loading import choose_profile, read_config
    from missive_host.config.paths import profile_paths
    from missive_host.config.problems import InvalidConfigError
    from missive_host.errors import ConfigError

    app.print_without_config()
    path = Path(file).absolute() if file is not None else find(app.flags.config, os.environ)[1]
    checked = Config()
    try:
        if path is not None:
            checked = read_config(path)
            _check_plugins(app, path, checked)
    except InvalidConfigError as error:
        count = len(error.problems)
        _emit_validated(app, path, error.problems)
        raise ConfigError(f"{path} has {count} problem{'' if count == 1 else 's'}") from None
    if file is None:
        # The rest of what can keep a command from starting: the profile, the folders.
        profile_paths(choose_profile(app.flags.profile, os.environ, checked), os.environ)
    _emit_validated(app, path)


def _check_plugins(app: App, path: Path, config: Config) -> None:
    """Refuse a secret provider or a filter that is not there. No secret is fetched, no filter is made."""
    from missive_host.config.loading import refuse, secret_references
    from missive_host.errors import ConfigError, PluginError, ValidationError
    from missive_host.plugins import Gates, catalog, load
    from missive_host.security.providers import split

    references = list(secret_references(config))
    if not references and not config.filters:
        return
    gates = Gates.of(config.plugins, no_plugin=tuple(app.flags.no_plugin))
    plugins = load(catalog(gates, files=(*config.plugins.files, *app.flags.plugin)))
    broken: list[tuple[tuple[str | int, ...], str]] = []
    if config.filters:
        from missive_host.filters import check

        for index in range(len(config.filters)):
            try:
                check(config, index, plugins)
            except ConfigError as error:
                key, _, said = error.message.removeprefix(f"filters[{index}].").partition(": ")
                broken.append((("filters", index, key), f"{said} ({error.help})"))
    for place, reference in references:
        try:
            plugins.secret_provider(split("secret", reference)[0])
        except PluginError as error:
            broken.append((place, f"{error.message} ({error.help})"))
        except ValidationError as error:
            broken.append((place, f"{error.message.removeprefix('secret: ')} ({error.help})"))
    if broken:
        refuse(path, broken)


def _emit_validated(app: App, path: Path | None, problems: tuple[Problem, ...] = ()) -> None:
    from missive_host.config.outputs import ConfigValidateResult
    from missive_host.outputs import Output

    if path is None:
        message = "there is no configuration file; the built-in defaults are in force"
    else:
        message = f"{path} {'cannot be used' if problems else 'is valid'}"
    result = ConfigValidateResult(
        valid=not problems,
        problem_count=len(problems),
        problems=problems,
        message=message,
        **({} if path is None else {"path": str(path)}),
    )
    app.emit(Output(result), show_validated)


def show_validated(data: ConfigValidateResult, screen: Screen) -> None:
    from pathlib import Path

    for problem in data.problems:
        screen.line(problem.sentence(Path(str(data.path))))
    if data.valid:
        screen.line(data.message)


# --- path


@config.command(examples=["missive config path", "missive config path --json"])
@pass_app
def path(app: App) -> None:
    """Show which file is used, where missive looks for one, and where the state lies."""
    from missive_host.config.discovery import candidates, find
    from missive_host.config.outputs import CandidateView, ConfigPathResult, FoldersView
    from missive_host.outputs import Output

    app.print_without_config()
    source, used = find(app.flags.config, os.environ)
    profile, folders, problem = _folders(app)
    result = ConfigPathResult(
        profile=profile,
        source=source,
        candidates=tuple(
            CandidateView(
                source=place.source, path=str(place.path), exists=place.path.exists(), used=place.path == used
            )
            for place in candidates(app.flags.config, os.environ)
        ),
        folders=FoldersView(
            data=str(folders.data), state=str(folders.state), cache=str(folders.cache), database=str(folders.database)
        ),
        message=f"configuration: {used}" if used else "no configuration file; the built-in defaults are in force",
        **({} if used is None else {"path": str(used)}),
        **({} if problem is None else {"problem": problem}),
    )
    app.emit(Output(result), show_path)


def _folders(app: App) -> tuple[str, Paths, str | None]:
    """Return the profile, its folders, and why the configuration cannot be used, if so."""
    from missive_host.config.paths import profile_paths
    from missive_host.errors import ConfigError

    try:
        settings = app.settings()
    except ConfigError as error:
        profile = app.flags.profile or os.environ.get("MISSIVE_PROFILE") or "default"
        return profile, profile_paths(profile, os.environ), error.message
    return settings.profile, settings.paths, None


def show_path(data: ConfigPathResult, screen: Screen) -> None:
    screen.fields(
        [
            ("config", data.path or "none (built-in defaults)"),
            ("source", data.source),
            ("problem", data.problem),
            ("profile", data.profile),
            ("data", data.folders.data),
            ("state", data.folders.state),
            ("cache", data.folders.cache),
            ("database", data.folders.database),
        ]
    )
    screen.line()
    rows = [
        (place.path, place.source, "used" if place.used else "exists" if place.exists else "no")
        for place in data.candidates
    ]
    screen.table(("LOOKED FOR", "SOURCE", "THERE"), rows)
