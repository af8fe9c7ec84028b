# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What one worker may take, and the words that start it: the same for every kind of sandbox."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from stoker.plugin_host.sandbox import launcher
from stoker.plugin_host.worker_code import WorkerCode

NICE: Final = 10
"""The priority of workers: everything else goes first."""
PROCESSES: Final = 256
"""Processes and threads of one worker."""
OPEN_FILES: Final = 1024
_MIB: Final = 1024 * 1024
_SPARE: Final = 128 * _MIB
"""Address space for data that is asked for and not used, e.g. of threads' stacks, beyond what a worker may use."""
_STACK: Final = 2 * _MIB
_FILE: Final = 256 * _MIB
"""Bytes of one file that it writes."""


def private_folder(run: Path) -> Path:
    """A new folder for one worker's sockets, which its code cannot change."""
    folder = run / secrets.token_hex(4)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def worker_command(code: WorkerCode, folder: Path) -> list[str]:
    """What runs in the sandbox."""
    return [str(code.python), "-P", "-m", "stoker_sdk.worker", "--folder", str(folder), "--entry", code.entry]


def launched(code: WorkerCode, command: Sequence[str], home: str, **more: object) -> list[str]:
    """The words that start a command by way of the launcher, with limits.

    Args:
        code: says how much memory.
        command: what the launcher becomes.
        home: a folder in which it may write.
        more: further parts of the launcher's plan.
    """
    memory = code.memory * _MIB
    plan = {
        "parent": os.getpid(),
        "nice": NICE,
        "processors": [*code.processors],
        "limits": {
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": OPEN_FILES,
            "RLIMIT_DATA": memory + _SPARE,
            "RLIMIT_STACK": _STACK,
            "RLIMIT_FSIZE": _FILE,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0,
        },
        "processes": PROCESSES,
        "environment": dict(_surroundings(home)),
        **more,
    }
    return [sys.executable, "-I", "-S", launcher.__file__, json.dumps(plan), *command]


def _surroundings(home: str) -> Mapping[str, str]:
    """The environment variables of a worker: nothing of the server's."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "MALLOC_ARENA_MAX": "2",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
