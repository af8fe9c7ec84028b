# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of components and choices, as a client reads them."""

from __future__ import annotations

from typing import TypedDict


class ComponentDocument(TypedDict, total=False):
    """A component that can be chosen."""

    name: str
    group: str
    title: str
    description: str
    default: bool
    requires: list[str]
    conflicts: list[str]
    plugin: str
    plugin_version: str
    plugins: list[str]
    releases: list[str]


class ComponentGroupDocument(TypedDict, total=False):
    """A group of components."""

    name: str
    title: str
    description: str
    choose: str
    plugin: str


class ComponentsDocument(TypedDict):
    """Everything that is offered."""

    groups: list[ComponentGroupDocument]
    items: list[ComponentDocument]


class ReasonedDocument(TypedDict):
    """A component of which a choice decides, and why."""

    name: str
    reasons: list[str]


class OpenGroupDocument(TypedDict):
    """A group of which something has still to be chosen."""

    group: str
    candidates: list[str]


class ChoiceDocument(TypedDict):
    """What follows from a choice of components."""

    chosen: list[str]
    implied: list[ReasonedDocument]
    possible: list[str]
    impossible: list[ReasonedDocument]
    open: list[OpenGroupDocument]
    contradiction: list[str]
    complete: bool
    plugins: list[dict[str, str]]
