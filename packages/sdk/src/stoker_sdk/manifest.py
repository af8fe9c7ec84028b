# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The manifest: the static JSON description of everything that a plugin contributes, and the way back to a Plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Union

import msgspec

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points import contribution_types
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin

FORMAT: Final = 1
"""The version of the manifest's own shape."""

_PLACE = re.compile(r"^(?P<message>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)


@cache
def _contribution_union() -> Any:  # noqa: ANN401  a union that is put together at run time
    return Union[tuple(contribution_types().values())]  # noqa: UP007


def to_manifest(plugin: Plugin) -> dict[str, object]:
    """The plugin as JSON data: what the control plane reads and nothing else.

    Raises:
        InvalidPluginError: a field holds what JSON cannot carry.
    """
    try:
        document = msgspec.to_builtins(plugin, str_keys=True)
        msgspec.json.encode(document)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        finding = Finding(
            rule="P010", message=f"JSON cannot carry this: {error}.", remedy="Use texts, numbers, booleans, lists and maps."
        )
        raise InvalidPluginError(plugin.name, [finding]) from error
    return {"format": FORMAT, **document}


def read_contribution(document: Mapping[str, object]) -> Contribution:
    """One contribution from its JSON form.

    Raises:
        InvalidPluginError: the point is unknown or a field does not fit.
    """
    try:
        contribution: Contribution = msgspec.convert(document, type=_contribution_union())
    except msgspec.ValidationError as error:
        raise InvalidPluginError("", [_finding(error, document)]) from error
    return contribution


def read_manifest(document: Mapping[str, object]) -> Plugin:
    """The plugin that a manifest describes; every fault of every contribution is found at once.

    Raises:
        InvalidPluginError: with one finding for each fault.
    """
    head = {key: value for key, value in document.items() if key not in ("format", "contributions")}
    name = str(document.get("name", ""))
    findings: list[Finding] = []
    if document.get("format", FORMAT) != FORMAT:
        findings.append(
            Finding(rule="P011", message=f"manifest format {document['format']!r} is not known.", remedy="Upgrade Stoker.")
        )
    contributions: list[Contribution] = []
    raw = document.get("contributions", [])
    if not isinstance(raw, list | tuple):
        findings.append(
            Finding(rule="P012", field="contributions", message="It is not a list.", remedy="Write a list of contributions.")
        )
        raw = []
    for index, item in enumerate(raw):
        try:
            contributions.append(msgspec.convert(item, type=_contribution_union()))
        except msgspec.ValidationError as error:
            findings.append(_finding(error, item if isinstance(item, Mapping) else {}, index))
    try:
        plugin: Plugin | None = msgspec.convert(
            {key: value for key, value in head.items() if key in Plugin.__struct_fields__}, type=Plugin
        )
    except msgspec.ValidationError as error:
        findings.append(_finding(error, {}))
        plugin = None
    findings.extend(
        Finding(rule="P013", field=key, message="There is no such field.", remedy="Remove it; see the page on plugins.")
        for key in head
        if key not in Plugin.__struct_fields__
    )
    if findings or plugin is None:
        raise InvalidPluginError(name, [msgspec.structs.replace(finding, plugin=name) for finding in findings])
    return msgspec.structs.replace(plugin, contributions=contributions)


def _finding(error: msgspec.ValidationError, document: Mapping[str, object], index: int = -1) -> Finding:
    match = _PLACE.match(str(error))
    path = (match["path"] or "" if match else "").removeprefix("$").removeprefix(".")
    message = match["message"] if match else str(error)
    point = str(document.get("point", ""))
    ident = document.get("id") or document.get("name") or document.get("path") or ""
    label = f"{point} {ident}".strip() or (f"contributions[{index}]" if index >= 0 else "")
    return Finding(
        rule="P014", contribution=label, field=path, message=f"{message}.", remedy="See the extension point's page in the manual."
    )


def _any_value(kind: type) -> dict[str, object]:
    if kind is object:
        return {"description": "Any JSON value."}
    raise NotImplementedError(kind)


def manifest_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of manifests and of ``plugin.yaml``, made from the classes."""
    (_, contribution), components = msgspec.json.schema_components(
        [Plugin, _contribution_union()], schema_hook=_any_value, ref_template="#/$defs/{name}"
    )
    components["Plugin"]["properties"]["contributions"] = {"type": "array", "items": contribution}
    components["Plugin"]["properties"]["format"] = {"const": FORMAT}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/Plugin", "$defs": components}
