# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Restore: a backup becomes a server's data again, checked first, complete or not at all; also from one database to another."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

import msgspec
from sqlalchemy import Connection, delete, update
from sqlalchemy.exc import SQLAlchemyError

from stoker.config import ServerConfig
from stoker.db import migrations, postgresql, row_files, tables
from stoker.db.database import Database
from stoker.db.deployments import unfinished_deployments
from stoker.db.faults import reason
from stoker.db.journal import Event, add_event
from stoker.errors import ConflictError, InvalidInputError, StokerError
from stoker.services import audit
from stoker.services.backup import ABOUT, DATA, FORMAT, ROWS, SUMS, About
from stoker.services.data_folder import alone, lasting
from stoker.services.sealed_file import OpeningReader, is_sealed


class RestoreView(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored."""

    data: str
    database: str
    """The kind of database."""
    rows: int
    made_at: float
    """When the backup was made."""
    version: str
    """The version of Stoker that made it."""
    ended: list[str]
    """Deployments that ran when it was made; they have ended as failed."""
    kept: str = ""
    """Where what was there before is now."""


def restore(config: ServerConfig, file: Path, passphrase: str = "", *, force: bool = False) -> RestoreView:
    """Bring a backup back; no server may run on the data folder.

    Args:
        config: of the server to be; its data folder and database are filled.
        file: the backup.
        passphrase: opens it.
        force: put what is there aside; without it, only empty places are filled.

    Raises:
        InvalidInputError: the file is no backup, is damaged, or of a version that this one does not know.
        ConflictError: something is there already.
        StokerError: the database cannot be written.
    """
    with alone(config):
        present = lasting(config.data_dir)
        sqlite = config.data_dir / "stoker.db"
        if (present or sqlite.exists()) and not force:
            raise ConflictError(
                f"the data folder {config.data_dir} is not empty.", remedy="Name an empty one with --data, or add --force."
            )
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=config.data_dir) as name:
            staging = Path(name)
            about = _unpack(file, passphrase, staging)
            url = config.database or f"sqlite:///{staging / 'stoker.db'}"
            database = Database(url, password=config.database_password, connections=2)
            try:
                return _bring_back(config, database, staging, about, force=force)
            except SQLAlchemyError as error:
                raise StokerError(
                    f"the database cannot be written: {reason(error)}", remedy="Check that it runs, and that its user owns it."
                ) from error
            finally:
                database.close()


def _bring_back(config: ServerConfig, database: Database, staging: Path, about: About, *, force: bool) -> RestoreView:
    kept = ""
    with database.transaction() as connection:
        if not row_files.is_empty(connection):
            if not force:
                raise ConflictError("the database is not empty.", remedy="Name an empty one with --database, or add --force.")
            row_files.drop_all(connection)
        migrations.upgrade(connection, about.revision)
        rows = sum(_fill(connection, staging, name) for name in about.tables)
        migrations.upgrade(connection)
        if connection.dialect.name == "postgresql":
            postgresql.sort_by_bytes(connection)
        ended = _end_deployments(connection, about)
        audit.record(connection, "server.restore", "", "server", after={"made_at": about.made_at, "version": about.version})
        if config.database:
            kept = _into_place(config.data_dir, staging)
    if not config.database:
        database.close()  # which writes everything into the one file
        kept = _into_place(config.data_dir, staging)
    return RestoreView(
        data=str(config.data_dir),
        database=database.engine.dialect.name,
        rows=rows,
        made_at=about.made_at,
        version=about.version,
        ended=ended,
        kept=kept,
    )


def _fill(connection: Connection, staging: Path, name: str) -> int:
    with (staging / ROWS / f"{name}.jsonl").open("rb") as lines:
        try:
            return row_files.insert_lines(connection, name, lines)
        except (ValueError, KeyError, StopIteration, msgspec.DecodeError) as error:
            raise InvalidInputError(
                f"the backup's rows of {name} do not fit their table: {error}.", remedy="Use another backup."
            ) from error


def _end_deployments(connection: Connection, about: About) -> list[str]:
    """What went on on the nodes after the backup was made, nobody here knows: a person looks, and makes a new plan."""
    table = tables.deployments
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(about.made_at))
    told = f"It ran when the backup of {when} was made; look at the nodes and make a new plan."
    running = [str(row.id) for row in unfinished_deployments(connection)]
    for deployment in running:
        connection.execute(
            update(table)
            .where(table.c.id == deployment)
            .values(state="failed", reason=told, finished_at=time.time(), lease_until=0.0, owner="")
        )
        add_event(connection, deployment, Event(kind="state", data={"state": "failed", "reason": told}))
    connection.execute(delete(tables.environment_locks))
    return running


def _into_place(data_dir: Path, staging: Path) -> str:
    """Put what is there aside, and what was unpacked in its place."""
    old = [data_dir / name for name in sorted({path.parts[0] for path in lasting(data_dir)})]
    old += [path for path in (data_dir / f"stoker.db{end}" for end in ("", "-wal", "-shm")) if path.exists()]
    aside = data_dir / f".before-restore-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    if old:
        aside.mkdir(mode=0o700)
    for path in old:
        path.rename(aside / path.name)
    for path in [*(staging / DATA).iterdir(), *staging.glob("stoker.db*")]:
        path.rename(data_dir / path.name)
    for rest in ("metrics", "repositories"):
        shutil.rmtree(data_dir / rest, ignore_errors=True)  # made anew at the next start
    return str(aside) if old else ""


def _unpack(file: Path, passphrase: str, staging: Path) -> About:
    """Unpack into a folder, and check everything."""
    try:
        with file.open("rb") as raw, _opened(raw, file, passphrase) as plain:
            sums = _extract(plain, staging)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror or error}.", remedy="Check the path.") from error
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(file, str(error)) from error
    try:
        about = msgspec.json.decode((staging / ABOUT).read_bytes(), type=About)
        said = msgspec.json.decode((staging / SUMS).read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError) as error:
        raise _damaged(file, "it has no description or no sums") from error
    del sums[SUMS]
    if wrong := sorted({name for name in {*sums, *said} if sums.get(name) != said.get(name)}):
        raise _damaged(file, f"{wrong[0]} is not what it was")
    if about.format != FORMAT or not migrations.is_known(about.revision):
        raise InvalidInputError(
            f"{file} was made by Stoker {about.version}, which this version does not know.",
            remedy=f"Restore it with Stoker {about.version} or newer.",
        )
    (staging / DATA).mkdir(exist_ok=True)
    return about


def _damaged(file: Path, why: str) -> InvalidInputError:
    return InvalidInputError(f"{file} is no backup, or is damaged: {why}.", remedy="Use another copy, or another backup.")


@contextmanager
def _opened(raw: IO[bytes], file: Path, passphrase: str) -> Iterator[IO[bytes]]:
    if not is_sealed(raw):
        yield raw
        return
    if not passphrase:
        raise InvalidInputError(f"{file} is sealed with a passphrase.", remedy="Name its file with --passphrase-file.")
    yield cast("IO[bytes]", OpeningReader(raw, passphrase))


def _extract(plain: IO[bytes], staging: Path) -> dict[str, str]:
    """Extract all members; answers their sums. What a backup never has is not extracted."""
    sums: dict[str, str] = {}
    folders: list[Path] = []
    with tarfile.open(fileobj=plain, mode="r|gz") as archive:
        for member in archive:
            if PurePosixPath(member.name).is_absolute() or ".." in PurePosixPath(member.name).parts:
                raise tarfile.ReadError(f"{member.name!r} is a name outside of it")
            if not (member.isreg() or member.isdir() or member.issym()):
                raise tarfile.ReadError(f"{member.name!r} is no file, folder or link")
            archive.extract(member, staging, filter="data")
            path = staging / member.name
            if member.issym():
                sums[member.name] = f"link {member.linkname}"
            elif member.isdir():
                sums[member.name] = "folder"
                folders.append(path)
            else:
                with path.open("rb") as file:
                    sums[member.name] = hashlib.file_digest(file, "sha256").hexdigest()
                path.chmod(member.mode & 0o755)
    for path in folders:
        path.chmod(0o700)
    return sums
