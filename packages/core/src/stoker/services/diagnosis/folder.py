# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The data folder: who may read it, how much room is left, the server's certificate, and what was left over."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509

from stoker.config import ServerConfig
from stoker.services.diagnosis.check import Check, fail, ok, warn

_OTHERS: Final = 0o077
_ENDS_SOON: Final = dt.timedelta(days=30)
_ROOM: Final = 4
"""So many times the least free space is comfortable."""


def checks(config: ServerConfig) -> Iterator[Check]:
    """Look at the folder and its files."""
    folder = config.data_dir
    if not folder.is_dir():
        yield fail(
            "data-folder", f"{folder} is not there", "Start the server once, or name its folder with --data or STOKER_DATA."
        )
        return
    yield _access(folder)
    yield _private(config)
    yield _room(config)
    yield from _certificate(config)


def _access(folder: Path) -> Check:
    found = folder.stat()
    if found.st_mode & _OTHERS:
        return fail("data-folder", f"{folder} is open to others (mode {found.st_mode & 0o777:o})", f"chmod 700 {folder}")
    if os.geteuid() not in (0, found.st_uid):
        return fail(
            "data-folder", f"{folder} belongs to another user (id {found.st_uid})", "Run this as the server's user or as root."
        )
    if not os.access(folder, os.W_OK):
        return fail("data-folder", f"{folder} cannot be written", "Is its file system mounted read-only?")
    return ok("data-folder", f"{folder}, for its owner alone")


def _private(config: ServerConfig) -> Check:
    """Files that hold a secret: the master key, the admin token, keys of TLS, the key that signs repositories."""
    folder = config.data_dir
    files = [folder / "master.key", config.token_file, *sorted((folder / "tls").glob("*.key"))]
    files += [config.tls_key] if config.tls_key is not None else []
    files += [path for path in sorted((folder / "gnupg").rglob("*")) if path.is_file()]
    open_to_others = [path for path in files if path.exists() and path.stat().st_mode & _OTHERS]
    if open_to_others:
        named = " ".join(str(path) for path in open_to_others)
        return fail("keys", f"others may read {named}", f"chmod 600 {named}; if somebody may have read it, renew what it holds.")
    if not (folder / "master.key").exists():
        return fail(
            "keys",
            "master.key is not there: no stored secret can be read",
            "Bring it back from the backup that belongs to the database.",
        )
    return ok("keys", "readable by their owner alone")


def _room(config: ServerConfig) -> Check:
    free, least = shutil.disk_usage(config.data_dir).free, config.least_free_bytes
    told = f"{free / 2**30:.1f} GiB are free in {config.data_dir}"
    if free < least:
        return fail("disk", told, "Make room: the server says that it is not ready, and the journal will stop.")
    if free < _ROOM * least:
        return warn("disk", told, "Make room before deployments stop.")
    return ok("disk", told)


def _certificate(config: ServerConfig) -> Iterator[Check]:
    path = config.tls_cert or config.data_dir / "tls" / "server.crt"
    if not path.exists():
        if config.uses_tls:
            yield warn("certificate", f"{path} is not there", "The server makes one when it starts; name your own with tls_cert.")
        return
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (ValueError, OSError) as error:
        yield fail("certificate", f"{path} cannot be read: {error}", "Give a certificate in PEM with tls_cert.")
        return
    left = ends - dt.datetime.now(dt.UTC)
    told = f"{path} ends on {ends:%Y-%m-%d}"
    own = config.tls_cert is None
    renew = "Restart the server: it renews its own certificate." if own else "Renew it, then restart the server."
    if left < dt.timedelta(0):
        yield fail("certificate", told, renew)
    elif left < _ENDS_SOON:
        yield warn("certificate", told, renew)
    else:
        yield ok("certificate", told)
