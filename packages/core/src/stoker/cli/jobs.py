# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker jobs``: follow, cancel and look into the runs of plugins' actions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import msgspec

from stoker.cli import complete, output
from stoker.cli.lazy import Group
from stoker.cli.session import connect

if TYPE_CHECKING:
    from stoker.client.actions import JobDocument

_STATES = ("queued", "running", "succeeded", "failed", "cancelled", "broken-off")
_job = click.argument("job", metavar="JOB", shell_complete=complete.jobs)


@click.group(cls=Group)
def jobs() -> None:
    """Follow, cancel and look into what was started with 'stoker actions start'."""


@jobs.command("list")
@click.option("--env", "environment", metavar="ENV", default="", shell_complete=complete.environments, help="Only those in it.")
@click.option("--plugin", default="", metavar="NAME", shell_complete=complete.plugins, help="Only those of this plugin.")
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only these. May be repeated.")
@output.json_option
def list_jobs(environment: str, plugin: str, states: tuple[str, ...], as_json: bool) -> None:
    """List jobs, newest first.

    Examples:
      stoker jobs list
      stoker jobs list --env lab --state running --json
    """
    found = connect().jobs(environment=environment, plugin=plugin, states=states)
    if as_json:
        output.write_items(found)
        return
    rows = [
        (
            job["id"],
            f"{job['plugin']}.{job['action']}",
            where(job),
            output.state_text(job["state"]),
            f"{job['progress']:.0%}",
            output.when(job["created_at"]),
            output.between(job["started_at"], job["finished_at"]),
            job["actor"],
        )
        for job in found
    ]
    output.table(
        ("JOB", "ACTION", "ON", "STATE", "DONE", "STARTED", "TOOK", "BY"),
        rows,
        empty="There is no job. 'stoker actions list' shows what can be started.",
    )


def where(job: JobDocument) -> str:
    """What a job was started on."""
    target = job["target"]
    if target["kind"] == "server":
        return "server"
    return target["name"] if target["kind"] == "environment" else f"{target['name']} ({job['environment']})"


@jobs.command()
@_job
@output.json_option
def show(job: str, as_json: bool) -> None:
    """Show one job: how far it is, what it gave, why it failed.

    Examples:
      stoker jobs show 4d1f0c2ab93e5f17
      stoker jobs show 4d1f0c2ab93e5f17 --json
    """
    found = connect().job(job)
    if as_json:
        output.write_json(found)
        return
    output.pairs(
        [
            ("job", found["id"]),
            ("action", f"{found['plugin']}.{found['action']} ({found['title']})"),
            ("plugin", f"{found['plugin']} {found['version']}"),
            ("on", where(found)),
            ("form", msgspec.json.encode(found["form"]).decode() if found["form"] else ""),
            ("state", output.state_text(found["state"])),
            ("progress", f"{found['progress']:.0%}"),
            ("message", found["message"]),
            ("result", "" if found["result"] is None else msgspec.json.encode(found["result"]).decode()),
            ("error", found["error"]),
            ("started by", found["actor"]),
            ("queued", output.when(found["created_at"])),
            ("began", output.when(found["started_at"])),
            ("ended", output.when(found["finished_at"])),
        ]
    )
    if found["traceback"]:
        output.say("in the plugin's code", "bold")
        output.say(found["traceback"].rstrip())


@jobs.command()
@_job
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@output.json_option
def log(job: str, follow: bool, as_json: bool) -> int:
    """Print what a job logged; with --json one object a line.

    Examples:
      stoker jobs log 4d1f0c2ab93e5f17
      stoker jobs log 4d1f0c2ab93e5f17 --follow
    """
    client, last = connect(), 0
    try:
        while True:
            part = client.job_log(job, last)
            last = part["last"]
            for line in part["items"]:
                if as_json:
                    click.echo(msgspec.json.encode(line).decode())
                else:
                    output.say(f"{time.strftime('%H:%M:%S', time.localtime(line['at']))}  {line['line']}")
            if not part["items"]:
                if not follow or part["ended"]:
                    return 0
                time.sleep(0.5)
    except KeyboardInterrupt:
        return 130


@jobs.command()
@_job
@output.json_option
def watch(job: str, as_json: bool) -> int:
    """Follow a job to its end. Exits 0 if it succeeded, 1 if it did not.

    Examples:
      stoker jobs watch 4d1f0c2ab93e5f17
    """
    from stoker.cli import job_watching  # noqa: PLC0415  it loads what draws

    client = connect()
    return job_watching.follow(client, client.job(job), as_json=as_json)


@jobs.command()
@_job
@output.json_option
def cancel(job: str, as_json: bool) -> None:
    """Let a job end; if its code does not, its worker is stopped after a while.

    Examples:
      stoker jobs cancel 4d1f0c2ab93e5f17
    """
    found = connect().cancel_job(job)
    text = f"job {job} is cancelled." if found["state"] == "cancelled" else f"job {job} was told to end."
    output.answer(found, text, as_json)
