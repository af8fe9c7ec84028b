# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Sphinx extension: replaces lines such as ``<!-- stoker: extension-point tasks -->`` by Markdown made from the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import command_line
import extension_points
import http_api
import metrics_list
import msgspec
import rules
import settings_fields
import stoker_sdk
from stoker.config import ServerConfig

ROOT = Path(__file__).parent.parent.parent
MARK = re.compile(r"^<!-- stoker: (?P<what>[a-z-]+)(?: (?P<argument>\S+))? -->$", re.MULTILINE)


def sdk_face(_: str) -> str:
    """What ``stoker_sdk`` itself offers: its ``__all__``."""
    lines: list[str] = []
    for name in stoker_sdk.__all__:
        thing = getattr(stoker_sdk, name)
        kind = thing if isinstance(thing, type) else type(thing)
        lines += [f"## {name}", ""]
        if isinstance(thing, type):
            lines += [extension_points.first_sentence(kind), ""]
            if issubclass(thing, msgspec.Struct):
                lines += [extension_points.fields_table(thing), ""]
        else:
            lines += [REF, ""]
    return "\n".join(lines)


REF = """Writes expressions in Python. `ref.settings.text` is the expression `settings.text`; `ref("...")` takes any CEL text.
References grow by attribute access, by indexing, and by `+`; `equals` gives a condition.

A reference has no text before a plan is made: in an f-string it raises `TypeError`.
Write `"a " + ref.settings.text`, or `ref("'a ' + settings.text")`."""


def configuration(_: str) -> str:
    """The fields of the server's configuration."""
    docs, types = extension_points.field_docs(ServerConfig), extension_points.field_types(ServerConfig)
    rows = [
        f"| `{field.name}` | `STOKER_{'DATA' if field.name == 'data_dir' else field.name.upper()}` "
        f"| `{extension_points.cell(types[field.name])}` | {extension_points.default_text(field)} | {docs[field.name]} |"
        for field in msgspec.structs.fields(ServerConfig)
    ]
    return "\n".join(["| Field | Variable | Type | Default | What it is |", "|---|---|---|---|---|", *rows])


def benchmarks(_: str) -> str:
    """The newest table of benchmarks, if one was kept in the tree."""
    tables = [(json.loads(file.read_text()), file.name) for file in (ROOT / "benchmarks" / "results").glob("*.json")]
    kept = [(max(row["at"] for row in table.values()), name, table) for table, name in tables if table]
    if not kept:
        return "No table has been kept yet. `./dev bench` prints one."
    at, name, table = max(kept, key=lambda item: item[:2])
    rows = []
    for result, row in sorted(table.items()):
        aim = "" if row["aim"] is None else f"{row['aim']:,g}"
        rows.append(
            f"| {result} | {row['value']:,.{0 if row['value'] >= 100 else 2}f} {row['unit']} | {row['bound']:,g} | {aim} "
            f"| {'yes' if row['ok'] else '**no**'} | {'yes' if row['reached'] else '**no**'} | {row['note']} |"
        )
    head = ["| Name | Value | Bound | Aim | Bound met | Aim met | Note |", "|---|---|---|---|---|---|---|"]
    return "\n".join([f"Measured {at[:10]}, kept in `{name}`.", "", *head, *rows])


SOURCES: dict[str, Callable[[str], str]] = {
    "extension-point": extension_points.page,
    "extension-points": lambda _: extension_points.index(),
    "rules": lambda _: rules.page(),
    "settings-parameters": settings_fields.parameters,
    "settings-limits": settings_fields.limits,
    "generators": settings_fields.generators,
    "command-line": command_line.page,
    "sdk-face": sdk_face,
    "configuration": configuration,
    "metrics": metrics_list.page,
    "http-api": http_api.page,
    "benchmarks": benchmarks,
}


def fill(text: str) -> str:
    """Replace every mark in a page."""
    return MARK.sub(lambda mark: SOURCES[mark["what"]](mark["argument"] or ""), text)


def _source_read(_app: object, _name: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def setup(app: object) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
