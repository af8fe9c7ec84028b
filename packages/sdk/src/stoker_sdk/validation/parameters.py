# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters: whether the values that a task gives fit the schema of its kind, as far as they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NoReturn

import jsonschema_rs
import msgspec

_ABOUT_ALL: Final = frozenset({"minProperties", "maxProperties", "anyOf", "oneOf", "allOf", "not", "if", "then", "else"})
"""Keywords that judge an object as a whole: nothing can be said while a value is missing."""


def misfits(
    schema: Mapping[str, object], values: Mapping[str, object], unknown: frozenset[str] = frozenset()
) -> Iterator[jsonschema_rs.ValidationError]:
    """Every way in which values do not fit a schema.

    Args:
        schema: JSON Schema of an object.
        values: those that are known.
        unknown: names of values that are given, but not known yet.

    Raises:
        ValueError: the schema is none that can be used.
    """
    for error in schema_validator(msgspec.json.encode(schema)).iter_errors(dict(values)):
        about_all = not error.instance_path
        keyword = str(error.kind.name)
        if unknown and about_all and keyword == "required" and str(error.kind.as_dict().get("property")) in unknown:
            continue
        if unknown and about_all and keyword in _ABOUT_ALL:
            continue
        yield error


@lru_cache(maxsize=64)
def schema_validator(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    """A validator that loads nothing from elsewhere, and whose patterns take linear time.

    Raises:
        ValueError: it is not a schema, or leans on one that is elsewhere.
    """
    try:
        return jsonschema_rs.Draft202012Validator(
            msgspec.json.decode(schema),
            pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 21),
            retriever=_load_nothing,
        )
    except jsonschema_rs.ReferencingError as error:
        raise ValueError(str(error)) from error


def _load_nothing(uri: str) -> NoReturn:
    raise ValueError(f"schemas load nothing from elsewhere: {uri}")
