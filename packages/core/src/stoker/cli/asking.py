# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Asking before something is done that cannot be undone; where nobody can be asked, --yes must say so."""

from __future__ import annotations

import sys

import click

from stoker.errors import InvalidInputError


def needs_terminal(what: str, *, remedy: str) -> None:
    """Refuse at once where there is nobody to ask.

    Raises:
        InvalidInputError: standard input or output is not a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInputError(f"{what}: there is no terminal to ask at, and --yes is not given.", remedy=remedy)


def confirm(question: str) -> None:
    """Ask; the command ends if the answer is no."""
    click.confirm(question, abort=True)
