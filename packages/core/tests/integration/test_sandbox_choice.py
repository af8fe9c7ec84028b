# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The choice of a sandbox, where the server's own files lie among what every worker sees."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASK = """
import sys
from pathlib import Path
from stoker.plugin_host.sandbox.choice import Sandbox
made = Sandbox(Path(sys.argv[1]), share=0.5, allow_unconfined=False)
print(made.find(), sorted({*made.why.values()}))
made.close()
"""


@pytest.mark.skipif(not os.geteuid(), reason="what root owns is not open to workers, wherever it lies")
def test_no_sandbox_counts_that_shows_the_servers_files(tmp_path) -> None:
    prefix = tmp_path / "python"  # a Python with the data below it
    (prefix / "bin").mkdir(parents=True)
    words = [sys.executable, "-c", f"import sys; sys.base_prefix = {str(prefix)!r}\n{ASK}"]
    inside, beside = (
        subprocess.run([*words, str(folder)], capture_output=True, text=True, check=True, timeout=60).stdout
        for folder in (prefix / "data" / "workers", tmp_path / "data" / "workers")
    )
    if beside.startswith("none"):
        pytest.skip(f"no sandbox works here: {beside}")
    assert inside.startswith("none")
    assert "not apart" in inside
