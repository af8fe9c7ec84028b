# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What another version of a plugin changes: contributions that come, go or differ, settings that are not what they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from stoker.domain import settings
from stoker.domain.settings import Document, Json


class ContributionChange(msgspec.Struct, frozen=True, kw_only=True):
    """A contribution that one of two versions has alone, or that they have differently."""

    kind: Literal["add", "change", "remove"]
    point: str
    """The class, e.g. ``tasks.shell``."""
    label: str
    """What messages call it."""
    fields: list[str] = []
    """What is different in it."""


class SettingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that is not what it was; secrets are not shown."""

    kind: Literal["add", "change", "remove", "drop"]
    """``drop``: it was given, and the other version does not take it."""
    setting: str
    before: object = None
    after: object = None
    reason: str = ""
    """Why it is not taken."""


def contribution_changes(
    before: Sequence[Mapping[str, object]], after: Sequence[Mapping[str, object]], labels: Mapping[int, str]
) -> list[ContributionChange]:
    """What two versions bring differently; where they stand in the manifest does not matter.

    Args:
        before: the contributions of the one.
        after: those of the other.
        labels: ``id`` of a contribution -> what messages call it.
    """
    old, new = _by_name(before, labels), _by_name(after, labels)
    found: list[ContributionChange] = []
    for point, label in sorted(old.keys() | new.keys()):
        left, right = old.get((point, label), []), new.get((point, label), [])
        common = [item for item in left if item in right]
        left, right = [item for item in left if item not in common], [item for item in right if item not in common]
        for one, other in zip(left, right, strict=False):
            fields = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
            found.append(ContributionChange(kind="change", point=point, label=label, fields=fields))
        found += [ContributionChange(kind="remove", point=point, label=label)] * (len(left) - len(right))
        found += [ContributionChange(kind="add", point=point, label=label)] * (len(right) - len(left))
    return found


def _by_name(
    contributions: Sequence[Mapping[str, object]], labels: Mapping[int, str]
) -> dict[tuple[str, str], list[Mapping[str, object]]]:
    found: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for item in contributions:
        found.setdefault((str(item.get("point")), labels[id(item)]), []).append(item)
    return found


def setting_changes(before: Document, after: Document) -> list[SettingChange]:
    """What two complete documents say differently."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    found: list[SettingChange] = []
    for place in sorted(old.keys() | new.keys()):
        one, other = old.get(place), new.get(place)
        if place not in new:
            found.append(SettingChange(kind="remove", setting=place, before=one))
        elif place not in old:
            found.append(SettingChange(kind="add", setting=place, after=other))
        elif one != other:
            found.append(SettingChange(kind="change", setting=place, before=one, after=other))
    return found


def _leaves(document: Json, path: settings.Path = ()) -> Iterator[tuple[str, object]]:
    if settings.is_reference(document) and isinstance(document, dict):
        yield settings.dotted(path), f"(secret, version {document.get('version')})"
    elif isinstance(document, dict) and document:
        for key, value in document.items():
            yield from _leaves(value, (*path, key))
    elif document is not None or path:
        yield settings.dotted(path), _shown(document)


def _shown(value: Json) -> object:
    """A value without the secrets in it."""
    if settings.is_reference(value):
        return "(secret)"
    return [_shown(item) if isinstance(item, dict | list) else item for item in value] if isinstance(value, list) else value


def without(document: Document, places: Sequence[str]) -> Document:
    """A document without some fields; what stands in a list is left out with the whole list."""
    kept: Document = msgspec.json.decode(msgspec.json.encode(document))
    for place in places:
        _take(kept, place)
    return kept


def _take(inside: Json, place: str) -> None:
    if not isinstance(inside, dict):
        return
    for key in sorted(inside, key=len, reverse=True):
        if place == key or (place.startswith(f"{key}.") and not isinstance(inside[key], dict)):
            del inside[key]
            return
        if place.startswith(f"{key}."):
            _take(inside[key], place[len(key) + 1 :])
            return
