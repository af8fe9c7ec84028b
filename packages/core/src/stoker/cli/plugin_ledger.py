# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin version's ledger on the terminal: what goes when it is uninstalled, and what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.cli import output

if TYPE_CHECKING:
    from stoker.client.plugin_lifecycle import LedgerDocument


def show(found: LedgerDocument, *, as_json: bool) -> None:
    """Everything that goes, then what could be in the way."""
    if as_json:
        output.write_json(found)
        return
    rows = [
        (item["kind"], item["name"], item["count"], output.size(item["bytes"]) if item.get("bytes") else "")
        for item in found.get("items") or []
    ]
    output.table(("KIND", "WHAT", "COUNT", "SIZE"), rows)
    for name, reason in sorted((found.get("staying") or {}).items()):
        output.say(f"stays: {name} ({reason})")
    what = f"{found['plugin']} {found['version']}"
    if used := found.get("environments"):
        output.say(f"{what} is used by {', '.join(used)}: it is not uninstalled before it is disabled there.", "yellow")
    if documents := found.get("documents"):
        told = ", ".join(f"{count} in {name}" for name, count in sorted(documents.items()))
        output.say(f"records that go, only with --delete-records: {told}", "yellow")
