# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Before plan: a function of the plugin that adds contributions to one plan, from what is known of the environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stoker_sdk.model.code import check_code, check_deadline
from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_kind


class BeforePlan(Contribution, frozen=True, kw_only=True, tag="before_plan"):
    """A function that is asked before a snapshot is closed, for contributions that constants and references cannot say.

    ::

        def add_shares(plan: PlanInput, context: Context) -> Sequence[Contribution]: ...

    What it gives is checked as if the plugin had brought it, kept in the snapshot with its digest, and never computed again
    for that plan.
    It may fill only what it declares.
    """

    name: str
    """The hook's name: lower case letters, digits and underscores."""
    call: str
    """The function, as ``code(FUNCTION)``."""
    points: Sequence[str]
    """The classes of contributions that it may give, e.g. ``config_files.option``, ``node_packages``, ``tasks.*``."""
    names: Sequence[str] = ("*",)
    """Patterns (``*`` stands for anything) that the labels of its contributions must fit, e.g. ``config_files.option
    /etc/exports*``."""
    required: bool = True
    """Whether a plan is refused if the function fails; otherwise the plan says what is missing."""
    deadline: float = 30
    """Seconds for one plan."""

    @property
    def label(self) -> str:
        """``before_plan NAME``."""
        return f"before_plan {self.name}"

    def check(self) -> Iterable[Finding]:
        """Name, function, what it may fill, and time."""
        yield from check_kind(self.name, "name")
        yield from check_code(self.call, "call")
        yield from check_deadline(self.deadline)
        if not self.points:
            yield Finding(rule="X050", field="points", message="it may fill nothing.", remedy="Name a class of contributions.")
        for index, point in enumerate(self.points):
            if point.partition(".")[0] not in FILLABLE or point == "node_packages.repository":
                yield Finding(
                    rule="X051",
                    field=f"points[{index}]",
                    message=f"{point[:80]!r} is nothing that a plan could still get.",
                    remedy=f"Name a class of these extension points: {', '.join(FILLABLE)}; * stands for anything.",
                )
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Give nothing in the function.")


FILLABLE: Final = ("config_files", "health_checks", "node_packages", "task_patches", "tasks")
"""Extension points whose contributions nobody needs to know before there is a plan."""

POINT = ExtensionPoint(name="before_plan", combines="slot", contributions=(BeforePlan,), needs_code=True)
