# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The data folder: one process works on it at a time, and what of it belongs into a backup."""

from __future__ import annotations

import fcntl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stoker.config import ServerConfig
from stoker.errors import ConfigurationError

_LEFT_OUT: Final = ("stoker.db", "stoker.db-wal", "stoker.db-shm", "server.lock", "metrics", "repositories")
"""What is in a backup in another way, or is made anew at each start."""
_PASSING: Final = (".tmp", ".sock", ".pid", ".log")


@contextmanager
def alone(config: ServerConfig) -> Iterator[None]:
    """Two servers on one data folder would carry out deployments twice.

    Raises:
        ConfigurationError: another process uses the folder, or it cannot be used.
    """
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (config.data_dir / "server.lock").open("w")
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {config.data_dir} cannot be used: {error.strerror}.",
            remedy="Name a folder that this user may write with --data, STOKER_DATA or data_dir.",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"another server runs with the data folder {config.data_dir}.",
                remedy="Stop it, or choose another folder with --data.",
            ) from error
        yield


def lasting(data_dir: Path) -> list[Path]:
    """What of a data folder no start makes anew, relative to it, folders before what is in them."""
    return sorted(_lasting(data_dir, data_dir))


def _lasting(folder: Path, root: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if (folder == root and path.name in _LEFT_OUT) or path.name.startswith(".") or path.suffix in _PASSING:
            continue
        kind = path.lstat().st_mode
        if stat.S_ISREG(kind) or stat.S_ISLNK(kind) or stat.S_ISDIR(kind):
            yield path.relative_to(root)
        if stat.S_ISDIR(kind):
            yield from _lasting(path, root)
