# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What the program of a plugin's own kind of task prints: lines of JSON become text, a verdict and a diff; all else is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from stoker.domain.attempt import Outcome

_KNOWN: Final = frozenset({"progress", "message", "log", "changed", "diff", "error", "remedy"})


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on the way, and at the end."""

    text: str
    """For people: messages, logs, errors, and whatever was not JSON."""
    changed: bool | None
    """The last verdict; ``None`` if there was none."""
    diff: str


def read_report(output: str) -> Report:
    """Read what a program printed, of which the beginning may be missing."""
    lines: list[str] = []
    changed: bool | None = None
    diffs: list[str] = []
    for line in output.splitlines():
        said = _said(line)
        if said is None:
            lines.append(line)
            continue
        lines += _words(said)
        if isinstance(said.get("changed"), bool):
            changed = bool(said["changed"])
        if isinstance(said.get("diff"), str):
            diffs.append(str(said["diff"]))
    return Report(text="".join(f"{line}\n" for line in lines), changed=changed, diff="\n".join(diffs))


def told(outcome: Outcome) -> Outcome:
    """An attempt's outcome with what its program said in words; one that said that nothing changed is unchanged."""
    report = read_report(outcome.output)
    changed = outcome.changed and report.changed is not False
    text = f"{report.text}{report.diff}" if report.diff else report.text
    return msgspec.structs.replace(outcome, output=text, changed=changed)


def _said(line: str) -> Mapping[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found and found.keys() <= _KNOWN else None


def _words(said: Mapping[str, object]) -> Iterator[str]:
    progress, message = said.get("progress"), said.get("message")
    if isinstance(progress, int | float) and not isinstance(progress, bool):
        yield f"{min(max(progress, 0), 1):.0%} {message or ''}".rstrip()
    elif message is not None:
        yield str(message)
    if "log" in said:
        yield str(said["log"])
    if "error" in said:
        yield f"error: {said['error']}"
    if "remedy" in said:
        yield f"remedy: {said['remedy']}"
