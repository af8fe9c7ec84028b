# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The choice of a sandbox, where the server's own files lie among what every worker sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ordinary_user
import pytest

ASK = """
import sys
from pathlib import Path
from stoker.plugin_host.sandbox.choice import Sandbox
made = Sandbox(Path(sys.argv[1]), share=0.5, allow_unconfined=False)
print(made.find(), sorted({*made.why.values()}))
made.close()
"""


@pytest.fixture
def place():
    """A folder that an ordinary user has, where others may go."""
    folder = Path(tempfile.mkdtemp(prefix="stoker-choice-", dir="/var/tmp"))
    try:
        before = ordinary_user.words(folder)
        for path in (folder, folder / "prefix", folder / "data"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
            if not os.geteuid():
                os.chown(path, ordinary_user.ORDINARY, ordinary_user.ORDINARY)
        yield folder, before
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_no_sandbox_counts_that_shows_the_servers_files(place) -> None:
    """What root owns is not open to workers, wherever it lies; so it is asked as an ordinary user."""
    folder, before = place
    prefix = folder / "prefix"  # of a Python, with the data below it
    words = [*before, sys.executable, "-c", f"import sys; sys.base_prefix = {str(prefix)!r}\n{ASK}"]
    inside, beside = (
        subprocess.run([*words, str(where)], capture_output=True, text=True, check=True, timeout=60).stdout
        for where in (prefix / "data" / "workers", folder / "data" / "workers")
    )
    if beside.startswith("none"):
        pytest.skip(f"no sandbox works here: {beside}")
    assert inside.startswith("none")
    assert "not apart" in inside
