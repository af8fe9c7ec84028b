# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The sandbox with bubblewrap: as root with a user of its own for each worker, otherwise in a user namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stoker.plugin_host.sandbox.limits import PROCESSES, launched, private_folder, worker_command
from stoker.plugin_host.sandbox.start import Start
from stoker.plugin_host.sandbox.view import INSIDE, Mount, view
from stoker.plugin_host.worker_code import WorkerCode

APART: Final = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent")


def plan_bubblewrap(program: str, run: Path, code: WorkerCode, user: int, *, root: bool, groups: list[str]) -> Start:
    """How a worker is started in bubblewrap.

    Args:
        program: bubblewrap's path.
        run: where private folders are.
        code: what is started.
        user: whom it runs as.
        root: whether this server is root, and ``user`` another.
        groups: control groups that it joins.
    """
    folder = private_folder(run)
    mounts = view(code, folder, user)
    command = [program, *isolation(root=root, network=code.network)]
    seen: set[Path] = set()
    for mount in mounts:
        for parent in reversed(Path(mount.target).parents[:-1]):
            if parent not in seen:  # made by bubblewrap itself, nobody but its own user could enter them
                command += ["--perms", "0755", "--dir", str(parent)]
        seen |= {Path(mount.target), *Path(mount.target).parents}
        command += _words(mount)
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]  # noqa: S108  its own
    command += ["/usr/bin/prlimit", f"--nproc={PROCESSES}", "--"]
    if root:
        command += as_user(user)
    command += worker_command(code, INSIDE)
    return Start(
        command=launched(code, command, "/tmp", groups=groups),  # noqa: S108  its own
        memory=code.memory,
        folder=folder,
        user=user if root else None,
        confined=True,
    )


def isolation(*, root: bool, network: bool) -> list[str]:
    """The namespaces of a worker, and its capabilities: none, but as root those to become another user first."""
    words = [*APART, *(() if network else ("--unshare-net",))]
    if root:
        return [*words, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [*words, "--unshare-user", "--disable-userns"]


def as_user(user: int) -> list[str]:
    """Become a user who has nothing, before anything of the plugin is loaded."""
    to = [f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
    return ["/usr/bin/setpriv", *to, "--"]


def _words(mount: Mount) -> Iterator[str]:
    if mount.kind == "read":
        yield from ("--ro-bind", mount.source, mount.target)
    elif mount.kind == "link":
        yield from ("--symlink", mount.source, mount.target)
    elif mount.kind == "tmpfs":
        yield from ("--perms", "1777", "--size", str(mount.size), "--tmpfs", mount.target)
    elif mount.kind == "devices":
        yield from ("--dev", mount.target)
    else:
        yield from ("--proc", mount.target)
