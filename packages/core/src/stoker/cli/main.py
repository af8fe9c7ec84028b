# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The root of the command line: global options, the table of commands, and what an error looks like."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from stoker import __version__
from stoker.cli.lazy import Lazy, LazyGroup
from stoker.cli.session import Session
from stoker.errors import StokerError

COMMANDS = {
    "serve": Lazy("stoker.cli.serve", "serve", "Run the server in the foreground."),
    "plugins": Lazy("stoker.cli.plugins", "plugins", "Install, list and uninstall plugins."),
    "env": Lazy("stoker.cli.environments", "env", "Environments: plugins, settings, nodes, checks."),
    "nodes": Lazy("stoker.cli.nodes", "nodes", "Add, look at and remove nodes."),
    "credentials": Lazy("stoker.cli.credentials", "credentials", "Keys with which nodes are reached."),
    "plan": Lazy("stoker.cli.plans", "plan", "Make, read and explain plans."),
    "deploy": Lazy("stoker.cli.deploy", "deploy", "Show a plan, ask, and carry it out."),
    "deployments": Lazy("stoker.cli.deployments", "deployments", "Follow, stop, retry and look into deployments."),
    "fleet": Lazy("stoker.cli.fleet", "fleet", "A fleet of simulated nodes on this machine."),
    "completion": Lazy("stoker.cli.completion", "completion", "Print what makes your shell complete stoker's words."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    entry_points=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="'stoker COMMAND --help' shows options and examples. Exit status: 0 done, 1 failed, 2 bad input, 130 Ctrl-C.",
)
@click.option(
    "--server", envvar="STOKER_SERVER", metavar="URL", default="", help="The server [STOKER_SERVER; http://127.0.0.1:8550]."
)
@click.option(
    "--token", envvar="STOKER_TOKEN", metavar="TOKEN", default="", help="Who asks [STOKER_TOKEN; the data folder's admin token]."
)
@click.option("--data", envvar="STOKER_DATA", metavar="FOLDER", default="", help="The server's data folder [STOKER_DATA].")
@click.option(
    "--ca", envvar="STOKER_CA", metavar="FILE", default="", help="The authority of the server's certificate [STOKER_CA]."
)
@click.option(
    "--fingerprint", envvar="STOKER_FINGERPRINT", metavar="SHA256", default="", help="Or its fingerprint [STOKER_FINGERPRINT]."
)
@click.version_option(__version__, "-V", "--version", prog_name="stoker")
@click.pass_context
def stoker(ctx: click.Context, server: str, token: str, data: str, ca: str, fingerprint: str) -> None:
    """Deploy clusters with plugins: see every change before it is made."""
    if ctx.obj is None:
        ctx.obj = Session(server=server, token=token, data=data, ca=ca, fingerprint=fingerprint)


def run(arguments: Sequence[str] | None = None, *, session: Session | None = None) -> int:
    """Run a command line and return its exit status; errors are told on standard error."""
    try:
        result = stoker.main(
            args=None if arguments is None else list(arguments), prog_name="stoker", standalone_mode=False, obj=session
        )
    except click.Abort:
        click.echo("stopped.", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return show_usage_error(error)
    except StokerError as error:
        show_error(error)
        return exit_status(error)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more may be written, not even by the interpreter's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def show_usage_error(error: click.ClickException) -> int:
    """Tell what click did not understand; returns the exit status."""
    click.echo(f"{_style('error:', 'red')} {printable(error.format_message())}", err=True)
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(f"{_style('remedy:', 'cyan')} See '{context.command_path} --help'.", err=True)
    return error.exit_code


def exit_status(error: StokerError) -> int:
    """2 for what the caller can put right in the command, 1 for everything else."""
    return 2 if 400 <= error.status < 500 else 1


def show_error(error: StokerError) -> None:
    """Tell who, what, where, each finding, and the remedy."""
    click.echo(f"{_style('error:', 'red')} {printable(error.detail)}", err=True)
    for finding in error.data.get("findings") or []:
        click.echo(f"  - {printable(finding_line(finding))}", err=True)
    if error.remedy:
        click.echo(f"{_style('remedy:', 'cyan')} {printable(error.remedy)}", err=True)


def finding_line(finding: object) -> str:
    """One finding on one line: place, rule, who, message, remedy."""
    if not isinstance(finding, dict):
        return str(finding)
    place = str(finding.get("file") or "") + (f":{finding['line']}" if finding.get("line") else "")
    who = " ".join(str(finding[key]) for key in ("plugin", "contribution", "field") if finding.get(key))
    head = " ".join(
        part for part in (f"{place}:" if place else "", str(finding.get("rule") or ""), f"{who}:" if who else "") if part
    )
    return " ".join(part for part in (head, str(finding.get("message", "")), str(finding.get("remedy") or "")) if part)


def printable(text: str) -> str:
    """Text without control characters, which could make a terminal do things."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else f"\\x{ord(character):02x}" for character in text
    )


def _style(text: str, colour: str) -> str:
    plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
    return text if plain else click.style(text, fg=colour, bold=True)


def main() -> None:
    """What the ``stoker`` script calls."""
    sys.exit(run())
