# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Environment files in YAML: read with distrust, faults told with their lines; written so that equal ones are equal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import yaml

from stoker.domain.environment_file import EnvironmentFile, FileNode, FileOverride, FilePlugin
from stoker.errors import InvalidInputError

_MOST_BYTES: Final = 16 * 1024 * 1024
_DEEPEST: Final = 100
_SHOWN: Final = 10
_MEMBERS: Final = {"plugins": FilePlugin, "nodes": FileNode, "overrides": FileOverride}
_HEADER: Final = (
    "# An environment as a file: change it, look with 'stoker env diff', bring it about with 'stoker env apply'.\n"
    "# It holds no secret: {$secret: NAME} names one that the operator gave, {$generated: true} one that the server makes.\n"
)


def write(document: Mapping[str, object]) -> str:
    """A document as YAML: comment first, then format, names, plugins, nodes, overrides."""
    order = [field for field in EnvironmentFile.__struct_fields__ if field in document]
    parts = [yaml.safe_dump({field: document[field]}, sort_keys=True, allow_unicode=True, width=120) for field in order]
    return _HEADER + "".join(parts)


def read(path: Path) -> dict[str, object]:
    """A document from a file ('-' for standard input).

    Raises:
        InvalidInputError: it cannot be read, is no plain YAML, or has keys that mean nothing; each is told with its line.
    """
    text = _text(path)
    try:
        _refuse_tricks(path, text)
        node = yaml.compose(text, yaml.SafeLoader)
        faults = list(_faults(node)) if node is not None else []
        if node is None or not isinstance(node, yaml.MappingNode):
            raise InvalidInputError(f"{path} does not hold an environment.", remedy="'stoker env export ENV' writes one.")
        if faults:
            shown = "; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else "")
            raise InvalidInputError(f"{path}: {shown}.", remedy="Mend the lines that are named.")
        document = yaml.safe_load(text)
        msgspec.json.encode(document)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not YAML: {error}.", remedy="'stoker env export ENV' writes one.") from error
    except InvalidInputError:
        raise
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError) as error:  # e.g. of !!bool and !!timestamp
        raise InvalidInputError(
            f"{path} has a value that is no text, number, truth value, list or map: {error}.",
            remedy="Write what is a text in quotes.",
        ) from error
    found: dict[str, object] = document
    return found


def _text(path: Path) -> str:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with path.open("rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InvalidInputError(
                f"{path} has more than {_MOST_BYTES // 1024 // 1024} MiB.", remedy="Name an environment's file."
            )
        return data.decode()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.", remedy="Name an environment's file.") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not UTF-8 (byte {error.start}).", remedy="Save it as UTF-8.") from error


def _refuse_tricks(path: Path, text: str) -> None:
    """Aliases make a small file large, and depth breaks whoever walks through it."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.AliasEvent):
            raise InvalidInputError(f"{path}, line {line}: aliases (*name) are not read.", remedy="Write the value out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise InvalidInputError(f"{path}, line {line}: it is nested too deeply.", remedy="Name an environment's file.")


def _faults(root: yaml.Node) -> Iterator[str]:
    yield from _twice(root)
    yield from _unknown(root, EnvironmentFile.__struct_fields__, "the file")
    for key, value in _pairs(root):
        if key not in _MEMBERS:
            continue
        known = _MEMBERS[key].__struct_fields__
        if isinstance(value, yaml.SequenceNode):
            for item in value.value:
                yield from _unknown(item, known, key)
        else:
            for name, item in _pairs(value):
                yield from _unknown(item, known, f"{key}.{name}")


def _unknown(node: yaml.Node, known: tuple[str, ...], where: str) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if key.value not in known:
                yield f"line {key.start_mark.line + 1}: {where} has no field {str(key.value)[:100]!r} (but {', '.join(known)})"


def _twice(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield f"line {key.start_mark.line + 1}: {name[:100]!r} is there twice"
            seen.add(name)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)


def _pairs(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), value) for key, value in node.value)
