# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin's settings as a table: every field with its value, where the value comes from, and what it is."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from rich.text import Text
from stoker_sdk.errors import ExpressionError

from stoker.cli import output
from stoker.cli.problems import printable
from stoker.cli.settings_schema import Schema, fields, is_secret, resolve

if TYPE_CHECKING:
    from stoker.client.documents import EnabledPluginDocument

COLUMNS = ("SETTING", "VALUE", "FROM", "TYPE", "TITLE")
_TYPES = {"string": "text", "array": "list", "object": "group"}
_CHOICES = 6
_DEPTH = 6
"""Groups inside groups are gone into so far; a schema may refer to itself."""


class Row(NamedTuple):
    """One field, or one public part of a pair."""

    name: str
    value: str
    source: str
    """``set``, ``default``, ``stored`` (a secret), ``not set``, ``missing``, ``public`` or ``inactive``."""
    kind: str
    title: str


def show(plugin: EnabledPluginDocument) -> None:
    """Print the table."""
    found = list(rows(plugin))
    dim = {"inactive": "bright_black", "missing": "yellow"}
    cells = [[Text(printable(cell), style=dim.get(row.source, "")) for cell in row] for row in found]
    output.table(COLUMNS, cells, empty=f"{plugin['name']} {plugin.get('version', '')} has no settings.")


def rows(plugin: EnabledPluginDocument) -> Iterator[Row]:
    """All fields in the schema's order; of lists and groups, what is in them."""
    schema = plugin.get("settings_schema") or {}
    given, public = plugin.get("settings", {}), plugin.get("public", {})
    table = _Table(schema, plugin.get("effective_settings") or given)
    yield from table.group(schema, "", table.complete, given, public, active=True)
    for name in sorted(given.keys() - fields(schema, schema).keys()):
        yield Row(name, shown(given[name]), "set", "not in the plugin's schema", "")


def shown(value: object) -> str:
    """A value for a person."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) if value else "{}"
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value) or "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    first, *more = str(value).splitlines() or [""]
    return f"{first} ... ({len(more) + 1} lines)" if more else first


class _Table:
    """The rows of one plugin."""

    def __init__(self, schema: Schema, complete: dict[str, object]) -> None:
        self.complete = complete
        self._schema = schema

    def group(
        self, field: Schema, before: str, complete: object, given: object, public: object, *, active: bool
    ) -> Iterator[Row]:
        """The rows of what is in an object."""
        required = cast("list[str]", resolve(self._schema, field).get("required") or [])
        for name, inner in fields(self._schema, field).items():
            holds = active and self._holds(inner, complete)
            place, parts = f"{before}{name}", (_get(complete, name), _get(given, name), _get(public, name))
            yield from self._field(inner, place, *parts, required=name in required, active=holds)

    def _field(
        self, field: Schema, place: str, value: object, given: object, public: object, *, required: bool, active: bool
    ) -> Iterator[Row]:
        items = field.get("items")
        inside = resolve(self._schema, items) if isinstance(items, Mapping) else {}
        if is_secret(field):
            yield self._secret(field, place, value, required=required, active=active)
            for name, part in public.items() if isinstance(public, dict) else ():
                yield Row(f"{place}.{name}", shown(part), "public", "text", "")
        elif fields(self._schema, field) and place.count(".") < _DEPTH:
            yield from self.group(field, f"{place}.", value, given, public, active=active)
        elif fields(self._schema, inside) and isinstance(value, list) and value:
            for number, item in enumerate(value):
                parts = item, _get(given, number), _get(public, number)
                yield from self.group(inside, f"{place}.{number}.", *parts, active=active)
        else:
            source = "set" if given is not None else ("default" if value is not None else "")
            source = source or ("missing" if required else "not set")
            text = shown(value) if source in {"set", "default"} else "(not set)"
            yield self._row(field, place, text, source, active=active)

    def _secret(self, field: Schema, place: str, value: object, *, required: bool, active: bool) -> Row:
        how = field.get("x-secret")
        generated = isinstance(how, Mapping) and how.get("generator")
        if isinstance(value, dict) and "$secret" in value:
            return self._row(field, place, f"(secret, version {value.get('version', '?')})", "stored", active=active)
        return self._row(field, place, "(not set)", "missing" if required and not generated else "not set", active=active)

    def _row(self, field: Schema, place: str, text: str, source: str, *, active: bool) -> Row:
        title = str(field.get("title") or "")
        if active:
            return Row(place, text, source, self._kind(field), title)
        when = f" (only if {field['x-when']})" if field.get("x-when") else ""
        return Row(place, text, "inactive", self._kind(field), f"{title}{when}".strip())

    def _kind(self, field: Schema) -> str:
        choices = field.get("enum")
        if isinstance(choices, list):
            more = " ..." if len(choices) > _CHOICES else ""
            return " | ".join(shown(choice) for choice in choices[:_CHOICES]) + more
        kind = field.get("type")
        words = [_TYPES.get(str(item), str(item)) for item in (kind if isinstance(kind, list) else [kind]) if item]
        if kind == "array" and isinstance(items := field.get("items"), Mapping):
            inner = self._kind(resolve(self._schema, items))
            return f"list of {inner}s" if inner == "text" else f"list of {inner}" if inner else "list"
        secret = "secret " if is_secret(field) else ""
        return secret + (" or ".join(words) or "value")

    def _holds(self, field: Schema, holder: object) -> bool:
        """Whether a field's condition is true; one that cannot be decided is the server's to tell."""
        source = field.get("x-when")
        if not isinstance(source, str):
            return True
        # Loads the expression language, which only plugins with conditions need.
        program = importlib.import_module("stoker_sdk.model.program")
        try:
            compiled = program.compile_expression(source)
            return bool(compiled.evaluate({"settings": self.complete, "item": holder}) is True)
        except ExpressionError:
            return True


def _get(holder: object, key: str | int) -> object:
    if isinstance(holder, dict):
        return cast("dict[object, object]", holder).get(key)
    return holder[key] if isinstance(holder, list) and isinstance(key, int) and key < len(holder) else None
