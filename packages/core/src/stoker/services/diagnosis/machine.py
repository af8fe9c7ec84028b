# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The machine: Python, limits, programs, and what has no business on a production controller."""

from __future__ import annotations

import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from stoker import __version__
from stoker.services.diagnosis.check import Check, fail, ok, warn

_OLDEST: Final = (3, 11)
_FILES: Final = 4096
"""Fewer open files are not enough for a few hundred nodes."""
_INOTIFY: Final = 128
_PROGRAMS: Final = {
    "gpg": ("gnupg", "signs package repositories"),
    "apt-ftparchive": ("apt-utils", "makes the index of Debian repositories"),
    "createrepo_c": ("createrepo-c", "makes the index of RPM repositories"),
    "rpm": ("rpm", "looks into RPM packages"),
    "bwrap": ("bubblewrap", "is the sandbox of plugins' code"),
    "ssh": ("openssh-client", "lets people look at nodes as the server does"),
}
"""Programs, the packages that bring them, and what they are for."""


def checks() -> Iterator[Check]:
    """Look at everything that the data folder does not know."""
    yield _python()
    yield ok("version", f"Stoker {__version__}, SDK {metadata.version('stoker-sdk')}")
    yield _open_files()
    yield _inotify()
    yield _programs()
    yield _lab()


def _python() -> Check:
    name = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info < _OLDEST:
        return fail("python", f"{name} is too old", f"Install Python {'.'.join(map(str, _OLDEST))} or newer.")
    return ok("python", name)


def _open_files() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        return warn(
            "open-files",
            f"a process of this user may open {soft:,} files",
            f"Raise it to {_FILES:,} (LimitNOFILE= of the unit, ulimit -n).",
        )
    used = Path("/proc/sys/fs/file-nr")
    if used.exists():
        taken, _, most = (int(word) for word in used.read_text().split())
        if taken > most * 0.9:
            return warn("open-files", f"{taken:,} of the machine's {most:,} files are open", "Raise fs.file-max with sysctl.")
    return ok("open-files", f"{soft:,} for each process of this user")


def _inotify() -> Check:
    path = Path("/proc/sys/fs/inotify/max_user_instances")
    if path.exists() and (count := int(path.read_text())) < _INOTIFY:
        remedy = f"sysctl fs.inotify.max_user_instances={_INOTIFY}"
        return warn("inotify", f"a user may have {count} inotify instances; service managers want more", remedy)
    return ok("inotify", "enough instances")


def _programs() -> Check:
    missing = {name: item for name, item in _PROGRAMS.items() if shutil.which(name) is None}
    if missing:
        told = "; ".join(f"{name} {what}" for name, (_, what) in missing.items())
        packages = " ".join(package for package, _ in missing.values())
        return warn("programs", f"not installed: {told}", f"Debian: apt-get install {packages}")
    return ok("programs", ", ".join(_PROGRAMS))


def _lab() -> Check:
    try:
        version = metadata.version("stoker-lab")
    except metadata.PackageNotFoundError:
        return ok("lab", "not installed")
    return warn(
        "lab",
        f"stoker-lab {version} is installed; it is for development machines",
        "On a production controller: pip uninstall stoker-lab",
    )
