# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The reference of the HTTP API, written from the API's own description."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from litestar.testing import TestClient
from stoker.app import build_app, build_context, open_vault
from stoker.config import ServerConfig

_COMMON = ("400", "401", "403", "503")
"""Problems that any request may have: told once."""
_METHODS = ("get", "post", "put", "patch", "delete")


def description() -> dict[str, object]:
    """What a running server answers at ``/api/openapi.json``."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="stoker-docs-") as folder:
        config = ServerConfig(data_dir=Path(folder) / "data")
        context = build_context(config, open_vault(config))
        try:
            with TestClient(build_app(context), base_url="http://127.0.0.1:8550") as client:
                token = config.token_file.read_text().strip()
                return client.get("/api/openapi.json", headers={"Authorization": f"Bearer {token}"}).json()
        finally:
            context.database.close()


def page(_: str) -> str:
    """A section for each resource, an entry for each operation, then the shapes."""
    document = description()
    by_tag: dict[str, list[str]] = {}
    for path, methods in sorted(document["paths"].items()):
        for method in _METHODS:
            if (operation := methods.get(method)) is not None:
                tag = (operation.get("tags") or ["other"])[0]
                by_tag.setdefault(tag, []).extend(_operation(method.upper(), path, operation))
    lines: list[str] = []
    for tag in sorted(by_tag):
        lines += [f"## Requests: {tag}", "", *by_tag[tag]]
    return "\n".join([*lines, "## Shapes", "", *_shapes(document["components"]["schemas"])])


def _operation(method: str, path: str, operation: dict[str, object]) -> list[str]:
    lines = [f"### {method} {path}", "", _escape(operation.get("description") or operation.get("summary", "")), ""]
    for parameter in operation.get("parameters", []):
        said = _escape(parameter.get("description") or "")
        wanted = "" if parameter.get("required") else ", optional"
        lines.append(
            f"- `{parameter['name']}` ({parameter['in']}, {_shape(parameter.get('schema', {}))}{wanted}) {said}".rstrip()
        )
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        lines.append(f"- body: `{kind}`, {_shape(body.get('schema', {}))}")
    for status, answer in sorted(operation["responses"].items()):
        if status < "400":
            shapes = [f"`{kind}`, {_shape(content.get('schema', {}))}" for kind, content in answer.get("content", {}).items()]
            lines.append(f"- answers {status}: {' or '.join(shapes) or 'nothing'}")
    told = [status for status in sorted(operation["responses"]) if status >= "400" and status not in _COMMON]
    if told:
        lines.append(f"- problems: {', '.join(told)}")
    return [*lines, ""]


def _shapes(schemas: dict[str, dict[str, object]]) -> list[str]:
    lines: list[str] = []
    for name, schema in sorted(schemas.items()):
        lines += [f"### {_name(name)}", ""]
        if text := schema.get("description"):
            lines += [_escape(str(text)), ""]
        required = set(schema.get("required", []))
        for field, inner in schema.get("properties", {}).items():
            wanted = "" if field in required else ", optional"
            lines.append(f"- `{field}` ({_shape(inner)}{wanted}) {_escape(str(inner.get('description', '')))}".rstrip())
        if values := schema.get("enum"):
            lines.append("- one of " + ", ".join(f"`{value}`" for value in values))
        lines.append("")
    return lines


def _shape(schema: dict[str, object]) -> str:
    """A schema in a few words."""
    if reference := schema.get("$ref"):
        return _name(str(reference).rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_shape(inner) for inner in schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_shape(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_shape(schema['additionalProperties'])}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _name(name: str) -> str:
    """``Page_stoker.services.nodes.NodeView_`` -> ``Page of NodeView``."""
    outer, _, inner = name.partition("_")
    return f"{outer} of {inner.strip('_').rpartition('.')[2]}" if inner else name


def _escape(text: object) -> str:
    return " ".join(str(text).split()).replace("<", "\\<").replace("{", "\\{").replace("[", "\\[")
