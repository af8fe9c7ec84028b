# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The base of every contribution, and the description of an extension point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from stoker_sdk.model.expression import Condition
from stoker_sdk.model.finding import Finding


class Contribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="point"):
    """One thing that a plugin gives to one extension point.

    In JSON and YAML the key ``point`` names the class: ``node_packages``, ``tasks.shell``, ``config_files.option`` ...
    """

    when: Condition = None
    """A condition; the contribution counts only where it is true. It is evaluated for each node."""

    @property
    def label(self) -> str:
        """What messages call this contribution, e.g. ``tasks.shell greet``."""
        return str(self.__struct_config__.tag)

    @property
    def identity(self) -> str:
        """What two plugins cannot both bring, where the point is an ordered set and its scope is the server."""
        return self.label

    def check(self) -> Iterable[Finding]:
        """Faults that can be seen in this contribution alone; plugin and label are filled in by the caller."""
        return ()


class ExtensionPoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the loader, validator, CLI, API and manual know about an extension point."""

    name: str
    """The point's name, equal to its module's name."""
    combines: Literal["slot", "single", "ordered set", "patch"]
    """How contributions of several plugins combine (see the explanation page on merging)."""
    contributions: tuple[type[Contribution], ...]
    """The classes that a plugin may contribute."""
    scope: Literal["server", "environment"] = "environment"
    """``server``: active once installed; what two plugins bring both (``identity``) is refused when the second is installed.
    ``environment``: active where enabled; conflicts are found then."""
    needs_code: bool = False
    """Whether a contribution needs Python code at run time (then a plugin.yaml cannot give it)."""
