# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Writing to the terminal: tables, JSON, times; colours only where a person looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, cast

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stoker.cli import problems
from stoker.cli.problems import printable

_F = TypeVar("_F", bound=Callable[..., object])
_WIDE = 1000
"""Columns where no terminal limits them: what is piped is never cut or wrapped."""

STATE_COLOURS = {
    **dict.fromkeys(("ready", "online", "enabled", "done", "finished", "ok", "succeeded"), "green"),
    **dict.fromkeys(("running", "dispatched", "pending"), "cyan"),
    **dict.fromkeys(("waiting", "new", "skipped", "queued"), "bright_black"),
    **dict.fromkeys(("degraded", "stopping", "stopped", "removing", "unknown", "cancelled"), "yellow"),
    **dict.fromkeys(("failed", "unreachable", "error", "broken-off"), "red"),
}


def _ask_for_json(_context: click.Context, _parameter: click.Parameter, asked: bool) -> bool:
    if asked:
        problems.json_asked.set(True)
    return asked


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,  # read before other options, so that an error in those is JSON too
    callback=_ask_for_json,
    help="Print JSON, as the API answers it; an error as its problem document.",
)


def console(*, stderr: bool = False) -> Console:
    """Standard output (or error) as rich sees it; it heeds NO_COLOR and leaves colours out of pipes."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, width=None if stream.isatty() else _WIDE, soft_wrap=False
    )


def write_json(document: object) -> None:
    """One JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def compact(value: object) -> str:
    """A value as JSON on one line."""
    return msgspec.json.encode(value).decode()


def write_items(items: Sequence[object]) -> None:
    """A listing in the API's shape."""
    write_json({"items": items})


def answer(document: object, text: str, as_json: bool) -> None:
    """What a command did: a document for programs, or a line for a person."""
    if as_json:
        write_json(document)
    else:
        say(text)


def say(text: str, style: str = "") -> None:
    """A line for a person."""
    console().print(Text(printable(text), style=style), soft_wrap=True)


def state_text(state: object) -> Text:
    """A state in its colour."""
    return Text(printable(str(state)), style=STATE_COLOURS.get(str(state), ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "") -> None:
    """Print a plain table, or the remedy for an empty one."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(Text(printable(column)), overflow="fold")
    count = 0
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(printable("" if cell is None else str(cell))) for cell in row))
        count += 1
    if count:
        console().print(made)
    elif empty:
        say(empty)


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns; empty values are left out."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        if value not in (None, "", [], {}):
            made.add_row(Text(printable(name)), value if isinstance(value, Text) else Text(printable(str(value))))
    console().print(made)


def when(moment: object) -> str:
    """A point in time, local; empty for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if isinstance(moment, int | float) and moment else ""


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 5 s``, ``1 h 2 min``."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def between(start: float | None, end: float | None) -> str:
    """How long something took; empty if it has not ended."""
    return duration(end - start) if start and end else ""


def size(count: object) -> str:
    """Bytes for a person, e.g. ``7.8 GiB``."""
    value = float(cast("float", count)) if isinstance(count, int | float) else 0.0
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def plural(count: int, word: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def names(items: Sequence[str], limit: int = 8) -> str:
    """``n1, n2, n3``, and how many more."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
