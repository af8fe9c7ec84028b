# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The application: labels read and written over HTTP, with Flask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import flask
from stoker_sdk import RESTAPIPlugin
from stoker_sdk.context import current
from stoker_sdk.errors import RecordsError

from stoker_plugin_inventory import assets, environment_nodes
from stoker_plugin_inventory.label_settings import fits

_LOOKED_UP: Final = 500
"""Records that are asked for at once."""

app = flask.Flask("stoker_plugin_inventory")


class Labels(RESTAPIPlugin):
    """Answers at ``/api/environments/ENV/plugins/inventory/``."""

    application = app


def problem(status: int, kind: str, detail: str, remedy: str) -> flask.Response:
    """An error as the server's own look."""
    document = {
        "type": f"urn:stoker:problem:{kind}",
        "title": kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "remedy": remedy,
    }
    answer = flask.jsonify(document)
    answer.status_code, answer.mimetype = status, "application/problem+json"
    return answer


@app.errorhandler(LookupError)
def _not_there(error: LookupError) -> flask.Response:
    return problem(404, "not-found", f"{error}.", "'stoker inventory labels --env ENV' shows the nodes of an environment.")


@app.errorhandler(RecordsError)
def _refused(error: RecordsError) -> flask.Response:
    return problem(422, "invalid-input", error.detail, error.remedy)


@app.get("/labels")
def list_labels() -> flask.Response:
    """The nodes' labels, by the nodes' names; of one rack, or those that are missing."""
    context = current()
    names = environment_nodes.names(context)
    rack, missing = flask.request.args.get("rack"), flask.request.args.get("missing") == "true"
    kept: dict[str, Mapping[str, Any]] = {}
    if rack is not None:
        after = ""
        while True:
            page = context.records.find(assets.COLLECTION, assets.in_rack(rack), after=after, limit=_LOOKED_UP)
            kept |= {record.key: _document(record.value) for record in page.records}
            if not (after := page.next):
                break
    else:
        keys = list(names)
        for start in range(0, len(keys), _LOOKED_UP):
            found = context.records.get_many(assets.COLLECTION, keys[start : start + _LOOKED_UP])
            kept |= {key: _document(record.value) for key, record in found.items()}
    rows = []
    for key, name in sorted(names.items(), key=lambda item: item[1]):
        shown = assets.row(kept[key]) if key in kept else {}
        if (rack is None or key in kept) and not (missing and shown.get("label")):
            rows.append({"node": name, **dict.fromkeys(assets.FIELDS, ""), **shown})
    return flask.jsonify({"items": rows})


@app.get("/labels/<node>")
def show_label(node: str) -> flask.Response:
    """One node's label."""
    context = current()
    record = context.records.get(assets.COLLECTION, environment_nodes.identity(context, node))
    if record is None or not _document(record.value)["label"]:
        return problem(404, "not-found", f"node {node} has no label.", f"Give it one: stoker inventory set-label {node} LABEL")
    return flask.jsonify({"node": node, **assets.row(_document(record.value))})


@app.put("/labels/<node>")
def put_label(node: str) -> flask.Response:
    """Give a node a label; fields that are left out stay as they were."""
    context = current()
    given = flask.request.get_json(silent=True)
    if not isinstance(given, dict) or not set(given) <= set(assets.FIELDS):
        known = ", ".join(assets.FIELDS)
        return problem(422, "invalid-input", f"a label is a JSON object with some of {known}.", "Send such an object.")
    key = environment_nodes.identity(context, node)
    old = context.records.get(assets.COLLECTION, key)
    made = assets.document(given, assets.row(_document(old.value)) if old is not None else {})
    if not fits(str(made["label"]), context.settings):
        pattern = context.settings.get("label_pattern")
        return problem(
            422,
            "invalid-input",
            f"{made['label']!r} does not look like a label: it must match {pattern}.",
            "Read the sticker again, or change the setting label_pattern.",
        )
    context.records.put(assets.COLLECTION, key, made, revision=old.revision if old is not None else 0)
    return flask.jsonify({"node": node, **assets.row(made)})


@app.delete("/labels/<node>")
def drop_label(node: str) -> flask.Response:
    """Take a node's label away."""
    context = current()
    dropped = context.records.delete(assets.COLLECTION, [environment_nodes.identity(context, node)])
    return flask.jsonify({"node": node, "dropped": bool(dropped)})


@app.get("/openapi.json")
def describe() -> flask.Response:
    """What this application answers to."""
    text = {"type": "string"}
    fields = {"type": "object", "properties": dict.fromkeys(assets.FIELDS, text)}
    shown = {"type": "object", "properties": {"node": text, **fields["properties"]}}  # type: ignore[dict-item]
    node = {"name": "node", "in": "path", "required": True, "schema": text}

    def answers(schema: Mapping[str, object]) -> dict[str, object]:
        return {"200": {"description": "As it is now.", "content": {"application/json": {"schema": schema}}}}

    listed = {"type": "object", "properties": {"items": {"type": "array", "items": shown}}}
    asked = [{"name": name, "in": "query", "schema": text} for name in ("rack", "missing")]
    body = {"required": True, "content": {"application/json": {"schema": fields}}}
    dropped = {"type": "object", "properties": {"node": text, "dropped": {"type": "boolean"}}}
    paths = {
        "/labels": {"get": {"summary": "Labels of all nodes", "parameters": asked, "responses": answers(listed)}},
        "/labels/{node}": {
            "get": {"summary": "One node's label", "parameters": [node], "responses": answers(shown)},
            "put": {"summary": "Give a label", "parameters": [node], "requestBody": body, "responses": answers(shown)},
            "delete": {"summary": "Take a label away", "parameters": [node], "responses": answers(dropped)},
        },
    }
    return flask.jsonify({"openapi": "3.1.0", "info": {"title": "Inventory", "version": assets.VERSION}, "paths": paths})


def _document(value: object) -> Mapping[str, Any]:
    """A record's document: the server holds them against the schema, by which they are objects."""
    return value if isinstance(value, Mapping) else {}
