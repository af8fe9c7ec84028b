# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What serializer hooks give: checked against the declared schema, object by object, and encoded once."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Final

import jsonschema_rs
import msgspec

from stoker.domain.misfit import reason
from stoker.domain.serializer_hook import declared_hooks
from stoker.domain.settings import compile_schema
from stoker.errors import InvalidInputError

MAX_FRAGMENT: Final = 16 * 1024
"""Bytes that one hook may add to one object."""
_KEPT: Final = 1024


class Judged(msgspec.Struct, frozen=True):
    """What came of one call."""

    fragments: dict[str, msgspec.Raw | None]
    """Object -> what is added; ``None`` for those that the hook left out."""
    fault: str = ""
    """Why some objects have no fresh data; empty if all have."""


def judge(manifest: str, name: str, asked: Collection[str], answer: bytes) -> Judged:
    """Look through the answer of a plugin's hook.

    Args:
        manifest: of the plugin, as JSON text.
        name: the hook's.
        asked: the objects that it was asked about.
        answer: as JSON.

    Raises:
        InvalidInputError: nothing of it can be used.
    """
    try:
        given = msgspec.json.decode(answer, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"it gave no data by the objects' ids: {error}", remedy="Give a dict: id -> data of the object."
        ) from error
    if strange := sorted(given.keys() - set(asked)):
        raise InvalidInputError(
            f"it gave data for {strange[0][:80]!r}, an object that it was not asked about.", remedy="Use the ids of the objects."
        )
    validator = _validator(manifest, name)
    fragments: dict[str, msgspec.Raw | None] = {identity: None for identity in asked if identity not in given}
    fault = ""
    for identity, data in given.items():
        encoded = msgspec.json.encode(data)
        if len(encoded) > MAX_FRAGMENT:
            fault = fault or f"object {identity}: {len(encoded)} bytes are more than {MAX_FRAGMENT}"
        elif not validator.is_valid(data):
            fault = fault or f"object {identity}: {_misfit(validator, data)}"
        else:
            fragments[identity] = msgspec.Raw(encoded)
    return Judged(fragments, fault)


def _misfit(validator: jsonschema_rs.Draft202012Validator, data: object) -> str:
    error = next(iter(validator.iter_errors(data)), None)
    if error is None:
        return "it does not fit the schema"
    place = ".".join(str(part) for part in error.instance_path)
    return f"{place or 'the data'}: {reason(error)}"


@lru_cache(maxsize=_KEPT)
def _validator(manifest: str, name: str) -> jsonschema_rs.Draft202012Validator:
    return compile_schema(declared_hooks(manifest)[name].schema)
