# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The root of the command line: global options, the table of commands, and how a run ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from click.core import ParameterSource

from stoker import __version__
from stoker.cli import problems
from stoker.cli.lazy import Lazy, LazyGroup
from stoker.cli.plugin_words import PluginWords
from stoker.cli.session import Session
from stoker.errors import InvalidInputError, StokerError

BAD_INPUT = 2

COMMANDS = {
    "serve": Lazy("stoker.cli.serve", "serve", "Run the server in the foreground."),
    "backup": Lazy("stoker.cli.backup", "backup", "Write everything that a server is into one file."),
    "restore": Lazy("stoker.cli.backup", "restore", "Make a server's data of a backup."),
    "plugins": Lazy("stoker.cli.plugins", "plugins", "Install, list and uninstall plugins."),
    "components": Lazy("stoker.cli.components", "components", "What can be chosen when an environment is made."),
    "releases": Lazy("stoker.cli.releases", "releases", "Products that installed plugins bring."),
    "repositories": Lazy("stoker.cli.repositories", "repositories", "Package repositories of plugins, and their key."),
    "env": Lazy("stoker.cli.environments", "env", "Environments: plugins, settings, nodes, checks."),
    "nodes": Lazy("stoker.cli.nodes", "nodes", "Add, look at and remove nodes."),
    "credentials": Lazy("stoker.cli.credentials", "credentials", "Keys with which nodes are reached."),
    "users": Lazy("stoker.cli.users", "users", "People who may come in, and what they may do."),
    "tokens": Lazy("stoker.cli.tokens", "tokens", "What programs come in with."),
    "login-link": Lazy("stoker.cli.login_link", "login_link", "A link that signs a browser in once."),
    "audit": Lazy("stoker.cli.audit", "audit", "Who changed what, and when."),
    "plan": Lazy("stoker.cli.plans", "plan", "Make, read and explain plans."),
    "deploy": Lazy("stoker.cli.deploy", "deploy", "Show a plan, ask, and carry it out."),
    "deployments": Lazy("stoker.cli.deployments", "deployments", "Follow, stop, retry and look into deployments."),
    "actions": Lazy("stoker.cli.actions", "actions", "What plugins let you start, and starting it."),
    "jobs": Lazy("stoker.cli.jobs", "jobs", "Follow, cancel and look into what was started."),
    "doctor": Lazy("stoker.cli.doctor", "doctor", "Look for what stands in a server's way."),
    "systemd-unit": Lazy("stoker.cli.systemd_unit", "systemd_unit", "Print the unit that runs the server under systemd."),
    "fleet": Lazy("stoker.cli.fleet", "fleet", "A fleet of simulated nodes on this machine."),
    "completion": Lazy("stoker.cli.completion", "completion", "Print what makes your shell complete stoker's words."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    entry_points=True,
    plugins=PluginWords,
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
@click.version_option(__version__, "-V", "--version", prog_name="stoker", message="%(prog)s %(version)s")
@click.pass_context
def stoker(ctx: click.Context, server: str, token: str, data: str, ca: str, fingerprint: str) -> None:
    """Deploy clusters with plugins: see every change before it is made."""
    if ctx.obj is None:
        given = ctx.get_parameter_source("token") is ParameterSource.COMMANDLINE
        source = ("--token" if given else "STOKER_TOKEN") if token else ""
        ctx.obj = Session(server=server, token=token, token_source=source, data=data, ca=ca, fingerprint=fingerprint)


def run(arguments: Sequence[str] | None = None, *, session: Session | None = None) -> int:
    """Run a command line and return its exit status; errors are told on standard error (see ``problems``)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    problems.json_asked.set(False)
    try:
        result = stoker.main(args=words, prog_name="stoker", standalone_mode=False, obj=session)
    except click.Abort:
        click.echo("stopped.", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return problems.show_usage_error(error, words)
    except StokerError as error:
        problems.show_error(error)
        return problems.exit_status(error)
    except UnicodeError as error:
        word = str(getattr(error, "object", ""))[:100].encode("utf-8", "backslashreplace").decode()
        problems.show_error(InvalidInputError(f"{word!r} is not text that can be sent.", remedy="Write it in UTF-8."))
        return BAD_INPUT
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more may be written, not even by the interpreter's last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def main() -> None:
    """What the ``stoker`` script calls."""
    sys.exit(run())
