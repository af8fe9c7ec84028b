# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A finding: one fault that a check found, with its rule, its place and its remedy."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault found in a plugin, a bundle, settings or a plan."""

    rule: str
    """A stable id, e.g. ``P003``; the manual has a section for each."""
    message: str
    """What is wrong: who, what, where."""
    remedy: str
    """What to do about it, as an instruction."""
    severity: Literal["error", "warning"] = "error"
    """``error`` refuses, ``warning`` is shown."""
    plugin: str = ""
    """The plugin it is about, or an empty string."""
    contribution: str = ""
    """The contribution's label, e.g. ``tasks.shell greet``."""
    field: str = ""
    """The field's path inside the contribution, e.g. ``after[0]``."""
    file: str = ""
    """The file, relative to the plugin's folder."""
    line: int = 0
    """The line in that file, counted from 1; 0 if not known."""

    def __str__(self) -> str:
        """One line for a terminal: place, rule, message, remedy."""
        place = f"{self.file}:{self.line}: " if self.line else (f"{self.file}: " if self.file else "")
        who = " ".join(part for part in (self.plugin, self.contribution, self.field) if part)
        return f"{place}{self.rule} {who + ': ' if who else ''}{self.message} {self.remedy}".rstrip()
