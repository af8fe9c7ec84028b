# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""No sandbox: a worker with limits, but with the eyes and the user of the server. Only where an admin allowed it."""

from __future__ import annotations

from pathlib import Path

from stoker.plugin_host.sandbox.limits import launched, private_folder, worker_command
from stoker.plugin_host.sandbox.start import Start
from stoker.plugin_host.worker_code import WorkerCode


def plan_unconfined(run: Path, code: WorkerCode, groups: list[str] | None = None) -> Start:
    """How such a worker is started."""
    folder = private_folder(run)
    command = launched(code, worker_command(code, folder), str(folder), groups=groups or [], tend=True)
    return Start(command=command, memory=code.memory, folder=folder, tended=True)
