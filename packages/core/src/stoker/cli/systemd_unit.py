# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker systemd-unit``: print the unit that runs the server under systemd."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import click

from stoker.cli import output
from stoker.cli.lazy import Command
from stoker.errors import InvalidInputError

_UNIT = """\
# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# Made by 'stoker systemd-unit'. Change it with a drop-in: 'systemctl edit stoker'.
[Unit]
Description=Stoker, deployment manager for clusters
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={program} serve
User={user}
Group={user}
# Not /var/lib/stoker: that is Stoker's folder on nodes, and this machine may be one.
StateDirectory=stoker-server
StateDirectoryMode=0700
Environment=STOKER_DATA=/var/lib/stoker-server
# STOKER_PORT=, STOKER_CONFIG=/etc/stoker/stoker.toml and the like.
EnvironmentFile=-/etc/stoker/stoker.env
Restart=always
RestartSec=2
WatchdogSec=60
TimeoutStartSec=300
TimeoutStopSec=30
KillMode=mixed
LimitNOFILE=65536
# The server, up to four planning processes of planning_memory_bytes each, and plugins' workers.
MemoryHigh=4G
MemoryMax=6G

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
LockPersonality=yes
# The sandbox of plugins' code makes namespaces, mounts in them, and its own /proc: that the kernel refuses where anything is
# mounted over this one (ProtectKernelTunables=, ProtectKernelLogs=, ProtectProc=). Control groups of its own limit that code.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=user mnt pid ipc uts net cgroup
Delegate=memory cpu pids
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @mount

[Install]
WantedBy=multi-user.target
"""

_POSTGRESQL = """\
# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# Drop-in for a server on PostgreSQL: /etc/systemd/system/stoker.service.d/postgresql.conf
[Unit]
After=postgresql.service

[Service]
Environment=STOKER_DATABASE=postgresql://stoker@/stoker?host=/run/postgresql
# With a password instead of the socket's peer authentication:
# Environment=STOKER_DATABASE=postgresql://stoker@db.example.net/stoker
# LoadCredential=database-password:/etc/stoker/database-password
# Environment=STOKER_DATABASE_PASSWORD_FILE=%d/database-password
"""

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@click.command("systemd-unit", cls=Command)
@click.option("--user", default="stoker", show_default=True, metavar="NAME", help="The user that the server runs as.")
@click.option("--program", metavar="PATH", help="The stoker program [this one].")
@click.option("--postgresql", is_flag=True, help="Print the drop-in for a server on PostgreSQL instead.")
@output.json_option
def systemd_unit(user: str, program: str | None, postgresql: bool, as_json: bool) -> None:
    """Print the unit that runs the server under systemd, hardened and watched.

    Examples:
      stoker systemd-unit > /etc/systemd/system/stoker.service
      stoker systemd-unit --user deploy --program /opt/stoker/bin/stoker
      stoker systemd-unit --postgresql > /etc/systemd/system/stoker.service.d/postgresql.conf
    """
    if not _USER.fullmatch(user):
        raise InvalidInputError(f"--user {user!r} is not a user's name.", remedy="Write e.g. stoker.")
    path = program or shutil.which("stoker") or str(Path(sys.executable).with_name("stoker"))
    if not re.fullmatch(r"/[^\s\"'%$\\\\]+", path):
        raise InvalidInputError(f"{path!r} cannot stand in a unit.", remedy="Give the program's whole path with --program.")
    text = _POSTGRESQL if postgresql else _UNIT.format(program=path, user=user)
    output.answer({"unit": text}, text.rstrip("\n"), as_json)
