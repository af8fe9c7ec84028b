# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Environment variables of commands: whether a shell can have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from stoker_sdk.extension_points.health_checks import HealthCheck
from stoker_sdk.extension_points.tasks import Script, Service, Shell
from stoker_sdk.model.finding import Finding

from stoker.planning.parts import PluginParts

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def unfit_variable(name: str, value: object) -> tuple[str, str] | None:
    """What is wrong with a variable, and the remedy; ``None`` if nothing."""
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a name for an environment variable.", "Use letters, digits and underscores; begin with no digit."
    if isinstance(value, str) and "\0" in value:
        return f"the value of {name} holds a null byte, which no environment variable can.", "Take it out."
    return None


def check_variables(parts: Sequence[PluginParts]) -> Iterator[Finding]:
    """A finding for each variable that a command cannot have; values that are not constant are left to the plan."""
    for part in parts:
        for item in (*part.tasks, *part.checks):
            if not isinstance(item, Shell | Script | Service | HealthCheck):
                continue
            for name, value in item.environment.items():
                reason = unfit_variable(name, value)
                if reason is not None:
                    yield Finding(
                        rule="T020",
                        plugin=part.plugin.name,
                        contribution=item.label,
                        field=f"environment.{name}",
                        message=reason[0],
                        remedy=reason[1],
                    )
