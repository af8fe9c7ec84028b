# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The launcher: a script between server and worker; sets limits, sees to it that the worker dies with the server, and begins it.

It runs by its path with ``python -I -S`` and imports nothing but the standard library: it must start fast.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Do what the plan (JSON, the first word) says, then become the command that follows."""
    plan = json.loads(sys.argv[1])
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != plan["parent"]:
        sys.exit("the server is gone")
    for name, value in plan["limits"].items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (limit, limit))
    os.setpriority(os.PRIO_PROCESS, 0, max(plan["nice"], os.getpriority(os.PRIO_PROCESS, 0)))
    os.execve(sys.argv[2], sys.argv[2:], plan["environment"])  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main()
