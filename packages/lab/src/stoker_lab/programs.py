# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Running the system's programs, with errors that say which one failed and what it printed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from stoker_lab.errors import LabError

ADMIN_FOLDERS = ("/usr/sbin", "/sbin")
LAST_LINES = 15


def search_path() -> str:
    """PATH with the administrator's folders, which a plain user's shell may lack."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *ADMIN_FOLDERS])


def find_program(name: str) -> str | None:
    """The full path of a program, or None."""
    return shutil.which(name, path=search_path())


def run(command: Sequence[str], *, text: str = "", environment: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        text: what it reads from its standard input.
        environment: variables on top of this process's own.
        timeout: seconds after which it is killed.

    Returns:
        Its standard output.

    Raises:
        LabError: it is not installed, took too long, or exited with another status than 0.
    """
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, "PATH": search_path(), "LC_ALL": "C.UTF-8", **(environment or {})},
        )
    except FileNotFoundError as error:
        raise LabError(
            f"The program {command[0]} is not installed.", remedy="`stoker lab up --install-missing` installs it."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{shown}` did not end within {timeout:.0f} s.") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:])
        raise LabError(f"`{shown}` failed with exit status {done.returncode}: {said}")
    return done.stdout
