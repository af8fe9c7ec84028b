# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Repositories of plugins as nodes see them: their key, where they are fetched, and the words that tell them apart."""

from __future__ import annotations

from typing import Final

import msgspec

ORIGIN: Final = "Stoker"
"""The origin of every index that a controller signs: nodes install nothing of it but what a manifest names."""
HELD: Final = "http://stoker.invalid"
"""Where nodes fetch repositories through the held SSH connection; the name never resolves, the way is an HTTP proxy."""


class RepositoryAccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What nodes need to use the repositories of this controller."""

    fingerprint: str
    """Of the key that signs."""
    key: str
    """The public key in ASCII armour."""
    url: str = ""
    """The address under which nodes reach the repositories; empty: through the held SSH connection."""

    @property
    def way(self) -> str:
        """The name under which a node keeps the way through the held connection; empty if it needs none."""
        return "" if self.url else self.fingerprint[-16:].lower()

    def address(self, plugin: str, version: str, os_family: str) -> str:
        """The address of one repository, with a slash at its end."""
        return f"{(self.url or HELD).rstrip('/')}/repositories/{plugin}/{version}/{os_family}/"


def label_of(plugin: str, version: str) -> str:
    """The label of a plugin version's index."""
    return f"stoker-{plugin}-{version}"


def source_of(plugin: str) -> str:
    """What the repository of a plugin is called on nodes."""
    return f"stoker-{plugin}"
