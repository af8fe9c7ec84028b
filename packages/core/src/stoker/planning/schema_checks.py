# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Checks against JSON Schemas, in a module of their own: it is imported only where a plan needs it."""

from __future__ import annotations

from stoker_sdk.validation.parameters import misfits

from stoker.domain.misfit import reason

__all__ = ["misfits", "reason"]
