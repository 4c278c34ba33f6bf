"""What the service's file is to say, from the configuration and the flags of ``missive gateway install``."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missive_host.config.units import parse_duration
from missive_host.config.view import sounds_secret
from missive_host.errors import IoError, ValidationError
from missive_host.folders import make_private
from missive_host.gateway.control import control_path
from missive_host.gateway.units import ServiceFile, launchd_plist, systemd_unit

if TYPE_CHECKING:
    from missive_host.config import Settings
    from missive_host.gateway.service import Service

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_CAPTURED = ("HOME", "MISSIVE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_GRACE = 15
"""Seconds that the service manager waits beyond the drain time."""


def service_file(
    settings: Settings,
    service: Service,
    *,
    binary: str | None = None,
    path: str | None = None,
    variables: Iterable[str] = (),
    writes: Iterable[str] = (),
    run_as: str | None = None,
) -> ServiceFile:
    """Return the content. Raises `ValidationError`."""
    user = _user(service, settings.environ, run_as)
    environment = {name: settings.environ[name] for name in _CAPTURED if settings.environ.get(name)}
    if user is not None:
        environment["HOME"] = _home_of(user)
    environment |= {"PATH": path or PATH, **_variables(variables)}
    command = [*_program(binary), "--profile", settings.profile]
    if settings.path is not None and settings.source != "xdg":
        command += ["--config", str(settings.path.absolute())]
    paths = settings.paths
    base = Path(settings.environ["MISSIVE_HOME"]) if service.system else None
    folders = [paths.state, paths.data, paths.cache] if base is None else [base]
    if not any(folder in paths.database.parents for folder in folders):
        folders.append(paths.database.parent)
    if settings.config.logging.destination != "stderr" and not any(
        folder in settings.log_file.parents for folder in folders
    ):
        folders.append(settings.log_file.parent)
    folders += [Path(folder).absolute() for folder in writes]
    folders += _folders_of_adapters(settings)
    for text in (*command, *environment.values(), *map(str, folders)):
        if not text.isprintable():
            raise ValidationError(f"{text!r} cannot stand in the file of a service", help="it has a control character")
    return ServiceFile(
        name=service.name,
        profile=settings.profile,
        command=tuple(command),
        environment=environment,
        writes=tuple(dict.fromkeys(map(str, folders))),
        system=service.system,
        user=user,
        stop_seconds=math.ceil(parse_duration(settings.config.gateway.drain, "drain")) + _GRACE,
        private_tmp=not any(_is_temporary(place) for place in (*folders, control_path(paths), Path(command[0]))),
        log=str(service_log(settings, system=base is not None)),
    )


def service_log(settings: Settings, *, system: bool) -> Path:
    """Return the file that launchd writes stdout and stderr of the gateway to; systemd has its own journal."""
    folder = Path(settings.environ["MISSIVE_HOME"]) if system else settings.paths.state / "logs"
    return folder / "service.log"


def text_of(service: Service, file: ServiceFile) -> str:
    return systemd_unit(file) if service.manager == "systemd" else launchd_plist(file)


def make_folders(settings: Settings) -> None:
    """Make what the service writes to: in its sandbox it cannot make them itself. Raises `StorageError`."""
    paths = settings.paths
    folders = [paths.state / "logs", paths.data, paths.cache, paths.database.parent]
    if settings.config.logging.destination != "stderr":
        folders.append(settings.log_file.parent)
    for folder in folders:
        make_private(folder)


def write_service(service: Service, text: str, *, force: bool) -> bool:
    """Write the file, whole or not at all, and tell whether it has changed.

    Raises `ValidationError` when another one is there, without `force`.
    """
    path = service.path
    try:
        if path.is_file():
            if path.read_text("utf-8") == text:
                return False
            if not force:
                raise ValidationError(
                    f"there is another service file at {path}",
                    help="see what would be written with --dry-run, and replace it with --force",
                )
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(text, "utf-8")
        beside.chmod(0o644)
        beside.replace(path)
    except OSError as error:
        raise IoError(
            f"while writing {path}: {(error.strerror or str(error)).lower()}",
            help="a service of the system is installed as root (sudo), one of the user as that user",
        ) from error
    return True


def remove_service(service: Service) -> bool:
    """Remove the file, and tell whether there was one."""
    try:
        service.path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise IoError(f"while removing {service.path}: {(error.strerror or str(error)).lower()}") from error
    return True


def _program(binary: str | None) -> list[str]:
    if binary is not None:
        found = Path(binary).expanduser()
        if not found.is_absolute() or not os.access(found, os.X_OK) or not found.is_file():
            raise ValidationError(
                f"--bin: '{binary}' is not an absolute path of a program",
                help="give the path that `command -v missive` shows",
            )
        return [str(found)]
    called = Path(sys.argv[0])
    if called.name == "missive" and called.is_file():
        return [str(called.absolute())]
    which = shutil.which("missive")
    beside = Path(sys.executable).with_name("missive")
    if which is not None and beside.exists() and beside.samefile(which):
        return [str(Path(which).absolute())]
    return [str(beside)] if beside.is_file() else [sys.executable, "-P", "-m", "missive_host"]


def _variables(given: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier() or not name.isascii():
            raise ValidationError(f"--env: expected NAME=VALUE, not '{name[:64]}'")
        if sounds_secret(name):
            raise ValidationError(
                f"--env: '{name}' sounds like a secret, and everybody can read the file of a service",
                help="keep it in a file and name that in [auth_refs], or give it to the service manager: see"
                " docs/deployment.md",
            )
        found[name] = value
    return found


def _user(service: Service, env: Mapping[str, str], run_as: str | None) -> str | None:
    """Return who a service of the system runs as: who is named, else the owner of ``MISSIVE_HOME``."""
    if not service.system:
        if run_as is not None:
            raise ValidationError("--run-as: is for a service of the system", help="add --system, or leave it out")
        return None
    import pwd

    folder = Path(env.get("MISSIVE_HOME", ""))
    if not folder.is_absolute():
        raise ValidationError(
            "a service of the system needs MISSIVE_HOME, an absolute path",
            help="for example: sudo MISSIVE_HOME=/var/lib/missive missive gateway install --system --run-as missive",
        )
    try:
        named = None if run_as is None else pwd.getpwnam(run_as).pw_name
        owner = folder.stat().st_uid
        return named or pwd.getpwuid(owner).pw_name
    except KeyError:
        raise ValidationError(f"--run-as: there is no user '{run_as or 'of that number'}' on this machine") from None
    except OSError:
        raise ValidationError(
            f"there is no folder {folder}, which the service needs and cannot make itself",
            help=f"make it first: sudo install -d -m 700 -o {run_as or 'USER'} {folder}",
        ) from None


def _home_of(user: str) -> str:
    import pwd

    return pwd.getpwnam(user).pw_dir


def _is_temporary(place: Path) -> bool:
    """Tell whether it would be hidden by a private ``/tmp``."""
    return any(Path(folder) in (place, *place.parents) for folder in ("/tmp", "/var/tmp"))  # noqa: S108 - see above


def _folders_of_adapters(settings: Settings) -> list[Path]:
    """Return the folders that the settings of adapters name: an inbox has to be written, too.

    As for the adapters, a path that is relative begins at the config file.
    """
    home = settings.environ.get("HOME", "")
    base = (settings.path or Path("missive.toml")).absolute().parent

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield f"{home}/{value[2:]}" if value.startswith("~/") and home else value
        elif isinstance(value, list):
            for item in value:
                yield from texts(item)

    adapters = [adapter for adapter in settings.config.adapters.values() if adapter.enabled]
    found = [text for adapter in adapters for value in adapter.settings.values() for text in texts(value)]
    return [base / text for text in found if text.isprintable() and text and os.path.isdir(base / text)]  # noqa: PTH112
