# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A finding: one fault that a check found; errors carry it, so it is defined beside them."""

from __future__ import annotations

from stoker_sdk.errors import Finding

__all__ = ["Finding"]
