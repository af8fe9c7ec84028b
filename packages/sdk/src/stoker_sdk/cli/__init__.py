# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker-plugin``: start, check and build plugins."""

from __future__ import annotations

from stoker_sdk.cli.commands import main

__all__ = ["main"]
