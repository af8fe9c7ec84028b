# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a type checker says of right and wrong plugins."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TYPING = Path(__file__).parents[1] / "typing"


def mypy(folder: str) -> list[tuple[str, int, str]]:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *sorted((TYPING / folder).glob("*.py"))],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[4],
        check=False,
    )
    found = re.findall(r"([\w]+\.py):(\d+): error: .*\[([\w-]+)\]", done.stdout)
    assert done.returncode == (1 if found else 0), done.stdout + done.stderr
    return [(file, int(line), code) for file, line, code in found]


def test_a_right_plugin_is_accepted() -> None:
    assert mypy("valid") == []


def test_every_wrong_line_is_refused() -> None:
    expected = [
        (path.name, number, line.partition("# refused: ")[2])
        for path in sorted((TYPING / "invalid").glob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# refused: " in line
    ]
    assert mypy("invalid") == expected
