# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The sandbox without bubblewrap: the launcher makes namespaces and view itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from stoker.plugin_host.sandbox.limits import launched, private_folder, worker_command
from stoker.plugin_host.sandbox.start import Start
from stoker.plugin_host.sandbox.view import INSIDE, view
from stoker.plugin_host.worker_code import WorkerCode

_MOUNT, _UTS, _IPC, _USER, _PID, _NETWORK = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
"""Flags of unshare(2)."""
APART: Final = _MOUNT | _UTS | _IPC | _PID


def plan_namespaces(run: Path, code: WorkerCode, user: int, *, root: bool, groups: list[str]) -> Start:
    """How a worker is started in namespaces, as another user where this server is root."""
    folder = private_folder(run)
    mounts = [msgspec.to_builtins(mount) for mount in view(code, folder, user)]
    apart = {"user": user, "root": root, "flags": flags(root=root, network=code.network), "mounts": mounts}
    command = launched(code, worker_command(code, INSIDE), "/tmp", groups=groups, namespaces=apart)  # noqa: S108  its own
    return Start(command=command, memory=code.memory, folder=folder, user=user if root else None, confined=True)


def flags(*, root: bool, network: bool) -> int:
    """What a worker has for itself."""
    return APART | (0 if root else _USER) | (0 if network else _NETWORK)
