# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Hooks: what nodes show of their asset, assets of nodes that come and go, and the file on each node."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from stoker_sdk import ref
from stoker_sdk.context import Context, Event, Object, PlanInput
from stoker_sdk.extension_points import config_files
from stoker_sdk.model.json_value import JSON

from stoker_plugin_inventory import assets

FILE: Final = "/etc/asset-label"
_LOOKED_UP: Final = 500
"""Records that are asked for at once."""
_LONGEST: Final = 3500
"""Characters of one expression, with room to the limit."""


def show_assets(objects: Sequence[Object], context: Context) -> dict[str, JSON]:
    """The asset of each node that has a label."""
    return dict(_labelled(context, [item.id for item in objects]))


def come_and_gone(event: Event, context: Context) -> None:
    """A node that comes gets an asset without a label; one that goes takes its own along."""
    if event.name == "node.removed":
        context.records.delete(assets.COLLECTION, [event.object_id])
    elif context.records.get(assets.COLLECTION, event.object_id) is None:
        context.records.put(assets.COLLECTION, event.object_id, assets.document({}, {}))


def label_files(plan: PlanInput, context: Context) -> list[config_files.WholeFile]:
    """A file with the label on each node that has one."""
    if not plan.settings["write_file"]:
        return []
    texts = {key: assets.text(kept) for key, kept in _labelled(context, [node.id for node in plan.nodes])}
    return [
        config_files.WholeFile(
            path=FILE,
            content=ref(f"{{{', '.join(f'{_quoted(key)}: {_quoted(text)}' for key, text in part.items())}}}[node.id]"),
            when=f"node.id in [{', '.join(map(_quoted, part))}]",
        )
        for part in _parts(texts)
    ]


def _labelled(context: Context, keys: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The assets of these nodes that have a label."""
    for start in range(0, len(keys), _LOOKED_UP):
        found = context.records.get_many(assets.COLLECTION, keys[start : start + _LOOKED_UP])
        for key, record in found.items():
            kept = cast("Mapping[str, Any]", record.value)
            if kept["label"]:
                yield key, kept


def _parts(texts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """As many at once as fit into an expression: one contribution for each node would be evaluated for every other node."""
    part: dict[str, str] = {}
    size = 0
    for key, text in texts.items():
        needed = len(_quoted(key)) + len(_quoted(text)) + 4
        if part and size + needed > _LONGEST:
            yield part
            part, size = {}, 0
        part[key] = text
        size += needed
    if part:
        yield part


def _quoted(text: str) -> str:
    """A text in an expression."""
    return json.dumps(text, ensure_ascii=False)
