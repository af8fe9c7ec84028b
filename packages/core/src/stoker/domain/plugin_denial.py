# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Denials: plugin versions that must not be used, with the reason; some come with Stoker, an admin adds others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from stoker.errors import ConflictError, InvalidInputError


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """Plugin versions that are denied."""

    name: str
    """The plugin's."""
    versions: str = ""
    """Which ones, as in Python packaging, e.g. ``<1.2.1``; empty: all."""
    reason: str
    by: str = ""
    """Who denied it; empty: it came with Stoker."""
    at: float = 0.0
    built_in: bool = False
    """Whether it came with this version of Stoker; then nobody takes it back."""

    def covers(self, name: str, version: str) -> bool:
        """Whether a plugin version is meant."""
        if name != self.name:
            return False
        try:
            return SpecifierSet(self.versions).contains(Version(version), prereleases=True)
        except (InvalidSpecifier, InvalidVersion):
            return False

    def __str__(self) -> str:
        return f"{self.name} {self.versions}".rstrip()


BUILT_IN: Final[tuple[Denial, ...]] = ()
"""Versions known to do harm when this version of Stoker was made."""


def denial_of(denials: Iterable[Denial], name: str, version: str) -> Denial | None:
    """The first denial that means a plugin version."""
    return next((denial for denial in denials if denial.covers(name, version)), None)


def refuse_denied(denials: Iterable[Denial], name: str, version: str) -> None:
    """Refuse a plugin version that is denied.

    Raises:
        ConflictError: it is; the reason is told.
    """
    if (denial := denial_of(denials, name, version)) is not None:
        remedy = "Use a version that is not denied; 'stoker plugins denied' lists those that are"
        own = "." if denial.built_in else f", and 'stoker plugins allow {denial.name}' takes it back."
        raise ConflictError(
            f"plugin {name} {version} is denied: {denial.reason}", remedy=f"{remedy}{own}", denied=msgspec.to_builtins(denial)
        )


def check_versions(versions: str) -> str:
    """A specifier as it is kept: without spaces, in one order. Raises InvalidInputError."""
    try:
        return ",".join(sorted(str(part) for part in SpecifierSet(versions)))
    except InvalidSpecifier as error:
        raise InvalidInputError(
            f"{versions[:100]!r} does not say which versions.", remedy="Write e.g. '<1.2.1' or '==1.2.0'; nothing for all."
        ) from error
