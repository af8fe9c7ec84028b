# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The manifest: the static JSON description of everything that a plugin contributes, and the way back to a Plugin."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias, Union

import msgspec

from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points import contribution_types
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.model.structure import Fault, struct_faults
from stoker_sdk.plugin import Plugin

FORMAT: Final = 1
"""The version of the manifest's own shape."""

LineOf: TypeAlias = Callable[[Sequence[str | int]], int]
"""From the keys and indexes that lead to a place to its line."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


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
        raise InvalidPluginError("", _contribution_findings(document, error)) from error
    return contribution


def read_manifest(document: Mapping[str, object], *, file: str = "", line_of: LineOf | None = None) -> Plugin:
    """The plugin that a manifest describes; every fault of every contribution is found at once.

    Args:
        document: the manifest.
        file: the file that it was read from, for findings.
        line_of: gives the line of a place in that file, counted from 1.

    Raises:
        InvalidPluginError: with one finding for each fault.
    """
    reading = _Reading(document, file, line_of)
    plugin = reading.head()
    contributions = reading.contributions()
    if reading.findings:
        reading.add_the_rest(plugin, contributions)
        name = str(document.get("name", ""))
        raise InvalidPluginError(name, [msgspec.structs.replace(finding, plugin=name) for finding in reading.findings])
    return msgspec.structs.replace(plugin, contributions=[contribution for _, contribution in contributions])


class _Reading:
    """One reading of a manifest: what was read, and what was found."""

    def __init__(self, document: Mapping[str, object], file: str, line_of: LineOf | None) -> None:
        self.document = document
        self.findings: list[Finding] = []
        self._file = file
        self._line_of = line_of

    def found(self, finding: Finding, *place: str | int) -> None:
        """Keep a finding with its line; ``place`` leads to what its field is relative to."""
        line = self._line_of((*place, *steps_of(finding.field))) if self._line_of is not None else 0
        self.findings.append(msgspec.structs.replace(finding, file=self._file, line=line))

    def head(self) -> Plugin:
        """The plugin without contributions."""
        if (form := self.document.get("format", FORMAT)) != FORMAT:
            self.found(
                Finding(rule="P011", field="format", message=f"manifest format {form!r} is not known.", remedy="Upgrade Stoker.")
            )
        plugin, faults = _head({key: value for key, value in self.document.items() if key not in ("format", "contributions")})
        for finding in faults:
            self.found(finding)
        return plugin

    def contributions(self) -> list[tuple[int, Contribution]]:
        """Those that could be read, each with its index."""
        raw = self.document.get("contributions", [])
        if not isinstance(raw, list | tuple):
            finding = Finding(
                rule="P012", field="contributions", message="It is not a list.", remedy="Write a list of contributions."
            )
            self.found(finding)
            return []
        read: list[tuple[int, Contribution]] = []
        for index, item in enumerate(raw):
            try:
                read.append((index, msgspec.convert(item, type=_contribution_union())))
            except msgspec.ValidationError as error:
                for finding in _contribution_findings(item, error, index):
                    self.found(finding, "contributions", index)
        return read

    def add_the_rest(self, plugin: Plugin, contributions: Sequence[tuple[int, Contribution]]) -> None:
        """What can be said of everything else is said now: nobody wants to mend a plugin fault by fault."""
        for finding in plugin.check():
            if finding.field.partition("[")[0] in self.document:
                self.found(finding)
        for index, contribution in contributions:
            for finding in contribution.check():
                self.found(msgspec.structs.replace(finding, contribution=contribution.label), "contributions", index)


def _head(head: Mapping[str, object]) -> tuple[Plugin, list[Finding]]:
    """A plugin without contributions, and the faults of its fields; a field with a fault has a value that stands for none."""
    findings: list[Finding] = []
    good = dict(head)
    for field, message, remedy in struct_faults(Plugin, head):
        name = field.partition("[")[0]
        if name in head and name not in Plugin.__struct_fields__:
            findings.append(Finding(rule="P013", field=name, message=message, remedy=remedy))
        else:
            findings.append(Finding(rule="P014", field=field, message=message, remedy=remedy))
        if name in head:
            good.pop(name, None)
    return msgspec.convert({"name": "x", "version": "0", "title": "x", **good}, type=Plugin), findings


def _contribution_findings(item: object, error: msgspec.ValidationError, index: int = -1) -> list[Finding]:
    """Why something is not a contribution."""
    kinds = contribution_types()
    document = item if isinstance(item, Mapping) else {}
    point = document.get("point", "")
    kind = kinds.get(point) if isinstance(point, str) else None
    ident = document.get("id") or document.get("name") or document.get("path") or ""
    label = f"{point} {ident}".strip() or (f"contributions[{index}]" if index >= 0 else "")
    if not isinstance(item, Mapping):
        faults = [Fault("", "it is not a map of fields.", "Write the fields of a contribution; 'point' names its class.")]
    elif kind is None:
        message = f"there is no extension point {point!r}." if "point" in document else "the field 'point' is missing."
        faults = [Fault("point", message, f"{did_you_mean(str(point), kinds)}There are: {', '.join(sorted(kinds))}.")]
    else:
        faults = list(struct_faults(kind, document)) or [Fault("", f"{error}.", "See the extension point's page in the manual.")]
    return [
        Finding(rule="P014", contribution=label, field=field, message=message, remedy=remedy) for field, message, remedy in faults
    ]


def steps_of(field: str) -> tuple[str | int, ...]:
    """``files[0].mode`` as the keys and indexes that lead there."""
    return tuple(int(index) if index else name for name, index in _STEP.findall(field))


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
