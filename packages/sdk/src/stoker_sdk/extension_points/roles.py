# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Roles: what a node can be for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_role


class Role(Contribution, frozen=True, kw_only=True, tag="roles"):
    """A role that nodes of an environment can be given, with its limits."""

    name: str
    """The role's name, unique in an environment: lower case letters, digits and dashes."""
    title: str = ""
    """What a person reads; the name if empty."""
    description: str = ""
    """One or two sentences on what such a node does."""
    min: int = 0
    """How many nodes of this role a deployment needs at least."""
    max: int | None = None
    """How many nodes it may have at most; ``None`` for no limit."""
    recommended: int | None = None
    """How many nodes are advised; fewer is a warning."""
    conflicts: Sequence[str] = ()
    """Roles that the same node must not have."""
    tolerance: int | str = 0
    """How many nodes of this role may fail before the deployment stops: a number, or a percentage such as ``10%``."""

    @property
    def label(self) -> str:
        """``roles NAME``."""
        return f"roles {self.name}"

    def check(self) -> Iterable[Finding]:
        """Names are names, and limits make sense together."""
        yield from check_role(self.name, "name")
        for index, other in enumerate(self.conflicts):
            yield from check_role(other, f"conflicts[{index}]")
        if self.max is not None and self.max < self.min:
            yield Finding(
                rule="R001", field="max", message=f"max {self.max} is less than min {self.min}.", remedy="Raise max or lower min."
            )
        text = str(self.tolerance)
        if not (text.isdigit() or (text.endswith("%") and text[:-1].isdigit() and int(text[:-1]) <= 100)):
            yield Finding(
                rule="R002",
                field="tolerance",
                message=f"{text!r} is neither a number nor a percentage.",
                remedy="Write e.g. 2 or '10%'.",
            )


POINT = ExtensionPoint(name="roles", combines="ordered set", contributions=(Role,))
