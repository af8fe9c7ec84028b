# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The program's frame: help with examples, and what an error looks like."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec

from stoker_sdk.model.finding import Finding

BAD_INPUT: Final = 2
_STOPPED: Final = 130


class InputError(click.ClickException):
    """Bad input: told with its findings and the remedy; the exit status is 2."""

    exit_code = BAD_INPUT

    def __init__(self, message: str, remedy: str, findings: Sequence[Finding] = ()) -> None:
        """Keep what is shown."""
        self.remedy = remedy
        self.findings = tuple(findings)
        super().__init__(message)


class Command(click.Command):
    """A command whose docstring may end with ``Examples:``, which the help shows line by line."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text, then the examples as they are."""
        text, separator, examples = (self.help or "").partition("Examples:\n")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(inspect.cleandoc(text).strip())
        if separator:
            with formatter.section("Examples"):
                for line in examples.strip().splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line.strip()}\n")


class Program(click.Group):
    """A group of such commands that tells every error as ``error:`` and ``remedy:``, or as JSON where JSON was asked for."""

    command_class = Command

    def main(  # type: ignore[override]  # click's own overloads, in one
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401  handed through to click as it is
    ) -> object:
        """Run; unless ``standalone_mode`` is false, end the process with the exit status."""
        arguments = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            result = super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            click.echo("stopped.", err=True)
            sys.exit(_STOPPED)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            tell(error, as_json="--json" in arguments)
            sys.exit(error.exit_code)
        sys.exit(result if isinstance(result, int) else 0)


def tell(error: click.ClickException, *, as_json: bool) -> None:
    """Tell an error: as JSON on standard output, or for a person on standard error."""
    findings = error.findings if isinstance(error, InputError) else ()
    remedy = error.remedy if isinstance(error, InputError) else _help_of(error)
    if as_json:
        rows = [msgspec.to_builtins(finding) for finding in findings]
        click.echo(json.dumps({"ok": False, "message": error.format_message(), "remedy": remedy, "findings": rows}, indent=2))
        return
    click.echo(f"{_style('error:', 'red')} {printable(error.format_message())}", err=True)
    tell_findings(findings)
    if remedy:
        click.echo(f"{_style('remedy:', 'cyan')} {printable(remedy)}", err=True)


def tell_findings(findings: Sequence[Finding]) -> None:
    """Each finding on a line, and its remedy below."""
    for finding in findings:
        mark = f"{_style('warning:', 'yellow')} " if finding.severity == "warning" else ""
        click.echo(f"  - {mark}{printable(str(msgspec.structs.replace(finding, remedy='')))}", err=True)
        if finding.remedy:
            click.echo(f"    {_style('remedy:', 'cyan')} {printable(finding.remedy)}", err=True)


def printable(text: str) -> str:
    """Text without control characters, which could make a terminal do things."""
    return "".join(
        character if character.isprintable() or character == "\n" else f"\\x{ord(character):02x}" for character in text
    )


def _help_of(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"See '{context.command_path} --help'." if context is not None else ""


def _style(text: str, colour: str) -> str:
    plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
    return text if plain else click.style(text, fg=colour, bold=True)
