# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Following a job to its end: a bar where a person looks, lines elsewhere, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click
import msgspec
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stoker.cli import output
from stoker.cli.problems import printable
from stoker.client import StokerClient
from stoker.client.actions import WAITING, JobDocument
from stoker.errors import ServerUnreachableError

PATIENCE = 60.0
"""Seconds in which a server may come back."""
_PAUSE = 0.4


def follow(client: StokerClient, job: JobDocument, *, as_json: bool) -> int:
    """Follow a job; Ctrl-C leaves it running.

    Returns:
        The exit status: 0 if it succeeded, 1 if it did not, 130 if the watcher left.
    """
    screen = output.console()
    try:
        if as_json:
            for _ in _looks(client, job):
                pass  # only its end is told
        elif screen.is_terminal:
            with Live(_drawn(job), console=screen, refresh_per_second=8) as live:
                for lines, seen in _looks(client, job):
                    for line in lines:
                        screen.print(Text(printable(line)), soft_wrap=True)
                    live.update(_drawn(seen))
        else:
            _in_lines(client, job)
    except KeyboardInterrupt:
        click.echo(f"\nThe job goes on without you. Watch it again: stoker jobs watch {job['id']}", err=True)
        click.echo(f"Cancel it: stoker jobs cancel {job['id']}", err=True)
        return 130
    ended = client.job(job["id"])
    if as_json:
        output.write_json(ended)
    else:
        _tell_end(ended)
    return 0 if ended["state"] == "succeeded" else 1


NOTHING_SAID = f"{0:.0%}"
"""How far a job is that has not told anything."""


def _in_lines(client: StokerClient, job: JobDocument) -> None:
    told = ""
    for lines, seen in _looks(client, job):
        for line in lines:
            output.say(line)
        said = f"{seen['progress']:.0%} {seen['message']}".rstrip()
        if seen["state"] == "running" and said not in (told, NOTHING_SAID):
            output.say(said)
            told = said


def _looks(client: StokerClient, job: JobDocument) -> Iterator[tuple[list[str], JobDocument]]:
    """New lines of the log and the job as it is, until it has ended; goes on if the server comes back soon."""
    last, since = 0, 0.0
    while True:
        try:
            job = client.job(job["id"])
            while True:
                part = client.job_log(job["id"], last)
                last = part["last"]
                yield [line["line"] for line in part["items"]], job
                if not part["items"]:
                    break
            if since:
                click.echo("the server is back.", err=True)
            since = 0.0
            if job["state"] not in WAITING:
                return
        except ServerUnreachableError as error:
            if not since:
                click.echo(printable(f"lost the server; trying again ... ({error.detail})"), err=True)
                since = time.monotonic()
            if time.monotonic() - since > PATIENCE:
                raise
        time.sleep(_PAUSE)


def _drawn(job: JobDocument) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(total=1.0, completed=job["progress"], width=30)
    row.add_row(
        Text(f"{job['plugin']}.{job['action']}", style="bold"),
        bar,
        Text(f"{job['progress']:.0%}"),
        Text(printable(job["message"] if job["state"] == "running" else job["state"])),
    )
    return row


def _tell_end(job: JobDocument) -> None:
    took = output.between(job["started_at"], job["finished_at"])
    reason = f": {job['error']}" if job["error"] else ""
    style = f"bold {output.STATE_COLOURS.get(job['state'], '')}".strip()
    output.say(f"{job['state']}{f' in {took}' if took else ''}{reason}", style)
    if job["result"] is not None:
        output.say(msgspec.json.format(msgspec.json.encode(job["result"]), indent=2).decode())
    if job["traceback"]:
        output.say(f"Where in the plugin's code: stoker jobs show {job['id']}")
