# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Code references: how a manifest names a plugin's function or class, without holding it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from stoker_sdk.model.finding import Finding

CODE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
"""``package.module:name``, as in entry points."""


def code(what: Callable[..., object] | type) -> str:
    """The reference to a function or class of the plugin, ``module:name``: what a contribution's ``call`` holds.

    Args:
        what: a function or class at the top level of a module of the plugin.

    Raises:
        TypeError: it has no name by which a worker could find it.
    """
    module, name = getattr(what, "__module__", ""), getattr(what, "__qualname__", "")
    if not CODE.fullmatch(reference := f"{module}:{name}"):
        raise TypeError(f"{what!r} has no name in a module: a worker could not find it. Define it at the top level of a module.")
    return reference


def check_code(reference: str, field: str) -> Iterable[Finding]:
    """A reference to code, as a manifest has it."""
    if not CODE.fullmatch(reference):
        yield Finding(
            rule="X005",
            field=field,
            message=f"{reference[:80]!r} names no function.",
            remedy="Write code(FUNCTION), or module:name with a name at the top level of the module.",
        )


def check_deadline(seconds: float, field: str = "deadline") -> Iterable[Finding]:
    """How long code may take."""
    if not 0 < seconds <= MAX_DEADLINE:
        yield Finding(
            rule="X007",
            field=field,
            message=f"{seconds:g} is not a deadline.",
            remedy=f"Give seconds above 0, at most {MAX_DEADLINE}; longer work is an action.",
        )


MAX_DEADLINE: Final = 300
"""Seconds that a hook may take at most."""
