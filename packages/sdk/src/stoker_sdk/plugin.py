# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin: a name, a version and what it contributes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stoker_sdk.model.contribution import Contribution


class Plugin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named, versioned unit of extension, with everything that it contributes."""

    name: str
    """Lower case letters, digits and dashes; unique on a server."""
    version: str
    """A version as in Python packaging, e.g. ``1.0.0``."""
    title: str
    """One line for a person."""
    description: str = ""
    """A paragraph or two, Markdown."""
    requires_stoker: str = ">=0.1,<1"
    """The versions of Stoker that it works with, as in Python packaging."""
    requires_plugins: Sequence[str] = ()
    """Plugins that must be enabled in the same environment, e.g. ``ceph>=1.2``."""
    conflicts_plugins: Sequence[str] = ()
    """Plugins that must not be enabled in the same environment."""
    license: str = ""
    """An SPDX expression."""
    homepage: str = ""
    """Where to read more."""
    contributions: Sequence[Contribution] = ()
    """What it contributes, in any order."""
