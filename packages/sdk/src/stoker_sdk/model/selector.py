# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Selectors: the texts that say which nodes something is for."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

ALL: Final = "*"
ONCE: Final = "once"

_CALL: Final = re.compile(r"(primary|service)\((.+)\)")


class Selector(msgspec.Struct, frozen=True):
    """What a selector's text means: ``*``, ``ROLE``, ``primary(ROLE)``, ``once`` or ``service(NAME)``."""

    kind: Literal["all", "role", "primary", "once", "service"]
    name: str = ""
    """The role's or service's name."""


def read_selector(text: str) -> Selector:
    """What a text means; what is nothing else is a role's name, be it a good one or not."""
    if text == ALL:
        return Selector("all")
    if text == ONCE:
        return Selector("once")
    call = _CALL.fullmatch(text)
    if call is None:
        return Selector("role", text)
    return Selector("primary" if call[1] == "primary" else "service", call[2])


def primary_of(role: str) -> str:
    """The selector of one node of a role."""
    return f"primary({role})"


def nodes_of(service: str) -> str:
    """The selector of the nodes of a service."""
    return f"service({service})"
