# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a field of a settings model can say, written from the code: parameters, limits, generators."""

from __future__ import annotations

import ast
import inspect
import re

import pydantic
import pydantic_core
from extension_points import cell, plain
from stoker_sdk.extension_points import settings
from stoker_sdk.model import generator

_KEYWORDS = {
    "when": "`x-when`",
    "secret": "`x-secret: {}`",
    "default": "`default`",
    "title": "`title`",
    "description": "`description`",
}
"""Parameters and what they become in the JSON Schema; those of secrets stand inside ``x-secret``."""
_OTHER = {"alias": "the field's key in `properties`", "discriminator": "`discriminator` beside `oneOf`"}
"""Limits that no plain field can show."""


def parameters(_: str) -> str:
    """The parameters of ``settings.field`` with the text of its docstring."""
    texts = argument_texts(settings.field)
    rows = []
    for name, parameter in inspect.signature(settings.field).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = "required" if name == "title" else "" if parameter.default is ... else f"`{parameter.default!r}`"
        keyword = _KEYWORDS.get(name, f"`{name}` in `x-secret`")
        rows.append(f"| `{name}` | `{cell(str(parameter.annotation))}` | {default} | {keyword} | {cell(texts[name])} |")
    return "\n".join(["| Parameter | Type | Default | In YAML | What it is |", "|---|---|---|---|---|", *rows])


def argument_texts(function: object) -> dict[str, str]:
    """The text of each argument in a docstring."""
    section = (inspect.getdoc(function) or "").partition("Args:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^ {4}\**(\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
    return {name: plain(text) for name, text in found}


def limits(_: str) -> str:
    """The limits that ``settings.field`` hands on, with the keyword that each becomes."""
    rows = [f"| `{name}` | {keyword_of(name)} |" for name in sorted(settings.LIMITS)]
    return "\n".join(["| Limit | In YAML |", "|---|---|", *rows])


def keyword_of(limit: str) -> str:
    """The word that a limit adds to a schema, found by trying."""
    if limit in _OTHER:
        return _OTHER[limit]
    for kind, value in ((int, 1), (str, 1), (str, "^a$"), (str, ["a"])):
        try:
            model = pydantic.create_model("Sample", x=(kind, settings.field(title="X", **{limit: value})))
        except (TypeError, ValueError, RuntimeError, pydantic_core.SchemaError):
            continue
        if added := sorted(set(model.model_json_schema()["properties"]["x"]) - {"title", "type"}):
            return f"`{added[0]}`"
    raise LookupError(limit)


def generators(_: str) -> str:
    """The generators with the text under their names, and the public parts of those that make pairs."""
    rows = []
    for name, text in generator_texts().items():
        parts = ", ".join(f"`public.FIELD.{part}`" for part in generator.PUBLIC_PARTS.get(name, ()))
        rows.append(f"| `{name}` | {cell(text)} | {parts} |")
    return "\n".join(["| Generator | What it makes | Public parts |", "|---|---|---|", *rows])


def generator_texts() -> dict[str, str]:
    """The list under ``Generator`` in its module."""
    body = ast.parse(inspect.getsource(generator)).body
    for index, statement in enumerate(body[:-1]):
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "Generator":
            text = str(body[index + 1].value.value)
            return {name: plain(what) for name, what in re.findall(r"^- ``(\w+)``: (.*(?:\n  .*)*)", text, re.MULTILINE)}
    raise LookupError("Generator")
