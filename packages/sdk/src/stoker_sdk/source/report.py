# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Report: what the process that imports a plugin says to the one that asked."""

from __future__ import annotations

import msgspec

from stoker_sdk.errors import Finding


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin's manifest, or why there is none."""

    manifest: dict[str, object] = {}
    """As from :func:`stoker_sdk.manifest.to_manifest`; empty if there are faults."""
    faults: list[Finding] = []
    """Why it could not be imported."""
