# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker-plugin``: start, check and build plugins."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from stoker_sdk import __version__
from stoker_sdk.bundle import open_bundle
from stoker_sdk.errors import InvalidBundleError, InvalidPluginError
from stoker_sdk.manifest import manifest_schema
from stoker_sdk.model.finding import Finding
from stoker_sdk.scaffold.files import new_plugin
from stoker_sdk.source import build_bundle, load_folder
from stoker_sdk.validation import NAME, check_plugin

BAD_INPUT = 2

_FOLDER = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="stoker-plugin %(version)s")
def main() -> None:
    """Start, check and build plugins for Stoker."""


def _fail(message: str, findings: Sequence[Finding] = (), *, as_json: bool = False) -> NoReturn:
    if as_json:
        click.echo(
            json.dumps({"ok": False, "message": message, "findings": [msgspec.to_builtins(item) for item in findings]}, indent=2)
        )
    else:
        click.secho(f"error: {message}", fg="red", err=True)
        for finding in findings:
            click.echo(f"  {finding}", err=True)
    sys.exit(BAD_INPUT)


@main.command()
@click.argument("name")
@click.option("--yaml", is_flag=True, help="A plugin.yaml without code instead of a Python package.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where its folder is made [.].")
def new(name: str, yaml: bool, output: Path) -> None:
    r"""Start a plugin: at most five files, its test among them.

    \b
    Examples:
      stoker-plugin new greeting
      stoker-plugin new greeting --yaml
    """
    if not NAME.fullmatch(name):
        _fail(f"{name!r} is not a plugin's name: use lower case letters, digits and dashes.")
    folder = output / name
    if folder.exists():
        _fail(f"{folder} is there already; nothing was written.")
    for path, text in new_plugin(name, yaml=yaml).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        click.echo(f"  {target}")
    click.echo(f"Next: stoker-plugin check {folder}")


@main.command()
@_FOLDER
@_JSON
def check(folder: Path, as_json: bool) -> None:
    r"""Find everything that is wrong with a plugin, all at once.

    \b
    Examples:
      stoker-plugin check
      stoker-plugin check plugins/ntp --json
    """
    try:
        plugin = load_folder(folder)
    except InvalidPluginError as error:
        _fail(f"{folder} is not a valid plugin.", error.findings, as_json=as_json)
    findings = check_plugin(plugin, folder)
    if any(finding.severity == "error" for finding in findings):
        _fail(f"plugin {plugin.name} {plugin.version} is not valid.", findings, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "name": plugin.name, "version": plugin.version, "findings": []}, indent=2))
    else:
        click.secho(f"{plugin.name} {plugin.version} is valid: {len(plugin.contributions)} contributions", fg="green")


@main.command()
@_FOLDER
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where the bundle goes [.].")
@_JSON
def build(folder: Path, output: Path, as_json: bool) -> None:
    r"""Check a plugin and pack it into one file; the same folder gives the same bytes.

    \b
    Examples:
      stoker-plugin build
      stoker-plugin build plugins/ntp --output dist
    """
    try:
        plugin = load_folder(folder)
        findings = check_plugin(plugin, folder)
        if any(finding.severity == "error" for finding in findings):
            _fail(f"plugin {plugin.name} {plugin.version} is not valid; nothing was built.", findings, as_json=as_json)
        bundle = build_bundle(folder, output)
    except InvalidPluginError as error:
        _fail(f"{folder} is not a valid plugin.", error.findings, as_json=as_json)
    except InvalidBundleError as error:
        _fail(str(error), as_json=as_json)
    opened = open_bundle(bundle)
    if as_json:
        document = {"ok": True, "name": plugin.name, "version": plugin.version, "bundle": str(bundle), "sha256": opened.digest}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"built {bundle} ({bundle.stat().st_size} bytes, {len(opened.names())} files)")


@main.command()
def schema() -> None:
    r"""Print the JSON Schema of manifests and of plugin.yaml, for editors.

    \b
    Examples:
      stoker-plugin schema > plugin.schema.json
    """
    click.echo(json.dumps(manifest_schema(), indent=2))
