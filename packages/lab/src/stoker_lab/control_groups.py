# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Control groups: the lab puts every process it starts into one, so that it can end them all, whatever became of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from stoker_lab.errors import LabError

PATIENCE = 20.0


def join(group: Path) -> None:
    """Move this process into a group."""
    group.mkdir(parents=True, exist_ok=True)
    (group / "cgroup.procs").write_text(str(os.getpid()))


def processes(group: Path) -> Iterator[int]:
    """The ids of all processes in a group and below it."""
    for folder, _, _ in os.walk(group):
        try:
            yield from (int(line) for line in (Path(folder) / "cgroup.procs").read_text().split())
        except OSError:
            # the group went away while we looked: it is empty
            continue


def end(group: Path) -> None:
    """Kill everything in a group and remove it.

    Raises:
        LabError: something in it does not die.
    """
    if not group.exists():
        return
    deadline = time.monotonic() + PATIENCE
    while True:
        (group / "cgroup.kill").write_text("1")
        if _remove(group):
            return
        if time.monotonic() > deadline:
            raise LabError(f"Processes in {group} do not end: {', '.join(map(str, processes(group)))}.")
        time.sleep(0.02)


def _remove(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            # still has a dying process
            return False
    return True
