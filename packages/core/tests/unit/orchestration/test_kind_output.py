# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Lines of a kind's program: JSON becomes words and a verdict, and nothing else is lost."""

from __future__ import annotations

import pytest
from stoker.domain.attempt import Outcome
from stoker.orchestration.kind_output import read_report, told

CASES = [
    ('{"progress": 0.5, "message": "half"}', "50% half\n", None, ""),
    ('{"progress": 7}', "100%\n", None, ""),
    ('{"message": "hello"}\n{"log": "more"}', "hello\nmore\n", None, ""),
    ('{"error": "broken", "remedy": "mend it"}', "error: broken\nremedy: mend it\n", None, ""),
    ('{"changed": true}\n{"changed": false, "diff": "-a\\n+b"}', "", False, "-a\n+b"),
    ('plain\n{"other": 1}\n[1]\n{broken', 'plain\n{"other": 1}\n[1]\n{broken\n', None, ""),
    ('ut": true}\n{"changed": true}', 'ut": true}\n', True, ""),
    ('{"changed": "no"}', "", None, ""),
    ("", "", None, ""),
    ("{" * 5000, "{" * 5000 + "\n", None, ""),
]


@pytest.mark.parametrize(("output", "text", "changed", "diff"), CASES)
def test_lines(output, text, changed, diff):
    report = read_report(output)
    assert (report.text, report.changed, report.diff) == (text, changed, diff)


@pytest.mark.parametrize(
    ("before", "said", "after"), [(True, "true", True), (True, "false", False), (False, "true", False), (False, "false", False)]
)
def test_a_program_can_only_take_a_change_back(before, said, after):
    outcome = told(Outcome(exit_status=3, changed=before, output=f'{{"changed": {said}}}\n'))
    assert (outcome.changed, outcome.exit_status, outcome.output) == (after, 3, "")
