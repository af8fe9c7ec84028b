# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker serve``: become the server process."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import click
import msgspec

from stoker.cli.lazy import Command
from stoker.cli.session import current
from stoker.config import MOST_PORT, ServerConfig, load_config
from stoker.errors import InvalidInputError

_PASSWORD = re.compile(r"(?P<user>postgres[^:/]*://[^:@/?]*):(?P<password>[^@/?]*)(?P<rest>@.*)")


@click.command(cls=Command)
@click.option("--listen", metavar="[HOST:]PORT", help="Where to listen [127.0.0.1:8550]. Off loopback the server speaks TLS.")
@click.option(
    "--data", "data_dir", metavar="FOLDER", help="Database, keys, admin token and plugins [STOKER_DATA; ~/.local/share/stoker]."
)
@click.option("--database", metavar="URL", help="postgresql://USER@HOST/NAME instead of an SQLite file in the data folder.")
@click.option("--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="A TOML file [STOKER_CONFIG].")
@click.option(
    "--allow-host", "hosts", metavar="NAME", multiple=True, help="A further name under which clients reach it. May be repeated."
)
@click.option("--processes", type=int, metavar="N", help="So many processes answer requests, apart from the one that works [1].")
@click.option("--tls/--no-tls", default=None, help="TLS on loopback, too.")
@click.option("--tls-cert", metavar="FILE", help="A certificate (PEM); without one a self-signed one is made.")
@click.option("--tls-key", metavar="FILE", help="Its key (PEM).")
@click.option("--safe-mode", is_flag=True, default=None, help="Run no plugin's code; everything else works.")
@click.option(
    "--allow-unconfined-plugins",
    is_flag=True,
    default=None,
    help="Run plugins' code without a sandbox where none works: it can then read all that the server can.",
)
@click.option("--simulated-socket", metavar="PATH", help="Where the simulated fleet listens [DATA/fleet.sock].")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="How much to log [info].")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Lines for people, or JSON for programs [text].")
def serve(
    listen: str | None,
    data_dir: str | None,
    database: str | None,
    file: Path | None,
    hosts: tuple[str, ...],
    processes: int | None,
    tls: bool | None,
    tls_cert: str | None,
    tls_key: str | None,
    safe_mode: bool | None,
    allow_unconfined_plugins: bool | None,
    simulated_socket: str | None,
    log_level: str | None,
    log_format: str | None,
) -> None:
    """Run the server in the foreground.

    The first start writes an admin token into the data folder; on the same machine this command line finds it there.

    Examples:
      stoker serve
      stoker serve --data /var/lib/stoker-server --listen 127.0.0.1:8550
      stoker serve --database postgresql://stoker@/stoker?host=/run/postgresql
      stoker serve --safe-mode
      stoker serve --listen 0.0.0.0:8550 --allow-host stoker.example.net
    """
    host, port = split_listen(listen)
    flags: dict[str, object] = {
        "data_dir": data_dir or current().data or None,
        "database": database,
        "host": host,
        "port": port,
        "hosts": list(hosts) or None,
        "processes": processes,
        "tls": tls,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "safe_mode": safe_mode,
        "allow_unconfined_plugins": allow_unconfined_plugins,
        "fleet_socket": simulated_socket,
        "log_level": log_level,
        "log_format": log_format,
    }
    config = load_config(file, flags=flags)
    config = without_password(config)
    document = msgspec.json.encode(config, enc_hook=str).decode()
    sys.stdout.flush()
    # This process becomes the server, so that a service manager's signals reach it.
    os.execv(sys.executable, [sys.executable, "-m", "stoker.app", "--config-json", document])  # noqa: S606  our own interpreter


def without_password(config: ServerConfig) -> ServerConfig:
    """Everybody on this machine can read a process's arguments; only its user its environment, where libpq looks, too."""
    match = _PASSWORD.match(config.database)
    if match is None:
        return config
    os.environ["PGPASSWORD"] = unquote(match["password"])
    return msgspec.structs.replace(config, database=match["user"] + match["rest"])


def split_listen(listen: str | None) -> tuple[str | None, int | None]:
    """``HOST:PORT``, ``[::1]:PORT`` or ``PORT``."""
    if not listen:
        return None, None
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise InvalidInputError(f"--listen {listen} does not end in a port.", remedy="Write e.g. 127.0.0.1:8550.")
    if int(port) > MOST_PORT:
        raise InvalidInputError(
            f"--listen {listen}: there is no port {port}.",
            remedy=f"A port is a number from 1 to {MOST_PORT}; 0 takes any free one.",
        )
    return host.removeprefix("[").removesuffix("]") or None, int(port)
