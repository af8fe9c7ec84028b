# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The plugin's two versions as projects: the present one, and version 1, which differs in what is known of an asset."""

from __future__ import annotations

import shutil
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def project_of(version: str, folder: Path) -> Path:
    """A copy of the project in the folder, as version ``1.0.0`` or ``2.0.0``."""
    made = folder / f"inventory-{version}"
    shutil.copytree(PROJECT, made, ignore=shutil.ignore_patterns("tests", "dist", "__pycache__", "*.egg-info"))
    if version == "1.0.0":
        shutil.copyfile(PROJECT / "tests/version_1/assets.py", made / "src/stoker_plugin_inventory/assets.py")
        settings = (made / "pyproject.toml").read_text()
        (made / "pyproject.toml").write_text(settings.replace('version = "2.0.0"', 'version = "1.0.0"'))
    return made
