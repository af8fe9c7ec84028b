# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The planning process as the server sees it: started for one piece of work, limited, and ended whatever it does."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import sys
import tempfile
from contextlib import suppress
from typing import Final, Literal
from weakref import WeakKeyDictionary

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.errors import PlanningError

NOTE_BYTES: Final = 4096
_REFUSED: Final = 3
_OUT_OF_MEMORY: Final = 4
_GRACE_SECONDS: Final = 2.0
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "HOME", "SYSTEMROOT")

Function = Literal["plan", "check", "watch", "overrides"]
_WORK: Final[dict[Function, str]] = {"plan": "the plan", "check": "the check of plugins", "watch": "the look at contributions"}


AT_ONCE: Final = max(2, os.cpu_count() or 2)
"""How many planning processes there are at once: more would not be faster, and each may take all of its memory."""
_GATES: Final[dict[bool, WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]]] = {
    True: WeakKeyDictionary(),
    False: WeakKeyDictionary(),
}
"""Checks have a gate of their own: enabling a plugin does not wait behind plans, which may use all their time."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one planning process may take."""

    memory_bytes: int = 1024 * 1024 * 1024
    """Address space."""
    seconds: int = 120
    """Processor time, and time by the clock."""


class _Refusal(msgspec.Struct):
    detail: str
    remedy: str
    findings: list[Finding]


async def run_in_process(function: Function, payload: bytes, limits: Limits | None = None) -> bytes:
    """Do one piece of planning in a process of its own, as soon as fewer than ``AT_ONCE`` others do the like.

    Args:
        function: ``plan`` (Snapshot -> Plan), ``check`` (list of PluginInput -> list of Finding) or ``watch``
            (Snapshot -> list of Watch).
        payload: the argument as JSON.
        limits: memory and time.

    Returns:
        The result as JSON.

    Raises:
        PlanningError: it was refused, with findings; or a limit was reached, and the finding names the plugin and the file or
            field that was worked on.
    """
    async with _GATES[function == "check"].setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)):
        return await _run(function, payload, limits or Limits())


async def _run(function: Function, payload: bytes, limits: Limits) -> bytes:
    with tempfile.TemporaryFile() as notes:
        notes.truncate(NOTE_BYTES)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "stoker.planning",
            function,
            str(limits.memory_bytes),
            str(limits.seconds),
            str(notes.fileno()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(notes.fileno(),),
            start_new_session=True,
            env={**{name: os.environ[name] for name in _PASSED_ON if name in os.environ}, "PYTHONHASHSEED": "0"},
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(payload), limits.seconds + _GRACE_SECONDS)
        except TimeoutError as error:
            raise _breach(function, _read(notes.fileno()), f"took more than {limits.seconds} seconds") from error
        finally:
            await _end(process)
        if process.returncode == 0:
            return output
        if process.returncode == _REFUSED:
            refusal = msgspec.json.decode(output, type=_Refusal)
            raise PlanningError(refusal.detail, remedy=refusal.remedy, findings=refusal.findings)
        raise _breach(function, _read(notes.fileno()), _reason(process.returncode or 0, errors, limits))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nothing of it stays, also when the caller is cancelled."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _reason(status: int, errors: bytes, limits: Limits) -> str:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"took more than {limits.seconds} seconds of processor time"
    if status == _OUT_OF_MEMORY or b"MemoryError" in errors or b"memory allocation" in errors:
        return f"took more than {limits.memory_bytes // 2**20} MiB of memory"
    last = errors.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
    if status < 0:
        return f"ended the planning process ({signal.Signals(-status).name}{': ' + last if last else ''})"
    return f"failed with an error of Stoker itself: {last}"


def _read(descriptor: int) -> list[str]:
    with mmap.mmap(descriptor, NOTE_BYTES, access=mmap.ACCESS_READ) as place:
        text = place[:].split(b"\0", 1)[0].decode("utf-8", "replace")
    return [*text.split("\n"), "", "", "", ""][:4]


def _breach(function: Function, note: list[str], what: str) -> PlanningError:
    plugin, contribution, field, file = note
    if not plugin:
        return PlanningError(f"{_WORK[function]} {what}.", remedy="Look at the server's log; raise the limits of planning.")
    place = " ".join(part for part in (contribution, field) if part)
    where = f"plugin {plugin}: {place}{f' ({file})' if file else ''}"
    remedy = "Mend the template or expression that is named, or raise the limits of planning."
    finding = Finding(
        rule="L001", plugin=plugin, contribution=contribution, field=field, file=file, message=f"{what}.", remedy=remedy
    )
    return PlanningError(f"{_WORK[function]} was stopped at {where}: it {what}.", remedy=remedy, findings=[finding])
