# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Identity: what a package file says of itself, and the error of one that cannot be read."""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Name, version and architecture of a package, as its manager writes them."""

    name: str
    version: str
    """With epoch and revision: ``1:2.0-3`` of a ``.deb``, ``0:2.0-3`` of an ``.rpm``, where no epoch is written as 0."""
    architecture: str
    control: tuple[tuple[str, str], ...] = ()
    """Of a ``.deb`` every field of its control file, in order; empty for an ``.rpm``."""


class ArchiveError(Exception):
    """A package file that cannot be read."""

    def __init__(self, reason: str, remedy: str) -> None:
        """Keep both."""
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{reason}. {remedy}")
