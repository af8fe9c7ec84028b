# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The second front door: ``plugin.yaml``, read without any of YAML's surprises."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Final

import yaml

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.manifest import LineOf, read_manifest
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin

MAX_BYTES: Final = 4 * 1024 * 1024
_BOOL: Final = "tag:yaml.org,2002:bool"


class _Refused(yaml.YAMLError):
    """Something that YAML allows and a plugin does not need."""

    def __init__(self, reason: str, line: int) -> None:
        self.reason = reason
        self.line = line
        super().__init__(reason)


class _Loader(yaml.SafeLoader):
    """Plain data only: no tags, no aliases, no duplicate keys; ``true`` and ``false`` are the only booleans."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # its stub has no annotations
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Refused("anchors and aliases are not allowed", event.start_mark.line + 1)
        tag = getattr(event, "tag", None)
        if tag is not None and not (isinstance(event, yaml.ScalarEvent) and tag == "!"):
            raise _Refused(f"the tag {tag} is not allowed", event.start_mark.line + 1)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise _Refused(f"the key {name!r} is not a text", key.start_mark.line + 1)
            if name in seen:
                raise _Refused(f"the key {name!r} is there twice", key.start_mark.line + 1)
            seen.add(name)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads `on`, `yes` and the like as booleans, so that the field `on: remove` would lose its name.
_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in (_BOOL, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge")
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _letter, _pattern in (("t", r"^true$"), ("f", r"^false$")):
    _Loader.add_implicit_resolver(_BOOL, re.compile(_pattern), [_letter])


def read_yaml(path: Path) -> Plugin:
    """The plugin that a ``plugin.yaml`` describes.

    Raises:
        InvalidPluginError: it is not such a file; file, line and remedy are named.
    """
    name = path.parent.name
    data = path.read_bytes()
    if len(data) > MAX_BYTES:
        raise InvalidPluginError(name, [_finding(path, 0, f"it is larger than {MAX_BYTES} bytes", "Y004")])
    try:
        loader = _Loader(data)
        tree: yaml.Node | None = loader.get_single_node()
        document = loader.construct_document(tree) if tree is not None else None
    except _Refused as error:
        raise InvalidPluginError(name, [_finding(path, error.line, error.reason, "Y002")]) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        raise InvalidPluginError(
            name, [_finding(path, mark.line + 1 if mark else 0, f"it is not YAML: {reason}", "Y001")]
        ) from error
    if not isinstance(document, dict):
        raise InvalidPluginError(name, [_finding(path, 1, "it is not a map of fields", "Y003")])
    return read_manifest(document, file=path.name, line_of=lambda steps: _line_of(tree, steps))


def line_finder(path: Path) -> LineOf:
    """Gives the lines of places in a ``plugin.yaml`` that was read without a fault."""
    tree: yaml.Node | None = _Loader(path.read_bytes()).get_single_node()
    return lambda steps: _line_of(tree, steps)


def _line_of(node: yaml.Node | None, steps: Sequence[str | int]) -> int:
    """The line of the deepest step that is there."""
    mark = node.start_mark if node is not None else None
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == step), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            mark = node.start_mark
    return mark.line + 1 if mark is not None else 0


def _finding(path: Path, line: int, message: str, rule: str) -> Finding:
    return Finding(
        rule=rule,
        file=path.name,
        line=line,
        message=f"{message}.",
        remedy="Write plain YAML: maps, lists, texts, numbers, true, false.",
    )
