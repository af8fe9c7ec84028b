# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker completion``: what makes a shell complete stoker's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from stoker.cli.lazy import Command
from stoker.errors import InvalidInputError


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion code for a shell; names are completed by asking the server.

    Examples:
      eval "$(stoker completion bash)"                                  # in ~/.bashrc
      eval "$(stoker completion zsh)"                                   # in ~/.zshrc
      stoker completion fish > ~/.config/fish/completions/stoker.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise InvalidInputError(f"completion for {shell} is not there.", remedy="Use bash, zsh or fish.")
    click.echo(found(click.get_current_context().find_root().command, {}, "stoker", "_STOKER_COMPLETE").source())
