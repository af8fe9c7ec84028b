# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""CEL's evaluator without the interactive program that its package imports along: half of a planning process's start."""

from __future__ import annotations

import sys
from types import ModuleType

_PROGRAM = "cel.cli"

if "cel" in sys.modules:
    import cel
else:
    # `cel/__init__.py` imports its command line, and with it a terminal toolkit; nobody here uses them.
    sys.modules[_PROGRAM] = ModuleType(_PROGRAM)
    try:
        import cel
    finally:
        del sys.modules[_PROGRAM]

__all__ = ["cel"]
