# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Packages of operating systems as plugins name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_constraints, check_package


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A package with an optional constraint on its version."""

    name: str
    """The package's name in the distribution."""
    version: str = ""
    """Comma-separated constraints on the upstream version, e.g. ``>=4.3,<5``; empty for any."""


def check_packages(packages: Sequence[str | Package]) -> Iterable[Finding]:
    """Names and constraints of the field ``packages``."""
    for index, item in enumerate(packages):
        package = Package(item) if isinstance(item, str) else item
        place = f"packages[{index}]"
        yield from check_package(package.name, place if isinstance(item, str) else f"{place}.name")
        yield from check_constraints(package.version, f"{place}.version")
