# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker releases``: list, show."""

from __future__ import annotations

import click

from stoker.cli import complete, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect


@click.group(cls=Group)
def releases() -> None:
    """Products that installed plugins bring."""


@releases.command("list")
@output.json_option
def list_releases(as_json: bool) -> None:
    """List the releases that environments can run.

    Examples:
      stoker releases list
      stoker releases list --json
    """
    found = connect().releases()
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            item["name"],
            f"{item['product']} {item['version']}",
            ", ".join(item["operating_systems"]),
            f"{item['plugin']} {', '.join(item['plugin_versions'])}",
            ", ".join(item["environments"]),
        )
        for item in found
    ]
    output.table(
        ("NAME", "PRODUCT", "ON", "PLUGIN", "RUN BY"),
        rows,
        empty="No installed plugin brings a release. Install one with 'stoker plugins install BUNDLE'.",
    )


@releases.command()
@click.argument("release", shell_complete=complete.releases)
@output.json_option
def show(release: str, as_json: bool) -> None:
    """Show what a release is made of: its roles and services.

    Examples:
      stoker releases show web-cluster-debian12
      stoker releases show web-cluster-debian12 --json
    """
    found = connect().release(release)
    if as_json:
        output.write_json(found)
        return
    output.pairs(
        [
            ("name", found["name"]),
            ("title", found["title"]),
            ("description", found["description"]),
            ("product", f"{found['product']} {found['version']}"),
            ("operating systems", ", ".join(found["operating_systems"]) or "all"),
            ("plugin", f"{found['plugin']} {', '.join(found['plugin_versions'])}"),
            ("run by", ", ".join(found["environments"])),
            ("roles", ", ".join(found["roles"])),
        ]
    )
    if found["services"]:
        output.table(
            ("SERVICE", "ON", "PACKAGES", "UNITS", "FILES"),
            [
                (
                    item["name"],
                    ", ".join(item["roles"]),
                    ", ".join(item["packages"]),
                    ", ".join(item["units"]),
                    ", ".join(item["files"].values()),
                )
                for item in found["services"]
            ],
        )
