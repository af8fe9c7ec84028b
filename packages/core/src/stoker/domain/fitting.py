# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Fitting: whether a product or an operating system in a version is one of those that a plugin names."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version


def fits(wanted: Sequence[str], name: str, version: str) -> bool:
    """Whether any of the requirements (``debian>=12,<13``) means this name in this version; none at all means any."""
    return not wanted or any(_fits(text, name, version) for text in wanted)


def _fits(text: str, name: str, version: str) -> bool:
    try:
        requirement = Requirement(text)
        if requirement.name != name:
            return False
        return not requirement.specifier or requirement.specifier.contains(Version(version), prereleases=True)
    except (InvalidRequirement, InvalidVersion):
        return False


def names_of(wanted: Sequence[str]) -> dict[str, list[str]]:
    """The names of requirements, each with the version specifiers that stand with it."""
    found: dict[str, list[str]] = {}
    for text in wanted:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        found.setdefault(requirement.name, []).append(str(requirement.specifier))
    return found
