# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The ``stoker`` command: everything that the API does, for a person at a terminal and for scripts."""

from __future__ import annotations

from stoker.cli.main import main

__all__ = ["main"]
