# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Components: what can be chosen when an environment is made, with what each choice requires and excludes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import MAX_NAME, NAME
from stoker_sdk.model.requirement import check_requirements


class Group(Contribution, frozen=True, kw_only=True, tag="components.group"):
    """A group of components, such as ``storage``, and how many of it an environment takes."""

    name: str
    """Unique on a server: lower case letters, digits and dashes."""
    title: str
    """What a person reads."""
    description: str = ""
    """One or two sentences on what is chosen here."""
    choose: Literal["any", "some", "one"] = "any"
    """``any``: none, one or several. ``some``: at least one. ``one``: exactly one."""
    releases: Sequence[str] = ()
    """Releases that it is about, with versions: ``web-cluster>=1``; empty: all. Groups without components ask nothing."""

    @property
    def label(self) -> str:
        """``components.group NAME``."""
        return f"components.group {self.name}"

    def check(self) -> Iterable[Finding]:
        """Name and releases."""
        yield from _check_name(self.name, "name")
        yield from check_requirements(self.releases, "releases", "web-cluster>=1")
        yield from _check_condition(self)


class Component(Contribution, frozen=True, kw_only=True, tag="components.component"):
    """One choice of a group. Choosing it enables the plugin that brings it, and the plugins that it names."""

    name: str
    """``GROUP:NAME``, e.g. ``storage:local``; unique on a server. A group that nobody declares takes any number."""
    title: str
    """What a person reads."""
    description: str = ""
    """One or two sentences on what one gets."""
    requires: Sequence[str] = ()
    """What must be chosen with it: ``GROUP:NAME``, or ``GROUP`` for some component of a group."""
    conflicts: Sequence[str] = ()
    """What cannot be chosen beside it: ``GROUP:NAME``, or ``GROUP`` for every other component of a group."""
    default: bool = False
    """Whether it is proposed."""
    plugins: Sequence[str] = ()
    """Further plugins that it needs, with versions: ``web-cache>=1``."""
    releases: Sequence[str] = ()
    """Releases that it is offered for, with versions: ``web-cluster>=1``; empty: all."""

    @property
    def label(self) -> str:
        """``components.component NAME``."""
        return f"components.component {self.name}"

    @property
    def group(self) -> str:
        """The group that it is a choice of."""
        return self.name.partition(":")[0]

    def check(self) -> Iterable[Finding]:
        """Names, and that it does not stand against itself."""
        yield from _check_component(self.name, "name")
        for field in ("requires", "conflicts"):
            for index, other in enumerate(getattr(self, field)):
                check = _check_component if ":" in other else _check_name
                yield from check(other, f"{field}[{index}]")
                if other == self.name or (field == "requires" and other in self.conflicts):
                    yield Finding(
                        rule="W002",
                        field=f"{field}[{index}]",
                        message=f"{other} is required and excluded at once, or is the component itself.",
                        remedy="Take it out.",
                    )
        yield from check_requirements(self.plugins, "plugins", "web-cache>=1")
        yield from check_requirements(self.releases, "releases", "web-cluster>=1")
        yield from _check_condition(self)


def _check_component(text: str, field: str) -> Iterable[Finding]:
    group, _, name = text.partition(":")
    if not (NAME.fullmatch(group) and NAME.fullmatch(name)) or len(text) > MAX_NAME:
        yield Finding(
            rule="W001",
            field=field,
            message=f"{text!r} is not the name of a component.",
            remedy="Write GROUP:NAME in lower case letters, digits and dashes, at most 64.",
        )


def _check_name(text: str, field: str) -> Iterable[Finding]:
    if not NAME.fullmatch(text) or len(text) > MAX_NAME:
        yield Finding(
            rule="W001",
            field=field,
            message=f"{text!r} is not the name of a group.",
            remedy="Use lower case letters, digits and dashes, at most 64.",
        )


def _check_condition(item: Contribution) -> Iterable[Finding]:
    if item.when is not None:
        yield Finding(
            rule="W003",
            field="when",
            message="components are offered before there is an environment; no condition can be evaluated.",
            remedy="Leave it out.",
        )


POINT = ExtensionPoint(name="components", combines="ordered set", scope="server", contributions=(Group, Component))
