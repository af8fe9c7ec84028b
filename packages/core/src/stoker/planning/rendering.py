# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Rendering: merged options become the lines of a complete file, each with its origins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from stoker.planning.merge import MergedOption
from stoker.planning.secret_places import encoded, holds_secret
from stoker.planning.values import write_text

Line: TypeAlias = tuple[str, list[int]]
"""A line without its end, and the indexes of its origins."""

BANNER: Final = "Managed by Stoker: changes made here are shown as drift and mended."

_PLAIN_SCALAR = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@ -]*(?<![: ])")
_RESERVED: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "~", "y", "n", ""})


class UnwritableError(ValueError):
    """A value cannot stand in a file of this format."""


def render(
    format_name: str, header: str, declared: Sequence[int], options: Sequence[MergedOption], sections: Sequence[str] = ()
) -> list[Line]:
    """The lines of a file.

    Args:
        format_name: ``ini``, ``yaml``, ``plain`` or ``blocks``.
        header: comment for the top, without comment signs.
        declared: origins of the file's declaration.
        options: from :meth:`stoker.planning.merge.Merger.merge`.
        sections: those that come first, in this order.

    Raises:
        UnwritableError: a value does not fit the format.
    """
    lines: list[Line] = [(f"# {text}".rstrip(), list(declared)) for text in (BANNER, *header.splitlines())]
    places = {name: number for number, name in enumerate(sections)}
    return lines + _RENDERERS[format_name](sorted(options, key=lambda option: places.get(option.section, len(places))))


def _one_line(option: MergedOption, text: str) -> str:
    if "\n" in text or "\r" in text or "\0" in text:
        raise UnwritableError(f"{option.key}: a value of more than one line cannot stand in such a file")
    return encoded(text, "line")


def _ini(options: Sequence[MergedOption]) -> list[Line]:
    sections: dict[str, list[MergedOption]] = {"": []}
    for option in options:
        sections.setdefault(option.section, []).append(option)
    names = sorted(sections, key=lambda name: (name != "", name != "DEFAULT"))
    lines: list[Line] = []
    for name in names:
        members = sections[name]
        if name and members:
            owners = sorted({origin for option in members for origin in option.origins})
            lines += [("", owners), (_one_line(members[0], f"[{name}]"), owners)]
        for option in members:
            if isinstance(option.value, list):
                text = option.separator.join(write_text(item) for item in option.value)
            else:
                text = write_text(option.value)
            lines.append((_one_line(option, f"{option.key} = {text}".rstrip()), option.origins))
    return lines


def _plain(options: Sequence[MergedOption]) -> list[Line]:
    return [line for option in options for line in _key_and_value(option)]


def _key_and_value(option: MergedOption) -> list[Line]:
    if option.items is not None:
        return [(_one_line(option, f"{option.key} {item.text}".rstrip()), item.origins) for item in option.items]
    if option.value is True:
        return [(_one_line(option, option.key), option.origins)]
    if option.value is False:
        return []
    value = option.value
    text = " ".join(write_text(item) for item in value) if isinstance(value, list) else write_text(value)
    return [(_one_line(option, f"{option.key} {text}".rstrip()), option.origins)]


def _blocks(options: Sequence[MergedOption]) -> list[Line]:
    sections: dict[str, list[MergedOption]] = {"": []}
    for option in options:
        sections.setdefault(option.section, []).append(option)
    lines: list[Line] = []
    for name, members in sections.items():
        inner = [line for option in members for line in _key_and_value(option)]
        if name:
            owners = sorted({origin for option in members for origin in option.origins})
            lines += [("", owners), (_one_line(members[0], name), owners)]
            inner = [(f"    {text}", origins) for text, origins in inner]
        lines += inner
    return lines


def _scalar(value: object) -> str:
    if isinstance(value, str) and holds_secret(value):
        # Whatever the secret is, it stays a text: in double quotes every character can be written.
        return encoded(json.dumps(value, ensure_ascii=False), "quoted")
    if isinstance(value, str):
        plain = (
            _PLAIN_SCALAR.fullmatch(value)
            and ": " not in value
            and value.lower() not in _RESERVED
            and not re.match(r"[0-9.]", value)
        )
        return value if plain else json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    return write_text(value)


_Tree: TypeAlias = "dict[str, _Tree | MergedOption]"


def _yaml(options: Sequence[MergedOption]) -> list[Line]:
    tree: _Tree = {}
    for option in options:
        place = tree
        for part in option.section.split(".") if option.section else []:
            inner = place.setdefault(part, {})
            if isinstance(inner, MergedOption):
                raise UnwritableError(f"{option.section}: {part} is a value elsewhere, so it cannot be a section")
            place = inner
        if isinstance(place.get(option.key), dict):
            raise UnwritableError(f"{option.key}: it is a section elsewhere, so it cannot be a value")
        place[option.key] = option
    return _yaml_lines(tree, 0)


def _owners(tree: _Tree) -> list[int]:
    found: set[int] = set()
    for value in tree.values():
        found.update(value.origins if isinstance(value, MergedOption) else _owners(value))
    return sorted(found)


def _yaml_lines(tree: _Tree, depth: int) -> list[Line]:
    pad = "  " * depth
    lines: list[Line] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines.append((f"{pad}{_scalar(key)}:", _owners(value)))
            lines += _yaml_lines(value, depth + 1)
        elif value.items is not None:
            lines.append((f"{pad}{_scalar(key)}:", value.origins))
            lines += [(f"{pad}  - {_scalar(item.text)}", item.origins) for item in value.items]
        elif isinstance(value.value, list):
            lines.append((f"{pad}{_scalar(key)}:" + ("" if value.value else " []"), value.origins))
            lines += [(f"{pad}  - {_scalar(item)}", value.origins) for item in value.value]
        else:
            lines.append((f"{pad}{_scalar(key)}: {_scalar(value.value)}", value.origins))
    return lines


_RENDERERS: Final[dict[str, Callable[[Sequence[MergedOption]], list[Line]]]] = {
    "ini": _ini,
    "plain": _plain,
    "yaml": _yaml,
    "blocks": _blocks,
}
