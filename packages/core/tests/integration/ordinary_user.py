# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An ordinary user: what a root's tests start as one, in a view where that user finds Python."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

ORDINARY = 4000
ORDINARILY = """
set -e
mount --make-rprivate /
if [ -n "$1" ]; then
    mount --bind "$2" "$3"
    mount -t tmpfs -o mode=0755 none "$1"
    mkdir -p "$2"
    mount --bind "$3" "$2"
fi
user=$4
shift 4
exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"""
"""A root's tests have a Python in root's home; an ordinary user sees it where it is, and nothing else of that home."""


def closed(path):
    """The highest folder on the way that others may not enter."""
    return next((str(one) for one in reversed([path, *path.parents]) if not one.stat().st_mode & stat.S_IXOTH), "")


def words(folder):
    """What stands before a command so that an ordinary user runs it, who uses ``folder``; nothing where these tests are one."""
    if os.geteuid():
        return []
    prefix = Path(sys.base_prefix)
    hold = folder / "python"
    hold.mkdir()
    barred = closed(Path(__file__).resolve().parent) or closed(Path(sys.prefix).resolve())
    if barred:
        pytest.skip(f"an ordinary user cannot reach {barred}")
    return ["unshare", "--mount", "sh", "-c", ORDINARILY, "sh", closed(prefix), str(prefix), str(hold), str(ORDINARY)]
