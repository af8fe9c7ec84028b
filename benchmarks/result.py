# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a benchmark gives: a number with the bound that it must keep and the aim that it should reach."""

from __future__ import annotations

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    name: str
    value: float
    unit: str
    bound: float
    """What must be kept; ``ok`` says whether it is."""
    aim: float | None = None
    """What should be reached; missing it fails nothing."""
    ok: bool | None = None
    """Whether the bound is kept; from value and bound if not given."""
    note: str = ""
    higher_is_better: bool = False

    @property
    def kept(self) -> bool:
        """Whether the bound is kept."""
        if self.ok is not None:
            return self.ok
        return self.value >= self.bound if self.higher_is_better else self.value <= self.bound

    @property
    def reached(self) -> bool:
        """Whether the aim is reached, or there is none."""
        if self.aim is None:
            return True
        return self.value >= self.aim if self.higher_is_better else self.value <= self.aim
