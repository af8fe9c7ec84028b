# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Control groups: memory, processes and a share of the processors for workers, where this server may make such groups."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

_LOG = logging.getLogger(__name__)
ROOT: Final = Path("/sys/fs/cgroup")
_PERIOD: Final = 100_000
_CONTROLLERS: Final = ("memory", "cpu", "pids")
_MIB: Final = 1024 * 1024
_SHARES: Final = 512
_WEIGHT: Final = 50
"""How much all workers together count where processors are short, as shares (version 1) or weight (version 2): half as much as
anything else. With much less, a busy machine would not start them in time."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The control groups of one worker."""

    folders: list[Path]

    @property
    def members(self) -> list[str]:
        """The files by which a process joins them."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def ran_out_of_memory(self) -> bool:
        """Whether a process in it was killed because it took too much."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with suppress(OSError):
                    words = (line.split() for line in (folder / name).read_text().splitlines())
                    if any(word == "oom_kill" and int(count) for word, count in words):
                        return True
        return False

    def kill(self) -> None:
        """End every process that is in it."""
        for folder in self.folders:
            with suppress(OSError):
                for line in (folder / "cgroup.procs").read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(line), 9)

    def remove(self) -> bool:
        """Delete the groups; whether they are gone: a group in which something lives cannot be."""
        for folder in self.folders:
            with suppress(FileNotFoundError, OSError):
                folder.rmdir()
        return not any(folder.exists() for folder in self.folders)


class ControlGroups:
    """Makes the groups of workers below one that all of them share."""

    def __init__(self, parents: dict[str, Path], version: int, quota: int) -> None:
        """Use what :func:`find` found."""
        self._parents = parents
        self._quota = min(quota, _PERIOD)
        self._version = version

    @property
    def controllers(self) -> list[str]:
        """What can be limited."""
        return sorted(self._parents)

    def make(self, name: str, memory: int, processes: int) -> Group:
        """The groups of one worker, with at most so many MiB and processes.

        Raises:
            OSError: the system refuses.
        """
        folders = []
        for controller, parent in self._parents.items():
            folder = parent / name
            folder.mkdir(exist_ok=True)
            if folder not in folders:
                folders.append(folder)
            for file, value in self._limits(controller, memory * _MIB, processes).items():
                with suppress(FileNotFoundError):  # e.g. no swap
                    (folder / file).write_text(value)
        return Group(folders=folders)

    def _limits(self, controller: str, memory: int, processes: int) -> dict[str, str]:
        """One processor at most, and what else there is to say."""
        if controller == "pids":
            return {"pids.max": str(processes)}
        if controller == "cpu":
            return {"cpu.cfs_quota_us": str(self._quota)} if self._version == 1 else {"cpu.max": f"{self._quota} {_PERIOD}"}
        if self._version == 1:
            return {"memory.limit_in_bytes": str(memory), "memory.memsw.limit_in_bytes": str(memory)}
        return {"memory.max": str(memory), "memory.swap.max": "0", "memory.oom.group": "1"}

    def close(self) -> None:
        """Delete the group that all share, and what is left in it."""
        for parent in {*self._parents.values()}:
            with suppress(OSError):
                for folder in parent.iterdir():
                    if folder.is_dir():
                        Group(folders=[folder]).kill()
                        with suppress(OSError):
                            folder.rmdir()
                parent.rmdir()


def find(name: str, share: float, root: Path = ROOT) -> ControlGroups | None:
    """The groups that this server can make, of which all together get a share of the processors; ``None`` if it cannot.

    Args:
        name: tells this server's groups from others'.
        share: of all processors, from 0 to 1.
        root: where control groups are.
    """
    name = f"stoker-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    quota = max(1000, int(share * (os.cpu_count() or 1) * _PERIOD))
    try:
        if (root / "cgroup.controllers").is_file():
            return _second(root, name, quota)
        return _first(root, name, quota)
    except OSError as error:
        _LOG.info("no control groups for workers: %s", error)
        return None


def _first(root: Path, name: str, quota: int) -> ControlGroups | None:
    """Version 1: a tree for each controller."""
    parents = {}
    for controller in _CONTROLLERS:
        tree = root / controller
        if not (tree / "cgroup.procs").is_file() or not os.access(tree, os.W_OK):
            continue
        parent = tree / name
        parent.mkdir(exist_ok=True)
        parents[controller] = parent
    if "cpu" in parents:
        (parents["cpu"] / "cpu.cfs_period_us").write_text(str(_PERIOD))
        (parents["cpu"] / "cpu.cfs_quota_us").write_text(str(quota))
        (parents["cpu"] / "cpu.shares").write_text(str(_SHARES))
    return ControlGroups(parents, 1, quota) if parents else None


def _second(root: Path, name: str, quota: int) -> ControlGroups | None:
    """Version 2: as root at the top, otherwise below this server's own group if it was delegated."""
    base = root if os.geteuid() == 0 else root / Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
    if base != root:
        if not os.access(base / "cgroup.subtree_control", os.W_OK):
            return None
        inner = base / "server"  # a group with members can have no limited groups below
        inner.mkdir(exist_ok=True)
        for member in (base / "cgroup.procs").read_text().split():
            (inner / "cgroup.procs").write_text(member)
    offered = (base / "cgroup.controllers").read_text().split()
    there = [controller for controller in _CONTROLLERS if controller in offered]
    (base / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in there))
    parent = base / name
    parent.mkdir(exist_ok=True)
    (parent / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in there))
    if "cpu" in there:
        (parent / "cpu.max").write_text(f"{quota} {_PERIOD}")
        (parent / "cpu.weight").write_text(str(_WEIGHT))
    return ControlGroups(dict.fromkeys(there, parent), 2, quota) if there else None
