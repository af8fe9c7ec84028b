# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The planning process: reads a snapshot from standard input, writes the answer to standard output, within limits."""

from __future__ import annotations

import gc
import mmap
import resource
import sys
from collections.abc import Callable
from typing import Final

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.domain.snapshot import PluginInput, Snapshot
from stoker.errors import PlanningError
from stoker.planning.checks import check_plugins
from stoker.planning.overrides import check_given
from stoker.planning.plans import make_plan
from stoker.planning.progress import PROGRESS, Note
from stoker.planning.watch import watch_lists

NOTE_BYTES: Final = 4096
"""The size of the place for the note."""
REFUSED: Final = 3
"""Exit status: the answer is a :class:`Refusal`."""
OUT_OF_MEMORY: Final = 4
"""Exit status: the limit of memory was reached."""


class Refusal(msgspec.Struct):
    """Why no plan can be made."""

    detail: str
    remedy: str
    findings: list[Finding]


def _plan(payload: bytes) -> object:
    return make_plan(msgspec.json.decode(payload, type=Snapshot))


def _check(payload: bytes) -> object:
    return check_plugins(msgspec.json.decode(payload, type=list[PluginInput]))


def _watch(payload: bytes) -> object:
    return watch_lists(msgspec.json.decode(payload, type=Snapshot))


def _overrides(payload: bytes) -> object:
    return check_given(msgspec.json.decode(payload, type=Snapshot))


FUNCTIONS: Final[dict[str, Callable[[bytes], object]]] = {
    "plan": _plan,
    "check": _check,
    "watch": _watch,
    "overrides": _overrides,
}


def _limit(memory_bytes: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def _listen(descriptor: int) -> None:
    """Keep the note in memory that is shared with the parent: it is there even if this process is killed."""
    place = mmap.mmap(descriptor, NOTE_BYTES)

    def sink(note: Note) -> None:
        data = "\n".join(text[:900].replace("\n", " ") for text in note).encode("utf-8", "replace")[: NOTE_BYTES - 1]
        place[: len(data) + 1] = data + b"\0"

    PROGRESS.listen(sink)


def main(arguments: list[str]) -> int:
    """Do one piece of work: FUNCTION MEMORY-BYTES SECONDS NOTE-DESCRIPTOR."""
    function, memory_bytes, seconds, descriptor = arguments
    _limit(int(memory_bytes), int(seconds))
    _listen(int(descriptor))
    gc.disable()
    try:
        try:
            answer, status = FUNCTIONS[function](sys.stdin.buffer.read()), 0
        except PlanningError as error:
            findings = [finding for finding in error.data.get("findings", []) if isinstance(finding, Finding)]
            answer, status = Refusal(error.detail, error.remedy, findings), REFUSED
        sys.stdout.buffer.write(msgspec.json.encode(answer))
        sys.stdout.buffer.flush()
    except MemoryError:
        return OUT_OF_MEMORY
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
