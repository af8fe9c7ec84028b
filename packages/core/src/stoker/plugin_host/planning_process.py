# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The planning process: plans are made in a process of their own, with limits that a plugin cannot pass."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.errors import PlanningError

Function = Literal["plan", "check", "watch"]

FINDINGS_STATUS: Final = 3
"""Exit status of a child that ended as it should, with findings instead of an answer."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of planning may use."""

    memory_bytes: int = 2 * 1024**3
    """Address space."""
    seconds: float = 60.0
    """Wall-clock time; CPU time is limited to the same."""


async def run_in_process(function: Function, payload: bytes, limits: Limits) -> bytes:
    """Run a planning function on JSON and answer its JSON.

    Args:
        function: ``plan`` (Snapshot to Plan), ``check`` (list of PluginInput to list of Finding) or ``watch``
            (Snapshot to list of Watch).
        payload: the JSON that it gets.
        limits: memory and time.

    Raises:
        PlanningError: the function found faults, or went past a limit; then plugin and file are named.
    """
    descriptor, name = tempfile.mkstemp(prefix="stoker-planning-")
    os.close(descriptor)
    note = Path(name)
    try:
        return await _run(function, payload, limits, note)
    finally:
        note.unlink(missing_ok=True)


async def _run(function: Function, payload: bytes, limits: Limits, note: Path) -> bytes:
    environment = {
        key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stoker.planning",
        function,
        str(limits.memory_bytes),
        str(int(limits.seconds) + 1),
        str(note),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )
    try:
        output, errors = await asyncio.wait_for(child.communicate(payload), limits.seconds)
    except TimeoutError as error:
        raise _breach(note, f"it took more than {limits.seconds:g} seconds") from error
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    if child.returncode == 0:
        return output
    if child.returncode == FINDINGS_STATUS:
        raise msgspec.json.decode(output, type=_Refusal).error()
    last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["it ended without a word"]
    if child.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise _breach(note, f"it used more than {limits.seconds:g} seconds of CPU time")
    raise _breach(note, f"it needed more than {limits.memory_bytes // 1024**2} MiB of memory, or broke: {last[0]}")


class _Refusal(msgspec.Struct):
    detail: str
    remedy: str
    findings: list[Finding]

    def error(self) -> PlanningError:
        return PlanningError(self.detail, remedy=self.remedy, findings=self.findings)


def _breach(note: Path, what: str) -> PlanningError:
    """Name what was worked on when a limit was passed."""
    try:
        plugin, contribution, field, file = msgspec.json.decode(note.read_bytes().strip(b"\0 "), type=tuple[str, str, str, str])
    except (OSError, msgspec.MsgspecError):
        return PlanningError(
            f"planning was stopped: {what}.",
            remedy="Raise planning_seconds or planning_memory_bytes if the environment is large.",
        )
    place = f"{file} " if file else ""
    finding = Finding(
        rule="L001",
        plugin=plugin,
        contribution=contribution,
        field=field,
        file=file,
        message=f"{place}{what}.",
        remedy="Mend the template or expression, or disable the plugin.",
    )
    return PlanningError(
        f"planning was stopped at plugin {plugin}, {contribution} {place}({field}): {what}.",
        remedy=f"Mend the plugin {plugin} or disable it; nothing was changed.",
        findings=[finding],
    )
