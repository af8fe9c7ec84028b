# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The settings: what a label looks like, and whether nodes get a file; and the check that no schema can make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pydantic
from stoker_sdk.context import Problem
from stoker_sdk.extension_points import settings


class LabelSettings(pydantic.BaseModel):
    """Settings in one environment."""

    label_pattern: str = settings.field(
        "[A-Z]{2}-[0-9]{4}",
        title="Labels look like this",
        description="A regular expression that a whole label must match.",
        max_length=200,
    )
    write_file: bool = settings.field(True, title="Write /etc/asset-label on nodes that have a label")


def check(settings: Mapping[str, Any]) -> list[Problem]:
    """Whether the pattern is one, and can match anything but nothing."""
    try:
        pattern = re.compile(settings["label_pattern"])
    except re.error as error:
        return [
            Problem(
                field="label_pattern",
                message=f"it is not a regular expression: {error}.",
                remedy="Write e.g. [A-Z]{2}-[0-9]{4}.",
            )
        ]
    if pattern.fullmatch(""):
        return [
            Problem(
                field="label_pattern",
                message="an empty label would match it.",
                remedy="Leave out what makes all of it optional.",
                severity="warning",
            )
        ]
    return []


def fits(label: str, settings: Mapping[str, Any]) -> bool:
    """Whether a label looks as it should."""
    return re.fullmatch(str(settings.get("label_pattern", ".+")), label) is not None
