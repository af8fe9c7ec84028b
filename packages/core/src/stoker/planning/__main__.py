# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The child of the planning process: JSON in, JSON out, within limits of memory and time."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from stoker.domain.snapshot import PluginInput, Snapshot
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.plans import make_plan
from stoker.planning.progress import PROGRESS, Note
from stoker.planning.watch import watch_lists

FINDINGS_STATUS: Final = 3


def _plan(payload: bytes) -> bytes:
    return msgspec.json.encode(make_plan(msgspec.json.decode(payload, type=Snapshot)))


def _check(payload: bytes) -> bytes:
    return msgspec.json.encode(check_plugins(msgspec.json.decode(payload, type=list[PluginInput])))


def _watch(payload: bytes) -> bytes:
    return msgspec.json.encode(watch_lists(msgspec.json.decode(payload, type=Snapshot)))


_FUNCTIONS: Final[dict[str, Callable[[bytes], bytes]]] = {"plan": _plan, "check": _check, "watch": _watch}


def _note_to(path: Path) -> Callable[[Note], None]:
    descriptor = os.open(path, os.O_WRONLY)

    def write(note: Note) -> None:
        # One write at a fixed place, padded: who reads it later sees a whole note, never half of one.
        os.pwrite(descriptor, msgspec.json.encode(note)[:1024].ljust(1024), 0)

    return write


def main(arguments: list[str]) -> int:
    """Run one function: ``FUNCTION MEMORY_BYTES SECONDS NOTE_FILE``, payload on standard input."""
    function, memory, seconds, note = arguments
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    PROGRESS.listen(_note_to(Path(note)))
    payload = sys.stdin.buffer.read()
    try:
        answer = _FUNCTIONS[function](payload)
    except PlanningError as error:
        refusal = {"detail": error.detail, "remedy": error.remedy, "findings": error.data["findings"]}
        sys.stdout.buffer.write(msgspec.json.encode(refusal))
        return FINDINGS_STATUS
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
