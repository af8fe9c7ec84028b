# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""How the manual is built; warnings are errors (``./dev docs``)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Stoker"
project_copyright = "The Stoker authors"
author = "The Stoker authors"
extensions = ["myst_parser", "stoker_reference"]
exclude_patterns = ["_build", "examples", "_ext"]
templates_path: list[str] = []
html_theme = "furo"
html_title = "Stoker"
html_static_path = ["_static"]
html_theme_options = {"source_repository": "", "navigation_with_keys": True}
myst_enable_extensions = ["deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]
nitpicky = True
