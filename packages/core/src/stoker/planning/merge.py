# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Merging: entries of several plugins for one file become options and lists, or named conflicts."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from stoker_sdk.extension_points.config_files import ListItem, Option
from stoker_sdk.model.finding import Finding

from stoker.planning.values import Scope, write_text

LEVELS: Final = ("default", "set", "override")


class Override(Option, frozen=True, kw_only=True, tag="override"):
    """The operator's own value of one key: it beats those of all plugins, and takes the place of a whole list."""

    by: str = ""
    """Who gave it."""

    @property
    def label(self) -> str:
        """``override PATH [section] key``, and the roles for whose nodes alone it is."""
        place = f"[{self.section}] " if self.section else ""
        roles = "" if "*" in self.roles else f" for {', '.join(self.roles)}"
        return f"override {self.path} {place}{self.key}{roles}"


class _Absent:
    """Stands for an entry whose condition is false, or whose value is not known yet."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


class Entry(msgspec.Struct, frozen=True):
    """One entry of one plugin, with the index of its origin."""

    scope: Scope
    contribution: Option | ListItem
    origin: int


class MergedItem(msgspec.Struct, frozen=True):
    """One item of a list option."""

    text: str
    origins: list[int]


class MergedOption(msgspec.Struct, frozen=True):
    """What one key of a file has become: a value, or a list of items."""

    section: str
    key: str
    value: object
    origins: list[int]
    items: list[MergedItem] | None = None
    separator: str = ","


class _Group(msgspec.Struct):
    """The entries for one key of a file."""

    section: str
    key: str
    members: list[int]
    varies: bool
    known: tuple[MergedOption | None, list[Finding]] | None = None
    """What it has become, if that is the same on all nodes."""


class Merger:
    """Merges the entries of one file, for one set of values after the other."""

    def __init__(self, path: str, entries: Sequence[Entry], varying: Collection[int] = ()) -> None:
        """Group the entries by key.

        Args:
            path: the file, for messages.
            entries: ordered by plugin and place in the plugin; the result's order depends on nothing else.
            varying: indexes of entries whose values differ between two calls of :meth:`merge`.
        """
        self._path = path
        self._entries = entries
        groups: dict[tuple[str, str], _Group] = {}
        for index, entry in enumerate(entries):
            place = (entry.contribution.section, entry.contribution.key)
            group = groups.setdefault(place, _Group(*place, [], varies=False))
            group.members.append(index)
            group.varies = group.varies or index in varying
        self._groups = list(groups.values())

    def merge(self, values: Sequence[object]) -> tuple[list[MergedOption], list[Finding]]:
        """Merge.

        Args:
            values: for each entry its evaluated value, or ``ABSENT``.

        Returns:
            The options in the order of their first entries, and a finding for each conflict.
        """
        merged: list[MergedOption] = []
        findings: list[Finding] = []
        for group in self._groups:
            result = group.known
            if result is None:
                result = self._merge_group(group, values)
                if not group.varies:
                    group.known = result
            option, faults = result
            findings += faults
            if option is not None:
                merged.append(option)
        return merged, findings

    def _merge_group(self, group: _Group, values: Sequence[object]) -> tuple[MergedOption | None, list[Finding]]:
        section, key = group.section, group.key
        where = f"{self._path} [{section}] {key}" if section else f"{self._path} {key}"
        members = [(self._entries[index], values[index]) for index in group.members if values[index] is not ABSENT]
        if not members:
            return None, []
        overriding = [(entry, value) for entry, value in members if isinstance(entry.contribution, Override)]
        if overriding:
            return _merge_overrides(where, section, key, overriding, members)
        kinds = {type(entry.contribution) for entry, _ in members}
        if len(kinds) > 1:
            return None, [_conflict(where, [entry for entry, _ in members], "is an option for one and a list for the other")]
        if ListItem in kinds:
            return _merge_list(where, section, key, members)
        result = _merge_option(where, section, key, members)
        if isinstance(result, Finding):
            return None, [result]
        return (result if result.value is not None else None), []


def _owners(entries: Sequence[Entry]) -> str:
    return " and ".join(f"{entry.scope.plugin.name} ({entry.contribution.label})" for entry in entries)


def _conflict(where: str, entries: Sequence[Entry], what: str) -> Finding:
    first = entries[0]
    return Finding(
        rule="M001",
        plugin=first.scope.plugin.name,
        contribution=first.contribution.label,
        file=where.split(" ", maxsplit=1)[0],
        message=f"{where} {what}: {_owners(entries)}.",
        remedy="Disable one of the plugins, or make them agree through their settings.",
    )


def _merge_option(where: str, section: str, key: str, members: list[tuple[Entry, object]]) -> MergedOption | Finding:
    def level(entry: Entry) -> int:
        return LEVELS.index(entry.contribution.level) if isinstance(entry.contribution, Option) else 0

    highest = max(level(entry) for entry, _ in members)
    winners = [(entry, value) for entry, value in members if level(entry) == highest]
    distinct = {repr(value): entry for entry, value in reversed(winners)}
    if len(distinct) > 1:
        values = " and ".join(f"{write_text(value)!r} by {entry.scope.plugin.name}" for entry, value in _first_of_each(winners))
        return _conflict(
            where,
            [entry for entry, _ in _first_of_each(winners)],
            f"is set to different values at level {LEVELS[highest]} ({values})",
        )
    return MergedOption(section, key, winners[0][1], [entry.origin for entry, _ in winners])


def _merge_overrides(
    where: str, section: str, key: str, overriding: list[tuple[Entry, object]], members: list[tuple[Entry, object]]
) -> tuple[MergedOption | None, list[Finding]]:
    """The operator's value, written as the plugins write theirs: as a list where they give items."""
    first = _first_of_each(overriding)
    if len(first) > 1:
        values = " and ".join(f"{write_text(value)!r} ({entry.contribution.label})" for entry, value in first)
        finding = Finding(
            rule="O003",
            contribution=first[0][0].contribution.label,
            file=where.split(" ", maxsplit=1)[0],
            message=f"the operator overrides {where} with different values on one node: {values}.",
            remedy="Take one of the overrides back, or narrow them to roles that no node has both of.",
        )
        return None, [finding]
    value, origins = overriding[0][1], [entry.origin for entry, _ in overriding]
    separators = [entry.contribution.separator for entry, _ in members if isinstance(entry.contribution, ListItem)]
    if value is None:
        return None, []
    if not separators:
        return MergedOption(section, key, value, origins), []
    texts = [write_text(item) for item in (value if isinstance(value, list) else [value])]
    if not texts:
        return None, []
    return MergedOption(section, key, texts, origins, [MergedItem(text, origins) for text in texts], min(separators)), []


def _first_of_each(members: list[tuple[Entry, object]]) -> list[tuple[Entry, object]]:
    seen: set[str] = set()
    first: list[tuple[Entry, object]] = []
    for entry, value in members:
        if repr(value) not in seen:
            seen.add(repr(value))
            first.append((entry, value))
    return first


def _merge_list(
    where: str, section: str, key: str, members: list[tuple[Entry, object]]
) -> tuple[MergedOption | None, list[Finding]]:
    contributions = [(entry, entry.contribution, value) for entry, value in members if isinstance(entry.contribution, ListItem)]
    separators = {contribution.separator for _, contribution, _ in contributions}
    if len(separators) > 1:
        return None, [
            _conflict(where, [entry for entry, _ in members], f"is written with different separators {sorted(separators)}")
        ]
    origins: dict[str, list[int]] = {}
    weights: dict[str, int] = {}
    edges: set[tuple[str, str]] = set()
    for entry, contribution, value in contributions:
        texts = [write_text(item) for item in (value if isinstance(value, list | tuple) else [value]) if item is not None]
        for text in texts:
            owners = origins.setdefault(text, [])
            if entry.origin not in owners:
                owners.append(entry.origin)
            weights[text] = min(weights.get(text, contribution.weight), contribution.weight)
            edges |= {(text, other) for other in contribution.before if other != text}
            edges |= {(other, text) for other in contribution.after if other != text}
        # Items of one contribution keep the order in which it gives them.
        edges |= {(one, two) for one, two in itertools.pairwise(texts) if one != two} if len(set(texts)) == len(texts) else set()
    order = order_items(weights, {(one, two) for one, two in edges if one in weights and two in weights})
    if order is None:
        return None, [_conflict(where, [entry for entry, _ in members], "has items whose order contradicts itself")]
    items = [MergedItem(text, origins[text]) for text in order]
    if not items:
        return None, []
    everyone = sorted({origin for item in items for origin in item.origins})
    return MergedOption(section, key, [item.text for item in items], everyone, items, separators.pop()), []


def order_items(weights: dict[str, int], edges: set[tuple[str, str]]) -> list[str] | None:
    """Items in an order that fits all edges, then by weight, then by text; ``None`` if there is no such order."""
    incoming = dict.fromkeys(weights, 0)
    outgoing: dict[str, list[str]] = {}
    for one, two in edges:
        incoming[two] += 1
        outgoing.setdefault(one, []).append(two)
    ready = [(weights[text], text) for text, count in incoming.items() if count == 0]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        _, text = heapq.heappop(ready)
        order.append(text)
        for other in outgoing.get(text, ()):
            incoming[other] -= 1
            if incoming[other] == 0:
                heapq.heappush(ready, (weights[other], other))
    return order if len(order) == len(weights) else None
