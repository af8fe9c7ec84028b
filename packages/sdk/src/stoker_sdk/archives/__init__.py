# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Archives of package managers: what a ``.deb`` or ``.rpm`` says that it is, read with distrust."""

from __future__ import annotations

from pathlib import Path

from stoker_sdk.archives.deb import read_deb
from stoker_sdk.archives.identity import ArchiveError, Identity
from stoker_sdk.archives.rpm import read_rpm

__all__ = ["ArchiveError", "Identity", "read_archive"]


def read_archive(path: Path, os_family: str) -> Identity:
    """What a package file says of itself.

    Raises:
        ArchiveError: it is broken, hostile, or of a kind that cannot be read here; says what to do.
    """
    try:
        return read_deb(path) if os_family == "debian" else read_rpm(path)
    except OSError as error:
        raise ArchiveError(f"it cannot be read: {error.strerror or error}", "Build the package again.") from error
    except ValueError as error:
        raise ArchiveError(f"it cannot be read: {error}", "Build the package again.") from error
