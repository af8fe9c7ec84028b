# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of a plugin: checked against its schema, defaults filled in, secrets found; each fault names its field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias, cast

import jsonschema_rs
import msgspec
from stoker_sdk.errors import ExpressionError
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.program import compile_expression

from stoker.domain.misfit import quotes_a_value, reason
from stoker.errors import InvalidInputError

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Document: TypeAlias = dict[str, Json]
Schema: TypeAlias = Mapping[str, object]
Path: TypeAlias = tuple[str | int, ...]

SECRET: Final = "$secret"  # noqa: S105  a key's name
_MAX_DEPTH = 24
_MAX_NESTING = 100
_NOT_SCHEMAS = frozenset(
    {"$defs", "default", "examples", "enum", "const", "required", "x-secret", "x-when", "title", "description"}
)
_BY_NAME = frozenset({"$id", "$anchor", "$dynamicAnchor", "$dynamicRef"})
_DATA = frozenset({"default", "examples", "enum", "const", "required"})
_LOOPS = re.compile(r"\.(map|filter|all|exists|exists_one)\s*\(")
_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")


def refuse_deep(plugin: str, document: Json) -> None:
    """Refuse documents that nobody writes, before anything goes through them.

    Raises:
        InvalidInputError: lists and maps stand inside each other too often.
    """
    waiting: list[tuple[Json, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _MAX_NESTING:
            raise InvalidInputError(
                f"plugin {plugin}: its settings are nested more than {_MAX_NESTING} deep.",
                remedy="Give what the schema describes.",
            )
        if isinstance(value, (dict, list)):
            waiting += [(inner, depth + 1) for inner in (value.values() if isinstance(value, dict) else value)]


class SecretField(msgspec.Struct, frozen=True, kw_only=True):
    """A secret's place in a settings document."""

    path: Path
    generator: str = ""
    """How to make it if the operator gives none; empty: the operator must."""
    length: int | None = None
    names: tuple[str, ...] = ()
    """The hosts that a generated certificate is for."""
    required: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A settings document that was looked through."""

    complete: Document
    """With defaults filled in."""
    secrets: list[SecretField]
    """Every place where a secret stands or should stand, conditions considered."""
    missing: list[Finding]
    """Required fields that are not given: they block the plan, not the saving."""
    faults: list[Finding]
    """What does not fit: it is refused."""


def dotted(path: Path) -> str:
    """``arrays.0.token``."""
    return ".".join(str(part) for part in path)


def get(document: Json, path: Path) -> Json:
    """The value at a path, or ``None``."""
    for part in path:
        if isinstance(document, dict) and isinstance(part, str):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            return None
    return document


def put(document: Json, path: Path, value: Json) -> None:
    """Set the value at a path whose parents are there."""
    parent = get(document, path[:-1])
    last = path[-1]
    if isinstance(parent, dict) and isinstance(last, str):  # noqa: SIM114  one test for both would hide the types
        parent[last] = value
    elif isinstance(parent, list) and isinstance(last, int):
        parent[last] = value


def is_reference(value: Json) -> bool:
    """Whether a value stands for a stored secret."""
    return isinstance(value, dict) and SECRET in value


def compile_schema(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    """A validator that loads nothing and whose patterns take linear time.

    Raises:
        InvalidInputError: it is not a JSON Schema, or a pattern needs backtracking.
    """
    try:
        return jsonschema_rs.Draft202012Validator(
            dict(schema),
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 21),
            retriever=_load_nothing,
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise InvalidInputError(
            f"the settings' schema is not usable: {error}.",
            remedy="Use JSON Schema 2020-12 with patterns without look-around or back references.",
        ) from error


def check_schema(plugin: str, schema: Schema) -> list[Finding]:
    """Faults of a settings schema: not usable, or secrets where they cannot be found in a document for sure."""
    compile_schema(schema)
    hidden = sorted(set(_hidden_secrets(schema, schema, "", reachable=True, seen=frozenset())))
    return [
        Finding(
            rule="N004",
            message=f"the schema names its parts by {word!r}: secrets behind it would not be found.",
            remedy="Refer to parts of the schema as '#/$defs/NAME' only.",
            plugin=plugin,
            contribution="settings",
            field=word,
        )
        for word in sorted(set(_other_references(schema)))
    ] + [
        Finding(
            rule="N004",
            message=f"the secret at {place} stands in an alternative or an open map, where it could be stored in the clear.",
            remedy="Put secrets into plain fields, optional fields, groups or repeatable groups.",
            plugin=plugin,
            contribution="settings",
            field=place,
        )
        for place in hidden
    ]


def _other_references(schema: object) -> Iterator[str]:
    """References that we do not follow where secrets are looked for."""
    if isinstance(schema, list):
        for option in schema:
            yield from _other_references(option)
    elif isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference != "#" and not reference.startswith("#/"):
            yield reference
        for key, value in schema.items():
            if key in ("properties", "$defs") and isinstance(value, Mapping):
                yield from _other_references(list(value.values()))
            elif key in _BY_NAME and isinstance(value, str) and (key != "$id" or "#" in value):
                yield key
            elif key not in _DATA:
                yield from _other_references(value)


def _hidden_secrets(root: Schema, schema: object, place: str, *, reachable: bool, seen: frozenset[str]) -> Iterator[str]:
    if isinstance(schema, list):
        for option in schema:
            yield from _hidden_secrets(root, option, place, reachable=reachable, seen=seen)
        return
    if not isinstance(schema, Mapping):
        return
    if not reachable and schema.get("x-secret") not in (None, False):
        yield place
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in seen:
        yield from _hidden_secrets(root, resolve_pointer(root, reference), place, reachable=reachable, seen=seen | {reference})
    for key, value in schema.items():
        if key == "properties" and isinstance(value, Mapping):
            for name, field in value.items():
                yield from _hidden_secrets(root, field, f"{place}.{name}".lstrip("."), reachable=reachable, seen=seen)
        elif key not in _NOT_SCHEMAS:
            optional = key == "anyOf" and isinstance(value, list) and len(_not_null(value)) == 1
            inside = reachable and (key == "items" or optional)
            yield from _hidden_secrets(root, value, place, reachable=inside, seen=seen)


def _not_null(options: list[object]) -> list[Schema]:
    """The branches of an ``anyOf`` besides null."""
    return [schema for schema in map(_as_schema, options) if schema.get("type") != "null"]


def _as_schema(value: object) -> Schema:
    """A schema that is only ``true`` or ``false`` says nothing of fields."""
    return cast("Schema", value) if isinstance(value, Mapping) else {}


def resolve_pointer(root: Schema, reference: str) -> Schema:
    """The part of a schema that ``#/$defs/NAME`` names; empty if it is not there."""
    target: object = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, Mapping) else {}
    return cast("Schema", target) if isinstance(target, Mapping) else {}


def _load_nothing(uri: str) -> dict[str, object]:
    raise ValueError(f"schemas load nothing from elsewhere: {uri}")


def look_through(plugin: str, schema: Schema, given: Document) -> Settings:
    """Check a document, fill in defaults, find secrets.

    Args:
        plugin: whose settings they are, for messages.
        schema: the plugin's JSON Schema; an empty one allows no settings.
        given: what the operator gave; secrets as plain texts or as references.
    """
    walk = _Walk(plugin, schema, cast("Document", msgspec.json.decode(msgspec.json.encode(given))))
    walk.run()
    return Settings(complete=walk.document, secrets=walk.secrets, missing=walk.missing, faults=walk.faults)


class _Walk:
    """One look through a document, along its schema."""

    def __init__(self, plugin: str, schema: Schema, document: Document) -> None:
        self.plugin = plugin
        self.schema = schema
        self.document = document
        self.secrets: list[SecretField] = []
        self.missing: list[Finding] = []
        self.faults: list[Finding] = []
        self._inactive: list[Path] = []
        self._fields: list[tuple[Path, Schema, bool]] = []
        self._demanded: set[Path] = set()
        self._strangers_in: set[Path] = set()

    def run(self) -> None:
        """Fill in, decide conditions on the filled document, then judge."""
        self._fill(self.schema, self.document, ())
        for path, field, required in self._fields:
            secret = field.get("x-secret")
            if not self._active(path, field):
                self._inactive.append(path)
                if secret is not None and secret is not False:
                    self.secrets.append(SecretField(path=path, required=False))  # given all the same: never kept in the clear
            elif secret is not None and secret is not False:
                self._secret(path, secret, required=required)
            elif required and get(self.document, path) is None and not self._allows_null(field):
                self._miss(path, field)
        hidden = [*self._inactive, *(s.path for s in self.secrets if is_reference(get(self.document, s.path)))]
        missing = {finding.field for finding in self.missing} | {dotted(secret.path) for secret in self.secrets}
        for error in compile_schema(self.schema or {"type": "object"}).iter_errors(self.document):
            self._judge(error, hidden, missing)

    def _fill(self, schema: Schema, value: Json, path: Path) -> None:
        schema = self._resolve(schema)
        if len(path) > _MAX_DEPTH:
            return
        if isinstance(value, dict):
            self._fill_object(schema, value, path)
        elif isinstance(value, list) and isinstance(items := schema.get("items"), Mapping):
            for index, item in enumerate(value):
                self._fill(_as_schema(items), item, (*path, index))

    def _fill_object(self, schema: Schema, value: dict[str, Json], path: Path) -> None:
        properties = schema.get("properties")
        known = {str(name): _as_schema(field) for name, field in properties.items()} if isinstance(properties, Mapping) else {}
        required = cast("list[str]", schema.get("required") or [])
        if schema.get("additionalProperties", False) is False and "patternProperties" not in schema:
            for name in sorted(value.keys() - known.keys()):
                options = ", ".join(sorted(known)) or "none"
                self._strangers_in.add(path)
                self._fault("N002", (*path, name), "there is no such setting.", f"Use one of: {options}.")
        for name, field in known.items():
            merged = {**self._resolve(field), **field}
            if name not in value:
                if "default" in merged:
                    value[name] = cast("Json", msgspec.json.decode(msgspec.json.encode(merged["default"])))
                elif merged.get("type") == "object" and name in required and len(path) < _MAX_DEPTH:
                    value[name] = {}
            self._fields.append(((*path, name), merged, name in required))
            if name in required:
                self._demanded.add((*path, name))
            if not is_reference(value.get(name)):
                self._fill(merged, value.get(name), (*path, name))

    def _resolve(self, schema: Schema) -> Schema:
        """Follow references inside the schema, and the one branch of an optional field that is not null."""
        for _ in range(_MAX_DEPTH):
            reference = schema.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/"):
                target = resolve_pointer(self.schema, reference)
                schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
            elif isinstance(options := schema.get("anyOf"), list):
                filled = _not_null(options)
                if len(filled) != 1:
                    break
                schema = {**filled[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
            else:
                break
        return schema

    @staticmethod
    def _allows_null(field: Schema) -> bool:
        kind, options = field.get("type"), field.get("anyOf")
        return (
            kind == "null"
            or (isinstance(kind, list) and "null" in kind)
            or (isinstance(options, list) and len(_not_null(options)) < len(options))
        )

    def _active(self, path: Path, field: Schema) -> bool:
        if any(path[: len(parent)] == parent for parent in self._inactive):
            return False
        source = field.get("x-when")
        if not isinstance(source, str):
            return True
        if _LOOPS.search(_QUOTED.sub("''", source)):
            self._fault("N005", path, f"its condition {source!r} has a loop.", "Conditions of settings compare values only.")
            return True
        try:
            return compile_expression(source).evaluate({"settings": self.document, "item": get(self.document, path[:-1])}) is True
        except ExpressionError as error:
            self._undecided(path, f"its condition {source!r} cannot be decided", error, "Mend x-when in the plugin's schema.")
            return True

    def _secret(self, path: Path, how: object, *, required: bool) -> None:
        options = how if isinstance(how, Mapping) else {}
        generator, length = str(options.get("generator") or ""), options.get("length")
        field = SecretField(path=path, generator=generator, length=length if isinstance(length, int) else None, required=required)
        if isinstance(source := options.get("names"), str):
            field = msgspec.structs.replace(field, names=self._names(path, source))
        self.secrets.append(field)
        if required and not generator and get(self.document, path) in (None, ""):
            self._miss(path, {})

    def _names(self, path: Path, source: str) -> tuple[str, ...]:
        """The hosts of a certificate: what the expression ``names`` gives."""
        try:
            found = compile_expression(source).evaluate({"settings": self.document, "item": get(self.document, path[:-1])})
        except ExpressionError as error:
            self._undecided(path, f"its names {source!r} cannot be decided", error, "Mend x-secret.names in the schema.")
            return ()
        names = found if isinstance(found, list) else [found]
        texts = tuple(name for name in names if isinstance(name, str) and name)
        if len(texts) != len([name for name in names if name != ""]):
            self._fault("N005", path, f"what {source!r} gives are not all texts.", "Mend x-secret.names in the schema.")
        return texts

    def _undecided(self, path: Path, what: str, error: ExpressionError, remedy: str) -> None:
        why = "" if quotes_a_value(error.reason, self.document) else f": {error.reason}"
        self._fault("N005", path, f"{what}{why}.", remedy)

    def _judge(self, error: jsonschema_rs.ValidationError, hidden: list[Path], missing: set[str]) -> None:
        path: Path = tuple(error.instance_path)
        if any(path[: len(parent)] == parent for parent in hidden):
            return
        keyword = str(error.kind.name)
        if keyword == "required" and (*path, str(error.kind.as_dict().get("property"))) in self._demanded:
            return  # told as missing, with the field's name
        if keyword in ("falseSchema", "additionalProperties") and path in self._strangers_in:
            return  # told as unknown, with the field's name
        if dotted(path) in missing and (
            get(self.document, path) in (None, "") or all(secret.path != path for secret in self.secrets)
        ):
            return
        self._fault("N003", path, f"{reason(error)}.", "See the plugin's description of the setting.")

    def _fault(self, rule: str, path: Path, message: str, remedy: str) -> None:
        self.faults.append(self._finding(rule, path, message, remedy))

    def _miss(self, path: Path, field: Schema) -> None:
        title = field.get("title")
        what = f" ({title})" if title else ""
        self.missing.append(
            self._finding("N001", path, f"it is required{what} and not given.", "Give it a value in the plugin's settings.")
        )

    def _finding(self, rule: str, path: Path, message: str, remedy: str) -> Finding:
        return Finding(
            rule=rule,
            message=f"setting {dotted(path) or '(all)'}: {message}",
            remedy=remedy,
            plugin=self.plugin,
            contribution="settings",
            field=dotted(path),
        )


def references(document: Json, path: Path = ()) -> Iterator[tuple[Path, dict[str, Json]]]:
    """Every reference to a stored secret in a document, with its place."""
    if isinstance(document, dict):
        if SECRET in document:
            yield path, document
            return
        for key, value in document.items():
            yield from references(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from references(value, (*path, index))
