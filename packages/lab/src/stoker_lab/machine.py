# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a lab needs of this machine, what it changes in it, and which labs are up on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

from stoker_lab import apt_sources, layout, programs
from stoker_lab.errors import LabError, LabMissingError

PACKAGES = {
    "debootstrap": "debootstrap",
    "apache2": "apache2-bin",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_WANTED = 8192  # a systemd takes about five, and all nodes share root's
SAVED_INOTIFY = layout.REGISTRY / "inotify"


class Registered(msgspec.Struct, kw_only=True):
    """The machine-wide note on a lab.

    Attributes:
        folder: the lab's folder.
        owner: the process without which the lab is abandoned; 0 if it stays until `down`.
        owner_since: when that process started, in clock ticks since boot; ids of processes come again.
    """

    folder: str
    owner: int = 0
    owner_since: int = 0


def missing_packages() -> list[str]:
    """The Debian packages whose programs are not there."""
    return sorted({package for program, package in PACKAGES.items() if programs.find_program(program) is None})


def missing() -> list[str]:
    """What this machine lacks for a lab, each with its remedy; empty if a lab can start."""
    if platform.system() != "Linux":
        return [f"Lab nodes need Linux; this is {platform.system()}. Use simulated nodes here."]
    found = []
    if os.geteuid() != 0:
        found.append("Lab nodes need root: run this as root, or use simulated nodes.")
    if packages := missing_packages():
        names = " ".join(packages)
        found.append(f"Not installed: {names}. Run `apt-get install {names}` or `stoker lab up --install-missing`.")
    if not (layout.cgroup_root() / "cgroup.procs").exists():
        found.append("There is no cgroup v2 tree at /sys/fs/cgroup or /sys/fs/cgroup/unified: mount one.")
    if "overlay" not in Path("/proc/filesystems").read_text() and programs.find_program("modprobe") is None:
        found.append("This kernel has no overlay file system.")
    try:
        apt_sources.read_archives()
    except LabMissingError as error:
        found.append(str(error))
    if not found:
        found.extend(_refusals())
    return found


def _refusals() -> list[str]:
    try:
        programs.run(["unshare", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net", "--fork", "true"])
    except LabError as error:
        return [f"This machine does not let root make namespaces (a container?): {error}"]
    return []


def install_missing() -> list[str]:
    """Install what `missing_packages` names.

    Returns:
        The packages that were installed.

    Raises:
        LabMissingError: this is not a Debian machine, or not root.
        LabError: apt-get failed.
    """
    packages = missing_packages()
    if not packages:
        return []
    if os.geteuid() != 0 or programs.find_program("apt-get") is None:
        raise LabMissingError(f"Cannot install {', '.join(packages)} here.", remedy="Run it as root on Debian.")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    programs.run(["apt-get", "update", "-qq"], environment=quiet, timeout=600)
    programs.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], environment=quiet, timeout=900)
    return packages


def process_since(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def register(place: layout.Layout, owner: int) -> None:
    """Note that a lab is up, and raise the limits that its nodes need. Call it under the lock of /run."""
    note = Registered(folder=str(place.folder), owner=owner, owner_since=process_since(owner) if owner else 0)
    layout.write(place.registered, msgspec.json.encode(note).decode())
    limit = INOTIFY.read_text().strip()
    if int(limit) < INOTIFY_WANTED:
        layout.write(SAVED_INOTIFY, limit)
        INOTIFY.write_text(str(INOTIFY_WANTED))


def unregister(place: layout.Layout) -> None:
    """Forget a lab; put limits back after the last one. Call it under the lock of /run."""
    place.registered.unlink(missing_ok=True)
    if registered():
        return
    if SAVED_INOTIFY.exists():
        INOTIFY.write_text(SAVED_INOTIFY.read_text())
        SAVED_INOTIFY.unlink()
    if layout.REGISTRY.exists():
        layout.REGISTRY.rmdir()


def registered() -> list[Registered]:
    """The labs that are up on this machine, or crashed and were not taken down."""
    return [msgspec.json.decode(path.read_bytes(), type=Registered) for path in sorted(layout.REGISTRY.glob("*.json"))]
