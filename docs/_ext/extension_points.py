# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The reference page of an extension point, written from its classes: nothing here is said twice."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import json
import re
from functools import cache
from pathlib import Path

import msgspec
from stoker_sdk.extension_points import all_points
from stoker_sdk.model.contribution import Contribution, ExtensionPoint

EXAMPLES = Path(__file__).parent.parent / "examples" / "extension_points"

COMBINES = {
    "slot": "Each plugin has its own place, so two plugins cannot meet.",
    "single": "One plugin gives it; a second one is refused.",
    "ordered set": "What all plugins give is joined; the order depends on nothing but the members.",
    "patch": "One value for each field: equal values merge and all owners are named, different ones are refused.",
}
SCOPES = {
    "server": "Active once the plugin is installed.",
    "environment": "Active in the environments that enable the plugin.",
}


def plain(text: str) -> str:
    """Docstring text as Markdown on one line: roles of reST become code."""
    text = re.sub(r":[a-z:]+:`~?\.?([^`]*)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").split())


def cell(text: str) -> str:
    """Text that may stand in a table's cell."""
    return text.replace("|", "\\|")


@cache
def field_docs(kind: type) -> dict[str, str]:
    """The text under each field of a class and its bases, read from the source."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("stoker"):
            continue
        body = ast.parse(inspect.getsource(base)).body[0].body
        for statement, following in itertools.pairwise(body):
            is_field = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
            if is_field and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docs[statement.target.id] = plain(str(following.value.value))
    return docs


@cache
def field_types(kind: type) -> dict[str, str]:
    """Each field's type as it stands in the source."""
    types: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("stoker"):
            for statement in ast.parse(inspect.getsource(base)).body[0].body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    types[statement.target.id] = ast.unparse(statement.annotation)
    return types


def default_text(field: msgspec.structs.FieldInfo) -> str:
    """A field's default, or that it must be given."""
    if field.default is not msgspec.NODEFAULT:
        return f"`{field.default!r}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    return "required"


def fields_table(kind: type) -> str:
    """The fields of a class, required ones first."""
    docs, types = field_docs(kind), field_types(kind)
    fields = sorted(msgspec.structs.fields(kind), key=lambda field: not field.required)
    rows = [
        f"| `{field.encode_name}` | `{cell(types[field.name])}` | {cell(default_text(field))} "
        f"| {cell(docs.get(field.name, ''))} |"
        for field in fields
    ]
    return "\n".join(["| Field | Type | Default | What it is |", "|---|---|---|---|", *rows])


def example(name: str) -> str:
    """The example of a point or a class: the files ``NAME.py`` and ``NAME.yaml``."""
    parts = []
    for suffix, title in (("py", "Python"), ("yaml", "YAML")):
        file = EXAMPLES / f"{name}.{suffix}"
        if file.exists():
            parts.append(f"In {title}:\n\n```{title.lower()}\n{file.read_text().rstrip()}\n```")
    return "\n\n".join(parts)


def first_sentence(kind: type) -> str:
    """The first paragraph of a class's docstring."""
    return plain((inspect.getdoc(kind) or "").split("\n\n")[0])


def module_of(point: ExtensionPoint) -> str:
    """The module that defines a point."""
    return f"stoker_sdk.extension_points.{point.name}"


def nested_structs(kind: type[Contribution]) -> list[type]:
    """Structs of the same module that are fields' types, such as an item of a list; and packages, which points share."""
    module = inspect.getmodule(kind)
    text = " ".join(field_types(kind).values())
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and not issubclass(value, Contribution)
        and value.__module__ in (kind.__module__, "stoker_sdk.model.package")
        and re.search(rf"\b{name}\b", text)
    ]


def page(name: str) -> str:
    """The Markdown of a point's reference page."""
    point = all_points()[name]
    module = inspect.getmodule(point.contributions[0])
    lines = [
        plain((module.__doc__ or "").strip()),
        "",
        f"- Module: `{module_of(point)}`",
        f"- Combines as **{point.combines}**: {COMBINES[point.combines]}",
        f"- Scope **{point.scope}**: {SCOPES[point.scope]}",
        f"- Needs Python code at run time: {'yes' if point.needs_code else 'no, so a `plugin.yaml` can give it'}",
        "",
        "## Example",
        "",
        example(name),
        "",
        "## Contributions",
        "",
    ]
    for kind in point.contributions:
        tag = str(kind.__struct_config__.tag)
        lines += [
            f"### {kind.__name__}",
            "",
            first_sentence(kind),
            "",
            f"In YAML and JSON: `point: {tag}`",
            "",
            fields_table(kind),
            "",
        ]
        for inner in nested_structs(kind):
            lines += [f"**{inner.__name__}**: {first_sentence(inner)}", "", fields_table(inner), ""]
    (_, schema) = msgspec.json.schema_components(point.contributions, schema_hook=lambda _: {"description": "any JSON value"})
    text = json.dumps(schema, indent=2)
    lines += ["## JSON Schema", "", "<details><summary>Show it</summary>", "", "```json", text, "```", "", "</details>", ""]
    return "\n".join(lines)


@cache
def bundled() -> list[object]:
    """The bundled plugins, by name."""
    names = sorted(path.name for path in EXAMPLES.parents[2].glob("plugins/*/src/stoker_plugin_*"))
    return [importlib.import_module(name).plugin for name in names]


def users(point: ExtensionPoint) -> list[str]:
    """The bundled plugins that contribute to a point."""
    return [plugin.name for plugin in bundled() if {type(item) for item in plugin.contributions} & set(point.contributions)]


def index() -> str:
    """A table of all points."""
    rows = [
        f"| [`{name}`](extension-points/{name}.md) | {plain((inspect.getmodule(point.contributions[0]).__doc__ or '').strip())} "
        f"| {point.combines} | {', '.join(f'`{kind.__struct_config__.tag}`' for kind in point.contributions)} "
        f"| {', '.join(f'`{user}`' for user in users(point))} |"
        for name, point in all_points().items()
    ]
    return "\n".join(
        ["| Extension point | What it is | Combines as | In YAML | Bundled plugins that use it |", "|---|---|---|---|---|", *rows]
    )
