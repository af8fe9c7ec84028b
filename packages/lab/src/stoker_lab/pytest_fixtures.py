# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Lab nodes for tests: ``lab_nodes(3)`` gives three, shared by the session and removed at its end.

A ``conftest.py`` takes them with ``from stoker_lab.pytest_fixtures import lab, lab_nodes  # noqa: F401``. Where the machine
cannot run a lab such tests are skipped, and fail if the environment says ``STOKER_REQUIRE_LAB=1``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stoker_lab import nodes

PREFIX = "n"


def require_lab(lab: nodes.Lab) -> None:
    """Skip the test, or fail it where a lab is required, if this machine cannot run one."""
    missing = lab.check()
    if not missing:
        return
    reason = "lab nodes cannot run here: " + " ".join(missing)
    if os.environ.get("STOKER_REQUIRE_LAB") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Lab]:
    """A lab for this test session; what a killed session left is removed first."""
    folder: Path = tmp_path_factory.mktemp("lab", numbered=True)
    made = nodes.Lab(folder, f"pytest-{os.getpid()}", owner=os.getpid())
    require_lab(made)
    nodes.end_abandoned()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def lab_nodes(lab: nodes.Lab) -> Callable[[int], list[nodes.LabNode]]:
    """A function that gives the first N nodes of the session's lab, running and answering."""
    return lambda count: lab.up(count, PREFIX)
