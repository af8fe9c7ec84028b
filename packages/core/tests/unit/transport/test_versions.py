# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""One table of versions and constraints: the plan and the node's own shell text give the same answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from stoker.domain.versions import fits, read_constraints

LIBRARY = (resources.files("stoker.transport.ssh") / "packages.sh").read_text()
CASES = [
    ("debian", "9.1-1", ">=99", False),
    ("debian", "9.1-1", ">=9.1", True),
    ("debian", "1:4.3-2+deb12u1", ">=4.3,<5", True),
    ("debian", "1:4.3-2", "==4.3", True),
    ("debian", "1:4.3-2", "!=4.3", False),
    ("debian", "2.10", ">2.9", True),
    ("debian", "2.10~rc1-1", ">=2.10", False),
    ("debian", "2.10+dfsg-1", ">2.10", True),
    ("debian", "1.0", "1.0", True),
    ("debian", "1.0", "=1.1", False),
    ("debian", "1.2-3-4", "==1.2-3", True),
    ("debian", "5.0", " >= 4 , < 6 ", True),
    ("debian", "5.0", "", True),
    ("debian", "1.0a", ">1.0", True),
    ("redhat", "0:9.1-1.el9", ">=99", False),
    ("redhat", "1:4.3-2.el9", ">=4.3,<5", True),
    ("redhat", "0:2.10~rc1-1", ">=2.10", False),
    ("redhat", "0:2.10^git1-1", ">2.10", True),
    ("redhat", "0:2.10^git1-1", "<2.10.1", True),
    ("redhat", "0:1.0a-1", ">1.0", True),
    ("redhat", "0:1.0a-1", "<1.0.1", True),
    ("redhat", "0:1.010-1", "==1.10", True),
    ("redhat", "0:1_0-1", "==1.0", True),
    ("redhat", "0:3.0-1", "!=3.0", False),
]


@pytest.mark.parametrize(("family", "version", "constraint", "expected"), CASES)
def test_the_plan_knows_what_fits(family: str, version: str, constraint: str, expected: bool) -> None:
    assert fits(version, constraint, family) is expected


@pytest.mark.parametrize(("family", "version", "constraint", "expected"), CASES)
def test_the_node_gives_the_same_answer(tmp_path: Path, family: str, version: str, constraint: str, expected: bool) -> None:
    tools = {"debian": ("apt-get", "dpkg"), "redhat": ("dnf", "rpm")}[family]
    if shutil.which(tools[1]) is None:
        pytest.skip(f"{tools[1]} is not on this machine")
    # The family is told by the package manager that is there: this one is never run.
    manager = tmp_path / tools[0]
    manager.write_text("#!/bin/sh\nexit 1\n")
    manager.chmod(0o755)
    for name in (tools[1], "sh", "tr", "sed"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    text = f'{LIBRARY}\nfits "$1" "$2"\n'
    environment = {**os.environ, "PATH": str(tmp_path)}
    shell = shutil.which("sh") or "sh"
    ended = subprocess.run([shell, "-c", text, "fits", version, constraint], env=environment, capture_output=True, check=False)
    assert (ended.returncode == 0) is expected, ended.stderr
    assert not ended.stderr


@pytest.mark.parametrize("constraint", ["~=1.0", "latest", ">=", ">=1;<2", ">=1,newest"])
def test_what_is_no_constraint_is_refused(constraint: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_constraints(constraint)
