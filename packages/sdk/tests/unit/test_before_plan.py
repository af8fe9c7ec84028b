# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a hook of plans may declare to fill."""

from __future__ import annotations

import pytest
from stoker_sdk.extension_points.before_plan import BeforePlan


@pytest.mark.parametrize(
    ("point", "rules"),
    [
        ("config_files.option", []),
        ("tasks.*", []),
        ("node_packages", []),
        ("node_packages.repository", ["X051"]),
        ("roles", ["X051"]),
        ("settings", ["X051"]),
        ("events", ["X051"]),
        ("*", ["X051"]),
    ],
)
def test_only_what_nobody_needs_to_know_before_there_is_a_plan(point: str, rules: list[str]) -> None:
    hook = BeforePlan(name="fill", call="code:fill", points=[point])
    assert [finding.rule for finding in hook.check()] == rules
