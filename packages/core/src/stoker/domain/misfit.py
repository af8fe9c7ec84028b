# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Why a value does not fit its schema: told by keyword and limit, never with the value, which may be or hold a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import jsonschema_rs
import msgspec

_REASONS: Final = {
    "type": "it must be of type {types}",
    "enum": "it must be one of {options}",
    "const": "it must be {expected_value}",
    "minimum": "it must be at least {limit}",
    "maximum": "it must be at most {limit}",
    "exclusiveMinimum": "it must be more than {limit}",
    "exclusiveMaximum": "it must be less than {limit}",
    "multipleOf": "it must be a multiple of {multiple_of}",
    "minLength": "it must have at least {limit} characters",
    "maxLength": "it must have at most {limit} characters",
    "pattern": "it must match the pattern {pattern}",
    "format": "it must have the format {format}",
    "minItems": "it must have at least {limit} items",
    "maxItems": "it must have at most {limit} items",
    "uniqueItems": "its items must differ from each other",
    "minProperties": "it must have at least {limit} fields",
    "maxProperties": "it must have at most {limit} fields",
    "falseSchema": "nothing is allowed here, or one of its fields is too much",
    "additionalProperties": "one of its fields is too much",
    "required": "its field {property} is required",
}
_SHOWN = 200


def reason(error: jsonschema_rs.ValidationError) -> str:
    """One clause about a value; all it quotes is the schema."""
    keyword = str(error.kind.name)
    told = _REASONS.get(keyword)
    if told is None:
        return f"it does not fit the schema's '{keyword}'"
    limits = error.kind.as_dict()
    return told.format_map({key: _shown(value) for key, value in limits.items() if key != "value"})


def _shown(limit: object) -> str:
    if isinstance(limit, Sequence) and not isinstance(limit, str):
        return " or ".join(str(item) if isinstance(item, str) else msgspec.json.encode(item).decode() for item in limit)[:_SHOWN]
    text = limit if isinstance(limit, str) else msgspec.json.encode(limit).decode()
    return text[:_SHOWN]


def quotes_a_value(text: str, document: object) -> bool:
    """Whether a text repeats anything that stands in a document: evaluators quote what they stumble over."""
    if isinstance(document, Mapping):
        return any(quotes_a_value(text, value) for value in document.values())
    if isinstance(document, list):
        return any(quotes_a_value(text, value) for value in document)
    return document not in (None, "", True, False) and str(document) in text
