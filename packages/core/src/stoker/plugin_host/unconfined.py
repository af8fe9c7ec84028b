# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Starting a worker without a sandbox: with limits of its own and as the server's own user."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stoker.plugin_host import launcher
from stoker.plugin_host.worker import Start, WorkerCode

NICE: Final = 10
"""The priority of workers: everything else goes first."""


def private_folder(run: Path) -> Path:
    """A new folder for one worker's sockets."""
    folder = run / secrets.token_hex(4)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def surroundings(folder: str) -> Mapping[str, str]:
    """The environment variables of a worker: nothing of the server's."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": folder,
        "TMPDIR": folder,
        "MALLOC_ARENA_MAX": "2",
        "PYTHONUNBUFFERED": "1",
    }


def command(code: WorkerCode, folder: str) -> list[str]:
    """What runs in it."""
    return [str(code.python), "-P", "-m", "stoker_sdk.worker", "--folder", folder, "--entry", code.entry]


def plan_unconfined(run: Path, code: WorkerCode) -> Start:
    """A worker without a sandbox."""
    folder = private_folder(run)
    steps = {
        "parent": os.getpid(),
        "limits": {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 1024},
        "nice": NICE,
        "environment": dict(surroundings(str(folder))),
    }
    begin = [sys.executable, "-I", "-S", launcher.__file__, json.dumps(steps)]
    return Start(command=[*begin, *command(code, str(folder))], folder=folder)
