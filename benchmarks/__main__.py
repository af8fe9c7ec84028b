# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Run the benchmarks: ``python -m benchmarks [NAME ...] [--json FILE]``; exit status 1 if a bound is missed or not measured."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from stoker.errors import StokerError

import benchmarks
from benchmarks.result import Result


def modules() -> Iterator[ModuleType]:
    """Every ``bench_TOPIC.py`` beside this file."""
    for found in sorted(pkgutil.iter_modules(benchmarks.__path__), key=lambda item: item.name):
        if found.name.startswith("bench_"):
            yield importlib.import_module(f"benchmarks.{found.name}")


def select(names: Sequence[str]) -> list[ModuleType]:
    """The modules that measure what is asked for: by topic, by a name in ``NAMES``, or all of them."""
    wanted = [
        module
        for module in modules()
        if not names or any(name in getattr(module, "NAMES", ()) or name == _topic(module) for name in names)
    ]
    if not wanted:
        known = sorted(name for module in modules() for name in getattr(module, "NAMES", ()))
        sys.exit(f"bench: there is none of {', '.join(names)}. Known: {', '.join(known)}.")
    return wanted


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(results: Sequence[Result]) -> str:
    """The results for a terminal, as a Markdown table."""
    head = ("name", "measured", "unit", "bound", "aim", "", "note")
    rows = [
        (
            item.name,
            _number(item.value),
            item.unit,
            _number(item.bound),
            _number(item.aim),
            ("ok" if item.reached else "ok, aim missed") if item.kept else "MISSED",
            item.note,
        )
        for item in results
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, print the table, keep the numbers."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="*", help="topics or names of results; all if none is given")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write {name: {value, unit, bound, ok, aim, reached, note, at}}"
    )
    options = parser.parse_args(arguments)
    results: list[Result] = []
    complete = True
    for module in select(options.name):
        topic = _topic(module)
        try:
            for item in module.run():
                if not options.name or _is_wanted(item, module, options.name):
                    results.append(item)  # noqa: PERF401  what was measured before an error stays
        except StokerError as error:
            complete = False
            sys.stderr.write(f"bench: {topic} could not be measured: {error}\n")
        else:
            sys.stderr.write(f"bench: {topic} done\n")
    print(table(results))
    if options.json is not None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        options.json.write_text(json.dumps({item.name: _row(item, now) for item in results}, indent=2) + "\n")
    return 0 if complete and all(item.kept for item in results) else 1


def _row(item: Result, at: str) -> dict[str, object]:
    """A result as the file keeps it; the manual's table is made from the file with the newest ``at``."""
    return {
        "value": item.value,
        "unit": item.unit,
        "bound": item.bound,
        "ok": item.kept,
        "aim": item.aim,
        "reached": item.reached,
        "note": item.note,
        "at": at,
    }


def _topic(module: ModuleType) -> str:
    return module.__name__.rsplit("bench_", 1)[-1]


def _is_wanted(item: Result, module: ModuleType, names: Sequence[str]) -> bool:
    return _topic(module) in names or any(item.name.startswith(name) for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
