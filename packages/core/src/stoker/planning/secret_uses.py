# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Uses of secrets: whether an expression does more to a secret than join it to other texts; seen without evaluating."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_KEEPING: Final = frozenset({"string", "has", "dyn", "map", "filter", "all", "exists", "exists_one"})
"""Functions that leave a secret as it is, and macros, which only name it."""
_EMPTY: Final = r"(?:''|\"\"|null)"
"""What a secret may be compared with: whether there is one can be told."""


def secret_paths(value: object, path: str = "settings") -> Iterator[str]:
    """Dotted paths of the secrets of a settings document; ``[]`` stands for every place of a list."""
    if isinstance(value, Mapping):
        if "$secret" in value:
            yield path
            return
        for key, item in value.items():
            yield from secret_paths(item, f"{path}.{key}")
    elif isinstance(value, list):
        yield from dict.fromkeys(found for item in value for found in secret_paths(item, f"{path}[]"))


def misuse(source: str, path: str) -> str:
    """What an expression does to the secret at a path besides joining it, in words; empty if nothing is seen."""
    if path.split("[", maxsplit=1)[0] not in source:
        return ""
    return next((found for place in _places(source, path) if (found := _misuse(source, place))), "")


def _places(source: str, path: str) -> Iterator[str]:
    """Patterns of how the secret can be named: by its path, by an index, or by the name that a macro gives to a list's item."""
    outer, inside, rest = path.partition("[]")
    if not inside:
        yield re.escape(path)
        return
    yield rf"{re.escape(outer)}\s*\[[^\]]*\]{re.escape(rest)}"
    for name in re.findall(rf"(?<![\w.]){re.escape(outer)}\s*\.\s*\w+\s*\(\s*([A-Za-z_]\w*)\s*,", source):
        yield from _places(source, f"{name}{rest}")


def _misuse(source: str, name: str) -> str:
    place = rf"(?<![\w.]){name}(?![\w])"
    method = re.search(rf"{place}\s*\.\s*([A-Za-z_]\w*)\s*\(", source)
    if method:
        return f"applies {method[1]}() to it"
    for function in re.finditer(rf"([A-Za-z_]\w*)\s*\(\s*{place}\s*[,)]", source):
        if function[1] not in _KEEPING:
            return f"applies {function[1]}() to it"
    if re.search(rf"{place}\s*\[", source):
        return "takes a part of it"
    after = re.search(rf"{place}\s*(==|!=|<=?|>=?|in\b)(?!\s*{_EMPTY}(?![\w'\"]))", source)
    before = re.search(rf"(?<!'')(?<!\"\")(?<!null)(?<![\s=!<>])\s*(==|!=|<=?|>=?|\bin\b)\s*{place}", source)
    return "compares it" if after or before else ""
