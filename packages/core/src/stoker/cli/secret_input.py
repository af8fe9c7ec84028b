# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Asking for passwords: on the terminal without an echo, or from a file; never on the command line, which others can read."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from stoker.errors import InvalidInputError


def password(file: TextIO | None, what: str, *, option: str, twice: bool = False) -> str:
    """A password: the file's first line, else what a person types.

    Raises:
        InvalidInputError: the file is empty, or there is nobody to ask.
    """
    if file is not None:
        line = file.readline().rstrip("\r\n")
        if not line:
            raise InvalidInputError(f"{option}: the first line is empty.", remedy="Write the password into the first line.")
        return line
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"{what}: there is no terminal to ask at, and {option} is not given.",
            remedy=f"Give {option} FILE ('-' for standard input).",
        )
    return str(click.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))
