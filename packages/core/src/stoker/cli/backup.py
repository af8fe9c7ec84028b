# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker backup`` and ``stoker restore``: everything that a server is, in one file, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from stoker.cli import output
from stoker.cli.lazy import Command
from stoker.cli.session import current
from stoker.config import ServerConfig, load_config
from stoker.errors import InvalidInputError
from stoker.services import backup as backups
from stoker.services import restore as restoring

_F = TypeVar("_F", bound=Callable[..., object])


def _place(command: _F) -> _F:
    for option in reversed(
        (
            click.option("--data", "data_dir", metavar="FOLDER", help="The server's data folder [STOKER_DATA]."),
            click.option("--database", metavar="URL", help="The server's database, as 'stoker serve' takes it."),
            click.option(
                "--config",
                "config_file",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="Its configuration [STOKER_CONFIG].",
            ),
            click.option(
                "--passphrase-file", metavar="FILE", type=click.Path(path_type=Path), help="Seals the backup; opens a sealed one."
            ),
        )
    ):
        command = option(command)
    return command


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@_place
@output.json_option
def backup(
    file: Path,
    data_dir: str | None,
    database: str | None,
    config_file: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Write everything that a server is into one file; run it where the server runs, which may go on meanwhile.

    The file holds the keys, too: keep it as you keep them, or seal it with a passphrase.

    Examples:
      stoker backup /var/backups/stoker-monday.tar.gz
      stoker backup monday.sealed --passphrase-file ~/.stoker-passphrase --config /etc/stoker/stoker.toml
    """
    view = backups.make(_config(data_dir, database, config_file), file.absolute(), _passphrase(passphrase_file))
    if as_json:
        output.write_json(view)
        return
    click.echo(f"{view.file}: {view.rows:,} rows and {view.files:,} files in {view.bytes:,} bytes{', sealed' * view.sealed}.")
    if not view.sealed:
        click.echo("It holds the server's keys: who can read it can read every secret.")


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@_place
@click.option("--force", is_flag=True, help="Also where something is: files are put aside, the database's tables are deleted.")
@output.json_option
def restore(
    file: Path,
    data_dir: str | None,
    database: str | None,
    config_file: Path | None,
    passphrase_file: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make a server's data of a backup, in an empty data folder and an empty database; no server may run on them.

    The database may be of another kind than the one that the backup was made from.

    Examples:
      stoker restore /var/backups/stoker-monday.tar.gz --data /var/lib/stoker
      stoker restore monday.tar.gz --data /var/lib/stoker --database postgresql://stoker@/stoker?host=/run/postgresql
    """
    config = _config(data_dir, database, config_file)
    view = restoring.restore(config, file, _passphrase(passphrase_file), force=force)
    if as_json:
        output.write_json(view)
        return
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(view.made_at))
    click.echo(
        f"{view.rows:,} rows of {when} are in {view.data} ({view.database}). Start the server: stoker serve --data {view.data}"
    )
    for deployment in view.ended:
        click.echo(
            f"Deployment {deployment} ran when the backup was made; it is 'failed' now. Look at its nodes, then plan anew."
        )
    if view.kept:
        click.echo(f"What was there before is in {view.kept}.")


def _config(data_dir: str | None, database: str | None, file: Path | None) -> ServerConfig:
    return load_config(file, flags={"data_dir": data_dir or current().data or None, "database": database})


def _passphrase(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        found = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"--passphrase-file {file} cannot be read: {error}.", remedy="Check the path.") from error
    if not found:
        raise InvalidInputError(f"--passphrase-file {file} is empty.", remedy="Write a passphrase into it.")
    return found
