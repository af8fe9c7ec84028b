# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Backup: everything that a server is, in one file: rows of one moment, keys, and the plugins' store."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from stoker import __version__
from stoker.config import ServerConfig
from stoker.db import migrations
from stoker.db.database import Database
from stoker.db.faults import reason
from stoker.db.plugins import installed_versions
from stoker.db.row_files import kept_tables, lines_of
from stoker.errors import ConflictError, InvalidInputError, StokerError
from stoker.services.data_folder import lasting
from stoker.services.sealed_file import SealingWriter

FORMAT: Final = 1
ABOUT: Final = "about.json"
SUMS: Final = "sums.json"
ROWS: Final = "rows"
DATA: Final = "data"
_PIECE: Final = 1024 * 1024


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself; its first member."""

    format: int
    version: str
    """The version of Stoker that wrote it."""
    revision: str
    """The state of its tables."""
    tables: list[str]
    """In the order in which they are filled."""
    database: str
    """The kind of database that the rows were read from; they can go to any."""
    made_at: float


class BackupView(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made."""

    file: str
    bytes: int
    rows: int
    files: int
    sealed: bool
    version: str
    revision: str


def make(config: ServerConfig, file: Path, passphrase: str = "") -> BackupView:
    """Write a backup, complete or not at all; the server may run meanwhile.

    Args:
        config: of the server; its data folder and database are read.
        file: where to; it must not be there yet, and only its owner can read it.
        passphrase: seals it.

    Raises:
        InvalidInputError: the file is there, or cannot be written, or there is no server's data.
        StokerError: the database cannot be read, or is of another version.
        ConflictError: plugins were removed meanwhile.
    """
    if file.exists():
        raise InvalidInputError(f"{file} is there already.", remedy="Name another file, or move this one away.")
    if not (config.data_dir / "master.key").is_file():
        raise InvalidInputError(
            f"{config.data_dir} is no server's data folder: it has no master.key.", remedy="Name it with --data or STOKER_DATA."
        )
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp") as out:  # mode 0600
            view = _write(config, out, file, passphrase)
            out.flush()
            os.fsync(out.fileno())
            os.link(out.name, file)
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be written: {error.strerror or error}.", remedy="Name another file.") from error
    return msgspec.structs.replace(view, bytes=file.stat().st_size)


def _write(config: ServerConfig, out: IO[bytes], file: Path, passphrase: str) -> BackupView:
    database = Database(config.database_url, password=config.database_password, connections=2)
    sealing = SealingWriter(out, passphrase) if passphrase else None
    try:
        with (
            database.read() as connection,
            gzip.GzipFile(fileobj=sealing or out, mode="wb", compresslevel=1, filename="") as packed,
            tarfile.open(fileobj=packed, mode="w|") as archive,
        ):
            found, wanted = migrations.revisions(connection)
            if found != wanted:
                raise StokerError(
                    f"the database's tables are at {found or 'nothing'}, this version of Stoker has {wanted}.",
                    remedy="Use the version of Stoker that serves this data.",
                )
            writer = _Archive(archive)
            about = About(
                format=FORMAT,
                version=__version__,
                revision=found,
                tables=kept_tables(),
                database=connection.dialect.name,
                made_at=time.time(),
            )
            writer.add_bytes(ABOUT, msgspec.json.encode(about))
            rows = sum(writer.add_lines(f"{ROWS}/{name}.jsonl", lines_of(connection, name)) - 1 for name in about.tables)
            paths = lasting(config.data_dir)
            for path in paths:
                writer.add_path(f"{DATA}/{path}", config.data_dir / path)
            _refuse_incomplete(connection, {str(path) for path in paths})
            writer.add_bytes(SUMS, msgspec.json.encode(writer.sums))
        if sealing is not None:
            sealing.close()
    except SQLAlchemyError as error:
        raise StokerError(f"the database cannot be read: {reason(error)}", remedy="Check that it runs.") from error
    finally:
        database.close()
    return BackupView(
        file=str(file), bytes=0, rows=rows, files=len(paths), sealed=bool(passphrase), version=__version__, revision=found
    )


def _refuse_incomplete(connection: Connection, paths: set[str]) -> None:
    gone = [f"{name} {version}" for name, version in installed_versions(connection) if f"plugins/{name}/{version}" not in paths]
    if gone:
        raise ConflictError(f"plugins were removed while the backup was made: {', '.join(gone)}.", remedy="Make it again.")


class _Archive:
    """A tar file with the sums of its members."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.sums: dict[str, str] = {}

    def add_bytes(self, name: str, data: bytes) -> None:
        self._add(_regular(name, len(data), 0o600), io.BytesIO(data))

    def add_lines(self, name: str, lines: Iterable[bytes]) -> int:
        """Add lines whose size nobody knows before; answers how many."""
        count = 0
        with tempfile.TemporaryFile() as waiting:
            for line in lines:
                waiting.write(line)
                count += 1
            size = waiting.tell()
            waiting.seek(0)
            self._add(_regular(name, size, 0o600), waiting)
        return count

    def add_path(self, name: str, path: Path) -> None:
        """Add a file, a folder or a link as it is; one that went meanwhile is left out."""
        try:
            info = self._archive.gettarinfo(path, name)
            info.uname = info.gname = ""
            info.uid = info.gid = 0
            if not info.isreg():
                info.type = tarfile.SYMTYPE if info.issym() else tarfile.DIRTYPE
                self._archive.addfile(info)
                self.sums[name] = f"link {info.linkname}" if info.issym() else "folder"
                return
            info.type, info.linkname = tarfile.REGTYPE, ""  # a second name of a file is a file, too
            with path.open("rb") as file:
                info.size = os.fstat(file.fileno()).st_size
                self._add(info, file)
        except FileNotFoundError:
            return

    def _add(self, info: tarfile.TarInfo, file: IO[bytes]) -> None:
        hashing = _Hashing(file)
        self._archive.addfile(info, hashing)
        self.sums[info.name] = hashing.sum.hexdigest()


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sum.update(data)
        return data


def _regular(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, int(time.time())
    return info
