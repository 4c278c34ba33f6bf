"""The files of a service: a unit of systemd, a property list of launchd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_UNIT = """\
# Written by `missive gateway install`. Changes belong into a drop-in: systemctl{flag} edit {name}
[Unit]
Description=missive gateway, profile {profile}
{network}StartLimitIntervalSec=120
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={start}
ExecReload={reload}
{environment}{user}Restart=on-failure
RestartSec=2s
RestartPreventExitStatus=64 78
WatchdogSec=60s
TimeoutStartSec=120s
TimeoutStopSec={stop_seconds}s
KillMode=mixed
LimitNOFILE=65536
UMask=0077

# What it may do: its own folders and the network, and nothing else.
NoNewPrivileges=yes
ProtectSystem=strict
{home}{writes}PrivateTmp={private_tmp}
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
{capabilities}
[Install]
WantedBy={target}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """What a service's file says."""

    name: str
    profile: str
    command: tuple[str, ...]
    """The program and its arguments, without the verb: ``missive --profile default``."""
    environment: Mapping[str, str]
    writes: tuple[str, ...]
    """Folders that it may write."""
    system: bool
    user: str | None
    """Who it runs as, in the system's scope."""
    stop_seconds: int
    private_tmp: bool
    log: str
    """The file that launchd writes stdout and stderr to."""


def systemd_unit(service: ServiceFile) -> str:
    """Return the unit's text."""
    return _UNIT.format(
        flag="" if service.system else " --user",
        name=service.name,
        profile=service.profile,
        network="Wants=network-online.target\nAfter=network-online.target\n" if service.system else "",
        start=_command([*service.command, "gateway", "run"]),
        reload=_command([*service.command, "gateway", "reload"]),
        environment="".join(
            f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(service.environment.items())
        ),
        user=f"User={service.user}\n" if service.user else "",
        stop_seconds=service.stop_seconds,
        # What it reads may lie in a home: the configuration, files that messages carry.
        home="ProtectHome=read-only\n",
        writes="".join(f"ReadWritePaths={_quoted('-' + folder)}\n" for folder in service.writes),
        private_tmp="yes" if service.private_tmp else "no",
        capabilities="CapabilityBoundingSet=\nAmbientCapabilities=\n" if service.system else "",
        target="multi-user.target" if service.system else "default.target",
    )


def _command(words: Sequence[str]) -> str:
    return " ".join(_quoted(word.replace("$", "$$")) for word in words)


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back: ``%`` and ``$`` mean something to it, and so do quotes and spaces."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word}"' if not word or any(char in word for char in " '\"\\;#") else word


def launchd_plist(service: ServiceFile) -> str:
    """Return the property list's text."""
    import plistlib

    content: dict[str, object] = {
        "Label": service.name,
        "ProgramArguments": [*service.command, "gateway", "run"],
        "EnvironmentVariables": dict(service.environment),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": service.stop_seconds,
        "ProcessType": "Interactive",  # not throttled: people wait for the answers
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": 65536},
        "StandardOutPath": service.log,
        "StandardErrorPath": service.log,
    }
    if service.user:
        content["UserName"] = service.user
    return plistlib.dumps(content, sort_keys=False).decode()
