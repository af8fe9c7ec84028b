# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Managed files: which entries make which file on which nodes, and how what is planned compares with what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.model.expression import Expression, condition_source
from stoker_sdk.model.finding import Finding

from stoker.domain.node import ObservedFile
from stoker.domain.plan import PlannedContent
from stoker.domain.snapshot import NodeInput
from stoker.planning.merge import ABSENT, Entry, Merger, Override
from stoker.planning.overrides import Overrides
from stoker.planning.parts import NodeClass, Origins, PluginParts
from stoker.planning.progress import PROGRESS
from stoker.planning.rendering import UnwritableError, render
from stoker.planning.secret_places import SecretPlaces, shown
from stoker.planning.templates import render_template, template_settings, uses_node
from stoker.planning.values import Scope, ValueFault, is_shared, refuse_broken, write_text

NOT_MANAGED: Final = -1
"""Instead of a content's index: on this node the file is not managed."""

Status = Literal["create", "change", "drift", "same"]


class Contents:
    """Texts with their provenance; equal ones are kept once for all nodes."""

    def __init__(self, secrets: SecretPlaces) -> None:
        """Start empty."""
        self.items: list[PlannedContent] = []
        self._index: dict[tuple[str, str], int] = {}
        self._secrets = secrets

    def add(self, text: str, lines: list[list[int]]) -> int:
        """The index of a text."""
        key = (text, repr(lines))
        found = self._index.get(key)
        if found is None:
            found = len(self.items)
            self._index[key] = found
            pieces = self._secrets.split(text)
            self.items.append(PlannedContent(text=pieces, sha256=hashlib.sha256(shown(pieces).encode()).hexdigest(), lines=lines))
        return found


class FileAttributes(msgspec.Struct, frozen=True):
    """Owner and permissions of a file."""

    owner: str
    group: str
    mode: str


class FileProgram:
    """One file on one class of nodes: says for each node which content it has."""

    def __init__(self, path: str, attributes: FileAttributes, plugins: list[str]) -> None:
        """Keep what is the same on all nodes."""
        self.path = path
        self.attributes = attributes
        self.plugins = plugins
        """Every plugin that has a part in the file, sorted; the first one's task applies it."""
        self.findings: list[Finding] = []

    def content(self, node: int) -> int:
        """The content's index on a node, or ``NOT_MANAGED``."""
        raise NotImplementedError

    def check(self) -> None:
        """Look for conflicts among what is the same on all nodes; they go to ``findings``."""


class MergedFile(FileProgram):
    """A file made of entries."""

    def __init__(
        self,
        path: str,
        attributes: FileAttributes,
        plugins: list[str],
        declaration: tuple[ConfigFile, list[int]],
        entries: list[Entry],
        contents: Contents,
    ) -> None:
        """Evaluate what is the same on all nodes; the rest waits for ``content``."""
        super().__init__(path, attributes, plugins)
        self._declaration, self._declared = declaration
        self._entries = entries
        self._contents = contents
        self._memo: dict[str, int] = {}
        self._varying = [i for i, entry in enumerate(entries) if not _entry_shared(entry)]
        self._merger = Merger(path, entries, frozenset(self._varying))
        self._scopes = list({id(entries[i].scope): entries[i].scope for i in self._varying}.values())
        self._values: list[object] = [
            ABSENT if i in set(self._varying) else _entry_value(entry) for i, entry in enumerate(entries)
        ]

    def content(self, node: int) -> int:
        """The content's index on a node, or ``NOT_MANAGED``; conflicts go to ``findings``."""
        key = ""
        values = self._values
        if self._varying:
            for scope in self._scopes:
                scope.enter(node)
            values = values.copy()
            for index in self._varying:
                values[index] = _entry_value(self._entries[index])
            key = repr([values[index] for index in self._varying])
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self._render(values)
        return found

    def check(self) -> None:
        """Look for conflicts among what is the same on all nodes; they go to ``findings``."""
        self._render(self._values)

    def _render(self, values: Sequence[object]) -> int:
        given = [
            value for entry, value in zip(self._entries, values, strict=True) if not isinstance(entry.contribution, Override)
        ]
        if given and all(value is ABSENT for value in given):
            return NOT_MANAGED  # an override changes a file, and does not bring one that no plugin wants here
        for entry, value in zip(self._entries, values, strict=True):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, str):
                    refuse_broken(entry.scope, item, entry.contribution.label, "value", self.path)
        options, conflicts = self._merger.merge(values)
        if conflicts:
            self.findings.extend(finding for finding in conflicts if finding not in self.findings)
            return NOT_MANAGED
        try:
            declared = self._declaration
            lines = render(declared.format, declared.header, self._declared, options, declared.sections)
        except UnwritableError as error:
            scope = self._entries[0].scope
            raise scope.fault(
                self._entries[0].contribution.label, "value", f"{self.path}: {error}.", "Change the value.", file=self.path
            ) from error
        return self._contents.add("".join(f"{text}\n" for text, _ in lines), [origins for _, origins in lines])


class CompleteFile(FileProgram):
    """A file that one plugin writes as a whole."""

    def __init__(self, path: str, scope: Scope, whole: WholeFile, origin: int, contents: Contents) -> None:
        """Find out whether it differs from node to node."""
        super().__init__(path, FileAttributes(whole.owner, whole.group, whole.mode), [scope.plugin.name])
        self._scope = scope
        self._whole = whole
        self._origin = origin
        self._contents = contents
        self._shared: int | None = None
        source = scope.plugin.templates.get(whole.template or "", "")
        PROGRESS.note(scope.plugin.name, whole.label, "template" if whole.template else "content", whole.template or path)
        self._is_shared = is_shared(whole.content) and not (whole.template and uses_node(source)) and _condition_shared(whole)

    def content(self, node: int) -> int:
        """The content's index on a node, or ``NOT_MANAGED``."""
        if self._shared is not None:
            return self._shared
        self._scope.enter(node)
        found = self._render(node)
        if self._is_shared:
            self._shared = found
        return found

    def _render(self, node: int) -> int:
        whole, scope = self._whole, self._scope
        if not scope.holds(whole.when, whole.label):
            return NOT_MANAGED
        if whole.template is not None:
            text = render_template(scope, node, whole.template, whole.label)
        else:
            value = scope.evaluate(whole.content, whole.label, "content")
            text = "".join(f"{write_text(item)}\n" for item in value) if isinstance(value, list) else write_text(value)
        refuse_broken(scope, text, whole.label, "template" if whole.template else "content", whole.template or whole.path)
        return self._contents.add(text, [[self._origin]] * (text.count("\n") + (not text.endswith("\n") and bool(text))))


def _condition_shared(contribution: Option | ListItem | WholeFile) -> bool:
    source = condition_source(contribution.when)
    return source is None or is_shared(Expression(source))


def _entry_shared(entry: Entry) -> bool:
    return is_shared(_entry_field(entry)) and _condition_shared(entry.contribution)


def _entry_field(entry: Entry) -> object:
    contribution = entry.contribution
    return contribution.value if isinstance(contribution, Option) else contribution.items


def _entry_value(entry: Entry) -> object:
    contribution = entry.contribution
    if not entry.scope.holds(contribution.when, contribution.label):
        return ABSENT
    return entry.scope.evaluate(_entry_field(entry), contribution.label)


def file_programs(
    parts: Sequence[PluginParts], group: NodeClass, origins: Origins, contents: Contents, overrides: Overrides | None = None
) -> tuple[list[FileProgram], list[Finding]]:
    """All files of a class of nodes, ordered by path."""
    by_path: dict[str, list[tuple[PluginParts, ConfigFile | Option | ListItem | WholeFile]]] = {}
    for part in parts:
        for item in part.files:
            if group.has(item.roles):
                by_path.setdefault(item.path, []).append((part, item))
    programs: list[FileProgram] = []
    findings: list[Finding] = []
    for path in sorted(by_path):
        try:
            extra = overrides.entries(path, group, origins) if overrides is not None else []
            program = _program(path, by_path[path], origins, contents, findings, extra)
        except ValueFault as fault:
            findings.append(fault.finding)
        else:
            if program is not None:
                programs.append(program)
    return programs, findings


def _program(
    path: str,
    items: list[tuple[PluginParts, ConfigFile | Option | ListItem | WholeFile]],
    origins: Origins,
    contents: Contents,
    findings: list[Finding],
    overrides: list[Entry],
) -> FileProgram | None:
    first_part, first = items[0]
    whole = [(part, item) for part, item in items if isinstance(item, WholeFile)]
    if whole:
        if len(items) > 1:
            owners = " and ".join(sorted({f"{part.plugin.name} ({item.label})" for part, item in items}))
            findings.append(
                _finding(
                    "M002",
                    first_part,
                    first.label,
                    path,
                    f"{path} is written as a whole, so nobody else can add to it: {owners}.",
                )
            )
            return None
        part, item = whole[0]
        origin_value = item.content if item.template is None else None
        origin = origins.add(part.plugin, item, origin_value)
        if item.template is not None:
            origins.items[origin] = msgspec.structs.replace(
                origins.items[origin],
                settings=template_settings(part.plugin.templates.get(item.template, "")),
                expression=f"template {item.template}",
            )
        return CompleteFile(path, part.scope, item, origin, contents)
    declarations = [(part, item) for part, item in items if isinstance(item, ConfigFile)]
    if not declarations:
        findings.append(_finding("M003", first_part, first.label, path, f"nobody declares {path}, so its format is not known."))
        return None
    shapes = {(item.format, item.owner, item.group, item.mode, item.header, tuple(item.sections)) for _, item in declarations}
    if len(shapes) > 1:
        owners = " and ".join(sorted({part.plugin.name for part, _ in declarations}))
        findings.append(_finding("M004", *_named(declarations[0]), path, f"{path} is declared in different ways by {owners}."))
        return None
    declaration = declarations[0][1]
    entries = [
        Entry(
            part.scope, item, origins.add(part.plugin, item, item.value if isinstance(item, Option) else item.items, _level(item))
        )
        for part, item in items
        if isinstance(item, Option | ListItem)
    ]
    attributes = FileAttributes(declaration.owner, declaration.group, declaration.mode)
    declared = [origins.add(part.plugin, item) for part, item in declarations]
    plugins = sorted({part.plugin.name for part, _ in items})
    return MergedFile(path, attributes, plugins, (declaration, declared), entries + overrides, contents)


def _named(item: tuple[PluginParts, ConfigFile]) -> tuple[PluginParts, str]:
    return item[0], item[1].label


def _level(item: Option | ListItem) -> str:
    return item.level if isinstance(item, Option) else "set"


def _finding(rule: str, part: PluginParts, label: str, path: str, message: str) -> Finding:
    return Finding(
        rule=rule,
        plugin=part.plugin.name,
        contribution=label,
        field="path",
        file=path,
        message=message,
        remedy="Declare it once with config_files.file, alike in all plugins, or write it as a whole in one.",
    )


def file_status(
    node: NodeInput, path: str, content: PlannedContent, attributes: FileAttributes, secret_hash: str | None
) -> Status:
    """How a planned file compares with what was found on the node and what Stoker wrote before."""
    found = node.observed.files.get(path)
    applied = node.applied.files.get(path)
    attributes_fit = found is not None and (found.owner, found.group, found.mode) == (
        attributes.owner,
        attributes.group,
        attributes.mode,
    )
    as_applied = (
        applied is not None
        and not applied.gone
        and applied.sha256 == content.sha256
        and (applied.owner, applied.group, applied.mode) == (attributes.owner, attributes.group, attributes.mode)
    )
    if isinstance(content.text, str):
        bytes_fit = found is not None and found.kind == "file" and found.sha256 == content.sha256
    else:
        bytes_fit = as_applied and applied is not None and secret_hash is not None and secret_hash == applied.keyed_hash
    if bytes_fit and attributes_fit:
        return "same"
    if as_applied:
        return "drift"
    return "create" if found is None or found.kind == "absent" else "change"


def note(found: ObservedFile | None, attributes: FileAttributes) -> str:
    """What differs besides the content, for a person."""
    if found is None or found.kind == "absent":
        return ""
    if found.kind != "file":
        return f"is a {found.kind} now"
    pairs = (
        ("mode", found.mode, attributes.mode),
        ("owner", found.owner, attributes.owner),
        ("group", found.group, attributes.group),
    )
    notes = [f"{name} {before} -> {after}" for name, before, after in pairs if before and before != after]
    if found.content is None:
        notes.append("what is on the node is not shown: it is too large, no text, or was changed where secrets are")
    return ", ".join(notes)
