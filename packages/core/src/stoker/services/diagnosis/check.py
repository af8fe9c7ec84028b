# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One thing that was looked at."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warn", "fail"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what was found."""

    name: str
    """A stable word."""
    state: State
    """``warn``: it works, but not for ever or not for everybody. ``fail``: something does not work."""
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name=name, state="ok", detail=detail)


def warn(name: str, detail: str, remedy: str) -> Check:
    """It works, but not for ever or not for everybody."""
    return Check(name=name, state="warn", detail=detail, remedy=remedy)


def fail(name: str, detail: str, remedy: str) -> Check:
    """Something does not work."""
    return Check(name=name, state="fail", detail=detail, remedy=remedy)
