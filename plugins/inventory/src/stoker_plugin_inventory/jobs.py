# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs: importing labels from a list, and counting nodes with and without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, cast

from stoker_sdk.context import Context, Job
from stoker_sdk.model.json_value import JSON

from stoker_plugin_inventory import assets, environment_nodes
from stoker_plugin_inventory.label_settings import fits

_TEXT: Final = {"type": "string", "maxLength": 200}
IMPORT_FORM: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {
        "labels": {
            "type": "array",
            "title": "One for each node",
            "minItems": 1,
            "maxItems": 1000,
            "items": {
                "type": "object",
                "properties": dict.fromkeys(("node", *assets.FIELDS), _TEXT),
                "required": ["node", "label"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["labels"],
    "additionalProperties": False,
}
_COUNT: Final = {"type": "integer", "minimum": 0}
IMPORTED: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {"imported": _COUNT, "skipped": _COUNT},
    "required": ["imported", "skipped"],
}
COUNTED: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {"labelled": _COUNT, "missing": _COUNT, "owners": {"type": "object", "additionalProperties": _COUNT}},
    "required": ["labelled", "missing", "owners"],
}
_BATCH: Final = 100


def import_labels(job: Job, context: Context) -> dict[str, JSON]:
    """Write the labels of the form, a batch at a time; after a restart from the batch that it came to."""
    given = cast("list[Mapping[str, str]]", job.form["labels"])
    state = cast("Mapping[str, int]", job.state or {})
    at, imported, skipped = state.get("at", 0), state.get("imported", 0), state.get("skipped", 0)
    ids = {name: key for key, name in environment_nodes.names(context).items()}
    while at < len(given) and not job.cancelled:
        batch: dict[str, JSON] = {}
        for item in given[at : at + _BATCH]:
            if item["node"] not in ids:
                job.log(f"{item['node']}: the environment has no such node")
            elif not fits(item["label"], context.settings):
                job.log(f"{item['node']}: {item['label']!r} does not look like a label")
            else:
                batch[ids[item["node"]]] = assets.document(item, {})
        context.records.put_many(assets.COLLECTION, batch)
        done = min(len(given), at + _BATCH)
        imported, skipped, at = imported + len(batch), skipped + done - at - len(batch), done
        job.checkpoint({"at": at, "imported": imported, "skipped": skipped})
        job.progress(at / len(given), f"{at} of {len(given)}")
    return {"imported": imported, "skipped": skipped}


def recount(job: Job, context: Context) -> dict[str, JSON]:
    """Count nodes with and without a label, and those of each owner."""
    keys = sorted(environment_nodes.names(context))
    owners: Counter[str] = Counter()
    labelled = 0
    for start in range(0, len(keys), _BATCH):
        if job.cancelled:
            break
        found = context.records.get_many(assets.COLLECTION, keys[start : start + _BATCH])
        for record in found.values():
            kept = cast("Mapping[str, Any]", record.value)
            if kept["label"]:
                labelled += 1
                owners[str(kept.get("owner") or "nobody")] += 1
        job.progress(min(1.0, (start + _BATCH) / len(keys)), f"{min(len(keys), start + _BATCH)} of {len(keys)} nodes")
    return {"labelled": labelled, "missing": len(keys) - labelled, "owners": dict(owners)}
