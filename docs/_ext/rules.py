# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The list of rules: every id that a check can name, with its messages, read from the source by syntax."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from messages import Scope, Source, bind, text_of

PACKAGES = Path(__file__).parent.parent.parent / "packages"
ID = re.compile(r"[A-Z]\d{3}")


@dataclass(frozen=True)
class Use:
    """One place that names a rule."""

    rule: str
    room: str
    message: str
    remedy: str


def _is_id(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and ID.fullmatch(node.value) is not None


def _uses_of(source: Source, scope: Scope, call: ast.Call) -> Iterator[Use]:
    """What a call that names a rule says; nothing if it names none."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    rules = [argument for argument in (*call.args, *named.values()) if _is_id(argument)]
    function = source.callee(scope, call)
    if not rules and function is not None and _default_rule(function) is not None:
        rules = [_default_rule(function)]
    if not rules and isinstance(named.get("rule"), ast.Name) and scope.function is not None:
        rules = [node for node in ast.walk(scope.function) if _is_id(node) and named["rule"].id not in scope.parameters()]
    elif len(rules) != 1:
        return
    given = {**(bind(function, call) if function is not None else {}), **named}
    if not rules or (not any(_is_id(argument) for argument in (*call.args, *named.values())) and "message" not in given):
        return  # another function of the same name
    message = next((given[name] for name in ("message", "reason") if name in given), None)
    pairs = [pair for pair in source.pairs(scope, message, given.get("remedy")) if pair[0]]
    if not pairs:
        texts = [text for argument in call.args if " " in (text := text_of(argument))]
        pairs = [((texts or [""])[0], (texts[1:] or [""])[0])]
    for text, remedy in pairs:
        yield from (Use(str(rule.value), scope.module, text, remedy) for rule in rules)


def _default_rule(function: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.Constant | None:
    """The rule that a function names unless it is told another."""
    defaults = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return next((value for argument, value in defaults if argument.arg == "rule" and _is_id(value)), None)


@cache
def uses() -> list[Use]:
    """Every use of a rule in the SDK and the core, sorted by id."""
    source = Source()
    for file in sorted(PACKAGES.glob("*/src/**/*.py")):
        room = ".".join(file.relative_to(file.parents[len(file.relative_to(PACKAGES).parts) - 3]).with_suffix("").parts)
        source.add(room.removesuffix(".__init__"), ast.parse(file.read_text()))
    found = {use for scope, call in source.calls for use in _uses_of(source, scope, call)}
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
                told = re.search(r"\w", re.sub(r"«.*?»", "", use.remedy))
                lines.append(f"- {_escape(use.message)}" + (f" *{_escape(use.remedy.strip())}*" if told else ""))
        rooms = sorted({use.room for use in mine})
        lines += ["", "Found by " + ", ".join(f"`{room}`" for room in rooms) + ".", ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    return re.sub(r"([*_`\[\]<>{}\\$])", r"\\\1", text)
