# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of ``stoker-plugin``."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
from click.shell_completion import get_completion_class

from stoker_sdk import __version__
from stoker_sdk.bundle import open_bundle
from stoker_sdk.cli.program import InputError, Program, tell_findings
from stoker_sdk.errors import InvalidBundleError, InvalidPluginError
from stoker_sdk.manifest import manifest_schema
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import MAX_NAME, NAME
from stoker_sdk.plugin import Plugin
from stoker_sdk.scaffold.files import new_plugin
from stoker_sdk.source import build_bundle, load_folder
from stoker_sdk.validation import check_plugin

_FOLDER = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="stoker-plugin %(version)s")
def main() -> None:
    """Start, check and build plugins for Stoker."""


@main.command()
@click.argument("name")
@click.option("--yaml", is_flag=True, help="A plugin.yaml without code instead of a Python package.")
@click.option("--code", is_flag=True, help="A Python package whose code runs on the server: an application and a hook.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where its folder is made [.].")
def new(name: str, yaml: bool, code: bool, output: Path) -> None:
    """Start a plugin: at most five files, its test among them.

    Examples:
      stoker-plugin new greeting
      stoker-plugin new greeting --yaml
      stoker-plugin new greeting --code
    """
    if yaml and code:
        raise InputError("a plugin.yaml carries no code.", "Leave out --yaml or --code.")
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise InputError(f"{name!r} is not a plugin's name.", "Use lower case letters, digits and dashes, e.g. my-array.")
    folder = output / name
    if folder.exists():
        raise InputError(f"{folder} is there already; nothing was written.", "Choose another name, or another --output.")
    for path, text in new_plugin(name, yaml=yaml, with_code=code).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        click.echo(f"  {target}")
    click.echo(f"Next: stoker-plugin check {folder}")


def _checked(folder: Path, otherwise: str) -> tuple[Plugin, list[Finding]]:
    """The plugin in a folder and its warnings. Raises InputError with every finding if there is an error."""
    try:
        plugin = load_folder(folder)
    except InvalidPluginError as error:
        raise InputError(f"{folder} is not a valid plugin{otherwise}.", _mend(error.findings), error.findings) from error
    findings = check_plugin(plugin, folder)
    if any(finding.severity == "error" for finding in findings):
        raise InputError(f"plugin {plugin.name} {plugin.version} is not valid{otherwise}.", _mend(findings), findings)
    return plugin, findings


def _mend(findings: object) -> str:
    return "Mend what is listed, then check again." if findings else ""


@main.command()
@_FOLDER
@_JSON
def check(folder: Path, as_json: bool) -> None:
    """Find everything that is wrong with a plugin.

    All of it is told at once. Warnings are shown and let pass.

    Examples:
      stoker-plugin check
      stoker-plugin check plugins/ntp --json
    """
    plugin, warnings = _checked(folder, "")
    if as_json:
        rows = [msgspec.to_builtins(finding) for finding in warnings]
        click.echo(json.dumps({"ok": True, "name": plugin.name, "version": plugin.version, "findings": rows}, indent=2))
    else:
        tell_findings(warnings)
        click.secho(f"{plugin.name} {plugin.version} is valid: {len(plugin.contributions)} contributions", fg="green")


@main.command()
@_FOLDER
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where the bundle goes [.].")
@_JSON
def build(folder: Path, output: Path, as_json: bool) -> None:
    """Check a plugin and pack it into one file.

    The same folder gives the same bytes.

    Examples:
      stoker-plugin build
      stoker-plugin build plugins/ntp --output dist
    """
    plugin, warnings = _checked(folder, "; nothing was built")
    try:
        bundle = build_bundle(folder, output)
    except InvalidPluginError as error:
        raise InputError(f"{folder} is not a valid plugin.", _mend(error.findings), error.findings) from error
    except InvalidBundleError as error:
        raise InputError(str(error).removesuffix(f" {error.remedy}"), error.remedy) from error
    opened = open_bundle(bundle)
    if as_json:
        rows = [msgspec.to_builtins(finding) for finding in warnings]
        document = {"ok": True, "name": plugin.name, "version": plugin.version, "bundle": str(bundle), "sha256": opened.digest}
        click.echo(json.dumps({**document, "findings": rows}, indent=2))
    else:
        tell_findings(warnings)
        click.echo(f"built {bundle} ({bundle.stat().st_size} bytes, {len(opened.names())} files)")


@main.command()
def schema() -> None:
    """Print the JSON Schema of plugin.yaml, for editors.

    Manifests have the same schema.

    Examples:
      stoker-plugin schema > plugin.schema.json
    """
    click.echo(json.dumps(manifest_schema(), indent=2))


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes your shell complete stoker-plugin's words.

    Examples:
      eval "$(stoker-plugin completion bash)"                           # in ~/.bashrc
      eval "$(stoker-plugin completion zsh)"                            # in ~/.zshrc
      stoker-plugin completion fish > ~/.config/fish/completions/stoker-plugin.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise InputError(f"completion for {shell} is not there.", "Use bash, zsh or fish.")
    click.echo(found(main, {}, "stoker-plugin", "_STOKER_PLUGIN_COMPLETE").source())
