# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The list of rules: every id that a check can name, with its messages, read from the source by syntax."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

PACKAGES = Path(__file__).parent.parent.parent / "packages"
ID = re.compile(r"[A-Z]\d{3}")


@dataclass(frozen=True)
class Use:
    """One place that names a rule."""

    rule: str
    room: str
    message: str
    remedy: str


def text_of(node: ast.AST | None) -> str:
    """A text as a person may read it: what is filled in stands in angle brackets."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value))
            elif isinstance(part, ast.FormattedValue):
                parts.append("«" + re.sub(r"^.*\.", "", ast.unparse(part.value).split("(")[0].split("[")[0]) + "»")
        return "".join(parts)
    return ""


def _is_id(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and ID.fullmatch(node.value) is not None


def _use(call: ast.Call, room: str) -> Use | None:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    ids = [argument for argument in (*call.args, *named.values()) if _is_id(argument)]
    if len(ids) != 1:
        return None
    texts = [text for text in (text_of(argument) for argument in call.args if not _is_id(argument)) if " " in text]
    message = text_of(named.get("message")) or (texts[0] if texts else "")
    remedy = text_of(named.get("remedy")) or (texts[1] if len(texts) > 1 else "")
    return Use(str(ids[0].value), room, message, remedy)


def uses() -> list[Use]:
    """Every use of a rule in the SDK and the core, sorted by id."""
    found: set[Use] = set()
    for file in sorted(PACKAGES.glob("*/src/**/*.py")):
        room = ".".join(file.relative_to(file.parents[len(file.relative_to(PACKAGES).parts) - 3]).with_suffix("").parts)
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (use := _use(node, room)):
                found.add(use)
            elif isinstance(node, ast.arg | ast.arguments):
                defaults = [*node.defaults, *node.kw_defaults] if isinstance(node, ast.arguments) else []
                found |= {Use(str(d.value), room, "", "") for d in defaults if d is not None and _is_id(d)}
    return sorted(found, key=lambda use: (use.rule, use.room, use.message))


def ids() -> list[str]:
    """Every rule id."""
    return sorted({use.rule for use in uses()})


def page() -> str:
    """A section for each rule."""
    lines: list[str] = []
    everything = uses()
    for rule in ids():
        lines += [f"({rule})=", f"## {rule}", ""]
        mine = [use for use in everything if use.rule == rule]
        for use in mine:
            if use.message:
                lines.append(f"- {_escape(use.message)}" + (f" *{_escape(use.remedy)}*" if use.remedy else ""))
        rooms = sorted({use.room for use in mine})
        lines += ["", "Found by " + ", ".join(f"`{room}`" for room in rooms) + ".", ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    return re.sub(r"([*_`\[\]<>{}\\$])", r"\\\1", text)
